"""Shards of six kinds of synthetic sound, and runs small enough to repeat in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from wav2clip.pretrain.classes import write_classes
from wav2clip.pretrain.config import FitConfig
from wav2clip.pretrain.shards import Sample, TaggerRecord, Tags, Teacher, write_shards

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


TAGGED: dict[str, Any] = TINY | {
    "network": {
        "architecture": "mobilenet",
        "width": 0.1,
        "hidden": 16,
        "classes": len(KINDS),
        "projection": DIMENSION,
    },
    "augment": TINY["augment"]
    | {"short": 0.3, "band_limit": 0.3, "codec": 0.3, "level_db": [-40, 0], "mask_bins": 12},
    "loss": {
        "clip_loss_x": 0,
        "labels_loss": 0.3,
        "tagger_loss": 0.1,
        "tagger_text_loss": 1,
        "tagger_features_loss": 0.1,
        "centre": True,
    },
}
"""The same for a small MobileNet on shards that a tagger has heard."""

TAGGER = TaggerRecord("ear", "ear-1", "MIT", 5, KINDS)


def tagged(**sections: dict[str, Any]) -> FitConfig:
    """:data:`TAGGED` with some settings of some sections changed."""
    names = {*TAGGED, *sections}
    return FitConfig.model_validate({n: TAGGED.get(n, {}) | sections.get(n, {}) for n in names})


def tiny(**sections: dict[str, Any]) -> FitConfig:
    """:data:`TINY` with some settings of some sections changed."""
    names = {*TINY, *sections}
    return FitConfig.model_validate({n: TINY.get(n, {}) | sections.get(n, {}) for n in names})


def sound(kind: str, seconds: float, rng: np.random.Generator, rate: int = 16_000) -> np.ndarray:
    """int16 sound with a little noise. A network that averages over frequency can tell
    these apart at once; pure tones of different pitch it cannot."""
    time = np.arange(int(seconds * rate)) / rate + rng.random()
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


def class_embeddings() -> np.ndarray:
    """A text embedding (6, DIMENSION) for each kind, with much in common."""
    rows = np.random.default_rng(3).normal(size=(len(KINDS), DIMENSION)) + 2
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def heard_samples(count: int, seed: int, rate: int = 32_000) -> list[Sample]:
    """Sounds of 0.1 to 2.5 s that a tagger has heard.

    Every fifth was heard by no tagger, every third alone has a label and targets.
    """
    rng = np.random.default_rng(seed)
    found = []
    for n, known in enumerate(samples(count, seed)):
        kind = n % len(KINDS)
        seconds = rng.uniform(0.1, 2.5)
        rows = 1 + (int(np.ceil(seconds)) if seconds > 1 else 0)
        probabilities = rng.uniform(0, 0.1, (rows, len(KINDS)))
        probabilities[:, kind] = rng.uniform(0.7, 1, rows)
        features = rng.normal(kind, 0.1, (rows, TAGGER.features))
        tags = Tags(probabilities.astype(np.float16), features.astype(np.float16))
        found.append(
            Sample(
                key=known.key,
                audio=sound(KINDS[kind], seconds, rng, rate),
                targets=known.targets if n % 3 == 0 else known.targets[:0],
                label=known.label if n % 3 == 0 else None,
                tags=None if n % 5 == 4 else tags,
                sample_rate=rate,
            )
        )
    return found


def write_heard(folder: Path, train: int = 40, validation: int = 15, rate: int = 32_000) -> Path:
    """A folder of shards that a tagger has heard, eight clips each."""
    splits = {
        "train": heard_samples(train, 1, rate),
        "validation": heard_samples(validation, 2, rate),
    }
    teacher = Teacher("tones", "tones-1", "tones", DIMENSION)
    write_shards(folder, splits, teacher, None, 8, tagger=TAGGER)
    write_classes(folder, KINDS, class_embeddings())
    return folder


def write_tones(folder: Path, train: int = 32, validation: int = 12, labelled: bool = True) -> Path:
    """A folder of shards of eight clips each."""
    splits = {"train": samples(train, 1, labelled)}
    if validation:
        splits["validation"] = samples(validation, 2, labelled)
    write_shards(folder, splits, Teacher("tones", "tones-1", "tones", DIMENSION), None, 8)
    return folder
