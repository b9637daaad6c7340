"""What the tasks of `wav2clip evaluate` share: options, features with a bar, rows of results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wav2clip.cli import console

if TYPE_CHECKING:
    from wav2clip.datasets.core import Dataset
    from wav2clip.evaluation.encoders import Encoder
    from wav2clip.evaluation.features import Features, FrameLevel
    from wav2clip.evaluation.records import Record
    from wav2clip.evaluation.rows import Subject

DatasetOption = Annotated[
    str,
    typer.Option(
        "--dataset",
        "-d",
        help="Name (`wav2clip evaluate datasets`), or a folder or .csv file of your own.",
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of the dataset. By default NAME below $WAV2CLIP_DATASETS."),
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="Name or path of a model, or of another encoder: logmel, mfcc, random, openl3, "
        "yamnet, laion-clap, ms-clap.",
    ),
]
LayerOption = Annotated[
    str,
    typer.Option(
        "--features",
        help="embedding: the projected one; encoder: the network's output before the projection.",
    ),
]
ResultsOption = Annotated[
    Path, typer.Option("--results", help="File of results, to which rows are added.")
]
KeepGoingOption = Annotated[
    bool,
    typer.Option("--keep-going", help="Leave out files that are missing, damaged or unlabelled."),
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")]
AgainOption = Annotated[
    bool,
    typer.Option("--again", help="Measure again what the file of results has for these versions."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")]

RESULTS = Path("results.jsonl")


@contextmanager
def extra() -> Iterator[None]:
    """Say which extra to install where a package is missing."""
    from wav2clip.errors import MissingExtraError

    try:
        yield
    except MissingExtraError:
        raise
    except ImportError as error:
        raise MissingExtraError(
            f"evaluation needs {error.name}; install it with: pip install 'wav2clip[evaluation]'"
        ) from error


def open_dataset(name: str, data: Path | None, keep_going: bool) -> Dataset:
    """The dataset; files that cannot be used are refused, or listed and left out."""
    from wav2clip.datasets.catalogue import load_dataset

    dataset = load_dataset(name, data)
    dataset.require_sound(keep_going)
    _list_problems(dataset.problems)
    return dataset


def open_encoder(model: str, layer: str, device: str) -> Encoder:
    """The encoder of that name, or its layer before the projection."""
    from wav2clip.errors import InputError
    from wav2clip.evaluation.encoders import load_encoder

    if layer not in ("embedding", "encoder"):
        raise InputError(f"got --features {layer}, expected embedding or encoder")
    return load_encoder(f"{model}:encoder" if layer == "encoder" else model, device)


def embed(
    encoder: Encoder, dataset: Dataset, keep_going: bool, frames: FrameLevel | None = None
) -> Features:
    """Embeddings of all clips or of their windows, with a bar; from the cache if they are there."""
    from wav2clip.evaluation.features import compute

    title = f"embedding {dataset.sheet.title} by {encoder.name}"
    with console.progress_bar(title, len(dataset.clips), "clips") as advance:
        features = compute(encoder, dataset, frames=frames, keep_going=keep_going, advance=advance)
    _list_problems(features.problems)
    return features


def measured(
    subject: Subject, results: Path, again: bool, measure: Callable[[], list[Record]], **unit: Any
) -> list[Record]:
    """Rows of one unit of work: those of the results file, else measured and kept there at once.

    Args:
        subject: what is measured on what.
        results: file of results.
        again: whether to measure in any case.
        measure: does the work.
        unit: attributes of its rows that tell it from every other: task, split, settings ...
    """
    from wav2clip.evaluation.records import find, save

    same = {
        "dataset": subject.dataset.sheet.name,
        "dataset_checksum": subject.dataset.checksum,
        "model": subject.encoder.name,
        "fingerprint": subject.encoder.fingerprint,
    }
    kept = [] if again else find(results, **same, **unit)
    if kept:
        console.err.print(
            f"kept what {results} has of {kept[0].date[:10]}: {unit['task']}, "
            f"{unit['settings']}; --again measures it anew",
            soft_wrap=True,
            markup=False,
            highlight=False,
        )
        return kept
    rows = measure()
    save(results, rows)
    return rows


def finish(records: Sequence[Record], results: Path, as_json: bool) -> None:
    """Keep rows and show them."""
    from wav2clip.evaluation.records import save

    save(results, records)
    if as_json:
        from dataclasses import asdict

        console.print_json([asdict(record) for record in records])
        return
    _print_table(records)
    console.err.print(f"{len(records)} rows in {results}", soft_wrap=True, highlight=False)


def _list_problems(problems: Sequence[Any]) -> None:
    for problem in problems:
        console.err.print(f"left out {problem}", soft_wrap=True, markup=False, highlight=False)


def _print_table(records: Sequence[Record]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from wav2clip.evaluation.tables import show_settings, show_value

    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for record in records:
        names = record.task, record.dataset, record.model, show_settings(record), record.split
        drawn = f"{record.fraction:.0%}", "" if record.seed is None else str(record.seed)
        lines.setdefault((*names, *drawn), {})[record.metric] = show_value(record)
    metrics = dict.fromkeys(record.metric for record in records)
    table = Table(box=None, pad_edge=False)
    for title in ("task", "dataset", "model", "how", "tested on", "labels", "seed"):
        table.add_column(title)
    for metric in metrics:
        table.add_column(metric.replace("_", " "), justify="right")
    for key, cells in lines.items():
        table.add_row(*map(escape, key), *(cells.get(metric, "") for metric in metrics))
    console.out.print(table)
