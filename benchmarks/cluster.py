"""What work on a cluster costs: listing, scheduling, one core's rate, and how much of it Ray takes.

    python benchmarks/cluster.py schedule [--files 100000]
    python benchmarks/cluster.py rate [--data FOLDER] [--engine torch]
    python benchmarks/cluster.py workers [--data FOLDER]

`rate` runs on one core, as a worker does: decode, resample, spectrogram, network and the Parquet
file of a block, over clips of ten seconds that are made of real ones. Ratios of one run are the
measure: absolute times vary by machine.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile
import torch

from machine import machine
from wav2clip.audio.io import load_audio, resample
from wav2clip.cluster.blocks import block_table, store_block
from wav2clip.cluster.embed import embed_on_cluster
from wav2clip.cluster.listing import list_files
from wav2clip.cluster.plan import Job, make_plan
from wav2clip.cluster.session import Cluster, connected, stream
from wav2clip.cluster.storage import Folder
from wav2clip.embedding.bulk import embed_files
from wav2clip.embedding.embedder import load

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data")) / "esc10_original"
MANY = 10_000_000
BLOCK = 80
"""Clips that are timed together."""


def ten_seconds(data: Path, folder: Path, suffix: str, copies: int = 2) -> list[Path]:
    """Pairs of five-second clips, each pair one file: 44.1 kHz Vorbis, or 16 kHz PCM."""
    clips = sorted(data.glob("*.ogg"))
    made = []
    for turn in range(copies):
        for first, second in zip(clips, np.roll(np.array(clips), turn + 1), strict=True):
            halves = [soundfile.read(clip, dtype="float32") for clip in (first, second)]
            wave, rate = np.concatenate([samples for samples, _ in halves]), halves[0][1]
            path = folder / f"{turn}-{first.stem}.{suffix}"
            if suffix == "wav":
                wave, rate = resample(wave, rate), 16_000
            soundfile.write(path, wave[: 10 * rate], rate)
            made.append(path)
    return made[:BLOCK]


class Idle:
    """A worker that embeds nothing: what is left is scheduling."""

    def __call__(self, files: pa.Table) -> pa.Table:
        return pa.table({"files": [files.num_rows]})


def schedule(count: int) -> None:
    """List so many short files, cut them into blocks, and pass all blocks through two workers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "sounds")
        for group in range(0, count, 1_000):
            (folder / f"{group:07d}").mkdir(parents=True)
            first = folder / f"{group:07d}" / "0.wav"
            soundfile.write(first, np.zeros(1_600), 16_000)
            for number in range(1, min(1_000, count - group)):
                os.link(first, first.with_name(f"{number}.wav"))
        start = time.perf_counter()
        listing = list_files([str(folder)])
        listed = time.perf_counter()
        blocks = make_plan(Job("", "", sources=(name,)), listing, Folder(f"{name}/out"))
        planned = time.perf_counter()
        cluster = Cluster(workers=2)
        with connected(cluster):
            started = time.perf_counter()
            first_done = 0.0
            files = 0
            for batch in stream(cluster, [block.files for block in blocks], Idle, {}):
                first_done = first_done or time.perf_counter()
                files += sum(batch["files"].to_pylist())
            ended = time.perf_counter()
        assert files == count
        print(f"\n| {count:,} files in {len(blocks)} blocks | seconds |\n|---|---|")
        print(f"| list, with size and time of each | {listed - start:.1f} |")
        print(f"| cut into blocks, and store the plan | {planned - listed:.1f} |")
        print(f"| hand to Ray Data until the first block is back | {first_done - started:.1f} |")
        print(
            f"| the other blocks, through two workers that do nothing | {ended - first_done:.1f} |"
        )
        total = planned - start + ended - started
        print(f"| **listed and scheduled, together** | **{total:.1f}** |")
        print(f"| (starting a local cluster) | {started - planned:.1f} |")


def rate(data: Path, engine: str) -> None:
    """Clips per second of one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    model = load(engine=engine)
    print(f"\n| one core, engine {engine}, ten-second clips | decode, resample | all | clips/s | "
          "core-hours for 10 million |\n|---|---|---|---|---|")  # fmt: skip
    for suffix, title in (("ogg", "44.1 kHz Vorbis"), ("wav", "16 kHz PCM")):
        with tempfile.TemporaryDirectory() as name:
            paths = ten_seconds(data, Path(name), suffix)
            listing = list_files([name])
            decode, whole = [], []
            for _ in range(4):
                start = time.perf_counter()
                for path in paths:
                    load_audio(path)
                middle = time.perf_counter()
                results = {r.path: r for r in embed_files(model, paths, workers=1)}
                ordered = [
                    results[Path(os.fsdecode(i))] for i in listing.files["inner"].to_pylist()
                ]
                table = block_table(listing.files, ordered, model)
                store_block(Folder(f"{name}/out"), "block", table)
                decode.append((middle - start) / len(paths))
                whole.append((time.perf_counter() - middle) / len(paths))
            size = Path(name, "out", "block").stat().st_size / len(paths)
            each = float(np.median(whole[1:]))
            print(f"| {title} | {np.median(decode[1:]) * 1e3:.1f} ms | {each * 1e3:.1f} ms | "
                  f"{1 / each:.0f} | {each * MANY / 3600:.0f} |")  # fmt: skip
    print(f"\n{size:.0f} bytes of Parquet a clip: {size * MANY / 1e9:.0f} GB for 10 million")


def workers(data: Path) -> None:
    """Clips per second of one and of two workers of one core, from block to block."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "sounds")
        folder.mkdir()
        ten_seconds(data, folder, "ogg")
        for copy in range(1, 12):
            (Path(name) / f"{copy}").mkdir()
            for path in list(folder.glob("*.ogg")):
                os.link(path, Path(name) / f"{copy}" / path.name)
        sources = [str(folder), *(f"{name}/{copy}" for copy in range(1, 12))]
        model = load()
        rates = {}
        with connected(Cluster()):
            for count in (1, 2):
                seen: list[tuple[float, int]] = []
                embed_on_cluster(
                    model, sources, f"{name}/out {count}", Cluster(workers=count),
                    progress=lambda done, total, s=seen: s.append((time.perf_counter(), done)),
                )  # fmt: skip
                # From a tenth to nine tenths, so that starting and stopping do not count.
                middle = [s for s in seen if 0.1 < s[1] / seen[-1][1] < 0.9]
                rates[count] = (middle[-1][1] - middle[0][1]) / (middle[-1][0] - middle[0][0])
        print("\n| workers of one core | clips/s |\n|---|---|")
        for count, clips in rates.items():
            print(f"| {count} | {clips:.1f} |")
        print(f"\ntwo workers against one: {rates[2] / rates[1]:.2f} times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("schedule", "rate", "workers"))
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--engine", default="torch")
    arguments = parser.parse_args()
    print(f"{machine()}; torch {torch.__version__}, {time.strftime('%d %B %Y')}")
    if arguments.what == "schedule":
        schedule(arguments.files)
    elif arguments.what == "rate":
        rate(arguments.data, arguments.engine)
    else:
        workers(arguments.data)


if __name__ == "__main__":
    main()
