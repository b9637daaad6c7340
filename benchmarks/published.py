"""The published way of working, written plainly: what the benchmarks compare with.

Each file by itself through librosa.load (mixed down, soxr HQ to 16 kHz), torch's spectrogram, the
network in contiguous float32 with its batch norms as layers of their own.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path

import librosa
import numpy as np
import torch
from torch import Tensor

from wav2clip.models.checkpoint import load_checkpoint
from wav2clip.models.encoder import ResNet
from wav2clip.models.frontend import Frontend
from wav2clip.models.network import AudioNetwork
from wav2clip.models.registry import locate

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


class Published:
    """One file at a time."""

    def __init__(self, network: AudioNetwork | None = None) -> None:
        self.network = channels_first(network or load_checkpoint(locate("builtin")).network)
        self.frontend = Frontend()

    def __call__(self, paths: Iterable[Path]) -> list[np.ndarray]:
        return [self.embed(path) for path in paths]

    @torch.no_grad()
    def embed(self, path: Path) -> np.ndarray:
        wave, _ = librosa.load(path, sr=RATE, mono=True)
        spectrogram = self.frontend(torch.from_numpy(wave)[None])
        x = self.frontend.standardize(spectrogram, "batch")
        return self.network.project(features(self.network.audio_encoder, x))[0].numpy()
