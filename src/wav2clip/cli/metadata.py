"""`wav2clip metadata`: the words of a library's files as a table, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wav2clip.cli.finds import LibraryOption

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


@app.callback()
def _group() -> None:
    """Write the words of the library's files into a table, and read them from one.

    Example: `wav2clip metadata export words.csv`

    Then, with what you changed: `wav2clip metadata import words.csv`
    """


@app.command("export")
def export_words(
    table: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE.csv]", show_default="standard output"),
    ] = None,
    library: LibraryOption = None,
) -> None:
    """Write one row a file: path, title, description, keywords, creator, library, category,
    subcategory, catid, tags, duration, channels and sample rate.

    Commas between, UTF-8, with a header. Cells that a spreadsheet would take for a formula (= + - @
    in front) begin with an apostrophe, which `wav2clip metadata import` takes away again.

    Example: `wav2clip metadata export words.csv`
    """
    import io

    from wav2clip.cli import console, finds
    from wav2clip.files import atomic_path, display
    from wav2clip.library.exchange import write_words

    store = finds.open_library(library, None).store
    if table is None:
        text = io.StringIO(newline="")
        write_words(store, text)
        typer.echo(text.getvalue(), nl=False)
        return
    with (
        atomic_path(table) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        count = write_words(store, file)
    console.err.print(f"wrote {count} files to {display(table)}", markup=False, soft_wrap=True)


@app.command("import")
def import_words(
    table: Annotated[
        Path, typer.Argument(metavar="FILE.csv", help="With a column path, and one for each field.")
    ],
    library: LibraryOption = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="If another process is indexing, wait for it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Set the words of files as a table has them, so that they are searched; no sound is touched.

    Paths are absolute, relative to the table, or a name that one file alone has. An empty cell
    leaves a field as it is. Commas, semicolons or tabs between, UTF-8, UTF-16 or Windows-1252. The
    exit code is 1 if a row matched no file.

    Example: `wav2clip metadata import words.csv`
    """
    from wav2clip.cli import console, finds
    from wav2clip.library.exchange import read_words

    store = finds.open_library(library, None).store
    store.settings  # noqa: B018  says so where there is no library
    with store.lock(wait), console.err.status("reading"):
        imported = read_words(store, table)
    if as_json:
        console.print_json(vars(imported))
    else:
        console.out.print(
            f"{imported.files} files have other words, {imported.unchanged} had them already"
        )
    done = imported.files + imported.unchanged
    console.report_failures(imported.failures, done, may_be_none=True)
