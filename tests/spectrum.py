"""Encoders for tests: known vectors, no network."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np


class Spectrum:
    """Mean power of 32 bands: enough to tell tones apart. Counts the recordings it was given."""

    name = "spectrum"
    fingerprint = "spectrum-1"
    dimension = 32
    sample_rate = 16_000

    def __init__(self) -> None:
        self.embedded = 0

    def embed(self, waves: Sequence[np.ndarray]) -> np.ndarray:
        self.embedded += len(waves)
        power = [np.abs(np.fft.rfft(wave, 4_800)[:2_400]) ** 2 for wave in waves]
        return np.log(np.reshape(power, (len(waves), 32, -1)).mean(axis=2) + 1e-6).astype(
            np.float32
        )

    def embed_frames(
        self, wave: np.ndarray, frame_seconds: float, hop_seconds: float
    ) -> tuple[np.ndarray, np.ndarray]:
        length, hop = round(frame_seconds * 16_000), round(hop_seconds * 16_000)
        starts = np.arange(0, len(wave) - length + 1, hop)
        frames = self.embed([wave[start : start + length] for start in starts])
        return frames, starts / 16_000


class Words(Spectrum):
    """The same with a text side: a phrase gets a direction of its own."""

    name = "words"

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        seeds = [zlib.crc32(text.encode()) for text in texts]
        rows = [np.random.default_rng(seed).normal(size=self.dimension) for seed in seeds]
        return (np.array(rows) / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
