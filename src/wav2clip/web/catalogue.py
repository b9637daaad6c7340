"""The files of a library as the page knows them: opaque ids, folders, and opening them safely."""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wav2clip.errors import InputError
from wav2clip.files import display
from wav2clip.library import Filters, Library, Result
from wav2clip.library.index import searchable
from wav2clip.library.search import number_files
from wav2clip.web.problems import Refusal

_COLUMNS = [
    "file", "path_bytes", "segment", "duration", "tags", "channels", "sample_rate", "size",
    "mtime_ns",
]  # fmt: skip
_MOST_FOLDERS = 1_000
_CONDITIONS = 64
"""Of which is remembered which rows meet them: a byte for each row."""

_OWN_DEPTH = 3
# "/", and two folders below it: what whole trees of recordings usually have in common.


@dataclass(frozen=True)
class File:
    """A recording of the library.

    Attributes:
        id: opaque, the same for as long as the server runs.
        path: as the library stores it.
        duration: seconds.
        channels: of the file.
        sample_rate: Hz.
        size: bytes, when it was indexed.
        mtime_ns: when it was last changed, the same.
        segments: rows that it has.
        tags: of all its segments.
    """

    id: str
    path: Path
    duration: float
    channels: int
    sample_rate: int
    size: int
    mtime_ns: int
    segments: int
    tags: tuple[str, ...]


class Listing:
    """The files of one version of a library, in the order of their paths.

    Args:
        rows: all of its rows, without vectors.
        key: of the ids.
        roots: what may be read; by default :func:`roots_of` the files.
        meeting: takes an SQL condition; gives the ids of the rows that meet it.
    """

    def __init__(
        self,
        rows: pa.Table,
        key: bytes,
        roots: list[Path],
        meeting: Callable[[str], NDArray[np.uint64]],
    ) -> None:
        self._given, self._key, self._read_meeting = roots, key, meeting
        rows = rows.sort_by([("path_bytes", "ascending"), ("segment", "ascending")])
        self._rows = rows.combine_chunks()
        self.file_of: NDArray[np.int64] = number_files(rows)
        self._first = np.flatnonzero(np.diff(self.file_of, prepend=-1))
        self._files = self._rows.take(pa.array(self._first))
        self.ids = [public_id(name, key) for name in self._files["file"].to_pylist()]
        self._known_labels: dict[Path, str] = {}
        self._index = {name: place for place, name in enumerate(self.ids)}
        # Who narrows down, asks for the same conditions again and again.
        self.meeting = lru_cache(_CONDITIONS)(self._meeting)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def segments(self) -> int:
        return len(self.file_of)

    @property
    def seconds(self) -> float:
        """Of all recordings together."""
        return float(pc.sum(self._files["duration"]).as_py() or 0.0)

    @cached_property
    def paths(self) -> list[Path]:
        return [Path(os.fsdecode(raw)) for raw in self._files["path_bytes"].to_pylist()]

    def column(self, name: str) -> pa.Array:
        """Of the files: ``duration``, ``channels``, ``sample_rate``, ``size`` or ``mtime_ns``."""
        return self._files[name].combine_chunks()

    @cached_property
    def roots(self) -> list[Path]:
        """Folders inside which everything lies that may be read."""
        return self._given or roots_of(self._parents)

    @cached_property
    def _parents(self) -> set[Path]:
        return {path.parent for path in self.paths}

    @cached_property
    def tags(self) -> list[tuple[str, int]]:
        """Each tag and its files, the most frequent first."""
        names, places = self.tagged
        pairs = pa.table({"tag": names, "file": places})
        counts = pairs.group_by("tag").aggregate([("file", "count_distinct")])
        found = zip(
            counts["tag"].to_pylist(), counts["file_count_distinct"].to_pylist(), strict=True
        )
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))

    @cached_property
    def tagged(self) -> tuple[pa.Array, NDArray[np.int64]]:
        """Each tag of each segment, and the place of the file that it belongs to."""
        tags = self._rows["tags"].combine_chunks()
        rows = pc.list_parent_indices(tags).to_numpy()
        return pc.list_flatten(tags), self.file_of[rows]

    def _meeting(self, where: str) -> NDArray[np.bool_]:
        """(rows,) whether they meet an SQL condition."""
        met: NDArray[np.bool_] = np.isin(self._rows["_rowid"].to_numpy(), self._read_meeting(where))
        return met

    def passing(self, filters: Filters) -> NDArray[np.bool_]:
        """(files,) whether a segment of them passes filters."""
        rows = np.ones(self.segments, bool)
        for condition in filters.conditions():
            rows &= self.meeting(condition.sql)
        found = np.zeros(len(self), bool)
        found[self.file_of[rows]] = True
        return found

    def place_of(self, file: str) -> int | None:
        """The index of a file by its key in the library; None where there is none."""
        return self._index.get(public_id(file, self._key))

    def tags_of(self, place: int) -> tuple[str, ...]:
        first = int(self._first[place])
        last = int(self._first[place + 1]) if place + 1 < len(self) else self.segments
        rows = self._rows["tags"].slice(first, last - first).to_pylist()
        return tuple(dict.fromkeys(tag for tags in rows for tag in tags or ()))

    def file(self, name: str) -> File:
        """The file of an id.

        Raises:
            Refusal: the library has none.
        """
        place = self._index.get(name)
        if place is None:
            raise Refusal(404, "the library has no file of that id", do="search again")
        return self.at(place)

    def at(self, place: int) -> File:
        """The file at a place in the order of paths."""
        row = self._files.slice(place, 1).to_pylist()[0]
        last = self._first[place + 1] if place + 1 < len(self) else self.segments
        return File(
            self.ids[place],
            self.paths[place],
            row["duration"],
            row["channels"],
            row["sample_rate"],
            row["size"],
            row["mtime_ns"],
            int(last - self._first[place]),
            self.tags_of(place),
        )

    # Folders, as people see them ------------------------------------------------------------------

    def folder_of(self, path: Path) -> str:
        """The folder of a file as the page shows it: from the root that it lies in."""
        return self._label(path.parent)

    @cached_property
    def labels(self) -> list[str]:
        """The folder of each file, as :meth:`folder_of` gives it."""
        return [self._label(path.parent) for path in self.paths]

    def folders(self) -> list[str]:
        """Folders to choose from, sorted: as deep as keeps them at a thousand."""
        split = {tuple(self._label(folder).split("/")) for folder in self._parents}
        shown: set[str] = set()
        for depth in itertools.count(1):
            deeper = shown | {"/".join(parts[:depth]) for parts in split}
            if deeper == shown or len(deeper) > _MOST_FOLDERS:
                return sorted(shown)
            shown = deeper
        raise AssertionError  # count() does not end

    def filter_of(self, folder: str) -> str:
        """The pattern of all paths below a folder as the page shows it, for ``Filters.path``.

        Raises:
            InputError: no root of that name.
        """
        for root, label in self._labels.items():
            if folder == label or folder.startswith(f"{label}/"):
                path = searchable(root) + folder.removeprefix(label)
                return "".join(f"[{c}]" if c in "*?[" else c for c in path) + "/**"
        raise InputError("the library has no such folder: take one of those that /api/library has")

    @cached_property
    def _labels(self) -> dict[Path, str]:
        """What each root is called: its name, or its path where another has the same name."""
        names = [root.name for root in self.roots]
        return {
            root: display(root.name if root.name and names.count(root.name) == 1 else root)
            for root in self.roots
        }

    def _label(self, folder: Path) -> str:
        known = self._known_labels.get(folder)
        if known is None:
            known = self._known_labels[folder] = self._find_label(folder)
        return known

    def _find_label(self, folder: Path) -> str:
        for root, label in self._labels.items():
            if folder.is_relative_to(root):
                below = display(folder.relative_to(root))
                return label if below == "." else f"{label}/{below}"
        return display(folder)


class Catalogue:
    """What of a library may be seen and read; follows the library as it changes.

    Args:
        library: may be empty, and filled meanwhile.
        folders: what may be read and indexed; by default :func:`roots_of` the library's files.

    Attributes:
        library: the same.
    """

    def __init__(self, library: Library, folders: Iterable[Path] = ()) -> None:
        self.library = library
        self._given = [Path(os.path.realpath(folder)) for folder in folders]
        self._key = secrets.token_bytes(32)
        self._lock = Lock()
        self._current: tuple[int, Listing] | None = None

    @property
    def version(self) -> int:
        """Of the library; another one whenever it changes."""
        return self.library.store.refresh()

    def listing(self) -> Listing:
        """The files as they are now."""
        version = self.version
        with self._lock:
            if self._current is None or self._current[0] != version:
                rows = self._read(_COLUMNS)
                self._current = (version, Listing(rows, self._key, self._given, self._meeting))
            return self._current[1]

    def _meeting(self, where: str) -> NDArray[np.uint64]:
        found: NDArray[np.uint64] = self._read(["segment"], where)["_rowid"].to_numpy()
        return found

    def _read(self, columns: list[str], where: str | None = None) -> pa.Table:
        store = self.library.store
        if store.exists:
            return store.read(columns, where, row_ids=True)
        types = [pa.string(), pa.binary(), pa.int32(), pa.float64(), pa.list_(pa.string())]
        types += [pa.int32(), pa.int32(), pa.int64(), pa.int64()]
        named = list(zip(_COLUMNS, types, strict=True))
        return pa.schema([*named, ("_rowid", pa.uint64())]).empty_table()

    def id_of(self, found: Result) -> str:
        """The id of a find's file."""
        return public_id(found.id.rpartition("-")[0], self._key)

    # Reading --------------------------------------------------------------------------------------

    def open(self, file: File) -> BinaryIO:
        """A recording, opened for reading.

        Where its path leads now has to lie inside the roots; links out of them are refused, also
        when they were put there since the file was indexed.

        Raises:
            Refusal: 404 where it is gone, 403 where it lies elsewhere or is no regular file.
        """
        outside = Refusal(403, f"{file.path.name!r} leads out of the library's folders")
        try:
            real = Path(os.path.realpath(file.path, strict=True))
            if not self.inside(real):
                raise outside
            flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
            opened = os.fdopen(os.open(real, flags | getattr(os, "O_BINARY", 0)), "rb")
        except OSError as error:
            raise Refusal(
                404,
                f"{display(file.path.name)!r} cannot be opened: {error.strerror}",
                do="index its folder again",
            ) from error
        # A folder on the way may have become a link between the two calls.
        entry = f"/proc/self/fd/{opened.fileno()}"
        moved = os.path.exists(entry) and not self.inside(Path(os.path.realpath(entry)))
        if moved or not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            opened.close()
            raise outside
        return opened

    def inside(self, real: Path) -> bool:
        """Whether a path without links lies in a root."""
        roots = self.listing().roots
        return any(real.is_relative_to(os.path.realpath(root)) for root in roots)


def public_id(file: str, key: bytes) -> str:
    """32 hexadecimal digits that say nothing about the path to who has not the key."""
    return hashlib.blake2b(file.encode(), key=key, digest_size=16).hexdigest()


def roots_of(folders: Iterable[Path]) -> list[Path]:
    """The folders that hold all others: one for each tree, sorted.

    Folders that share their first two levels (``/home/ann``, ``/archive/field``) are of one tree;
    its root is the deepest folder that holds them all.
    """
    ordered = sorted(folders)
    trees = itertools.groupby(ordered, key=lambda folder: folder.parts[:_OWN_DEPTH])
    return [Path(os.path.commonpath(list(tree))) for _, tree in trees]
