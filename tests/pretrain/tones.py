"""Shards of six kinds of synthetic sound, and a run small enough to repeat in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from wav2clip.pretrain.config import FitConfig
from wav2clip.pretrain.shards import Sample, Teacher, write_shards

DIMENSION = 8
KINDS = ("noise", "tone", "clicks", "rising", "falling", "buzz")

TINY: dict[str, Any] = {
    "network": {"planes": [4, 4, 8, 8], "blocks": [1, 1, 1, 1], "projection": DIMENSION},
    "data": {
        "batch_size": 8,
        "stages": [{"epochs": 9, "seconds": 0.2}],
        "pad": "either",
        "validation_seconds": 0.3,
    },
    "augment": {
        "speed": 0.1,
        "mix": 0.5,
        "reverb": 0.3,
        "noise_db": [-40, -10],
        "equalise_db": 3,
        "mask_bands": 1,
        "mask_spans": 1,
    },
    "loss": {"clip_loss_x": 1, "labels_loss": 1, "centre": True},
    "run": {"epochs": 3, "average": 0.9},
}


def tiny(**sections: dict[str, Any]) -> FitConfig:
    """:data:`TINY` with some settings of some sections changed."""
    names = {*TINY, *sections}
    return FitConfig.model_validate({n: TINY.get(n, {}) | sections.get(n, {}) for n in names})


def sound(kind: str, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """int16 sound at 16 kHz, with a little noise. A network that averages over frequency can tell
    these apart at once; pure tones of different pitch it cannot."""
    time = np.arange(int(seconds * 16_000)) / 16_000 + rng.random()
    sweep = time * 20 % 1
    wave = {
        "noise": rng.normal(size=len(time)) / 3,
        "tone": np.sin(2 * np.pi * 1000 * time),
        "clicks": (sweep < 0.02).astype(float),
        "rising": np.sin(2 * np.pi * 0.05 * (500 * sweep + 3000 * sweep**2)),
        "falling": np.sin(2 * np.pi * 0.05 * (6500 * sweep - 3000 * sweep**2)),
        "buzz": np.sign(np.sin(2 * np.pi * 400 * time)),
    }[kind]
    return ((0.3 * wave + 0.003 * rng.normal(size=len(time))) * 20000).astype(np.int16)


def samples(count: int, seed: int, labelled: bool = True) -> list[Sample]:
    """Sounds of 0.1 to 0.5 s; clips of one label have the same two targets."""
    rng = np.random.default_rng(seed)
    targets = np.random.default_rng(0).normal(size=(len(KINDS), 2, DIMENSION))
    targets = (targets / np.linalg.norm(targets, axis=2, keepdims=True)).astype(np.float32)
    return [
        Sample(
            key=f"{n:04d}",
            audio=sound(KINDS[n % len(KINDS)], rng.uniform(0.1, 0.5), rng),
            targets=targets[n % len(KINDS)],
            label=KINDS[n % len(KINDS)] if labelled else None,
        )
        for n in range(count)
    ]


def write_tones(folder: Path, train: int = 32, validation: int = 12, labelled: bool = True) -> Path:
    """A folder of shards of eight clips each."""
    splits = {"train": samples(train, 1, labelled)}
    if validation:
        splits["validation"] = samples(validation, 2, labelled)
    write_shards(folder, splits, Teacher("tones", "tones-1", "tones", DIMENSION), None, 8)
    return folder
