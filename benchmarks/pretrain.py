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
import os
import tempfile
import time
import warnings
from collections.abc import Callable
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

from wav2clip.models.encoder import AudioNetwork, Projection
from wav2clip.models.frontend import Frontend
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
        self.network = AudioNetwork().to(memory_format=torch.contiguous_format)
        self.transform = Projection(DIMENSION, DIMENSION, 0.1)
        self.scale = nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))
        self.teacher = CLIPVisionModelWithProjection(CLIPVisionConfig(projection_dim=512)).eval()
        self.frontend = Frontend()
        parameters = [*self.network.parameters(), *self.transform.parameters(), self.scale]
        self.optimiser = torch.optim.Adam(parameters, 1e-3)
        self.rng = np.random.default_rng(0)

    def features(self, spectrogram: Tensor) -> Tensor:
        """The residual network with its tensors in channels-first order."""
        encoder, x = self.network.audio_encoder, spectrogram.unsqueeze(1)
        x = encoder.maxpool(torch.relu(encoder.bn1(encoder.conv1(x))))
        for stage in (encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4):
            x = stage(x)
        return x.mean(dim=(2, 3))

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
        features = self.features(self.frontend.standardize(self.frontend(wave), "batch"))
        projected = self.network.audio_transform(features)
        loss = (
            self.contrast(features, self.transform(images)) + self.contrast(projected, images)
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


def trainer_seconds(data: Path, args: argparse.Namespace, **run: Any) -> float:
    """Seconds of a step of this trainer with the paper's losses."""
    settings = {
        "data": {
            "batch_size": args.batch,
            "stages": [{"epochs": 1, "seconds": args.seconds}],
            "epoch_clips": args.batch * (args.steps + 2),
            "validation_clips": 2,
            "validation_seconds": 1.0,
        },
        "run": {"epochs": 1, "ship": "last", **run},
    }
    watch = Stopwatch(skip=1)
    with tempfile.TemporaryDirectory() as out:
        fit(check_config(settings, "benchmark"), data, out, callbacks=[watch])
    return watch.seconds


def plain_seconds(loop: PlainLoop, steps: int) -> float:
    """Seconds of a step of the plain loop."""
    loop.step()
    start = time.perf_counter()
    for _ in range(steps):
        loop.step()
    return (time.perf_counter() - start) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a crop")
    parser.add_argument("--steps", type=int, default=4, help="timed steps per turn")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="a row with run.compile, too")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with (DATA / "pairs.csv").open(newline="") as file:
        pairs = [(DATA / r["audio"], DATA / r["image"]) for r in csv.DictReader(file)]
    with tempfile.TemporaryDirectory() as name:
        prepared = write_data(Path(name), pairs)
        loop = PlainLoop(pairs, args.batch, int(args.seconds * RATE))
        rows: dict[str, Callable[[], float]] = {
            "plain loop, teacher inside": lambda: plain_seconds(loop, args.steps),
            "trainer, 32-true": lambda: trainer_seconds(Path(name), args),
            "trainer, bf16-mixed": lambda: trainer_seconds(
                Path(name), args, precision="bf16-mixed"
            ),
        }
        if args.compile:
            rows["trainer, bf16-mixed, compiled"] = lambda: trainer_seconds(
                Path(name), args, precision="bf16-mixed", compile=True
            )
        taken: dict[str, list[float]] = {row: [] for row in rows}
        for _ in range(args.turns):
            for row, measure in rows.items():
                taken[row].append(measure())
    best = {row: min(times) for row, times in taken.items()}
    slowest = best["plain loop, teacher inside"]
    print(
        f"crops of {args.seconds:g} s, batch {args.batch}, best of {args.turns} turns; preparing "
        f"(without the teacher) took {1000 * prepared / len(pairs):.0f} ms per clip, once\n"
    )
    print("| | clips per second | ratio |\n|---|---|---|")
    for row, seconds in best.items():
        print(f"| {row} | {args.batch / seconds:.1f} | {slowest / seconds:.1f} |")


if __name__ == "__main__":
    main()
