"""A second image tower, for pictures that were optimised against the built-in one.

The recipe of ``tools/train_image_tower.py`` on EfficientNet-Lite1, whose weights the built-in tower
(Lite0 and Lite2) has never seen: a ridge regression from its features to the genuine CLIP
embeddings of 630 pictures, plus ImageNet's class names. Of the same family and trained on the same
pictures, so a mild test; but what fools the weights of one network alone does not pass it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import train_image_tower as recipe
from wav2clip.models.towers.image_network import (
    LITE0,
    LITE2,
    PIXEL_MEAN,
    PIXEL_STD,
    Stage,
    Trunk,
)
from wav2clip.models.towers.images import open_image, square

LITE1 = tuple(
    Stage(deep.blocks, wide.kernel, wide.stride, wide.expand, wide.channels)
    for wide, deep in zip(LITE0, LITE2, strict=True)
)
"""As wide as Lite0 and as deep as Lite2."""

SIDE = 240


class OtherTower:
    """Pictures to directions around the mean of CLIP's picture embeddings."""

    def __init__(self) -> None:
        self.trunk = Trunk(LITE1)
        recipe.load_trunk(1, self.trunk)
        self.trunk.eval().requires_grad_(False)
        cifar = np.load(recipe.DATA / "image_cifar10_500.npz")
        photos = np.load(recipe.DATA / "image_photos.npz")
        pictures = [Image.fromarray(image) for image in cifar["images"]]
        pictures += [open_image(recipe.DATA / str(name)) for name in photos["files"]]
        genuine = np.concatenate([cifar["embeddings"], photos["embeddings"]]).astype(np.float32)
        middle = recipe.middle_of(genuine, np.arange(500))
        weights = np.where(np.arange(len(genuine)) < 500, 1.0, recipe.PHOTO_WEIGHT)
        self.look = recipe.ridge(self._see(pictures)[0], genuine, weights, middle)

    def embed(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """(n, 512) unit directions."""
        return recipe.embed(self.look, *self._see(pictures))

    @torch.inference_mode()
    def _see(self, pictures: Sequence[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
        """Features (n, 1280) and class probabilities (n, 1000)."""
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (PIXEL_MEAN, PIXEL_STD))
        seen = []
        for start in range(0, len(pictures), 16):
            squares = [np.asarray(square(p, SIDE)) for p in pictures[start : start + 16]]
            pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2) / 255
            features, logits = self.trunk((pixels - mean) / std)
            seen.append((features.numpy(), F.softmax(logits, dim=-1).numpy()))
        features, shares = (np.concatenate(part) for part in zip(*seen, strict=True))
        return features, shares
