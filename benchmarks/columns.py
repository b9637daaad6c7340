"""Results of several models side by side: files that a benchmark writes, and pages made of them."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from machine import machine, versions
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.files import atomic_path

DATA = Path(os.environ.get("WAV2CLIP_DATA", Path(__file__).parents[2] / "shared" / "data"))
CACHE = Path(tempfile.gettempdir()) / "wav2clip-benchmarks"

Result = dict[str, Any]
"""What was measured of one model, as it stands in its file."""


def parser(description: str) -> argparse.ArgumentParser:
    """The options that every benchmark with results of this kind has."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--model", default="builtin", help="name or path")
    made.add_argument("--data", type=Path, default=DATA)
    made.add_argument("--cache", type=Path, default=CACHE, help="keeps the embeddings")
    made.add_argument("--title", help="heads the column of a page")
    made.add_argument("--note", default="", help="what a reader of the column should know")
    made.add_argument("--json", type=Path, help="file for the result")
    made.add_argument("--write", type=Path, help="write this page of RESULTS; measure nothing")
    made.add_argument("results", type=Path, nargs="*", help="files that --json wrote")
    return made


def about(benchmark: str, model: Wav2CLIP, options: argparse.Namespace) -> Result:
    """The head of a result: what was measured, of which model, where and when.

    Args:
        benchmark: its name, so that no page takes another's results.
        model: a checkpoint in a folder is called by the folder's name alone.
        options: ``title`` heads the column, by default the model and its fingerprint.
    """
    name = Path(model.name).name
    return {
        "benchmark": benchmark,
        "title": options.title or f"{name} {model.fingerprint}",
        "note": options.note,
        "model": name,
        "fingerprint": model.fingerprint,
        "sample_rate": model.sample_rate,
        "date": time.strftime("%d %B %Y"),
        "machine": machine(),
        "versions": versions(),
    }


def read(paths: Iterable[Path], benchmark: str) -> list[Result]:
    """Results of a benchmark, in the order of the columns.

    Raises:
        SystemExit: there is none, or one is of another benchmark.
    """
    results = [json.loads(path.read_text("utf-8")) for path in paths]
    if not results:
        raise SystemExit("name the files of results that are the columns of the page")
    for path, result in zip(paths, results, strict=True):
        if result.get("benchmark") != benchmark:
            raise SystemExit(f"{path.name} holds no results of {benchmark}.py")
    return results


def save(path: Path, text: str) -> None:
    """Write a page or a file of results."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def as_json(result: Result) -> str:
    """The text of a file of results: an entry of a list takes a line."""
    return dumped(result) + "\n"


def dumped(value: Any, depth: int = 0) -> str:
    """JSON that is indented down to the lists, whose entries stay on one line each."""
    inner, outer = "\n" + " " * (depth + 1), "\n" + " " * depth
    if isinstance(value, dict) and value:
        entries = (f"{json.dumps(key)}: {dumped(each, depth + 1)}" for key, each in value.items())
        return f"{{{inner}{f',{inner}'.join(entries)}{outer}}}"
    if isinstance(value, list) and value:
        entries = (json.dumps(each, ensure_ascii=False) for each in value)
        return f"[{inner}{f',{inner}'.join(entries)}{outer}]"
    return json.dumps(value, ensure_ascii=False)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; all columns but the first are numbers, to the right."""
    lines = [header, ["---", *(["---:"] * (len(header) - 1))], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def sources(results: Sequence[Result]) -> str:
    """Which model each column is, and where and when it was measured."""
    return "\n".join(
        f"- {each['title']}: `{each['model']}` {each['fingerprint']}, "
        f"{each['sample_rate'] / 1000:g} kHz; {each['date']}, {each['machine']}; "
        f"{each['versions']}. {each['note']}".rstrip()
        for each in results
    )
