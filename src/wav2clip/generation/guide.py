"""The optimisation: a canvas is moved until its cut-outs look like what the prompts mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from wav2clip.errors import InputError
from wav2clip.generation.canvas import Canvas, read_picture
from wav2clip.generation.canvases import Maker
from wav2clip.generation.cutouts import COUNT, Cutouts
from wav2clip.generation.memory import PEAK, Footprint, explained, kept_bytes, measure_footprint
from wav2clip.generation.prompts import Prompt, check_prompts, loss
from wav2clip.models.towers.base import Towers
from wav2clip.models.towers.images import ImageSource


@dataclass(frozen=True)
class Settings:
    """How a canvas is optimised.

    Attributes:
        seed: equal seeds give equal pictures on one machine.
        cutouts: cut-outs that the image tower sees per step.
        learning_rate: of Adam; None: the canvas's own.
    """

    seed: int = 0
    cutouts: int = COUNT
    learning_rate: float | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"the seed is {self.seed}, expected 0 or more")
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            raise InputError(f"the learning rate is {self.learning_rate}, expected more than 0")


class Guide:
    """Optimises one canvas against an image tower with Adam.

    Every step draws its chance from the seed and its number alone, whatever else used torch's
    generators in between.

    Attributes:
        canvas: it holds the picture, at any time.
        steps: how many were taken.

    Raises:
        InputError: the towers give no gradients.
    """

    def __init__(
        self,
        canvas: Canvas,
        towers: Towers,
        settings: Settings,
        footprint: Footprint | None = None,
    ) -> None:
        if not towers.differentiable:
            raise InputError(
                f"the towers {towers.name!r} give no gradients for pictures; use 'builtin' or a "
                "CLIP, for example 'openai/clip-vit-base-patch32'"
            )
        self.canvas = canvas
        self.steps = 0
        self._towers = towers
        self._seed = settings.seed
        self._footprint = footprint
        self._device = next(canvas.parameters()).device
        self._cutouts = Cutouts(settings.cutouts, self._device)
        trained = [parameter for parameter in canvas.parameters() if parameter.requires_grad]
        rate = settings.learning_rate or canvas.learning_rate
        self._optimizer = torch.optim.Adam(trained, lr=rate)

    def run(self, prompts: list[Prompt], steps: int) -> Iterator[float]:
        """Take steps; gives the loss of the picture before each, in 0 to pi ** 2 / 2 for prompts
        that draw.

        Raises:
            InputError: fewer than one step, or nothing to be drawn to.
        """
        if steps < 1:
            raise InputError(f"got {steps} steps, expected at least 1")
        check_prompts(prompts)
        size = self.canvas.height, self.canvas.width
        for _ in range(steps):
            with explained(self._footprint, *size, self._device):
                value = self._step(prompts)
            yield value

    def evaluate(self, prompts: list[Prompt]) -> Tensor:
        """The loss of the picture as it is, seen through the next step's cut-outs."""
        with chance(self._seed, self.steps):
            cutouts = self._cutouts(self.canvas.draw())
        embeddings = self._towers.encode_pixels(cutouts)
        return loss(prompts, F.normalize(embeddings.mean(dim=0), dim=-1))

    def step_bytes(self, prompts: list[Prompt]) -> float:
        """Memory that a step needs at its peak, in bytes, from what its forward pass keeps."""
        kept = kept_bytes(lambda: self.evaluate(prompts))
        # Each parameter has a gradient, two moments in Adam, and a temporary in its step.
        state = 5 * sum(p.numel() * p.element_size() for p in self.canvas.parameters())
        return PEAK * kept + state

    def _step(self, prompts: list[Prompt]) -> float:
        value = self.evaluate(prompts)
        self._optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self.canvas.confine()
        self.steps += 1
        return float(value.detach())


def begin(
    make: Maker,
    size: tuple[int, int],
    towers: Towers,
    prompts: list[Prompt],
    settings: Settings,
    initial: ImageSource | None = None,
) -> Guide:
    """A guide with a canvas that is ready for its first step.

    Args:
        make: from :func:`~wav2clip.generation.canvases.canvas_maker`.
        size: height and width in pixels.
        towers: differentiable ones.
        prompts: what the first steps will be taken towards.
        settings: see :class:`Settings`.
        initial: a picture to start from; chance where there is none.

    Raises:
        InputError: a size that the canvas cannot have, or towers without gradients.
        GenerationError: not enough memory; the message says which size would fit.
        ImageError: the initial picture cannot be read.
    """
    canvas = make(*size)
    check_prompts(prompts)

    def step_bytes(side: int) -> float:
        probe = Guide(_cleared(make(side, side), settings.seed), towers, settings)
        return probe.step_bytes(prompts)

    footprint = measure_footprint(step_bytes)
    footprint.check(*size, next(canvas.parameters()).device)
    _cleared(canvas, settings.seed)
    if initial is not None:
        canvas.paint(read_picture(initial, *size))
    return Guide(canvas, towers, settings, footprint)


def _cleared(canvas: Canvas, seed: int) -> Canvas:
    canvas.clear(torch.Generator().manual_seed(seed_of(seed)))
    return canvas


@contextmanager
def chance(*numbers: int) -> Iterator[None]:
    """Torch's generators seeded with numbers, and left as they were."""
    with torch.random.fork_rng():
        torch.manual_seed(seed_of(*numbers))
        yield


def seed_of(*numbers: int) -> int:
    """One seed out of several numbers, unlike that of any other numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
