"""Named collections of sounds: files, or parts of them, that somebody wants to have together.

They are kept beside the index and are no part of it. An item remembers the content of its file, and
whoever reads it looks for that content in the library: where a file was moved or renamed the item
follows it, and where the file is gone the item stays and is said to be missing. A collection is
there as long as something is in it.
"""

from __future__ import annotations

import os
import secrets
import time
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from wav2clip.errors import InputError, UnknownNameError
from wav2clip.files import display
from wav2clip.library.store import COLLECTIONS, ITEM_SCHEMA, Store, file_id, is_one_of

FAVOURITES = "Favourites"
"""The collection that the star of the page stands for."""

LONGEST_NAME, LONGEST_NOTE = 100, 1_000
"""Characters."""

EDGE_SECONDS = 0.05
"""What may be missing at an end of a part that is the whole file."""

_CONTENT = ("path_bytes", "hash", "sound", "duration")
"""What an item remembers of its file."""

Row = dict[str, Any]

Place = tuple[bytes, float, float | None]
"""Path, start and end of an item, by which two are the same; no end is all of the file."""


class Stretch(Protocol):
    """A part of a file: a find, an item, or a :class:`Part`."""

    @property
    def path(self) -> str | os.PathLike[str]: ...
    @property
    def start(self) -> float: ...
    @property
    def end(self) -> float | None: ...


class Part(NamedTuple):
    """A part of a file from one second to another; without an end, up to the end of the file."""

    path: str | os.PathLike[str]
    start: float = 0.0
    end: float | None = None


@dataclass(frozen=True)
class Item:
    """A file of a collection, or a part of it.

    Attributes:
        id: opaque, of this item alone.
        path: where the file is now; where it was, if it is missing.
        start: seconds from the start of the file to the part.
        end: seconds to the part's end; the end of the file, if ``whole``.
        whole: whether all of the file is meant, however long it is.
        duration: seconds of the file.
        added: when it was added, UTC.
        note: what was noted, or "".
        missing: whether the library has no such file any more, or the file is not there.
        file: key of the file in the library, or "" where it has none.
    """

    id: str
    path: Path
    start: float
    end: float
    whole: bool
    duration: float
    added: datetime
    note: str = ""
    missing: bool = False
    file: str = ""

    @property
    def place(self) -> Place:
        """What makes two items the same one."""
        return os.fsencode(self.path), self.start, None if self.whole else self.end

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``path`` is as :func:`wav2clip.files.display` shows it."""
        return {
            "path": display(self.path),
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "whole": self.whole,
            "duration": round(self.duration, 3),
            "added": self.added.isoformat(timespec="seconds"),
            "note": self.note,
            "missing": self.missing,
        }


class Summary(NamedTuple):
    """A collection: its name, how many items it has, and how many of these are missing."""

    name: str
    items: int
    missing: int


@dataclass
class Added:
    """What became of what was to be added.

    Attributes:
        items: all that are in the collection now, in the order in which they were given.
        new: how many of them were not there before.
        failures: the reason for each file of which nothing could be added.
    """

    items: list[Item] = field(default_factory=list)
    new: int = 0
    failures: dict[Path, str] = field(default_factory=dict)


class Collections:
    """The collections of one library."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def summaries(self) -> list[Summary]:
        """All collections, by name.

        Raises:
            LibraryError: there is no library.
        """
        named: dict[str, list[Item]] = {}
        rows = self._rows()
        for row, item in zip(rows, _items(self._store, rows), strict=True):
            named.setdefault(row["collection"], []).append(item)
        found = ((name, _once(items)) for name, items in named.items())
        counted = [Summary(n, len(items), sum(i.missing for i in items)) for n, items in found]
        return sorted(counted, key=lambda each: (each.name.casefold(), each.name))

    def items(self, name: str) -> list[Item]:
        """What is in a collection, in the order in which it was added.

        Raises:
            UnknownNameError: there is none of that name.
            LibraryError: there is no library.
        """
        return _once(_items(self._store, self._rows_of(name)))

    def add(
        self,
        name: str,
        parts: Iterable[str | os.PathLike[str] | Stretch],
        note: str | None = None,
    ) -> Added:
        """Add files of the library, or parts of them; what is there already stays once.

        Args:
            name: of the collection, which is made if there is none: 1 to :data:`LONGEST_NAME`
                characters that can be seen, on one line.
            parts: paths of files, or what has a path, a start and an end (seconds): finds, items,
                or :class:`Part`. What is but for :data:`EDGE_SECONDS` all of a file is all of it.
                Times are kept to the millisecond.
            note: of all of them, up to :data:`LONGEST_NOTE` characters on one line; None leaves
                the notes that are there.

        Raises:
            InputError: a name or a note that can be none.
            LibraryError: there is no library, or it cannot be written.
        """
        name = checked_name(name)
        note = None if note is None else _checked("note", note, 0, LONGEST_NOTE)
        given = [Part(p) if isinstance(p, str | os.PathLike) else p for p in parts]
        with self._changing():
            files = _Files(self._store, file=[key for p in given for key in _keys(p.path)])
            rows = self._rows(name)
            addition = _Addition(name, note, rows, _items(self._store, rows))
            for part in given:
                addition.take(part, files.at(part.path))
            if addition.changed:
                self._store.put_items(_table(addition.changed.values()))
        items = _items(self._store, addition.meant)
        return Added(items, addition.new, addition.failures)

    def remove(self, name: str, ids: Iterable[str]) -> int:
        """Take items out of a collection, by their ids; gives how many there were.

        Raises:
            UnknownNameError: there is no collection of that name.
            LibraryError: there is no library, or it cannot be written.
        """
        wanted = set(ids)
        with self._changing():
            items = _items(self._store, self._rows_of(name))
            # Files may have become one since they were added: then all of their items go.
            places = {item.place for item in items if item.id in wanted}
            dropped = {item.id for item in items if item.place in places}
            if dropped:
                self._store.drop_items(dropped)
        return len(places)

    def rename(self, name: str, new: str) -> None:
        """Give a collection another name.

        Raises:
            UnknownNameError: there is none of that name.
            InputError: the new name can be none, or is taken.
            LibraryError: there is no library, or it cannot be written.
        """
        new = checked_name(new)
        with self._changing():
            rows = self._rows_of(name)
            if self._rows(new):
                raise InputError(
                    f"there is a collection called {new!r} already, expected a name that is free; "
                    "choose another, or delete that collection first"
                )
            self._store.put_items(_table({**row, "collection": new} for row in rows))

    def delete(self, name: str) -> int:
        """Forget a collection, and no file; gives how many items it had.

        Raises:
            UnknownNameError: there is none of that name.
            LibraryError: there is no library, or it cannot be written.
        """
        with self._changing():
            rows = self._rows_of(name)
            self._store.drop_items({row["id"] for row in rows})
        return len(_once(_items(self._store, rows)))

    def _changing(self) -> AbstractContextManager[None]:
        """The lock, for the moment that a change takes; not where there is no library."""
        self._store.settings  # noqa: B018  says so
        return self._store.lock(wait=True, of=COLLECTIONS)

    def _rows(self, name: str | None = None) -> list[Row]:
        """Of one collection, or of all."""
        rows: list[Row] = self._store.items().to_pylist()
        if not rows:
            self._store.settings  # noqa: B018  says so where there is no library
        return [row for row in rows if name is None or row["collection"] == name]

    def _rows_of(self, name: str) -> list[Row]:
        """Of one that is there."""
        name = checked_name(name)
        rows = self._rows(name)
        if not rows:
            raise UnknownNameError(
                f"there is no collection called {name!r}; `wav2clip collection list` tells which "
                "there are"
            )
        return rows


def checked_name(name: str) -> str:
    """The name of a collection as it is kept: composed (NFC), without spaces at its ends.

    Raises:
        InputError: it is empty, too long, or holds what cannot be seen: control characters, those
            that turn the direction of writing, or bytes that are no text.
    """
    return _checked("name", name, 1, LONGEST_NAME)


def _checked(what: str, text: str, least: int, most: int) -> str:
    kept = unicodedata.normalize("NFC", text).strip() if len(text) <= 4 * most else text
    if not (least <= len(kept) <= most and kept.isprintable()):
        shown = ascii(kept[:40]) + ("..." if len(kept) > 40 else "")
        raise InputError(
            f"got the {what} {shown} ({len(text)} characters), expected {least} to {most} that can "
            "be seen, on one line; choose another"
        )
    return kept


# Adding -------------------------------------------------------------------------------------------


class _Addition:
    """What is added to one collection: new rows, or a note at those that are there.

    Attributes:
        changed: rows to be written, by place.
        new: how many of these were not there.
        failures: as in :class:`Added`.
    """

    def __init__(
        self, name: str, note: str | None, rows: Sequence[Row], items: Sequence[Item]
    ) -> None:
        self._name, self._note = name, note
        pairs = zip(items, rows, strict=True)
        self._there = {item.place: row for item, row in reversed([*pairs])}  # the first one counts
        # Clocks are set back at times; the order in which things were added is kept all the same.
        self._time = max([time.time_ns(), *(row["added"] + 1 for row in rows)])
        self._meant: dict[Place, None] = {}
        self.changed: dict[Place, Row] = {}
        self.new = 0
        self.failures: dict[Path, str] = {}

    @property
    def meant(self) -> list[Row]:
        """The rows of all that was taken, each once."""
        return [self._there[place] for place in self._meant]

    def take(self, part: Stretch, file: Row | None) -> None:
        """Take a part of a file of the library, or what is none."""
        try:
            if file is None:
                raise InputError("is not in the library; index its folder, then add it again")
            span = _span(part, file["duration"])
        except InputError as error:
            self.failures[Path(part.path)] = str(error)
            return
        place = (file["path_bytes"], *span)
        self._meant[place] = None
        row = self._there.get(place)
        if row is None:
            row = self._row(file, *span)
        elif self._note in (None, row["note"]):
            return
        if self._note is not None:
            row = {**row, "note": self._note}
        self._there[place] = self.changed[place] = row

    def _row(self, file: Row, start: float, end: float | None) -> Row:
        self.new += 1
        return {
            **{name: file.get(name) for name in _CONTENT},
            "id": secrets.token_hex(16),
            "collection": self._name,
            "added": self._time + self.new,
            "note": "",
            "start": start,
            "end": end,
        }


def _span(part: Stretch, duration: float) -> tuple[float, float | None]:
    """Start and end to the millisecond; no end for all of the file.

    Raises:
        InputError: nothing of the file lies between them.
    """
    start, end = part.start, duration if part.end is None else min(part.end, duration)
    if not (0 <= start < end and round(start, 3) < round(end, 3)):
        raise InputError(
            f"nothing of its {duration:.3f} s lies between {part.start} and {part.end} s; give a "
            "start before the end of the file, and an end after the start"
        )
    if start <= EDGE_SECONDS and end >= duration - EDGE_SECONDS:
        return 0.0, None
    return round(start, 3), round(end, 3)


def _table(rows: Iterable[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=ITEM_SCHEMA)


# Reading ------------------------------------------------------------------------------------------


class _Files:
    """Files of a library that have one of some keys, or of some contents.

    Args:
        store: of the library.
        sought: keys (``file``) and hashes (``hash``, ``sound``).
    """

    def __init__(self, store: Store, **sought: Iterable[str | None]) -> None:
        self._of: dict[str, dict[str, Row]] = {name: {} for name in ("file", "hash", "sound")}
        if not store.exists:
            return
        store.refresh()
        kept = set(store.segments.schema.names)  # an earlier version kept no hashes of sound
        either = [
            is_one_of(name, set(filter(None, values)))
            for name, values in sought.items()
            if name in kept
        ]
        columns = sorted(kept & {"file", *_CONTENT})
        found = store.read(columns, f"segment = 0 AND ({' OR '.join(either)})")
        for row in found.sort_by("path_bytes").to_pylist():
            for name, known in self._of.items():
                if row.get(name):
                    known.setdefault(row[name], row)

    def at(self, path: str | os.PathLike[str]) -> Row | None:
        """The file of a path, as it is given or as links lead to it."""
        return next((self._of["file"][k] for k in _keys(path) if k in self._of["file"]), None)

    def now(self, row: Row) -> Row | None:
        """The file that an item is of: the one that has its content, where it was or elsewhere,
        or else the one that took its place."""
        own = self._of["file"].get(file_id(row["path_bytes"]))
        for name in ("hash", "sound"):
            if row[name] and own is not None and own.get(name) == row[name]:
                return own
        return self._of["hash"].get(row["hash"]) or self._of["sound"].get(row["sound"]) or own


def _keys(path: str | os.PathLike[str]) -> list[str]:
    """Keys that a file may have in the library."""
    try:
        return [file_id(os.path.abspath(path)), file_id(os.path.realpath(path))]
    except ValueError:  # a zero byte
        return []


def _items(store: Store, rows: Sequence[Row]) -> list[Item]:
    """The items of rows, one for each."""
    if not rows:
        return []
    contents = {name: [row[name] for row in rows] for name in ("hash", "sound")}
    files = _Files(store, file=[file_id(row["path_bytes"]) for row in rows], **contents)
    return [_item(row, files.now(row)) for row in rows]


def _item(row: Row, file: Row | None) -> Item:
    told = row if file is None else file
    path = Path(os.fsdecode(told["path_bytes"]))
    added = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row["added"] // 1000)
    return Item(
        id=row["id"],
        path=path,
        start=row["start"],
        end=told["duration"] if row["end"] is None else row["end"],
        whole=row["end"] is None,
        duration=told["duration"],
        added=added,
        note=row["note"],
        missing=file is None or not os.path.exists(path),
        file="" if file is None else file["file"],
    )


def _once(items: Iterable[Item]) -> list[Item]:
    """Without those that have become the same as one before them."""
    first: dict[Place, Item] = {}
    for item in items:
        first.setdefault(item.place, item)
    return list(first.values())
