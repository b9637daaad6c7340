"""`wav2clip evaluate datasets`: what can be measured on, what is at hand, and how to get it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wav2clip.cli import console

if TYPE_CHECKING:
    from wav2clip.datasets.core import Sheet


def datasets(
    name: Annotated[
        str | None, typer.Argument(help="One dataset, with all its sheet says.")
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch its official files and verify them.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Folder of the dataset. By default NAME below "
            "$WAV2CLIP_DATASETS, or below the cache.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the sheets as JSON.")] = False,
) -> None:
    """List the datasets, or say all about one, or fetch one.

    Example: `wav2clip evaluate datasets`

    Fetch: `wav2clip evaluate datasets esc50 --download`
    """
    from wav2clip.datasets.catalogue import SHEETS, find_sheet
    from wav2clip.errors import InputError

    if name is None:
        if download or data:
            raise InputError("--download and --data need the name of a dataset")
        sheets = list(SHEETS.values())
    else:
        sheets = [find_sheet(name)]
        if download:
            _download(sheets[0], data)
    if as_json:
        console.print_json([_as_json(sheet, data) for sheet in sheets])
    elif name is None:
        _print_list(sheets)
    else:
        _print_sheet(sheets[0], data)


def _root(sheet: Sheet, data: Path | None) -> Path:
    from wav2clip.datasets.catalogue import usual_root

    return data or usual_root(sheet)


def _here(sheet: Sheet, data: Path | None) -> bool:
    from wav2clip.datasets.catalogue import GENERIC
    from wav2clip.datasets.core import find_root
    from wav2clip.errors import DataError

    if sheet.name in GENERIC:
        return False
    try:
        find_root(sheet, _root(sheet, data))
    except DataError:
        return False
    return True


def _download(sheet: Sheet, data: Path | None) -> None:
    from wav2clip.datasets.download import download

    root = _root(sheet, data)
    with console.download_bar(f"fetching {sheet.title}") as progress:
        left = download(sheet, root, progress)
    for archive in left:
        console.err.print(f"to be unpacked by hand: {archive}", soft_wrap=True, highlight=False)
    if sheet.by_hand:
        console.err.print(sheet.by_hand, markup=False, highlight=False)


def _as_json(sheet: Sheet, data: Path | None) -> dict[str, Any]:
    names = ("name", "title", "citation", "licence", "homepage", "tasks", "metric", "splits")
    return {
        **{key: getattr(sheet, key) for key in (*names, "labels", "layout", "by_hand")},
        "files": [vars(remote) for remote in sheet.remotes],
        "checksum_source": sheet.checksum_source,
        "folder": str(_root(sheet, data)),
        "here": _here(sheet, data),
    }


def _print_list(sheets: list[Sheet]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("name", "here", "download", "metric", "tasks", "licence"):
        table.add_column(title)
    for sheet in sheets:
        fetch = "by hand" if not sheet.remotes else "in part" if sheet.by_hand else "whole"
        table.add_row(
            *(sheet.name, "yes" if _here(sheet, None) else "", fetch, sheet.metric),
            *(", ".join(sheet.tasks), sheet.licence),
        )
    console.out.print(table)


def _print_sheet(sheet: Sheet, data: Path | None) -> None:
    kind = "folds" if sheet.folds else "splits"
    stated = sum(remote.checksum is not None for remote in sheet.remotes)
    checksums = f", {stated} with a checksum ({sheet.checksum_source})" if stated else ""
    unstated = len(sheet.remotes) - stated
    recorded = f", {unstated} recorded at the first download" if unstated else ""
    lines = {
        "title": sheet.title,
        "citation": sheet.citation,
        "licence": sheet.licence,
        "homepage": sheet.homepage,
        "tasks": ", ".join(sheet.tasks),
        "metric": sheet.metric,
        kind: ", ".join(sheet.splits) or "as its table or folders say",
        "labels": f"{len(sheet.labels)}: {', '.join(sheet.labels)}" if sheet.labels else "",
        "layout": sheet.layout,
        "files": f"{len(sheet.remotes)}{checksums}{recorded}" if sheet.remotes else "",
        "by hand": sheet.by_hand,
        "folder": f"{_root(sheet, data)}{'' if _here(sheet, data) else ' (nothing there yet)'}",
    }
    for title, text in lines.items():
        if text:
            line = f"{title:10s}{text}"
            console.out.print(line, soft_wrap=True, markup=False, highlight=False)
