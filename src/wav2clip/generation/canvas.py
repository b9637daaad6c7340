"""What can be optimised into a picture: the interface of canvases, and pictures as tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from wav2clip.generation.pictures import Pixels, check_size
from wav2clip.models.towers.images import ImageSource, open_image


class Canvas(nn.Module, ABC):
    """Parameters that a differentiable function turns into a picture.

    Attributes:
        height: pixels.
        width: pixels.
        learning_rate: of Adam, where the user gives none.
    """

    learning_rate: float

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        check_size(height, width)
        self.height, self.width = height, width

    @abstractmethod
    def clear(self, generator: torch.Generator) -> None:
        """Start from chance."""

    @abstractmethod
    def paint(self, picture: Tensor) -> None:
        """Start from a picture (1, 3, height, width) in [0, 1], as closely as the canvas can."""

    @abstractmethod
    def draw(self) -> Tensor:
        """The picture (1, 3, height, width) in [0, 1]; gradients flow to the parameters."""

    def confine(self) -> None:
        """Bring parameters that a step took too far back into their range."""

    def pixels(self) -> Pixels:
        """The picture as it is saved."""
        with torch.no_grad():
            picture = self.draw()[0].permute(1, 2, 0)
        array: Pixels = (picture * 255).round().clamp(0, 255).byte().cpu().numpy()
        return array


def read_picture(source: ImageSource, height: int, width: int) -> Tensor:
    """The middle of a picture as (1, 3, height, width) in [0, 1].

    Raises:
        ImageError: it cannot be read or is too large.
    """
    picture = open_image(source)
    scale = max(height / picture.height, width / picture.width)
    box_height, box_width = height / scale, width / scale
    left, top = (picture.width - box_width) / 2, (picture.height - box_height) / 2
    fitted = picture.resize(
        (width, height),
        Image.Resampling.BICUBIC,
        box=(left, top, left + box_width, top + box_height),
    )
    return torch.from_numpy(np.array(fitted)).permute(2, 0, 1)[None] / 255


class _ClampWithGradient(torch.autograd.Function):
    """Clamp to [0, 1] that lets gradients through where they lead back inside."""

    @staticmethod
    def forward(ctx, values: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(values)
        return values.clamp(0, 1)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        (values,) = ctx.saved_tensors
        outwards = gradient * (values - values.clamp(0, 1)) < 0
        return gradient.masked_fill(outwards, 0)


def clamp_with_gradient(values: Tensor) -> Tensor:
    """Values in [0, 1]; one outside still moves when descending its gradient leads it back.

    As in VQGAN-CLIP (Crowson et al. 2022, arXiv 2204.08583). A plain clamp would leave it where it
    is for good.
    """
    clamped: Tensor = _ClampWithGradient.apply(values)  # type: ignore[no-untyped-call]
    return clamped
