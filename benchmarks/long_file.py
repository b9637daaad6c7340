"""Memory while a very long recording is embedded, at clip level and frame level.

    python benchmarks/long_file.py [--hours 10] [--bound-mib 400]

A child process embeds a generated FLAC file of that length; its peak resident memory is compared
with that of a child that embeds 55 s. The difference may not exceed the bound, whatever the length.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000
CHILD = str(Path(__file__).parent / "one_process.py")


def make(path: Path, seconds: int) -> None:
    """Noise whose level changes, written a minute at a time."""
    rng = np.random.default_rng(0)
    minute = rng.uniform(-1, 1, 60 * RATE).astype(np.float32)
    with soundfile.SoundFile(path, "w", RATE, 1, format="FLAC", subtype="PCM_16") as file:
        for start in range(0, seconds, 60):
            level = 0.1 + 0.8 * abs(np.sin(start / 700))
            file.write(level * minute[: (seconds - start) * RATE])


def in_a_process(*arguments: str | Path) -> tuple[float, float, int]:
    """What one_process.py prints: peak memory in MiB, seconds, embeddings."""
    command = [sys.executable, CHILD, *map(str, arguments)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    peak, seconds, rows = json.loads(output)
    return peak, seconds, rows


def measure(path: Path, level: str) -> tuple[float, float, int]:
    """The same for one file, at clip level or in frames of ten seconds."""
    return in_a_process(*([] if level == "clip" else ["--frames", "10"]), "{}", path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hours", type=float, default=10)
    parser.add_argument("--bound-mib", type=float, default=400)
    parser.add_argument("--levels", default="clip,frames")
    arguments = parser.parse_args()
    over = False
    with tempfile.TemporaryDirectory() as folder:
        short, long = Path(folder) / "short.flac", Path(folder) / "long.flac"
        make(short, 55)
        start = time.perf_counter()
        make(long, int(arguments.hours * 3600))
        size, made = long.stat().st_size / 2**20, time.perf_counter() - start
        print(f"{arguments.hours:g} hours, {size:.0f} MiB, made in {made:.0f} s\n")
        print("| level | peak, 55 s | peak, long | difference | time | rows |")
        print("|---|---|---|---|---|---|")
        for level in arguments.levels.split(","):
            base, _, _ = measure(short, level)
            peak, seconds, rows = measure(long, level)
            rate = arguments.hours * 3600 / seconds
            print(
                f"| {level} | {base:.0f} MiB | {peak:.0f} MiB | {peak - base:.0f} MiB | "
                f"{seconds:.0f} s, {rate:.0f} times real time | {rows} |"
            )
            over |= peak - base > arguments.bound_mib
    if over:
        sys.exit(f"memory grew by more than {arguments.bound_mib:g} MiB")


if __name__ == "__main__":
    main()
