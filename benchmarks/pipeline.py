"""How much of the time of `wav2clip embed` is waiting: its stages alone, and both together.

    python benchmarks/pipeline.py [--turns 5] [--model builtin] [--engine onnx]

Decoding (with resampling) and the network (with its spectrogram) are timed alone, each with all the
threads of the pipeline, then `embed_files` on the same files. Where both stages need the same
cores, no order of work takes less than the sum of the two: that is the bound. Where the network has
hardware of its own the bound is the slower stage; a stand-in shows it here: it gives embeddings
after as long as the network alone takes, one batch at a time, and needs no core meanwhile. It gets
every file four times, so that filling and emptying the pipeline counts as little as in real work.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from rich.progress import track

from engines import SETS, decode_all, embed_all, seconds
from machine import machine
from wav2clip.audio.io import Samples
from wav2clip.embedding.bulk import ahead
from wav2clip.embedding.embedder import Wav2CLIP, load
from wav2clip.embedding.engine import Embeddings

BATCH = 8
"""As in wav2clip.embedding.bulk."""


@dataclass(frozen=True)
class Times:
    """Seconds per file.

    Attributes:
        decoding: alone.
        network: alone.
        together: as `wav2clip embed` works.
        elsewhere: with the stand-in for a network that needs no core.
    """

    decoding: float
    network: float
    together: float
    elsewhere: float

    @property
    def sum(self) -> float:
        """The bound where both stages need the same cores."""
        return self.decoding + self.network

    @property
    def slowest(self) -> float:
        """The bound where they do not."""
        return max(self.decoding, self.network)


class Elsewhere(Wav2CLIP):
    """A model whose network takes time and no core; loaded by :func:`elsewhere`."""

    device = "elsewhere"
    clip_seconds: float
    one_at_a_time: Lock

    def embed_batch(self, waves: Samples) -> Embeddings:
        with self.one_at_a_time:
            time.sleep(self.clip_seconds * len(waves))
        return np.zeros((len(waves), self.dimension), np.float32)


def elsewhere(model: Wav2CLIP, clip_seconds: float) -> Elsewhere:
    twin = copy.copy(model)
    twin.__class__ = Elsewhere
    assert isinstance(twin, Elsewhere)
    twin.clip_seconds, twin.one_at_a_time = clip_seconds, Lock()
    twin.graph_folder = None  # processes that read would embed by themselves
    return twin


def embed_waves(model: Wav2CLIP, batches: Sequence[np.ndarray], workers: int) -> None:
    """The network alone, on so many threads that share the cores."""
    cores = torch.get_num_threads()
    torch.set_num_threads(max(1, cores // workers))  # threads that are new take it over
    try:
        calls = (partial(model.embed_batch, batch) for batch in batches)
        for _ in ahead(calls, workers, workers + 1):
            pass
    finally:
        torch.set_num_threads(cores)


def in_batches(waves: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Waveforms of equal length together, at most BATCH of them."""
    groups: dict[int, list[np.ndarray]] = {}
    for wave in waves:
        groups.setdefault(len(wave), []).append(wave)
    return [
        np.stack(group[first : first + BATCH])
        for group in groups.values()
        for first in range(0, len(group), BATCH)
    ]


def measure(model: Wav2CLIP, paths: Sequence[Path], workers: int, turns: int) -> Times:
    """Best of some turns, in which the stages take part one after the other."""
    beside = model.beside(max(1, torch.get_num_threads() // workers))
    batches = in_batches(decode_all(paths, model.sample_rate, workers))
    runs: dict[str, Callable[[], object]] = {
        "decoding": partial(decode_all, paths, model.sample_rate, workers),
        "network": partial(embed_waves, beside, batches, workers),
        "together": partial(embed_all, model, paths, workers=workers),
    }
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(turns):
        for name, run in runs.items():
            taken[name].append(seconds(run) / len(paths))
    best = {name: min(times) for name, times in taken.items()}
    many = [*paths] * 4
    stand_in = partial(embed_all, elsewhere(model, best["network"]), many, workers=workers)
    away = min(seconds(stand_in) for _ in range(turns)) / len(many)
    return Times(**best, elsewhere=away)


def cases(model: Wav2CLIP, turns: int) -> Iterator[tuple[str, Times]]:
    """Both kinds of files, with one and two workers."""
    for title, paths in SETS.items():
        for workers in (1, 2):
            yield f"{title}, workers {workers}", measure(model, paths, workers, turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--model", default="builtin", help="name or path")
    parser.add_argument("--engine", default="torch")
    options = parser.parse_args()
    model = load(options.model, engine=options.engine)
    print(f"{machine()}; {options.model}, {options.engine}; ms per file\n")
    print("| | decoding | network | sum | together | over the sum | share of decoding | network "
          "elsewhere | over the slower stage |\n|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    for title, times in track(cases(model, options.turns), "measuring", 2 * len(SETS)):
        columns = (times.decoding, times.network, times.sum, times.together)
        shown = " | ".join(f"{1e3 * each:.1f}" for each in columns)
        over = (times.together / times.sum - 1, times.elsewhere / times.slowest - 1)
        share = times.decoding / times.together
        print(
            f"| {title} | {shown} | {over[0]:+.0%} | {share:.0%} | {1e3 * times.elsewhere:.1f} | "
            f"{over[1]:+.0%} |"
        )


if __name__ == "__main__":
    main()
