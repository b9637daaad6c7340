"""The words of a library's files as a table, and tables of users back into the library.

Nothing is written into sound files. What is imported stands above what a file and its sidecars say,
and stays with the path: when the file changes, when it is moved, until it is dropped.
"""

from __future__ import annotations

import csv
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from wav2clip.audio.metadata import bounded
from wav2clip.errors import InputError
from wav2clip.files import decode_text, display
from wav2clip.library.beside import read_table, readable
from wav2clip.library.origins import COLUMNS, Origins, shown
from wav2clip.library.store import Store, file_id

FACTS = ("tags", "duration", "channels", "sample_rate")
"""Columns that are exported and not imported: they are no words of a file's."""

HEADER = ("path", *COLUMNS, *FACTS)

LARGEST = 100 * 2**20
"""Bytes of a table that is imported."""

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_BATCH = 5_000


@dataclass
class Imported:
    """What became of the rows of a table.

    Attributes:
        files: how many files have other words now.
        unchanged: how many had these words already.
        failures: rows that match no file, or several, with the reason.
    """

    files: int = 0
    unchanged: int = 0
    failures: dict[str, str] = field(default_factory=dict)


def harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: those that could be begin with an apostrophe.

    See OWASP, CSV Injection. :func:`_plain` takes it away again.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def _plain(text: str) -> str:
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def write_words(store: Store, file: TextIO) -> int:
    """Write a row for each file of a library, in the order of the paths; gives how many.

    Args:
        store: of the library.
        file: open for text with ``newline=""``; commas between, the columns :data:`HEADER`.
    """
    told = ["metadata"] if store.has_metadata else []
    rows = store.read(["path", *told, *FACTS], "segment = 0").sort_by("path")
    tags = _tags(store)
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADER)
    for row in rows.to_pylist():
        row["tags"] = "; ".join(tags.get(row["path"], ()))
        row["duration"] = round(row["duration"], 3)
        said = Origins.parse(row.pop("metadata", None), None).own or {}
        words = {column: shown(said, column) for column in COLUMNS}
        writer.writerow([harmless(str({**row, **words}[column])) for column in HEADER])
    count: int = rows.num_rows
    return count


def _tags(store: Store) -> dict[str, list[str]]:
    """Tags of any segment of a file, each once."""
    given: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for row in store.read(["path", "tags"], "tags IS NOT NULL").to_pylist():
        given[row["path"]].update(dict.fromkeys(row["tags"]))
    return {path: list(tags) for path, tags in given.items()}


def read_words(store: Store, table: Path) -> Imported:
    """Set the words of files as a table has them; an empty cell leaves a field as it is.

    Args:
        store: whose lock the caller holds.
        table: CSV with a header that has ``path``: absolute, relative to the table's folder, or the
            name alone where one file has it. Every other column but :data:`FACTS` is a field. What
            a file says anyway is not remembered.

    Raises:
        InputError: a file that cannot be read, is too large or no table, or has no such column.
    """
    store.upgrade()
    imported, wanted = Imported(), dict[str, dict[str, str]]()
    finder = _Finder(store, table)
    for number, (path, words) in enumerate(_rows(table), start=2):
        found = finder.find(path)
        if len(found) == 1:
            wanted.setdefault(found[0], {}).update(words)
        else:
            reason = "is what several files are called; give their paths" if found else (
                "no such file in the library"
            )  # fmt: skip
            imported.failures[f"row {number}: {path}"] = reason
    changed: dict[str, Origins] = {}
    for key, told in store.origins(wanted.keys()).items():
        new = _with(told, wanted[key])
        if new == told:
            imported.unchanged += 1
        else:
            changed[key] = new
    keys = list(changed)
    for at in range(0, len(keys), _BATCH):
        store.set_origins({key: changed[key] for key in keys[at : at + _BATCH]})
    imported.files = len(changed)
    if changed:
        store.tidy()
    return imported


def _with(told: Origins, words: Mapping[str, str]) -> Origins:
    """The words of a file with those of a row."""
    said = told.said()
    kept = {name: text for name, text in told.imported.items() if name not in words}
    new = {name: text for name, text in words.items() if text != shown(said, name)}
    return replace(told, imported={**kept, **new})


def _rows(table: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Path and fields of each row that has a path."""
    header, *rows = read_table(_text(table)) or [[]]
    names = [name.strip().lower() for name in header]
    if "path" not in names:
        raise InputError(
            f"{display(table)} has no column called path; expected a CSV file with a header, as "
            "`wav2clip metadata export` writes it"
        )
    for row in rows:
        cells = dict(zip(names, map(_plain, row), strict=False))
        path = cells.pop("path", "").strip()
        if path:
            yield path, bounded((n, cells[n]) for n in cells if n and n not in FACTS)


def _text(table: Path) -> str:
    try:
        with table.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise InputError(f"cannot read {display(table)}: {error.strerror or error}") from error
    if len(content) > LARGEST:
        raise InputError(
            f"{display(table)} is larger than {LARGEST // 2**20} MB; import it in several parts"
        )
    return readable(decode_text(content))


class _Finder:
    """Files of a library by what a table calls them."""

    def __init__(self, store: Store, table: Path) -> None:
        self._folder = os.path.dirname(os.path.realpath(table))
        rows: list[dict[str, Any]] = store.read(["file", "path"], "segment = 0").to_pylist()
        self._paths = {row["path"]: row["file"] for row in rows}
        self._keys = set(self._paths.values())
        self._names: defaultdict[str, list[str]] = defaultdict(list)
        for path, key in self._paths.items():
            self._names[path.rpartition(os.sep)[2]].append(key)

    def find(self, path: str) -> list[str]:
        """Ids of the files that are called so."""
        for full in (path, os.path.normpath(os.path.join(self._folder, path))):
            if full in self._paths:
                return [self._paths[full]]
        try:
            real = file_id(os.path.realpath(os.path.join(self._folder, path)))
        except ValueError:  # a zero byte
            return []
        if real in self._keys:
            return [real]
        return self._names.get(path, [])
