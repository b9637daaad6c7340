"""Recordings of your own: a table, or a folder per label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from wav2clip.datasets.core import TEST, TRAIN, VALIDATION, Clip, Problem, Sheet, read_rows
from wav2clip.errors import DataError
from wav2clip.files import display, walk

ALL = "all"
"""The split of clips for which none is given."""

COLUMNS = ("audio", "label", "labels", "caption", "image", "split", "group")


def _read_table(table: str, root: Path) -> Iterator[Clip | Problem]:
    """Rows with ``audio``, and any of the other :data:`COLUMNS`; labels are separated by ";"."""
    for number, row in enumerate(read_rows(root / table), 2):
        if "audio" not in row:
            raise DataError(
                f"{display(root / table)} has no column audio; expected it and any of "
                f"{', '.join(COLUMNS[1:])}"
            )
        if not row["audio"]:
            yield Problem(f"{table}, line {number}", "names no file")
            continue
        labels = row.get("labels", "").split(";") if "labels" in row else [row.get("label", "")]
        image = row.get("image")
        yield Clip(
            key=row["audio"],
            path=root / row["audio"],
            split=row.get("split") or ALL,
            labels=tuple(label.strip() for label in labels if label.strip()),
            group=row.get("group") or row["audio"],
            captions=tuple(filter(None, [row.get("caption", "").strip()])),
            image=root / image if image else None,
        )


def _read_folder(root: Path) -> Iterator[Clip | Problem]:
    """ROOT/LABEL/..., or ROOT/SPLIT/LABEL/... where the outer folders are train, test ..."""
    odd: list[OSError] = []
    for path in walk(root, on_error=odd.append):
        parts = path.relative_to(root).parts
        key = str(path.relative_to(root))
        split = parts[0] if parts[0] in (TRAIN, VALIDATION, TEST) else ALL
        inner = parts if split == ALL else parts[1:]
        if len(inner) < 2:
            yield Problem(key, "unlabelled: it lies in no folder that names its class")
            continue
        yield Clip(key=key, path=path, split=split, labels=(inner[0],), group=key)
    for error in odd:
        yield Problem(error.filename, error.strerror or str(error))


CSV = Sheet(
    name="csv",
    title="a table",
    citation="",
    licence="your own",
    homepage="",
    tasks=("probe", "zeroshot", "tagging", "retrieval"),
    metric="accuracy",
    splits=(),
    folds=False,
    labels=(),
    layout="a .csv file with the column audio (paths relative to it) and any of "
    + ", ".join(COLUMNS[1:])
    + "; name the file as the dataset",
    marker="table.csv",
    read=partial(_read_table, "table.csv"),
    strays=False,
)

FOLDER = replace(
    CSV,
    name="folder",
    title="a folder",
    tasks=("probe", "zeroshot"),
    layout="one folder per label, within train/, validation/ and test/ where you have splits; "
    "name the outermost folder as the dataset",
    marker=".",
    read=_read_folder,
)

TUXPAINT = replace(
    CSV,
    name="tuxpaint",
    title="Tux Paint stamps",
    citation="B. Kendrick and contributors, Tux Paint Stamps",
    licence="GPL-2.0",
    homepage="https://tuxpaint.org/stamps/",
    tasks=("retrieval",),
    metric="R@10",
    layout="the tree of the stamps with the recordings that have a picture and a description, and "
    "pairs.csv with the columns audio, image and caption",
    marker="pairs.csv",
    read=partial(_read_table, "pairs.csv"),
    by_hand="pairs.csv lists those stamps that have a sound in English or none in words, a "
    "picture, and a description (the first line of the .txt file).",
)


def folder_sheet(root: Path) -> Sheet:
    """The sheet of a folder of the user's."""
    return replace(FOLDER, name=root.name, title=display(root))


def table_sheet(path: Path) -> Sheet:
    """The sheet of a table of the user's; its root is the folder of the table."""
    return replace(
        CSV,
        name=path.stem,
        title=display(path.name),
        marker=path.name,
        read=partial(_read_table, path.name),
    )
