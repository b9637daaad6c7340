"""How long `import wav2clip`, `wav2clip --help` and a search take, each in a process of its own.

    python benchmarks/startup.py
    python benchmarks/startup.py search --rows 10000

The first run compiles bytecode and fills the disk cache; it is shown apart. The limit of the first
two is 0.3 s. A search is that of a phrase in a library of synthetic segments, with what it costs of
the processor and of memory; the first one has no copy of the rows to answer from and leaves one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT_SECONDS = 0.3
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import wav2clip": ["-c", "import wav2clip"],
    "wav2clip --help": ["-m", "wav2clip", "--help"],
}


def seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def first_and_median(arguments: list[str], turns: int = 12) -> tuple[float, float]:
    """Seconds of the first run, and of the middle one of the others."""
    first, *rest = [seconds(arguments) for _ in range(turns)]
    return first, statistics.median(rest)


def make_library(folder: Path, rows: int) -> None:
    """A library of the built-in model that holds so many random segments."""
    import library  # of this folder: its rows look like those of recordings
    from wav2clip import load
    from wav2clip.library.settings import Settings
    from wav2clip.library.space import mean_digest
    from wav2clip.library.store import Store

    model, mixture = load(), library.Mixture()
    store = Store(folder)
    store.create(Settings("builtin", model.fingerprint, model.dimension, mean_digest(model.mean)))
    store.replace(library.rows_of(mixture.sounds(rows), 0), [])


def search(rows: int, turns: int = 6) -> None:
    """Print processor seconds, seconds and memory of searches from the shell."""
    print("| search of a phrase | processor | wall | memory |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        make_library(Path(folder), rows)
        command = [sys.executable, "-m", "wav2clip", "search", "a dog barking", "--library", folder]
        taken = [cost(command) for _ in range(turns)]
    middle = [statistics.median(column) for column in zip(*taken[1:], strict=True)]
    for name, (processor, wall, memory) in (("first", taken[0]), ("median of 5", middle)):
        print(f"| {name} | {processor:.2f} s | {wall:.2f} s | {memory:.0f} MB |")


_MEASURE = (
    "import json, resource, subprocess, sys, time\n"
    "start = time.perf_counter()\n"
    "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
    "usage = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
    "print(json.dumps([usage.ru_utime + usage.ru_stime, time.perf_counter() - start,\n"
    "                  usage.ru_maxrss / 1e3]))\n"
)
"""Run by a small process: a child is charged with the memory of the one that it is forked from."""


def cost(command: list[str]) -> list[float]:
    """Seconds of the processor, seconds, and most memory in MB of a command."""
    measured = subprocess.run(
        [sys.executable, "-c", _MEASURE, *command], check=True, stdout=subprocess.PIPE
    )
    costs: list[float] = json.loads(measured.stdout)
    return costs


def start_up() -> None:
    """Print the table of commands, and fail where one is late."""
    print("| command | first | median of 11 |\n|---|---|---|")
    late = []
    for name, arguments in COMMANDS.items():
        first, median = first_and_median(arguments)
        print(f"| `{name}` | {first:.2f} s | {median:.2f} s |")
        if median > LIMIT_SECONDS:
            late.append(name)
    if late:
        sys.exit(f"over {LIMIT_SECONDS} s: {', '.join(late)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["commands", "search"], default="commands")
    parser.add_argument("--rows", type=int, default=10_000)
    options = parser.parse_args()
    if options.what == "search":
        search(options.rows)
    else:
        start_up()


if __name__ == "__main__":
    main()
