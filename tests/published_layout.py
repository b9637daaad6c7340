"""The published checkpoint's names and shapes, and known weights for them."""

from __future__ import annotations

import zlib

import numpy as np
import torch


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published checkpoint, worked out from its description."""
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, planes: int) -> None:
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{leaf}"] = (planes,)
        shapes[f"{name}.num_batches_tracked"] = ()

    encoder = "audio_encoder."
    shapes[f"{encoder}spectrogram.window"] = (512,)
    shapes[f"{encoder}conv1.weight"] = (64, 1, 7, 7)
    norm(f"{encoder}bn1", 64)
    width = 64
    for stage, planes in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            name = f"{encoder}layer{stage}.{block}."
            shapes[f"{name}conv1.weight"] = (planes, width, 3, 3)
            norm(f"{name}bn1", planes)
            shapes[f"{name}conv2.weight"] = (planes, planes, 3, 3)
            norm(f"{name}bn2", planes)
            if width != planes:
                shapes[f"{name}downsample.0.weight"] = (planes, width, 1, 1)
                norm(f"{name}downsample.1", planes)
            width = planes
    for layer in (0, 3):
        shapes[f"audio_transform.sequential.{layer}.weight"] = (512, 512)
        shapes[f"audio_transform.sequential.{layer}.bias"] = (512,)
    return shapes


def published_state(salt: str = "") -> dict[str, torch.Tensor]:
    """Weights that depend only on each tensor's name and the salt, at a trained network's scale."""

    def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name.endswith("num_batches_tracked"):
            return np.array(1)
        if name.endswith("window"):
            return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(shape[0]) / shape[0])
        noise = np.random.default_rng(zlib.crc32((salt + name).encode())).standard_normal(shape)
        leaf = name.rsplit(".", 1)[1]
        match leaf, len(shape):
            case "running_var", _:
                return 1 + 0.2 * np.abs(noise)
            case "running_mean", _:
                return 0.1 * noise
            case "bias", _:
                return 0.05 * noise
            case "weight", 1:
                return 1 + 0.1 * noise
            case "weight", 4:
                return noise * np.sqrt(2 / (shape[0] * shape[2] * shape[3]))
        return noise / np.sqrt(shape[1])

    return {
        name: torch.as_tensor(tensor(name, shape)).to(torch.float32 if shape else torch.int64)
        for name, shape in published_shapes().items()
    }
