"""Engines against each other and against the published way of working: speed, and what it costs.

    python benchmarks/engines.py speed       # files per second, whole path, two kinds of files
    python benchmarks/engines.py accuracy    # ESC-50: zero-shot and linear probe with each engine
    python benchmarks/engines.py limit       # multiply-adds per second: this processor, each engine

`limit` compares whole calls, spectrogram included, with what the processor convolves at most.
The published way is written plainly in published.py. Ours is `embed_files`, as `wav2clip embed` and
`wav2clip index` call it, with any model (`--model`), of whatever architecture and sample rate.
Ratios of one run are the measure. Decoding alone, resampling to the model's rate included, takes
part on the same cores: no engine can be faster, and its share says what is left to gain.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.flop_counter import FlopCounterMode

from machine import has_bfloat16
from published import Published
from wav2clip.audio.io import load_audio
from wav2clip.embedding.bulk import ahead, embed_files, start_readers
from wav2clip.embedding.embedder import Wav2CLIP, load
from wav2clip.errors import Wav2ClipError
from wav2clip.models.checkpoint import Checkpoint, load_checkpoint
from wav2clip.models.registry import locate
from wav2clip.reading.readers import Readers
from wav2clip.zeroshot import class_weights

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data"))
KINDS = {
    "torch, float32": {"engine": "torch"},
    "onnx, float32": {"engine": "onnx"},
    **({"torch, bfloat16": {"precision": "bfloat16"}} if has_bfloat16() else {}),
    "onnx-int8": {"engine": "onnx-int8"},
}
PUBLISHED = "published way"
DECODING = "decoding alone"
AHEAD = 32
"""As in wav2clip.embedding.bulk."""
SETS = {
    "ESC-10 as published: 44.1 kHz Vorbis": 7 * sorted((DATA / "esc10_original").glob("*.ogg")),
    "ESC-50 at 16 kHz, Opus": sorted((DATA / "esc50" / "audio").glob("*.ogg"))[:280],
}
"""Enough files for what is prepared when there are many; the 40 of ESC-10 come seven times."""


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


Way = Callable[[Sequence[Path]], object]


def models(name: str) -> dict[str, Wav2CLIP]:
    """A model with each engine that can run it."""
    found = {}
    for title, options in KINDS.items():
        try:
            found[title] = load(name, **options)
        except Wav2ClipError as error:
            print(f"{title} is left out: {error}", file=sys.stderr)
    return found


def ways(name: str = "builtin") -> dict[str, Way]:
    """The published way, decoding alone, and each engine, loaded: functions that take files."""
    loaded = models(name)
    (rate, *_) = [model.sample_rate for model in loaded.values()]
    readers = start_readers()  # they are there, as the models are
    ours = {title: partial(embed_all, model, readers=readers) for title, model in loaded.items()}
    return {PUBLISHED: Published(), DECODING: partial(decode_all, rate=rate), **ours}


def embed_all(
    model: Wav2CLIP,
    paths: Sequence[Path],
    workers: int | None = None,
    readers: Readers | None = None,
) -> None:
    for result in embed_files(model, paths, workers=workers, readers=readers):
        assert result.error is None, result


def decode_all(paths: Sequence[Path], rate: int, workers: int | None = None) -> list[np.ndarray]:
    """Samples of the files at ``rate``, in their order; by default a thread for each core."""
    calls = (partial(load_audio, path, rate) for path in paths)
    return [audio.samples for audio in ahead(calls, workers or torch.get_num_threads(), AHEAD)]


def file_seconds(ways: dict[str, Way], paths: Sequence[Path], turns: int) -> dict[str, float]:
    """Whole path per file: best of some turns, in which all take part one after the other."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            taken[name].append(seconds(partial(way, paths)) / len(paths))
    return {name: min(times) for name, times in taken.items()}


def speed(model: str, turns: int) -> None:
    """Print a table for each kind of files."""
    every = ways(model)
    print(f"{os.cpu_count()} cores, torch {torch.__version__}, {torch.get_num_threads()} threads")
    for title, paths in SETS.items():
        times = file_seconds(every, paths, turns)
        print(f"\n| {title}, {len(paths)} files | ms | files/s | ratio | share of decoding |")
        print("|---|---|---|---|---|")
        for name, each in times.items():
            ratio, share = times[PUBLISHED] / each, times[DECODING] / each
            shown = "" if name == PUBLISHED else f"{share:.0%}"
            print(f"| {name} | {each * 1e3:.1f} | {1 / each:.0f} | {ratio:.2f} | {shown} |")


def limit(name: str) -> None:
    """What the processor can do (one large convolution; in int8 a matrix product), and does."""
    loaded = models(name)
    (rate, *_) = [model.sample_rate for model in loaded.values()]
    waves = np.random.default_rng(0).normal(0, 0.1, (8, 5 * rate)).astype(np.float32)
    work = multiply_adds(load_checkpoint(locate(name)), waves)
    most = {kind: convolution_rate(getattr(torch, kind)) for kind in ("float32", "bfloat16")}
    whole = torch.randint(-100, 100, (2048, 2048), dtype=torch.int8)
    most["int8"] = 2048**3 / best(lambda: torch._int_mm(whole, whole)) / 1e9
    print(f"one clip of 5 s: {work / 8e9:.2f} billion multiply-adds\n")
    print("| | limit, 10^9/s | engine | model, 10^9/s | share |\n|---|---|---|---|---|")
    for title, model in loaded.items():
        kind = "int8" if "int8" in title else title.split(", ")[1]
        done = work / best(lambda m=model: m.embed_audio(waves, m.sample_rate)) / 1e9
        share = done / most[kind] * 100
        print(f"| {kind} | {most[kind]:.0f} | {title} | {done:.0f} | {share:.0f} % |")


def multiply_adds(checkpoint: Checkpoint, waves: np.ndarray) -> float:
    """Of the network, front end left out, for waveforms (batch, n) at the model's rate."""
    config = checkpoint.config.frontend
    spectrogram = torch.randn(len(waves), config.bins, config.columns(waves.shape[1]))
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        checkpoint.network(spectrogram)
    return counter.get_total_flops() / 2


def convolution_rate(dtype: torch.dtype) -> float:
    """10^9 multiply-adds per second in one large 3x3 convolution, channels-last."""
    channels, side = 256, 64
    convolution = torch.nn.Conv2d(channels, channels, 3, padding=1, dtype=dtype)
    convolution = convolution.to(memory_format=torch.channels_last)
    x = torch.randn(8, channels, side, side, dtype=dtype).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        return 8 * side**2 * 9 * channels**2 / best(lambda: convolution(x)) / 1e9


def best(call: Callable[[], object], turns: int = 12) -> float:
    return min(seconds(call) for _ in range(turns))


def accuracy(model_name: str) -> None:
    """ESC-50 with each engine: zero-shot over all clips, linear probe in the official folds."""
    with (DATA / "esc50" / "meta" / "esc50.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    paths = [DATA / "esc50" / "audio" / row["filename"] for row in rows]
    folds = np.array([int(row["fold"]) for row in rows])
    targets = np.array([int(row["target"]) for row in rows])
    names = {int(row["target"]): row["category"].replace("_", " ") for row in rows}
    labels = [names[target] for target in sorted(names)]
    print("| engine | zero-shot % | probe % | smallest cosine | median |\n|---|---|---|---|---|")
    exact: np.ndarray | None = None
    for name, model in models(model_name).items():
        embeddings = embedded(model, paths)
        weights = class_weights(model.towers, labels)
        zero = model.probabilities(embeddings, weights).argmax(axis=1) == targets
        probe = np.mean([fold_accuracy(embeddings, targets, folds == fold) for fold in range(1, 6)])
        unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        exact = unit if exact is None else exact
        cosines = (unit * exact).sum(axis=1)
        print(
            f"| {name} | {zero.mean() * 100:.2f} | {probe * 100:.2f} | {cosines.min():.5f} | "
            f"{np.median(cosines):.5f} |"
        )


def embedded(model: Wav2CLIP, paths: list[Path]) -> np.ndarray:
    """(n, dimension) in the order of the paths."""
    results = track(embed_files(model, paths), "embedding", len(paths), transient=True)
    found = {result.path: result.embeddings[0] for result in results}
    return np.stack([found[path] for path in paths])


def fold_accuracy(embeddings: np.ndarray, targets: np.ndarray, test: np.ndarray) -> float:
    """Scaler and classifier are fitted on the other folds."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    probe.fit(embeddings[~test], targets[~test])
    return float(probe.score(embeddings[test], targets[test]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["speed", "accuracy", "limit"])
    parser.add_argument("--model", default="builtin", help="name or path")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    if options.what == "speed":
        speed(options.model, options.turns)
    elif options.what == "accuracy":
        accuracy(options.model)
    else:
        limit(options.model)


if __name__ == "__main__":
    main()
