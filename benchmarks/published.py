"""The published way of working, written plainly: what the benchmarks compare with.

Each file by itself through librosa.load (mixed down, soxr HQ to 16 kHz), torch's spectrogram, the
published ResNet-18 in contiguous float32 with its batch norms as layers of their own. Whatever
model is compared with it, the published one stays the same; its weights do not change the time, so
random ones stand in.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path

import librosa
import numpy as np
import torch
from torch import Tensor

from wav2clip.models.encoder import ResNet
from wav2clip.models.frontend import Frontend
from wav2clip.models.network import AudioNetwork

RATE = 16_000


def features(encoder: ResNet, spectrogram: Tensor) -> Tensor:
    """(batch, bins, columns) to (batch, features) with all tensors in channels-first order."""
    x = spectrogram.unsqueeze(1).contiguous()
    x = encoder.maxpool(torch.relu(encoder.bn1(encoder.conv1(x))))
    for stage in range(1, 5):
        x = encoder.get_submodule(f"layer{stage}")(x)
    return x.mean(dim=(2, 3))


def channels_first(network: AudioNetwork) -> AudioNetwork:
    """A copy with its weights in that order."""
    return copy.deepcopy(network).to(memory_format=torch.contiguous_format)


def published_network() -> AudioNetwork:
    """A seeded random network of the published size, in evaluation mode."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return AudioNetwork().eval().requires_grad_(False)


class Published:
    """One file at a time."""

    def __init__(self) -> None:
        self.network = channels_first(published_network())
        self.frontend = Frontend()

    def __call__(self, paths: Iterable[Path]) -> list[np.ndarray]:
        return [self.embed(path) for path in paths]

    @torch.no_grad()
    def embed(self, path: Path) -> np.ndarray:
        wave, _ = librosa.load(path, sr=RATE, mono=True)
        spectrogram = self.frontend(torch.from_numpy(wave)[None])
        x = self.frontend.standardize(spectrogram, "batch")
        return self.network.project(features(self.network.audio_encoder, x))[0].numpy()
