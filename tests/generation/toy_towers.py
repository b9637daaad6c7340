"""Differentiable towers that cost nothing: a fixed random projection of coarse pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from wav2clip.models.space import CLIP_VIT_B32
from wav2clip.models.towers.base import Embeddings, Towers


class ToyTowers(Towers):
    """Pictures are seen as 8 x 8 pixels around grey."""

    name = "toy"
    space = CLIP_VIT_B32
    logit_scale = 100.0

    def __init__(self, *, differentiable: bool = True) -> None:
        self.differentiable = differentiable
        self.means = {}
        generator = torch.Generator().manual_seed(0)
        self.matrix = torch.randn(3 * 64, self.dimension, generator=generator)
        self.fail_at: int | None = None
        self.calls = 0

    @property
    def fingerprint(self) -> str:
        return "0" * 16

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        self.calls += 1
        if self.fail_at is not None and self.calls > self.fail_at:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        coarse = F.adaptive_avg_pool2d(pixels, 8).flatten(1) - 0.5
        return F.normalize(coarse @ self.matrix, dim=-1)

    def _texts(self, phrases: list[str]) -> Embeddings:
        rng = [np.random.default_rng(len(phrase)) for phrase in phrases]
        return np.stack([r.normal(size=self.dimension) for r in rng]).astype(np.float32)

    def _images(self, pictures: list[Any]) -> Embeddings:
        pixels = [torch.from_numpy(np.array(p.resize((64, 64)))) for p in pictures]
        batch = torch.stack(pixels).permute(0, 3, 1, 2) / 255
        return self.encode_pixels(batch).numpy()
