"""Wav2CLIP once more, slow and plain: float64, loops over frames, no torch modules.

Written from the description of the model (docs and paper), not from the package's code, so that the
two can disagree.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch.nn import functional as F

State = Mapping[str, torch.Tensor]


def power_spectrogram(wave: np.ndarray) -> np.ndarray:
    """(257, 1 + n // 353): each column a windowed, discrete Fourier transform by definition."""
    padded = np.pad(wave.astype(np.float64), 256, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    columns = []
    for start in range(0, len(padded) - 511, 353):
        columns.append(np.abs(np.fft.rfft(padded[start : start + 512] * window)) ** 2)
    return np.stack(columns, axis=1)


def standardised(spectrograms: list[np.ndarray]) -> list[np.ndarray]:
    """Logarithm, then one mean and one unbiased deviation over all that is given."""
    logs = [np.log(s + 1e-7) for s in spectrograms]
    every = np.concatenate([log.ravel() for log in logs])
    return [(log - every.mean()) / (every.std(ddof=1) + 1e-9) for log in logs]


def encode(spectrogram: np.ndarray, state: State) -> torch.Tensor:
    """An 18-layer residual network with average pooling, in float64."""
    w = {name: value.double() for name, value in state.items()}

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        name = f"audio_encoder.{name}"
        shape = (1, -1, 1, 1)
        scaled = (x - w[f"{name}.running_mean"].view(shape)) / torch.sqrt(
            w[f"{name}.running_var"].view(shape) + 1e-5
        )
        return scaled * w[f"{name}.weight"].view(shape) + w[f"{name}.bias"].view(shape)

    def conv(x: torch.Tensor, name: str, stride: int, padding: int) -> torch.Tensor:
        return F.conv2d(x, w[f"audio_encoder.{name}.weight"], stride=stride, padding=padding)

    x = torch.from_numpy(spectrogram)[None, None]
    x = F.max_pool2d(F.relu(norm(conv(x, "conv1", 2, 3), "bn1")), 3, 2, 1)
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = F.relu(norm(conv(x, f"{name}.conv1", stride, 1), f"{name}.bn1"))
            y = norm(conv(y, f"{name}.conv2", 1, 1), f"{name}.bn2")
            if f"audio_encoder.{name}.downsample.0.weight" in w:
                x = norm(conv(x, f"{name}.downsample.0", stride, 0), f"{name}.downsample.1")
            x = F.relu(x + y)
    return x.mean(dim=(0, 2, 3))


def project(features: torch.Tensor, state: State) -> np.ndarray:
    """Two linear layers with a ReLU between them."""
    w = {k: v.double() for k, v in state.items() if k.startswith("audio_transform")}
    name = "audio_transform.sequential"
    hidden = F.relu(F.linear(features, w[f"{name}.0.weight"], w[f"{name}.0.bias"]))
    return F.linear(hidden, w[f"{name}.3.weight"], w[f"{name}.3.bias"]).numpy()


def embed(wave: np.ndarray, state: State) -> np.ndarray:
    """Clip level, one recording."""
    return embed_batch([wave], state)[0]


def embed_batch(waves: list[np.ndarray], state: State) -> np.ndarray:
    """Recordings (or frames of one) whose statistics are shared."""
    spectrograms = standardised([power_spectrogram(wave) for wave in waves])
    return np.stack([project(encode(s, state), state) for s in spectrograms])
