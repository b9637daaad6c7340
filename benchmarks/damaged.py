"""Ten thousand files damaged at random, with good ones between them: what is lost?

    python benchmarks/damaged.py [--files 10000] [--seed 0] [-o docs/results/damaged.md]

Files of every container and codec that the tests know (tests/odd_files.py), and real clips, are
damaged: bytes changed, bits flipped, ends cut, pieces swapped, repeated, emptied, or taken from
another file. They are embedded by `embed_files` in batches, with good files between them. Nothing
may be lost: no batch may crash or hang, and each good file must come out as it does alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from machine import machine, versions

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data"))
BATCH = 1_000
GOOD_EVERY = 5
"""One good file beside so many damaged ones."""

READ_SECONDS = 10.0
BATCH_SECONDS = 3_600.0
REAL_CLIPS = 12
TOLERANCE = 1e-4
OUTCOMES = ("read", "read, with a warning", "refused", "crashed", "hung", "memory")


def clips() -> dict[str, bytes]:
    """Good files: name to content."""
    sys.path.insert(0, str(ROOT / "tests"))
    from odd_files import KINDS

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            if kind.error or kind.warning:
                continue
            path = Path(folder, kind.name)
            kind.make(path)
            found[kind.name] = path.read_bytes()
    for path in sorted((DATA / "esc10_original").glob("*.ogg"))[:REAL_CLIPS]:
        found[path.name] = path.read_bytes()
    return {name: content for name, content in found.items() if len(content) < 1_000_000}


# Damage -------------------------------------------------------------------------------------------

Damage = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]


def place(rng: np.random.Generator, size: int) -> int:
    """Somewhere in a file; half of the time in its beginning, where headers are."""
    return int(rng.integers(min(size, 512) if rng.random() < 0.5 else size))


def change(rng: np.random.Generator, content: np.ndarray, other: np.ndarray) -> np.ndarray:
    for _ in range(int(2 ** rng.integers(0, 7))):
        content[place(rng, len(content))] = rng.integers(256)
    return content


def flip(rng: np.random.Generator, content: np.ndarray, other: np.ndarray) -> np.ndarray:
    for _ in range(int(2 ** rng.integers(0, 5))):
        content[place(rng, len(content))] ^= np.uint8(1 << int(rng.integers(8)))
    return content


def extreme(rng: np.random.Generator, content: np.ndarray, other: np.ndarray) -> np.ndarray:
    """A number of two to eight bytes becomes all ones or zeros."""
    at = place(rng, len(content))
    content[at : at + int(2 ** rng.integers(1, 4))] = rng.choice([0, 0x7F, 0xFF])
    return content


def cut(rng: np.random.Generator, content: np.ndarray, other: np.ndarray) -> np.ndarray:
    return content[: place(rng, len(content)) + 1]


def behead(rng: np.random.Generator, content: np.ndarray, other: np.ndarray) -> np.ndarray:
    return content[place(rng, len(content)) :]


def swap(rng: np.random.Generator, content: np.ndarray, other: np.ndarray) -> np.ndarray:
    a, b, c = sorted(place(rng, len(content)) for _ in range(3))
    return np.concatenate([content[:a], content[b:c], content[a:b], content[c:]])


def repeat(rng: np.random.Generator, content: np.ndarray, other: np.ndarray) -> np.ndarray:
    a, b = sorted(place(rng, len(content)) for _ in range(2))
    return np.concatenate([content[:b], content[a:]])


def empty(rng: np.random.Generator, content: np.ndarray, other: np.ndarray) -> np.ndarray:
    a, b = sorted(place(rng, len(content)) for _ in range(2))
    content[a:b] = 0
    return content


def graft(rng: np.random.Generator, content: np.ndarray, other: np.ndarray) -> np.ndarray:
    at, begin = place(rng, len(content)), place(rng, len(other))
    piece = other[begin : begin + int(2 ** rng.integers(2, 14))]
    return np.concatenate([content[:at], piece, content[at + len(piece) :]])


DAMAGES: tuple[Damage, ...] = (change, flip, extreme, cut, behead, swap, repeat, empty, graft)


def damaged(rng: np.random.Generator, content: bytes, other: bytes) -> bytes:
    """A file with one to three damages."""
    array = np.frombuffer(content, np.uint8).copy()
    for _ in range(int(rng.integers(1, 4))):
        if len(array):
            array = DAMAGES[rng.integers(len(DAMAGES))](rng, array, np.frombuffer(other, np.uint8))
    return array.tobytes()


# Batches ------------------------------------------------------------------------------------------


def one_batch(folder: Path) -> None:
    """In a process of its own: a line of JSON for each file of a folder."""
    from wav2clip.embedding.bulk import embed_files
    from wav2clip.embedding.embedder import load

    for result in embed_files(load(), sorted(folder.iterdir())):
        embedding = [] if result.error else result.embeddings[0].astype(float).tolist()
        good = result.path.name.startswith("good")
        line = [result.path.name, result.error, len(result.warnings), embedding if good else []]
        print(json.dumps(line), flush=True)


def embed(folder: Path) -> tuple[dict[str, tuple[str | None, int, list[float]]], str]:
    """Results by name, and what happened to the process: "", "crashed" or "hung"."""
    end = ""
    with tempfile.TemporaryFile("w+") as out:
        try:
            done = subprocess.run(
                [sys.executable, __file__, "one-batch", str(folder)],
                env={**os.environ, "WAV2CLIP_READ_SECONDS": str(READ_SECONDS)},
                stdout=out,
                timeout=BATCH_SECONDS,
            )
            end = "crashed" if done.returncode else ""
        except subprocess.TimeoutExpired:
            end = "hung"
        out.seek(0)
        lines = [json.loads(line) for line in out if line.endswith("\n")]
    return {name: (error, warnings, row) for name, error, warnings, row in lines}, end


def outcome(error: str | None, warnings: int) -> str:
    if error is None:
        return "read, with a warning" if warnings else "read"
    told = {"the decoder crashed": "crashed", "gave nothing": "hung", "GiB of memory": "memory"}
    return next((kind for text, kind in told.items() if text in error), "refused")


class Tally:
    """What became of all files."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self.by_suffix: dict[str, Counter[str]] = defaultdict(Counter)
        self.good, self.lost, self.missing = 0, list[str](), list[str]()

    def add(self, folder: Path, alone: dict[str, list[float]], written: Sequence[str]) -> None:
        results, end = embed(folder)
        self.ends[end] += 1
        for name in written:
            found = results.get(name)
            if name.startswith("good"):
                self.good += 1
                self._good(name, found, alone[name.partition(" ")[2]])
            elif found is None:
                self.missing.append(name)
            else:
                self.by_suffix[Path(name).suffix][outcome(*found[:2])] += 1

    def _good(
        self, name: str, found: tuple[str | None, int, list[float]] | None, expected: list[float]
    ) -> None:
        if found is None or found[0] is not None:
            self.lost.append(f"{name}: {found and found[0]}")
        elif np.abs(np.subtract(found[2], expected)).max() > TOLERANCE:
            self.lost.append(f"{name}: another embedding")

    def table(self) -> str:
        rows = [
            "| container | files | " + " | ".join(OUTCOMES) + " |",
            "|---" * (2 + len(OUTCOMES)) + "|",
        ]
        total: Counter[str] = Counter()
        for suffix, counts in sorted(self.by_suffix.items()):
            total += counts
            rows.append(self._row(suffix.removeprefix("."), counts))
        return "\n".join([*rows, self._row("all", total)])

    @staticmethod
    def _row(name: str, counts: Counter[str]) -> str:
        cells = " | ".join(str(counts[kind]) for kind in OUTCOMES)
        return f"| {name} | {counts.total()} | {cells} |"


def write(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return name


def run(count: int, seed: int) -> tuple[Tally, float]:
    """Damage and embed so many files."""
    rng, tally, started = np.random.default_rng(seed), Tally(), time.perf_counter()
    good = clips()
    names = sorted(good)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in names:
            write(folder, f"good {name}", good[name])
        results, end = embed(folder)
        assert not end and not [r for r in results.values() if r[0]], "good files fail alone"
        alone = {name.partition(" ")[2]: row for name, (_, _, row) in results.items()}
    for first in range(0, count, BATCH):
        with tempfile.TemporaryDirectory() as place:
            folder, written = Path(place), []
            for number in range(first, min(first + BATCH, count)):
                name, other, neighbour = (str(each) for each in rng.choice(names, 3))
                content = damaged(rng, good[name], good[other])
                written.append(write(folder, f"{number:06d}{Path(name).suffix}", content))
                if number % GOOD_EVERY == 0:
                    link = write(folder, f"good{number:06d} {neighbour}", good[neighbour])
                    written.append(link)
            tally.add(folder, alone, written)
            print(f"{first + BATCH} of {count}: {dict(tally.ends)}", file=sys.stderr)
    return tally, time.perf_counter() - started


def report(tally: Tally, seconds: float, count: int, seed: int) -> str:
    lost = "".join(f"\n- {line}" for line in tally.lost[:50])
    missing = "".join(f", {name}" for name in tally.missing)
    command = f"python benchmarks/damaged.py --files {count} --seed {seed}"
    return f"""# {count:,} damaged files

`{command}`, {seconds / 60:.0f} minutes; {machine()}; {versions()}.

| | |
|---|---|
| commands that crashed | {tally.ends["crashed"]} of {tally.ends.total()} |
| commands that hung | {tally.ends["hung"]} |
| damaged files without a result | {len(tally.missing)}{missing} |
| good files lost, of {tally.good:,} between them | {len(tally.lost)} |
{lost}

What became of the damaged files. "Crashed", "hung" and "memory" are processes that read one file,
were replaced, and cost nothing else; "hung" is nothing for {READ_SECONDS:g} s.

{tally.table()}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    tally, seconds = run(options.files, options.seed)
    text = report(tally, seconds, options.files, options.seed)
    print(text)
    if options.output is not None:
        options.output.write_text(text, encoding="utf-8")
    if tally.lost or tally.missing or tally.ends["crashed"] or tally.ends["hung"]:
        sys.exit(1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["one-batch"]:
        one_batch(Path(sys.argv[2]))
    else:
        main()
