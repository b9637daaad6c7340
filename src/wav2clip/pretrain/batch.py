"""Clips of one length, with what the teachers say about each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Clips and what belongs to them. Rows of NaN stand for what is not known of a clip.

    Attributes:
        audio: (n, samples) int16 or float32 in [-1, 1].
        targets: (n, d) float32, CLIP's embeddings.
        labels: (n, m) int64, -1 where there is none; m is 1, or 2 after mixing.
        shares: (n, m) float32, how much of each label is in the clip; rows sum to 1.
        probabilities: (n, k) float32, the tagger's, 0 to 1; k is 0 without a tagger.
        heard: (n, f) float32, the tagger's features.
    """

    audio: Tensor
    targets: Tensor
    labels: Tensor
    shares: Tensor
    probabilities: Tensor
    heard: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(*(t.to(device, non_blocking=True) for t in vars(self).values()))

    def __len__(self) -> int:
        return len(self.audio)


def known(rows: Tensor) -> Tensor:
    """(n,) bool: which rows of (n, k) hold numbers, not NaN; none where k is 0."""
    if rows.shape[1] == 0:
        return torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    return rows.isfinite().all(dim=1)


def waveform(audio: Tensor) -> Tensor:
    """int16 sound as float32 in [-1, 1]; float32 is left alone."""
    return audio.float() / 32768 if audio.dtype == torch.int16 else audio
