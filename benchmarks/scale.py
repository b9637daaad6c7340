"""Indexing at scale: a hundred thousand short files, and long recordings.

    python benchmarks/scale.py files [--count 100000]    # and a second run that finds nothing new
    python benchmarks/scale.py hours [--hours 20]        # told for a thousand, too

`files`: 2,000 distinct sounds of two seconds (WAV, 16 bit, 44.1 kHz, coloured noise), each linked
under fifty names. So 2,000 are decoded and embedded; the rest is listed, read for its hash,
recognised and stored, which is what a hundred thousand files cost besides. `hours`: recordings of
an hour, ESC-50 clips one after the other at changing levels, as FLAC of 44.1 kHz. The shipped
command does it all, in a process of its own; memory is what it and its children hold by themselves
(unique set size), looked at four times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from machine import machine, versions

RATE, DISTINCT = 44_100, 2_000
DATA = Path(os.environ.get("WAV2CLIP_DATA", Path(__file__).parents[2] / "shared" / "data"))


@dataclass(frozen=True)
class Run:
    """What a run of `wav2clip index` took.

    Attributes:
        seconds: from nothing to its summary.
        processor: seconds of the processor, children included.
        memory: MiB at a quarter, a half and three quarters of the time, and at most.
        summary: what it says with --json.
    """

    seconds: float
    processor: float
    memory: tuple[float, float, float, float]
    summary: dict[str, object]

    def row(self, name: str) -> str:
        quarters = ", ".join(f"{each:.0f}" for each in self.memory[:3])
        return (
            f"| {name} | {self.seconds:.1f} | {self.processor:.1f} | {quarters} | "
            f"{self.memory[3]:.0f} |"
        )


HEADER = (
    "| | seconds | of the processor | MiB at 1/4, 1/2, 3/4 | MiB at most |\n|---|" + "---:|" * 4
)


def index(folder: Path, library: Path) -> Run:
    """Index a folder with the shipped command."""
    before, start = os.times(), time.perf_counter()
    command = [sys.executable, "-m", "wav2clip", "index", folder, "--library", library, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    held = []
    while process.poll() is None:
        held.append(memory(process.pid))
        time.sleep(0.25)
    seconds, after = time.perf_counter() - start, os.times()
    assert process.stdout is not None
    summary = json.loads(process.stdout.read())
    processor = after.children_user + after.children_system
    processor -= before.children_user + before.children_system
    quarters = [held[len(held) * part // 4] for part in (1, 2, 3)]
    return Run(seconds, processor, (*quarters, max(held)), summary)


def memory(process: int) -> float:
    """MiB that a process and its children hold for themselves alone."""
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        below = [int(each) for task in tasks for each in (task / "children").read_text().split()]
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0.0
    own = sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    return own / 1024 + sum(map(memory, below))


def files(count: int, folder: Path) -> None:
    """Many short files, and the same again."""
    rng = np.random.default_rng(0)
    sounds = folder / "sounds"
    originals = []
    for number in range(min(DISTINCT, count)):
        wave = np.cumsum(rng.normal(size=2 * RATE)) if number % 2 else rng.normal(size=2 * RATE)
        path = sounds / f"{number % 100:02}" / f"sound {number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.5 * wave / np.abs(wave).max(), RATE, subtype="PCM_16")
        originals.append(path)
    for number in range(len(originals), count):
        path = originals[number % len(originals)]
        os.link(path, path.with_name(f"{path.stem}, take {number}.wav"))
    print(HEADER)
    for name in ("the first run", "a second run, nothing new"):
        run = index(sounds, folder / "library")
        told = {key: run.summary[key] for key in ("added", "reused", "unchanged", "failures")}
        print(run.row(f"{count:,} files: {name}"), flush=True)
        print(told, file=sys.stderr)


def hours(count: int, folder: Path) -> None:
    """Recordings of an hour each."""
    rng = np.random.default_rng(0)
    clips = [soundfile.read(path) for path in sorted((DATA / "esc50/audio").glob("*.ogg"))[::20]]
    waves = [soxr.resample(wave, rate, RATE) for wave, rate in clips]
    sounds = folder / "hours"
    sounds.mkdir()
    for number in range(count):
        path = sounds / f"hour {number}.flac"
        with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_16") as file:
            for place in rng.integers(len(waves), size=720):
                file.write(waves[place][: 5 * RATE] * rng.uniform(0.1, 1))
    run = index(sounds, folder / "library")
    print(HEADER)
    print(run.row(f"{count} recordings of an hour"))
    each = 1_000 / count
    print(
        f"\nA thousand hours: {run.seconds * each / 60:.0f} minutes "
        f"({3_600 * count / run.seconds:.0f} times as fast as they play)."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("files", "hours"))
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--hours", type=int, default=20)
    options = parser.parse_args()
    print(f"{machine()}. {versions()}\n")
    with tempfile.TemporaryDirectory(prefix="wav2clip-") as folder:
        if options.what == "files":
            files(options.count, Path(folder))
        else:
            hours(options.hours, Path(folder))


if __name__ == "__main__":
    main()
