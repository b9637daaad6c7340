"""How fast everything is, in one table: `make bench`.

    python benchmarks/bench.py                       # all parts, under a quarter of an hour
    python benchmarks/bench.py --only search,start   # some of them; the others' rows are kept
    python benchmarks/bench.py --quick               # small sizes, to try it; nothing is written

Each group of rows begins with what it is compared with, and a ratio above 1 is in favour of the
row. Every row is kept as soon as it is measured, in docs/results/bench.json, from which
docs/results/bench.md is written: stop it at any moment. Rows of another machine or of other
versions are dropped. Absolute times vary by machine and by what else it does: ratios are the
measure.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from machine import machine, versions
from wav2clip.files import atomic_path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a table of speeds is no reason to fetch weights

RESULTS = Path(__file__).parents[1] / "docs" / "results"
err = Console(stderr=True)


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        group: rows of one group are compared with its first.
        what: was measured.
        measured: with its unit.
        ratio: how many times better than the first row of the group, or None.
    """

    group: str
    what: str
    measured: str
    ratio: float | None = None

    def cells(self, group: str) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return f"| {group} | {self.what} | {self.measured} | {ratio} |"


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        turns: the best one counts.
        files: of each kind, at most.
        starts: of a process, the middle one counts.
        hours: lengths of recordings.
        rows: of libraries.
        steps: of training, timed in a turn.
    """

    turns: int = 3
    files: int = 280
    starts: int = 5
    hours: tuple[float, ...] = (1, 10)
    rows: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    steps: int = 4


QUICK = Sizes(1, 8, 3, (0.05,), (1_000, 10_000), 1)


# Parts ----------------------------------------------------------------------------------------


def speed(sizes: Sizes) -> Iterator[Row]:
    """Files per second of the whole path."""
    from engines import DECODING, KINDS, PUBLISHED, SETS, file_seconds, ways

    every = ways()
    for title, paths in SETS.items():
        some = paths[: sizes.files]
        times = file_seconds(every, some, sizes.turns)
        for name, each in times.items():
            group = f"whole path, {title}, {len(some)} files"
            share = f", {times[DECODING] / each:.0%} of it decoding" if name in KINDS else ""
            yield Row(group, name, f"{1 / each:.1f} files/s{share}", times[PUBLISHED] / each)
        yield _clap(group, some, times[PUBLISHED])


def _clap(group: str, paths: list[Path], before: float) -> Row:
    """CLAP of transformers, one file at a time, where its weights are at hand."""
    from engines import seconds
    from wav2clip.errors import Wav2ClipError
    from wav2clip.evaluation.encoders import embed_files, load_encoder

    try:
        encoder = load_encoder("laion-clap")
    except Wav2ClipError as error:
        err.print(f"CLAP: {error}", markup=False, soft_wrap=True)
        return Row(group, "CLAP (transformers)", "not measured: its weights are not at hand")
    each = seconds(lambda: list(embed_files(encoder, paths[:40]))) / len(paths[:40])
    return Row(group, "CLAP (transformers)", f"{1 / each:.1f} files/s", before / each)


def start(sizes: Sizes) -> Iterator[Row]:
    """Cold start: a new process each time, its files in the page cache."""
    from engines import SETS
    from long_file import CHILD
    from startup import COMMANDS

    commands = {"import librosa, torch": ["-c", "import librosa, torch"], **COMMANDS}
    del commands["python -c pass"]
    shown = {f"`{name}`": arguments for name, arguments in commands.items()}
    yield from _starts("start of a process", shown, sizes)
    (clip, *_), *_ = SETS.values()
    first = {name: [CHILD, kind, str(clip)] for name, kind in _kinds().items()}
    yield from _starts("first embedding of a new process", first, sizes)


def _starts(group: str, commands: dict[str, list[str]], sizes: Sizes) -> Iterator[Row]:
    from startup import first_and_median

    before: float | None = None
    for name, arguments in commands.items():
        _, middle = first_and_median(arguments, sizes.starts)
        before = before or middle
        yield Row(group, name, f"{middle:.2f} s", before / middle)


def _kinds() -> dict[str, str]:
    """Ways of embedding to the first argument of one_process.py."""
    from engines import KINDS, PUBLISHED, models

    ours = models("builtin")
    return {PUBLISHED: "published"} | {name: json.dumps(KINDS[name]) for name in ours}


def installation(sizes: Sizes) -> Iterator[Row]:
    """New virtual environments: with PyTorch as pip gives it here, and what everyday work needs."""
    root = Path(__file__).parents[1]
    kinds = {"with `[torch]`": [f"{root}[torch]"], "base": [str(root)]}
    before: float | None = None
    for name, packages in kinds.items():
        with tempfile.TemporaryDirectory(prefix="wav2clip-") as folder:
            venv.create(folder, with_pip=True)
            empty, begin = _megabytes(folder), time.perf_counter()
            python = Path(folder, "Scripts" if os.name == "nt" else "bin", "python")
            command = [python, "-m", "pip", "install", "-q", "-c", root / "constraints.txt"]
            done = subprocess.run([*command, *packages], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr)
            took, size = time.perf_counter() - begin, _megabytes(folder) - empty
        before = before or size
        shown = f"{size:.0f} MB on disk, {took:.0f} s"
        yield Row("installation, packages in pip's cache or not", name, shown, before / size)


def _megabytes(folder: str) -> float:
    files = (path for path in Path(folder).rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files) / 1e6


def memory(sizes: Sizes) -> Iterator[Row]:
    """Peak resident memory of processes that embed short files, and a long one."""
    from engines import SETS
    from long_file import in_a_process, make
    from long_file import measure as long_file

    (paths, *_) = SETS.values()
    some = paths[: sizes.files]
    before: float | None = None
    for name, kind in _kinds().items():
        peak, _, _ = in_a_process(kind, *some)
        before = before or peak
        group = f"peak memory, {len(some)} clips of 5 s"
        yield Row(group, name, f"{peak:.0f} MiB", before / peak)
    with tempfile.TemporaryDirectory(prefix="wav2clip-") as folder:
        path, group = Path(folder, "long.flac"), "peak memory, one recording"
        make(path, 55)
        before, _, _ = long_file(path, "clip")
        yield Row(group, "55 s", f"{before:.0f} MiB", 1.0)
        for hours in sizes.hours:
            make(path, int(hours * 3600))
            peak, _, _ = long_file(path, "clip")
            yield Row(group, f"{hours:g} h", f"{peak:.0f} MiB", before / peak)


def search(sizes: Sizes) -> Iterator[Row]:
    """Milliseconds from a vector to the ten best recordings."""
    from library import Mixture, fill, lance_scan, percentiles
    from wav2clip.library import Library

    for count in sizes.rows:
        with tempfile.TemporaryDirectory(prefix="wav2clip-") as folder:
            mixture = Mixture()
            store, _, _ = fill(Path(folder, "library"), count, mixture)
            group = f"search, {count:,} rows"
            queries = mixture.phrases(100)
            fewer = queries[: max(5, min(50, 2_000_000 // count))]  # an exact scan takes its time
            scan, slow, _ = percentiles(partial(lance_scan, store), fewer)
            yield Row(group, "LanceDB's exact scan", _latency(scan, slow), 1.0)
            library = Library(store, None)
            p50, p95, _ = percentiles(partial(library.search, limit=10), queries)
            yield Row(group, "wav2clip", _latency(p50, p95), scan / p50)


def _latency(p50: float, p95: float) -> str:
    return f"p50 {p50:.1f} ms, p95 {p95:.1f} ms"


def training(sizes: Sizes) -> Iterator[Row]:
    """Clips per second of pre-training, crops of five seconds."""
    import pretrain

    with tempfile.TemporaryFile() as quiet:  # Lightning prints what it trains
        kept = os.dup(1)
        os.dup2(quiet.fileno(), 1)
        try:
            settings = pretrain.Sizes(steps=sizes.steps, turns=min(2, sizes.turns))
            _, rates = pretrain.compare(settings)
        finally:
            os.dup2(kept, 1)
            os.close(kept)
    (before, *_) = rates.values()
    for name, rate in rates.items():
        if rate:
            yield Row("training", name, f"{rate:.1f} clips/s", rate / before)
        else:
            yield Row("training", name, "refused: computes wrong on this processor")


def pipeline(sizes: Sizes) -> Iterator[Row]:
    """The stages of `wav2clip embed` alone, and together."""
    from engines import SETS
    from pipeline import measure
    from wav2clip.embedding.embedder import load

    model = load("builtin")
    for title, paths in SETS.items():
        for workers in (1, 2):
            times = measure(model, paths[: sizes.files], workers, min(3, sizes.turns))
            group = f"pipeline, {title}, `--workers {workers}`"
            parts = f"decoding {1e3 * times.decoding:.1f} + network {1e3 * times.network:.1f}"
            yield Row(group, "bound on shared cores", f"{parts} ms per file", 1.0)
            yield Row(group, "together", f"{1e3 * times.together:.1f} ms per file",
                      times.sum / times.together)  # fmt: skip
            group += ", network on hardware of its own (stand-in)"
            yield Row(group, "bound: slower stage", f"{1e3 * times.slowest:.1f} ms per file", 1.0)
            yield Row(group, "together", f"{1e3 * times.elsewhere:.1f} ms per file",
                      times.slowest / times.elsewhere)  # fmt: skip


PARTS: dict[str, Callable[[Sizes], Iterator[Row]]] = {
    "speed": speed,
    "installation": installation,
    "start": start,
    "memory": memory,
    "search": search,
    "training": training,
    "pipeline": pipeline,
}


# The table ------------------------------------------------------------------------------------


class Results:
    """Rows of all parts, kept in a file from one run to the next.

    Args:
        folder: holds ``bench.json`` and ``bench.md``; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self.where = {"machine": machine(), "versions": versions()}
        self.parts = self._kept()
        if folder is not None and (folder / "bench.json").is_file() and not self.parts:
            err.print("rows of another machine or of other versions are dropped")

    def _kept(self) -> dict[str, dict[str, Any]]:
        """The parts in the file, if they were measured here and with the same versions."""
        if self.folder is None or not (self.folder / "bench.json").is_file():
            return {}
        before = json.loads((self.folder / "bench.json").read_text("utf-8"))
        same = all(before.get(key) == value for key, value in self.where.items())
        return before["parts"] if same else {}

    def measure(self, name: str, sizes: Sizes) -> Iterator[Row]:
        """Measure a part; its old rows go when the first new one comes."""
        part: dict[str, Any] = {
            "date": time.strftime("%d %B %Y"),
            "load": round(os.getloadavg()[0], 1),
            "complete": False,
            "rows": [],
        }
        for row in PARTS[name](sizes):
            part["rows"].append(asdict(row))
            self.keep(name, part)
            yield row
        part["complete"] = True
        self.keep(name, part)

    def keep(self, name: str, part: dict[str, Any]) -> None:
        """Take a part and write both files; another process may have measured other parts."""
        self.parts = {**self.parts, **self._kept(), name: part}
        if self.folder is None:
            return
        content = json.dumps({**self.where, "parts": self.parts}, indent=1, ensure_ascii=False)
        for name, text in (("bench.json", content + "\n"), ("bench.md", self.markdown())):
            with atomic_path(self.folder / name) as path:
                path.write_text(text, encoding="utf-8")

    def markdown(self) -> str:
        """The page."""
        found = {name: self.parts[name] for name in PARTS if name in self.parts}
        dates = sorted({part["date"] for part in found.values()})
        loads = ", ".join(f"{name} {part['load']}" for name, part in found.items())
        unfinished = [name for name, part in found.items() if not part["complete"]]
        lines = [
            "# Benchmarks",
            "",
            "    make bench",
            "",
            f"{self.where['machine']}. {self.where['versions']}. {' and '.join(dates)}. Load of "
            f"the machine when each part began: {loads}.",
            *([f"Stopped before their end: {', '.join(unfinished)}."] if unfinished else []),
            "",
            "Each group begins with what it is compared with; a ratio above 1 is in favour of the "
            "row. The ESC-50 files are a copy at 16 kHz, encoded as Opus, not the official WAV.",
            "",
            "| | | measured | ratio |",
            "|---|---|---|---|",
        ]
        told = ""
        for part in found.values():
            for row in (Row(**each) for each in part["rows"]):
                lines.append(row.cells("" if row.group == told else row.group))
                told = row.group
        return "\n".join([*lines, ""])


def run(names: list[str], sizes: Sizes, results: Results) -> list[str]:
    """Measure parts, one after the other; the names of those that failed."""
    failed = []
    for name in names:
        began = time.perf_counter()
        try:
            with err.status(f"measuring {name}"):
                for row in results.measure(name, sizes):
                    told = f"{row.group}: {row.what}: {row.measured}"
                    err.print(told, markup=False, highlight=False, soft_wrap=True)
        except Exception as error:  # one part, say for want of a package, costs no other
            err.print("[red]failed[/]", escape(f"{name}: {type(error).__name__}: {error}"))
            failed.append(name)
        err.print(f"{name} took {time.perf_counter() - began:.0f} s")
    return failed


def chosen(value: str) -> list[str]:
    names = value.split(",")
    if unknown := set(names) - PARTS.keys():
        raise argparse.ArgumentTypeError(
            f"{', '.join(sorted(unknown))}: expected some of {','.join(PARTS)}"
        )
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=chosen, default=list(PARTS), metavar=",".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="small sizes; nothing is written")
    parser.add_argument("--output", type=Path, help="folder of bench.json and bench.md")
    options = parser.parse_args()
    folder = options.output or (None if options.quick else RESULTS)
    results = Results(folder)
    try:
        failed = run(options.only, QUICK if options.quick else Sizes(), results)
    except KeyboardInterrupt:
        failed = ["stopped"]
    print(results.markdown())
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
