"""What every pair of text and image towers offers, and the checks they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor
from wav2clip.errors import InputError
from wav2clip.models.space import Space
from wav2clip.models.towers.images import ImageSource, open_image

Embeddings = npt.NDArray[np.float32]

TEXT_BATCH = 128
IMAGE_BATCH = 32


class Towers(ABC):
    """A text and an image tower of one space.

    Attributes:
        name: what :func:`~wav2clip.models.towers.load_towers` was asked for.
        space: the embedding space of both towers.
        differentiable: whether gradients flow through :meth:`encode_pixels`.
        logit_scale: factor on cosines before the softmax over labels (CLIP ViT-B/32: 100).
        means: unit-vector means per modality, keys ``"text"`` and ``"image"``, each (dimension,);
            a key is absent where the mean is not known. They centre scores across modalities, see
            :func:`wav2clip.zeroshot.similarity`.
    """

    name: str
    space: Space
    differentiable: bool
    logit_scale: float
    means: dict[str, Embeddings]

    @property
    def dimension(self) -> int:
        """Numbers per embedding."""
        return self.space.dimension

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Digest of the weights: equal for equal towers."""

    def embed_text(self, texts: Sequence[str]) -> Embeddings:
        """Embeddings (n, dimension), float32, unit length, of n phrases in their order.

        A phrase longer than the tower reads (77 tokens, CLIP's own limit) is cut off there. The
        first phrase of a process with words that the tower knows it cannot read
        (:meth:`unreadable`) gives a :class:`~wav2clip.errors.LanguageWarning`.

        Raises:
            InputError: not a list of strings, or a phrase without a visible character.
        """
        phrases = check_texts(texts)
        if not phrases:
            return np.zeros((0, self.dimension), np.float32)
        return _unit(self._texts(phrases), "text")

    def unreadable(self, texts: Sequence[str]) -> list[str]:
        """What to tell the one who gave phrases with words that the text tower cannot read.

        One line for each such phrase.

        Towers that do not know what they cannot read say nothing.

        Raises:
            InputError: as for :meth:`embed_text`.
        """
        check_texts(texts)
        return []

    def embed_image(self, images: Sequence[ImageSource]) -> Embeddings:
        """Embeddings (n, dimension), float32, unit length, of n pictures in their order.

        Args:
            images: paths or PIL images; see :func:`~wav2clip.models.towers.images.open_image`
                for how transparency, animation and orientation are read, and for the size limit.

        Raises:
            InputError: not a list.
            ImageError: a picture cannot be read, or is too large; the message names it.
        """
        sources = check_images(images)
        if not sources:
            return np.zeros((0, self.dimension), np.float32)
        batches = [
            self._images([open_image(source) for source in sources[start : start + IMAGE_BATCH]])
            for start in range(0, len(sources), IMAGE_BATCH)
        ]
        return _unit(np.concatenate(batches), "image")

    @abstractmethod
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Embeddings (batch, dimension), unit length, of pictures (batch, 3, height, width).

        Args:
            pixels: RGB in [0, 1], on any device; the result is on the towers' device. Where the
                towers are ``differentiable``, gradients flow back to them.
        """

    @abstractmethod
    def _texts(self, phrases: list[str]) -> Embeddings:
        """Embeddings of checked phrases, of any length but zero."""

    @abstractmethod
    def _images(self, pictures: list) -> Embeddings:  # type: ignore[type-arg]
        """Embeddings of one batch of RGB pictures, of any length but zero."""


def check_texts(texts: Sequence[str]) -> list[str]:
    """The phrases as a list.

    Raises:
        InputError: one string instead of a list, something that is no string, an empty phrase.
    """
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Sequence):
        raise InputError(f"got {_shown(texts)}, expected a list of phrases such as ['a dog']")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"phrase {place} is {_shown(text)}, expected a string")
        if not text.strip():
            raise InputError(f"phrase {place} is empty: expected at least one visible character")
    return list(texts)


def check_images(images: Sequence[ImageSource]) -> list[ImageSource]:
    """The pictures as a list.

    Raises:
        InputError: a single path or picture instead of a list.
    """
    if isinstance(images, (str, bytes)) or not isinstance(images, Sequence):
        raise InputError(f"got {_shown(images)}, expected a list of paths or PIL images")
    return list(images)


def _shown(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def _unit(vectors: Embeddings, what: str) -> Embeddings:
    """Rows scaled to length one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or (lengths == 0).any():
        raise InputError(f"the {what} tower gave a vector that has no direction")
    return np.asarray(vectors / lengths, np.float32)
