"""Sidecars: texts and tables beside sounds, whose words belong to them.

``NAME.txt`` and ``NAME.wav.txt`` belong to ``NAME.wav``, and so does the row of a ``*.csv`` in the
same folder that has a column with the names of sounds. They are found in the listings of folders
that a scan makes anyway. A stamp of their names, sizes and times tells whether they are to be read.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import stat
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wav2clip.audio.metadata import bounded
from wav2clip.files import decode_text
from wav2clip.library import ucs

LARGEST_TEXT, LARGEST_TABLE = 2**16, 10 * 2**20
"""Bytes; larger files are none of these."""

MOST_TABLES = 20
"""Of a folder; the first by name are read."""

FIELD = "note"
"""The field that a text is."""

_DELIMITERS = ",;\t|"
_BINARY = 0.01  # share of control characters from which a file is no text
_ROWS_LOOKED_AT = 1_000

Rows = dict[str, list[tuple[str, str]]]
"""Fields and texts of a table, by the name of the sound, see :func:`_key`."""


@dataclass
class _Folder:
    texts: dict[str, os.DirEntry[str]] = field(default_factory=dict)  # by name without suffix
    tables: dict[str, os.DirEntry[str]] = field(default_factory=dict)
    sounds: set[str] = field(default_factory=set)
    counted: bool = False  # among what was left out
    stamp: str | None = None  # of the tables
    rows: Rows | None = None


class Beside:
    """What lies beside the sounds of folders that were listed."""

    def __init__(self) -> None:
        self._folders: dict[str, _Folder] = {}

    def see(self, entry: os.DirEntry[str], counted: bool = True) -> None:
        """Take an entry of a folder that is no sound, and may be counted among what is left out."""
        stem, suffix = os.path.splitext(entry.name)
        if suffix.lower() not in (".txt", ".csv"):
            return
        folder = self._folders.setdefault(os.path.dirname(entry.path), _Folder())
        folder.counted |= counted
        if suffix.lower() == ".txt":
            folder.texts[stem] = entry
        elif len(folder.tables) < MOST_TABLES:
            folder.tables[entry.name] = entry

    def settle(self, sounds: Iterable[Path], left_out: Counter[str]) -> None:
        """Say which sounds there are, once all entries were seen; what belongs to them is no longer
        among what was left out."""
        used: set[str] = set()
        for path in sounds if self._folders else ():
            folder = self._folders.get(os.path.dirname(path))
            if folder is not None:
                folder.sounds.add(path.name)
                entries = (*_texts(folder, path), *folder.tables.values())
                used.update(entry.path for entry in entries if folder.counted)
        left_out.subtract(os.path.splitext(path)[1].lower() for path in used)
        for suffix in [suffix for suffix, count in left_out.items() if count <= 0]:
            del left_out[suffix]

    @property
    def sounds(self) -> Iterator[Path]:
        """Those that may have something beside them."""
        for name, folder in self._folders.items():
            yield from (Path(name, sound) for sound in folder.sounds)

    def stamp(self, path: Path) -> str:
        """What changes when something beside a sound does; "" where there is nothing."""
        folder = self._folders.get(os.path.dirname(path))
        if folder is None:
            return ""
        if folder.stamp is None:
            states = {name: _state(e, LARGEST_TABLE) for name, e in folder.tables.items()}
            folder.tables = {name: e for name, e in folder.tables.items() if states[name]}
            folder.stamp = "".join(states.values())
        seen = "".join(_state(e, LARGEST_TEXT) for e in _texts(folder, path)) + folder.stamp
        return hashlib.blake2b(seen.encode(), digest_size=8).hexdigest() if seen else ""

    def words(self, path: Path) -> dict[str, str]:
        """The texts that belong to a sound, by field; bounded as metadata is."""
        folder = self._folders.get(os.path.dirname(path))
        if folder is None or not self.stamp(path):
            return {}
        pairs = [
            (FIELD, _read(entry, LARGEST_TEXT))
            for entry in _texts(folder, path)
            if _state(entry, LARGEST_TEXT)
        ]
        if folder.rows is None:
            folder.rows = _rows(folder)
        return bounded([*pairs, *folder.rows.get(_key(path.name), ())])


def texts_of(name: str) -> tuple[str, str]:
    """Names without suffix that a text beside a sound may have."""
    return name, os.path.splitext(name)[0]


def _texts(folder: _Folder, path: Path) -> list[os.DirEntry[str]]:
    return [folder.texts[stem] for stem in texts_of(path.name) if stem in folder.texts]


def _state(entry: os.DirEntry[str], largest: int) -> str:
    """Name, size and time of a file; "" for what is none, or too large."""
    try:
        status = entry.stat()  # asked once, an entry remembers
    except OSError:
        return ""
    if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= largest:
        return ""
    return ascii((entry.name, status.st_size, status.st_mtime_ns))


def _read(entry: os.DirEntry[str], largest: int) -> str:
    """The text of a file; "" for what is binary, too large by now, or cannot be read."""
    try:
        with open(entry.path, "rb", opener=_without_waiting) as file:
            content = file.read(largest + 1)
    except OSError:
        return ""
    return "" if len(content) > largest else readable(decode_text(content))


def readable(text: str) -> str:
    """A text, or "" for what is binary and was read as one."""
    controls = sum(c < " " and c not in "\t\r\n\f\x1a" for c in text)
    return "" if "\0" in text or controls > _BINARY * len(text) else text


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # who opens a pipe does not wait


# Tables -------------------------------------------------------------------------------------------


def read_table(text: str) -> list[list[str]]:
    """The rows of a CSV file with commas, semicolons, tabs or bars; none if it is broken."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(_DELIMITERS, key=first.count)
    try:
        return [
            row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row
        ]
    except csv.Error:
        return []


def _rows(folder: _Folder) -> Rows:
    """What the tables of a folder say of its sounds."""
    keys: defaultdict[str, set[str]] = defaultdict(set)  # of sounds, by what a cell may call them
    for name in folder.sounds:
        named = ucs.parse_name(name)  # a table calls it as it was called before
        for called in (*texts_of(name), *([named.title] if named else [])):
            keys[_key(called)].add(_key(name))
    said: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for entry in folder.tables.values():
        header, *rows = read_table(_read(entry, LARGEST_TABLE)) or [[]]
        column = _naming(rows, keys)
        for row in rows if column is not None else ():
            for name in _meant(row, column, keys):
                cells = enumerate(zip(header, row, strict=False))
                said[name] += [pair for place, pair in cells if place != column]
    return dict(said)


def _naming(rows: list[list[str]], keys: dict[str, set[str]]) -> int | None:
    """The column that names most sounds of the folder; None if none does."""
    hits = Counter(
        place
        for row in rows[:_ROWS_LOOKED_AT]
        for place in range(len(row))
        if _meant(row, place, keys)
    )
    return max(hits, key=lambda place: (hits[place], -place)) if hits else None


def _meant(row: list[str], place: int | None, keys: dict[str, set[str]]) -> set[str]:
    """The sounds that a cell names, whatever folder it is in."""
    if place is None or place >= len(row):
        return set()
    name = row[place].strip().replace("\\", "/").rpartition("/")[2]
    return keys.get(_key(name)) or keys.get(_key(ucs.clean(os.path.splitext(name)[0])), set())


def _key(name: str) -> str:
    """What a name is compared by: systems and spreadsheets change case and composition."""
    return unicodedata.normalize("NFC", name).casefold()
