"""Training speed: this trainer against a straightforward loop of the published kind.

    python benchmarks/pretrain.py

The loop is written plainly: every step decodes and resamples its sounds, opens its pictures, runs
CLIP ViT-B/32's image encoder on them (one frame per clip, where the paper shows 30 a second; the
weights are random, which changes nothing about the time), and trains in channels-first float32 with
statistics over the batch. The trainer reads shards that were prepared once: no decoding of
compressed files, no teacher. Same sounds, same crops, same batch, same machine, one run, in turns.
"""

from __future__ import annotations

import argparse
import csv
import logging
import math
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from published import channels_first, features
from wav2clip.errors import TrainingError
from wav2clip.models.encoder import Projection
from wav2clip.models.frontend import Frontend
from wav2clip.models.network import AudioNetwork
from wav2clip.pretrain.config import check_config
from wav2clip.pretrain.fit import fit
from wav2clip.pretrain.shards import Sample, Teacher, write_shards

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data")) / "tuxpaint"
RATE, DIMENSION = 16_000, 512


def decode(path: Path, samples: int) -> np.ndarray:
    """Mono 16 kHz, cut or repeated to so many samples."""
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.resize(soxr.resample(audio.mean(axis=1), rate, RATE).astype(np.float32), samples)


class PlainLoop:
    """Decode, look, listen, compare: one step at a time, in one process."""

    def __init__(self, pairs: list[tuple[Path, Path]], batch: int, samples: int) -> None:
        self.pairs, self.batch, self.samples = pairs, batch, samples
        self.network = channels_first(AudioNetwork())
        self.transform = Projection(DIMENSION, DIMENSION, 0.1)
        self.scale = nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))
        self.teacher = CLIPVisionModelWithProjection(CLIPVisionConfig(projection_dim=512)).eval()
        self.frontend = Frontend()
        parameters = [*self.network.parameters(), *self.transform.parameters(), self.scale]
        self.optimiser = torch.optim.Adam(parameters, 1e-3)
        self.rng = np.random.default_rng(0)

    def look(self, paths: list[Path]) -> Tensor:
        pictures = [Image.open(p).convert("RGB").resize((224, 224)) for p in paths]
        pixels = torch.from_numpy(np.stack([np.asarray(p, np.float32) for p in pictures]))
        with torch.no_grad():
            return self.teacher(pixels.permute(0, 3, 1, 2) / 128 - 1).image_embeds

    def contrast(self, a: Tensor, b: Tensor) -> Tensor:
        logits = self.scale.exp() * F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T
        rows = torch.arange(len(a))
        return (F.cross_entropy(logits, rows) + F.cross_entropy(logits.T, rows)) / 2

    def step(self) -> None:
        chosen = [self.pairs[i] for i in self.rng.choice(len(self.pairs), self.batch)]
        wave = torch.from_numpy(np.stack([decode(a, self.samples) for a, _ in chosen]))
        images = self.look([image for _, image in chosen])
        spectrogram = self.frontend.standardize(self.frontend(wave), "batch")
        encoded = features(self.network.audio_encoder, spectrogram)
        projected = self.network.audio_transform(encoded)
        loss = (
            self.contrast(encoded, self.transform(images)) + self.contrast(projected, images)
        ) / 2
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


class Stopwatch(Callback):
    """Times the steps of a fit, without the first ones."""

    def __init__(self, skip: int) -> None:
        self.skip, self.times = skip, []

    def on_train_batch_end(self, *unused: Any) -> None:
        self.times.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """Mean of a step."""
        times = self.times[self.skip :]
        return (times[-1] - times[0]) / (len(times) - 1)


def write_data(folder: Path, pairs: list[tuple[Path, Path]]) -> float:
    """Shards of the same sounds, with targets of the right size; seconds that it took."""
    start, rng = time.perf_counter(), np.random.default_rng(0)
    samples = []
    for n, (audio, _) in enumerate(pairs):
        target = rng.normal(size=(1, DIMENSION)).astype(np.float32)
        wave = (decode(audio, 10 * RATE) * 32767).clip(-32768, 32767).astype(np.int16)
        samples.append(Sample(f"{n:05d}", wave, target / np.linalg.norm(target), kind="image"))
    write_shards(folder, {"train": samples}, Teacher("none", "none", "bench", DIMENSION))
    return time.perf_counter() - start


@dataclass(frozen=True)
class Sizes:
    """What is timed.

    Attributes:
        batch: clips of a step.
        seconds: length of a crop.
        steps: timed steps of a turn.
        turns: the best one counts.
        compile: whether a row with ``run.compile`` is measured, too.
    """

    batch: int = 16
    seconds: float = 5.0
    steps: int = 4
    turns: int = 2
    compile: bool = False


def trainer_seconds(data: Path, sizes: Sizes, **run: Any) -> float:
    """Seconds of a step of this trainer with the paper's losses."""
    settings = {
        "data": {
            "batch_size": sizes.batch,
            "stages": [{"epochs": 1, "seconds": sizes.seconds}],
            "epoch_clips": sizes.batch * (sizes.steps + 2),
            "validation_clips": 2,
            "validation_seconds": 1.0,
        },
        "run": {"epochs": 1, "ship": "last", **run},
    }
    watch = Stopwatch(skip=1)
    with tempfile.TemporaryDirectory() as out:
        fit(check_config(settings, "benchmark"), data, out, callbacks=[watch])
    return watch.seconds


def trusted(measure: Callable[[], float]) -> float:
    """What a measurement gives; infinity for a precision that the trainer refuses here."""
    try:
        return measure()
    except TrainingError as error:
        print(error, file=sys.stderr)
        return math.inf


def plain_seconds(loop: PlainLoop, steps: int) -> float:
    """Seconds of a step of the plain loop."""
    loop.step()
    start = time.perf_counter()
    for _ in range(steps):
        loop.step()
    return (time.perf_counter() - start) / steps


def compare(sizes: Sizes) -> tuple[float, dict[str, float]]:
    """Seconds to prepare a clip, once; clips per second of the plain loop and of the trainer.

    A precision that computes wrong on this processor, which the trainer refuses, gives 0.
    """
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with (DATA / "pairs.csv").open(newline="") as file:
        pairs = [(DATA / r["audio"], DATA / r["image"]) for r in csv.DictReader(file)]
    with tempfile.TemporaryDirectory() as name:
        prepared = write_data(Path(name), pairs)
        loop = PlainLoop(pairs, sizes.batch, int(sizes.seconds * RATE))
        trainer = partial(trainer_seconds, Path(name), sizes)
        rows: dict[str, Callable[[], float]] = {
            "plain loop, teacher inside": lambda: plain_seconds(loop, sizes.steps),
            "trainer, 32-true": trainer,
            "trainer, bf16-mixed": partial(trainer, precision="bf16-mixed"),
        }
        if sizes.compile:
            rows["trainer, bf16-mixed, compiled"] = partial(
                trainer, precision="bf16-mixed", compile=True
            )
        taken: dict[str, list[float]] = {row: [] for row in rows}
        for _ in range(sizes.turns):
            for row, measure in rows.items():
                taken[row].append(trusted(measure))
    rates = {row: sizes.batch / min(times) for row, times in taken.items()}
    return prepared / len(pairs), rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=Sizes.batch)
    parser.add_argument("--seconds", type=float, default=Sizes.seconds, help="length of a crop")
    parser.add_argument("--steps", type=int, default=Sizes.steps, help="timed steps per turn")
    parser.add_argument("--turns", type=int, default=Sizes.turns)
    parser.add_argument("--compile", action="store_true", help="a row with run.compile, too")
    sizes = Sizes(**vars(parser.parse_args()))
    prepared, rates = compare(sizes)
    slowest = rates["plain loop, teacher inside"]
    each = 1000 * prepared
    print(
        f"crops of {sizes.seconds:g} s, batch {sizes.batch}, best of {sizes.turns} turns; "
        f"preparing (without the teacher) took {each:.0f} ms per clip, once\n"
    )
    print("| | clips per second | ratio |\n|---|---|---|")
    for row, rate in rates.items():
        told = f"{rate:.1f} | {rate / slowest:.1f}" if rate else "refused on this processor |"
        print(f"| {row} | {told} |")


if __name__ == "__main__":
    main()
