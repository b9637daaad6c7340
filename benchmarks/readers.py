"""What it costs that files are read by processes of their own: speed and memory, against before.

    git worktree add ../before COMMIT            # a version that decoded in its own process
    python benchmarks/readers.py ../before/src [--turns 3]

Both versions embed the same files in segments, as `wav2clip index` does, by turns, each time in a
new process that has loaded its model before the clock starts. The ratio is that of the best turns.
Memory is the peak of the proportional set size (PSS) of the process and all that it started.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread

import numpy as np
import soundfile

from machine import machine, versions

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data"))
NOW = ROOT / "src"
RATE = 44_100
LONG_FILES, LONG_SECONDS = 12, 300


def one_run() -> None:
    """In a process of its own: the files on standard input, seconds on standard output."""
    from wav2clip.embedding.bulk import embed_segments
    from wav2clip.embedding.embedder import load

    model = load()
    model.embed_audio(np.zeros(16_000), 16_000)
    paths = [Path(line) for line in sys.stdin.read().splitlines()]
    start = time.perf_counter()
    results = list(embed_segments(model, paths))
    print(time.perf_counter() - start)
    assert len(results) == len(paths)
    assert not [result.error for result in results if result.error]


def run(source: Path, paths: Sequence[Path]) -> tuple[float, float]:
    """Seconds, and MiB at most."""
    environment = {**os.environ, "PYTHONPATH": str(source)}
    with subprocess.Popen(
        [sys.executable, __file__, "one-run"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        peak, ended = [0.0], Event()

        def watch() -> None:
            while not ended.wait(0.2):
                peak[0] = max(peak[0], sum(map(proportional, family(process.pid))))

        watcher = Thread(target=watch)
        watcher.start()
        told, _ = process.communicate("\n".join(map(str, paths)))
        ended.set()
        watcher.join()
    return float(told), peak[0]


def family(process: int) -> list[int]:
    """A process and all below it."""
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        below = [int(each) for task in tasks for each in (task / "children").read_text().split()]
    except OSError:
        return []
    return [process, *(each for child in below for each in family(child))]


def proportional(process: int) -> float:
    """MiB of one process; what several share counts in shares."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def long_files(folder: Path) -> list[Path]:
    """Recordings of five minutes of stereo at 44.1 kHz, as FLAC."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(LONG_FILES):
        noise = rng.normal(0, 0.05, (LONG_SECONDS * RATE, 2)).astype(np.float32)
        noise *= 1 + np.sin(np.arange(len(noise)) / RATE)[:, None]
        paths.append(folder / f"{number}.flac")
        soundfile.write(paths[-1], noise, RATE)
    return paths


def compare(title: str, before: Path, paths: Sequence[Path], turns: int) -> None:
    """One line of the table."""
    runs: dict[Path, list[tuple[float, float]]] = {before: [], NOW: []}
    for _ in range(turns):
        for source, measured in runs.items():
            measured.append(run(source, paths))
            print(f"  {title}, {source}: {measured[-1][0]:.2f} s", file=sys.stderr)
    old, new = (min(seconds for seconds, _ in measured) for measured in runs.values())
    peaks = [max(peak for _, peak in measured) for measured in runs.values()]
    print(
        f"| {title} | {len(paths) / old:.1f} | {len(paths) / new:.1f} | {old / new:.3f} | "
        f"{peaks[0]:.0f} | {peaks[1]:.0f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="folder `src` of an older version")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--files", type=int, nargs="*", default=[500, 2_000])
    parser.add_argument("--no-long", action="store_true")
    options = parser.parse_args()
    clips = sorted((DATA / "esc50" / "audio").glob("*.ogg"))
    print(machine(), versions(), "", sep="\n")
    print(
        "| | before, files/s | now | ratio | before, MiB | now, MiB |\n|---|---|---|---|---|---|",
        flush=True,
    )
    before = options.before.resolve()
    for count in options.files:
        compare(f"ESC-50, {count} clips of 5 s, Opus", before, clips[:count], options.turns)
    if options.no_long:
        return
    with tempfile.TemporaryDirectory() as folder:
        title = f"{LONG_FILES} recordings of {LONG_SECONDS // 60} min, stereo FLAC"
        compare(title, before, long_files(Path(folder)), options.turns)


if __name__ == "__main__":
    if sys.argv[1:] == ["one-run"]:
        one_run()
    else:
        main()
