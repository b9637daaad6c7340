"""Random cut-outs of a picture, augmented: what the image tower is shown instead of the picture.

A picture that is optimised as a whole learns the weaknesses of the tower; one that must answer in
every crop, tilt, tint and with parts missing has to show something. Crowson et al. 2022,
"VQGAN-CLIP" (arXiv 2204.08583), section 3.2.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from wav2clip.errors import InputError, MissingExtraError

SIDE = 224
"""Pixels along a cut-out: what CLIP ViT-B/32 reads. Towers scale it to what they read."""

SMALLEST_SHARE = 0.4
"""Edge of the smallest cut-out, in parts of the picture's shorter side."""

NOISE = 0.1
"""Largest deviation of the noise on a cut-out; each draws its own up to it, as VQGAN-CLIP does."""

COUNT = 4
"""Cut-outs per step, by default: each step draws others, and more steps of few get further in the
same time than fewer steps of many."""


class Cutouts:
    """Makes cut-outs. Draws from torch's global generator.

    Args:
        count: cut-outs per picture.
        device: where the pictures are.

    Raises:
        InputError: fewer than one.
        MissingExtraError: kornia is not installed.
    """

    def __init__(self, count: int = COUNT, device: torch.device | str = "cpu") -> None:
        if count < 1:
            raise InputError(f"got {count} cut-outs, expected at least 1")
        self.count = count
        self._augment = _augmentations().to(device)

    def __call__(self, picture: Tensor) -> Tensor:
        """Cut-outs (count, 3, SIDE, SIDE) in [0, 1] of a picture (1, 3, height, width)."""
        height, width = picture.shape[2:]
        short = min(height, width)
        share = SMALLEST_SHARE + (1 - SMALLEST_SHARE) * torch.rand(self.count)
        edges = (share * short).round().int()
        places = torch.rand(self.count, 2)
        cut = []
        for edge, (down, right) in zip(edges.tolist(), places.tolist(), strict=True):
            top, left = round(down * (height - edge)), round(right * (width - edge))
            cut.append(pool(picture[:, :, top : top + edge, left : left + edge], SIDE))
        augmented: Tensor = self._augment(torch.cat(cut))
        deviation = NOISE * torch.rand(self.count, 1, 1, 1)
        noise = deviation * torch.randn(augmented.shape)
        return (augmented + noise.to(augmented)).clamp(0, 1)


def pool(squares: Tensor, side: int) -> Tensor:
    """Squares (batch, 3, edge, edge) at ``side`` pixels.

    Larger ones are pooled, half average and half maximum as VQGAN-CLIP's later versions do, so that
    fine bright detail survives; smaller ones are interpolated.
    """
    if squares.shape[-1] > side:
        return (F.adaptive_avg_pool2d(squares, side) + F.adaptive_max_pool2d(squares, side)) / 2
    return F.interpolate(squares, (side, side), mode="bilinear", align_corners=False)


def _augmentations() -> Any:
    """Tilt, perspective, tint and missing parts, each on most cut-outs."""
    try:
        import kornia.augmentation as augment
    except ImportError as error:
        raise MissingExtraError(
            "making pictures needs kornia: pip install 'wav2clip[generation]'"
        ) from error
    return torch.nn.Sequential(
        augment.RandomAffine(
            degrees=15.0, translate=(0.1, 0.1), shear=5.0, p=0.8, padding_mode="reflection"
        ),
        augment.RandomPerspective(0.3, p=0.7),
        augment.ColorJitter(brightness=0.1, contrast=0.1, saturation=0.1, hue=0.05, p=0.7),
        augment.RandomErasing(scale=(0.02, 0.2), ratio=(0.3, 3.3), p=0.5),
    )
