"""What a picture should be like: sounds, phrases and pictures with weights, as directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from wav2clip.audio.io import Source
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import InputError
from wav2clip.models.space import unit
from wav2clip.models.towers.images import ImageSource


@dataclass(frozen=True)
class Prompt:
    """A direction that pictures are drawn to, or driven from.

    Attributes:
        direction: (dimension,) float32, unit length.
        centre: (dimension,) float32, what is taken off a picture's unit embedding before the two
            are compared: the mean of pictures, where the direction is centred on its own mean too.
            None: plain embeddings are compared.
        weight: share in the loss; negative drives away.
    """

    direction: NDArray[np.float32]
    centre: NDArray[np.float32] | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.weight):
            raise InputError(f"the weight of a prompt is {self.weight}, expected a finite number")

    def distance(self, embeddings: Tensor) -> Tensor:
        """Spherical distances (...,) of pictures' unit embeddings (..., dimension)."""
        if self.centre is not None:
            embeddings = F.normalize(embeddings - embeddings.new_tensor(self.centre), dim=-1)
        return spherical_distance(embeddings, embeddings.new_tensor(self.direction))


def spherical_distance(a: Tensor, b: Tensor) -> Tensor:
    """Half the squared angle in radians between unit vectors, (...,): 0 to pi ** 2 / 2.

    2 arcsin(|a - b| / 2) ** 2, as in VQGAN-CLIP (arXiv 2204.08583).
    """
    # The derivative of the root is infinite where the vectors are equal, that of the arcsine where
    # they are opposite.
    half_chord = ((a - b).square().sum(dim=-1) / 4).clamp(1e-12, 1 - 1e-6).sqrt()
    return 2 * half_chord.arcsin().square()


def loss(prompts: list[Prompt], embeddings: Tensor) -> Tensor:
    """Weighted mean of the prompts' distances from one picture's unit embedding (dimension,)."""
    total = sum(abs(prompt.weight) for prompt in prompts)
    return torch.stack([p.weight / total * p.distance(embeddings) for p in prompts]).sum()


def check_prompts(prompts: list[Prompt]) -> None:
    """Nothing, if there is something to be drawn to or driven from.

    Raises:
        InputError: no prompt, or weights of zero alone.
    """
    if not any(prompt.weight for prompt in prompts):
        raise InputError("no prompt has a weight other than zero, expected at least one")


class Prompter:
    """Turns sounds, phrases and pictures into prompts for pictures of one model.

    Args:
        model: audio encoder and towers of one space.
        center: compare embeddings around the means of their modalities, where both are known.
    """

    def __init__(self, model: Wav2CLIP, *, center: bool = True) -> None:
        self.model = model
        self._center = center

    def sound(self, source: Source, weight: float = 1.0) -> Prompt:
        """A recording of any length.

        Raises:
            AudioError: it cannot be read.
        """
        return self.embedding(self.model.embed_file(source), weight)

    def embedding(self, embedding: ArrayLike, weight: float = 1.0) -> Prompt:
        """A sound's embedding (dimension,), of any length but zero."""
        return self._prompt(np.asarray(embedding, np.float32), self.model.mean, weight)

    def text(self, phrase: str, weight: float = 1.0) -> Prompt:
        """A phrase."""
        (embedding,) = self.model.embed_text([phrase])
        return self._prompt(embedding, self.model.towers.means.get("text"), weight)

    def image(self, source: ImageSource, weight: float = 1.0) -> Prompt:
        """A picture."""
        (embedding,) = self.model.embed_image([source])
        return self._prompt(embedding, self.model.towers.means.get("image"), weight)

    def _prompt(
        self, embedding: NDArray[np.float32], mean: NDArray[np.float32] | None, weight: float
    ) -> Prompt:
        centre = self.model.towers.means.get("image")
        if not self._center or mean is None or centre is None:
            return Prompt(unit(embedding), None, weight)
        return Prompt(unit(unit(embedding) - mean), centre, weight)


def parse_weighted(text: str) -> tuple[str, float]:
    """``"a red sky:0.5"`` to ``("a red sky", 0.5)``; without a number at the end the weight is 1.

    Raises:
        InputError: nothing before the weight.
    """
    content, colon, number = text.rpartition(":")
    weight = _number(number) if colon else None
    found = text if weight is None else content
    if not found.strip():
        raise InputError(f"got the prompt {text!r}, expected words, and a weight after a colon")
    return found.strip(), 1.0 if weight is None else weight


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
