"""`wav2clip collection`: sounds that are kept together under a name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wav2clip.cli import finds as f

if TYPE_CHECKING:
    from wav2clip.library import Item, Part

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Of the collection.")]
PathsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="PATHS...", help="Files of the library, or parts of them: PATH@12.5-20 (seconds)."
    ),
]


@app.callback()
def _group() -> None:
    """Keep sounds of the library together under names: files, or parts of them.

    Collections stay when files are moved and indexed again, and when the library is rebuilt. The
    star of the page stands for the collection Favourites.

    Example: `wav2clip search "rain on a tin roof" --collect "Scene 12"`

    Then: `wav2clip collection export "Scene 12" scene12/`
    """


@app.command("list")
def list_collections(
    library: f.LibraryOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
) -> None:
    """List the collections, and how many sounds are in each.

    Example: `wav2clip collection list`
    """
    from wav2clip.cli import console

    found = f.open_library(library, None).collections.summaries()
    if as_json:
        console.print_json([each._asdict() for each in found])
        return
    for name, items, missing in found:
        lacking = f", {missing} of them missing" if missing else ""
        line = f"{name}: {_sounds(items)}{lacking}"
        console.out.print(line, markup=False, highlight=False, soft_wrap=True)
    if not found:
        console.err.print("no collections yet: `wav2clip collection add NAME PATHS` makes one")


def _sounds(count: int) -> str:
    return f"{count} {'sound' if count == 1 else 'sounds'}"


@app.command()
def show(
    name: NameArgument,
    library: f.LibraryOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the sounds as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the sounds as CSV.")] = False,
    print0: f.NulOption = False,
) -> None:
    """Show what is in a collection, in the order in which it was added.

    Where nobody looks, as in a pipe, sounds are lines of path, start and end, with tabs between.
    Sounds of which the file is gone are listed as missing; -0 leaves them out.

    Example: `wav2clip collection show Favourites`
    """
    import io
    import os

    from wav2clip.cli import console
    from wav2clip.library.playlists import write_table

    how = f.Format.of(as_json, as_csv, print0)
    items = f.open_library(library, None).collections.items(name)
    if how is f.Format.json:
        console.print_json([item.to_json() for item in items])
    elif how is f.Format.csv:
        text = io.StringIO(newline="")
        write_table(items, text)
        f.print_raw(text.getvalue().encode())
    elif how is f.Format.nul:
        f.print_raw(b"".join(os.fsencode(i.path) + b"\0" for i in items if not i.missing))
    elif console.out.is_terminal:
        _print_table(items)
    else:
        f.print_raw(b"".join(map(_line, items)))


def _line(item: Item) -> bytes:
    import os

    return os.fsencode(item.path) + f"\t{item.start:.3f}\t{item.end:.3f}\n".encode()


def _print_table(items: list[Item]) -> None:
    """For people."""
    from rich.markup import escape
    from rich.table import Table

    from wav2clip.cli import console
    from wav2clip.files import display

    table = Table("", "from, to", "file", "note")
    for column in table.columns[2:]:
        column.overflow = "fold"
    for place, item in enumerate(items, start=1):
        where = escape(display(item.path)) + (" [red]missing[/]" if item.missing else "")
        table.add_row(str(place), "all" if item.whole else f.moment(item), where, escape(item.note))
    console.out.print(table)


@app.command()
def add(
    name: NameArgument,
    paths: PathsArgument,
    note: Annotated[
        str | None, typer.Option(help="What to note at them, up to 1000 characters.")
    ] = None,
    library: f.LibraryOption = None,
) -> None:
    """Add files of the library, or parts of them, to a collection; it is made if there is none.

    What is there already stays once. The exit code is 1 if one could not be added.

    Example: `wav2clip collection add Favourites door.wav "dusk.wav@2467.5-2480" --note "the owl"`
    """
    from wav2clip.cli import console, taking

    added = f.open_library(library, None).collections.add(name, map(parse_part, paths), note)
    console.out.print(taking.added_line(name, added), markup=False, soft_wrap=True)
    console.report_failures(added.failures, len(added.items), may_be_none=True)


@app.command()
def remove(name: NameArgument, paths: PathsArgument, library: f.LibraryOption = None) -> None:
    """Take sounds out of a collection; no file is touched.

    PATH takes all that is of this file, PATH@START-END that part alone, as `wav2clip collection
    show` lists it. A collection of which all is taken is gone.

    Example: `wav2clip collection remove Favourites door.wav`
    """
    from wav2clip.cli import console

    collections = f.open_library(library, None).collections
    items = collections.items(name)
    meant: dict[str, list[Item]] = {path: _meant(items, parse_part(path)) for path in paths}
    ids = {item.id for found in meant.values() for item in found}
    count = collections.remove(name, ids) if ids else 0
    console.out.print(f"took {count} out of {name}", markup=False, soft_wrap=True)
    unknown = {path: f"is not in {name}" for path, found in meant.items() if not found}
    console.report_failures(unknown, count, may_be_none=True)


def _meant(items: list[Item], part: Part) -> list[Item]:
    """The items of a file, or of a part of it."""
    import os

    paths = {Path(os.path.abspath(part.path)), Path(os.path.realpath(part.path))}
    own = [item for item in items if item.path in paths]
    if part.end is None:
        return own
    return [i for i in own if (round(i.start, 3), round(i.end, 3)) == (part.start, part.end)]


@app.command()
def rename(
    name: NameArgument,
    new: Annotated[str, typer.Argument(metavar="NEW_NAME", help="Up to 100 characters.")],
    library: f.LibraryOption = None,
) -> None:
    """Give a collection another name.

    Example: `wav2clip collection rename "Scene 12" "Scene 12, rain"`
    """
    from wav2clip.cli import console

    f.open_library(library, None).collections.rename(name, new)
    console.out.print(f"{name} is called {new} now", markup=False, soft_wrap=True)


@app.command()
def delete(name: NameArgument, library: f.LibraryOption = None) -> None:
    """Forget a collection; no file is touched.

    Example: `wav2clip collection delete "Scene 12"`
    """
    from wav2clip.cli import console

    count = f.open_library(library, None).collections.delete(name)
    console.out.print(f"deleted {name}: {_sounds(count)}", markup=False, soft_wrap=True)


@app.command()
def export(
    name: NameArgument,
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A folder, or a file: NAME.m3u8, NAME.csv.")
    ],
    whole: Annotated[
        bool, typer.Option("--whole", help="Into a folder: whole files, not the parts.")
    ] = False,
    library: f.LibraryOption = None,
) -> None:
    """Copy a collection to a folder, or write it as a playlist (.m3u8) or a table (.csv).

    A folder gets what `wav2clip search --copy-to` gives: whole files, and parts as WAV. A playlist
    is extended M3U in UTF-8; M3U has no standard for parts, so start and end are written for VLC
    (#EXTVLCOPT), and other players play the file from its beginning. Nothing is overwritten.
    A table has what is missing, too; otherwise it is listed, and the exit code is 1.

    Example: `wav2clip collection export "Scene 12" scene12.m3u8`
    """
    from wav2clip.cli import console, taking
    from wav2clip.errors import InputError
    from wav2clip.files import atomic_path, display
    from wav2clip.library import playlists

    path = Path(target)
    suffix = "" if target.endswith("/") or path.is_dir() else path.suffix.lower()
    if suffix not in ("", ".m3u8", ".csv"):
        raise InputError(
            f"cannot export to {display(path)}: expected .m3u8, .csv or a folder; give a folder "
            "with such a name a / at its end"
        )
    items = f.open_library(library, None).collections.items(name)
    lacking = {item.path: "is missing; index its folder again" for item in items if item.missing}
    if not suffix:
        there = [item for item in items if not item.missing]
        taking.copy(there, path, whole=whole, lacking=lacking)
        return
    with (
        atomic_path(path, replace=False) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        if suffix == ".csv":
            playlists.write_table(items, file)
            lacking = {}
        else:
            playlists.write_m3u8(name, items, file)
    done = len(items) - len(lacking)
    told = f"wrote {_sounds(done)} to {display(path)}"
    console.err.print(told, markup=False, soft_wrap=True)
    console.report_failures(lacking, done, may_be_none=True)


def parse_part(text: str) -> Part:
    """What was typed: a path, or a part of a file, ``PATH@12.5-20``.

    A file that has just this name is that file.
    """
    import os
    import re

    from wav2clip.library import Part

    match = re.fullmatch(r"(.+)@(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", text, re.DOTALL | re.ASCII)
    if match is None or os.path.lexists(text):
        return Part(text)
    return Part(match[1], float(match[2]), float(match[3]))
