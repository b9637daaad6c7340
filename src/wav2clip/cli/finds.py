"""What the commands on a library share: opening it, filters, and printing what was found."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from wav2clip.library import Filters, Item, Library, Result, Results

LibraryOption = Annotated[
    str | None,
    typer.Option(
        "--library",
        help="Folder of the library, or its address on object storage, such as s3://bucket/sounds.",
        show_default="$WAV2CLIP_LIBRARY, or a folder among your data",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Name (`wav2clip models`) or path of a checkpoint.",
        show_default="the library's own, builtin for a new one",
    ),
]
CountOption = Annotated[int, typer.Option("-n", "--limit", min=1, help="Finds wanted.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the finds as JSON.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print the finds as CSV, all columns.")]
NulOption = Annotated[
    bool, typer.Option("-0", "--print0", help="Print paths with a zero byte after each, for xargs.")
]
AllRegionsOption = Annotated[
    bool,
    typer.Option(
        "--all-regions", "--all-segments", help="Every region of a file, not its best one alone."
    ),
]
MinDurationOption = Annotated[
    float | None, typer.Option("--min-duration", help="Files of at least so many seconds.")
]
MaxDurationOption = Annotated[
    float | None, typer.Option("--max-duration", help="Files of at most so many seconds.")
]
PathOption = Annotated[
    list[str] | None,
    typer.Option(
        "--path",
        help="Name of a folder, however deep, or of a file, or a pattern: field, '*.wav', "
        "'field/**'. Of several one is enough.",
    ),
]
AfterOption = Annotated[
    datetime | None,
    typer.Option("--after", help="Files changed on this day (UTC) or later.", formats=["%Y-%m-%d"]),
]
BeforeOption = Annotated[
    datetime | None,
    typer.Option(
        "--before", help="Files changed on this day (UTC) or earlier.", formats=["%Y-%m-%d"]
    ),
]
TagOption = Annotated[
    list[str] | None,
    typer.Option("--tag", help="Segments tagged so; of several, with all of them."),
]
FormatOption = Annotated[
    list[str] | None, typer.Option("--format", help="Files of this suffix: wav. Or of several.")
]
RateOption = Annotated[
    list[int] | None, typer.Option("--rate", help="Files of this sample rate, Hz. Or of several.")
]
ChannelsOption = Annotated[
    list[int] | None,
    typer.Option("--channels", help="Files of so many channels, 1 for mono. Or of several."),
]
CategoryOption = Annotated[
    list[str] | None,
    typer.Option(
        "--category",
        help="Files of a category of the UCS, by name or tag: ANMLDog, animals. Or of several.",
    ),
]
PlayOption = Annotated[
    bool, typer.Option("--play", help="Play the finds, best first; Ctrl-C goes to the next.")
]


class By(StrEnum):
    """What a phrase is compared with; see :data:`wav2clip.library.search.By`."""

    both = "both"
    sound = "sound"
    words = "words"


CollectOption = Annotated[
    str | None,
    typer.Option(
        "--collect", metavar="NAME", help="Add what was found to this collection of the library."
    ),
]
CopyOption = Annotated[
    Path | None,
    typer.Option(
        "--copy-to", help="Copy what was found into this folder, replacing none: regions as WAV."
    ),
]
WholeOption = Annotated[
    bool, typer.Option("--whole", help="With --copy-to: whole files, not the regions found.")
]


def open_library(
    path: str | None, model: str | None, device: str = "cpu", **options: str | None
) -> Library:
    """The library, whose model is loaded with a bar, and only when it is needed.

    Args:
        path: of the library, or None for the usual one.
        model: name or path, or None for the library's own.
        device: of the model.
        options: ``engine`` and ``precision``, or None for the library's own.
    """
    from wav2clip.cli import console
    from wav2clip.library import Library

    given = {name: value for name, value in options.items() if value is not None}
    loader = partial(console.load_model, device=device)
    return Library.open(path, model, options=given or None, loader=loader)


def make_filters(
    min_duration: float | None = None,
    max_duration: float | None = None,
    path: list[str] | None = None,
    after: datetime | None = None,
    before: datetime | None = None,
    tag: list[str] | None = None,
    format: list[str] | None = None,
    rate: list[int] | None = None,
    channels: list[int] | None = None,
    category: list[str] | None = None,
) -> Filters:
    """Filters from options: days are whole days."""
    from wav2clip.library import Filters

    return Filters(
        min_duration,
        max_duration,
        tuple(path or ()),
        after.date() if after else None,
        before.date() if before else None,
        tuple(tag or ()),
        tuple(format or ()),
        tuple(rate or ()),
        tuple(channels or ()),
        tuple(category or ()),
    )


def say_why(results: Results, library: Library, filters: Filters) -> None:
    """Say on stderr which filters nothing passes, where nothing was found."""
    if results:
        return
    from wav2clip.cli import console
    from wav2clip.library.filters import unmet

    def met(sql: str) -> bool:
        return bool(library.store.read(["segment"], sql).num_rows)

    for line in unmet(filters.conditions(), met):
        console.err.print(line, markup=False, soft_wrap=True)


@contextmanager
def steps(title: str, unit: str) -> Iterator[Any]:
    """A bar for a function that reports (done, in all)."""
    from wav2clip.cli import console

    with console.progress_bar(title, None, unit) as advance:
        done = 0

        def progress(now: int, total: int) -> None:
            nonlocal done
            advance(now - done, total)
            done = now

        yield progress


class Format(StrEnum):
    """How finds are printed. A table is for people: where nobody looks it is lines, with tabs
    between path, start, end and confidence."""

    table = "table"
    json = "--json"
    csv = "--csv"
    nul = "-0"

    @classmethod
    def of(cls, as_json: bool, csv: bool, nul: bool) -> Format:
        """The one that was asked for."""
        from wav2clip.errors import InputError

        asked = {cls.json: as_json, cls.csv: csv, cls.nul: nul}
        chosen = [each for each, wanted in asked.items() if wanted]
        if len(chosen) > 1:
            raise InputError(f"give one of {' and '.join(chosen)}")
        return chosen[0] if chosen else cls.table


def show(results: Results, how: Format) -> None:
    """Print finds, and on stderr what is to be said about them."""
    from wav2clip.cli import console

    for note in results.notes:
        console.err.print(note, markup=False, soft_wrap=True)
    if results and not results.likely:
        console.err.print(UNLIKELY, soft_wrap=True)
    if how is Format.json:
        console.print_json([result.to_json() for result in results])
    elif how is Format.csv:
        _print_csv(results)
    elif how is Format.nul:
        print_raw(b"".join(os.fsencode(result.path) + b"\0" for result in results))
    elif not results:
        console.err.print("nothing found: loosen the filters, or index more")
    elif console.out.is_terminal:
        print_table(results)
    else:
        print_raw(b"".join(map(_line, results)))


CSV_COLUMNS = (
    "path", "start", "end", "peak", "confidence", "score", "similarity", "words", "tags",
    "duration", "channels", "sample_rate", "size", "modified", "hash",
)  # fmt: skip

UNLIKELY = "nothing here is likely to be what was asked for; what comes nearest to it:"


def print_raw(content: bytes) -> None:
    """Paths as they are, which need not be text."""
    import sys

    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def _line(result: Result) -> bytes:
    told = f"\t{result.start:.3f}\t{result.end:.3f}\t{result.confidence:.3f}\n"
    return os.fsencode(result.path) + told.encode()


def _print_csv(results: Results) -> None:
    import csv
    import io

    text = io.StringIO()
    rows = [result.to_json() for result in results]
    writer = csv.DictWriter(text, CSV_COLUMNS, extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        lists = {name: "; ".join(row[name]) for name in ("words", "tags")}
        writer.writerow({**row, **lists})
    print_raw(text.getvalue().encode())


def print_table(results: Results, title: str | None = None) -> None:
    """For people: sureness, times, names, and words and tags where there are any."""
    from rich.markup import escape
    from rich.table import Table

    from wav2clip.cli import console
    from wav2clip.files import display

    # Long paths make tables hard to read: the folder that all share is said once, below.
    folder = os.path.commonpath([result.path.parent for result in results])
    columns = {
        "": [str(place) for place in range(1, len(results) + 1)],
        "sure": [f"{result.confidence:.0%}" for result in results],
        "from, to": [moment(result) for result in results],
        "file": [display(os.path.relpath(result.path, folder)) for result in results],
        "words": [", ".join(result.words) for result in results],
        "tags": [", ".join(result.tags) for result in results],
    }
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    table = Table(*columns, title=escape(title or "") or None)
    table.columns[1].justify = "right"
    table.columns[3].overflow = "fold"
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(escape, row))
    console.out.print(table)
    # Not as the table's caption, which would be broken at its width.
    console.out.print(f"in {display(folder)}", style="dim italic", markup=False, soft_wrap=True)


def moment(result: Result | Item) -> str:
    """Start and end of a find, as minutes and seconds."""
    return f"{clock(result.start)} to {clock(result.end)}"


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}:{rest:04.1f}"
