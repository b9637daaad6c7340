"""Pictures as tensors, through which gradients flow."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from wav2clip.errors import InputError


def check_pixels(pixels: Tensor) -> None:
    """Nothing, if the pixels are (batch, 3, height, width).

    Raises:
        InputError: another shape.
    """
    if pixels.ndim != 4 or pixels.shape[1] != 3 or 0 in pixels.shape:
        raise InputError(
            f"got pixels of shape {tuple(pixels.shape)}, expected (batch, 3, height, width)"
        )


def crop_square(pixels: Tensor, side: int) -> Tensor:
    """The middle squares of pictures (batch, 3, height, width), scaled to ``side`` pixels."""
    height, width = pixels.shape[2:]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    middle = pixels[:, :, top : top + edge, left : left + edge]
    if edge == side:
        return middle
    return F.interpolate(
        middle, size=(side, side), mode="bicubic", align_corners=False, antialias=edge > side
    ).clamp(0, 1)
