"""The files of a library too large for memory: their paths, and the words that they were given.

A file for the words, not a row for each segment: a million segments are some hundred thousand
files, whose words are kept in memory and looked at one and all, as those of a small library are.
Finding the words takes long, so they lie beside the tables, as a small library's copy does, and
files that have not changed since keep theirs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wav2clip.library.copy import Copy, read_copy, write_copy
from wav2clip.library.store import Store, is_one_of
from wav2clip.library.words import Condition, Names, stems_of

NAME = ".words.arrow"

_SPELT_OUT = 5_000
"""Files that a condition names one by one for LanceDB, at most; of more, each file that is found is
asked whether it meets the condition."""


class Directory:
    """All files of one version of a library, in the order of their paths."""

    def __init__(self, rows: pa.Table) -> None:
        """``rows``: columns file (its id), path, metadata and stems."""
        self._rows = rows.combine_chunks()

    @classmethod
    def of(cls, store: Store, version: int) -> Directory:
        """That of a library, read from its table, or from what was left beside it."""
        local = None if store.remote else Path(store.uri)
        left = local and read_copy(local, store.segments_folder, NAME, stale=True)
        if left and left.state == store.state:
            return cls(left.rows)
        state = store.state
        rows = _read(store, left.rows if left else None)
        # The state was taken before the rows: it is theirs if the version is still the same.
        if local is not None and state is not None and store.refresh() == version:
            write_copy(local, Copy(version, state, store.settings, rows), NAME)
        return cls(rows)

    def __len__(self) -> int:
        """Files."""
        return len(self._rows)

    @cached_property
    def names(self) -> Names:
        """The words that the files were given."""
        return Names(self._rows["stems"].combine_chunks())

    def numbers(self, ids: pa.Array) -> NDArray[np.int64]:
        """(n,) places of files, by their ids."""
        places: NDArray[np.int64] = pc.index_in(ids, self._rows["file"]).to_numpy()
        return places

    def best(self, phrases: Sequence[tuple[str, float]], count: int) -> list[str]:
        """Ids of the files whose words are worth most, best first, and worth anything."""
        worth = self.names.score(phrases)
        order = np.argsort(-worth, kind="stable")[:count]
        return self._ids(order[worth[order] > 0])

    def first(self, conditions: Sequence[Condition], count: int) -> set[str]:
        """Ids of the first files that meet conditions."""
        meeting = np.ones(len(self), bool)
        for condition in conditions:
            holders = self._holders(condition)
            meeting &= ~holders if condition.excluded else holders
        return set(self._ids(np.flatnonzero(meeting)[:count]))

    def sql(self, condition: Condition) -> str | None:
        """What LanceDB has to ask of a segment; None where that would be too long.

        Categories are in tags, too.
        """
        files = np.flatnonzero(self._holders(condition))
        if len(files) > _SPELT_OUT:
            return None
        tags = (f"array_has(tags, '{name}')" for name in condition.categories())
        given = " OR ".join([is_one_of("file", self._ids(files)), *tags])
        return f"NOT ({given})" if condition.excluded else f"({given})"

    def _holders(self, condition: Condition) -> NDArray[np.bool_]:
        return condition.holders(self.names, self._texts)

    def _texts(self, file: int) -> tuple[str, str | None]:
        return self._rows["path"][file].as_py(), self._rows["metadata"][file].as_py()

    def _ids(self, files: NDArray[np.int64]) -> list[str]:
        ids: list[str] = self._rows["file"].take(pa.array(files)).to_pylist()
        return ids


def _read(store: Store, before: pa.Table | None) -> pa.Table:
    """The files with their words; those that ``before`` has are not looked for again."""
    metadata = ["metadata"] if store.has_metadata else []  # an earlier version kept none
    rows = store.read(["file", "path", "path_bytes", *metadata], "segment = 0")
    if not metadata:
        rows = rows.append_column("metadata", pa.nulls(rows.num_rows, pa.string()))
    rows = rows.sort_by("path_bytes").drop_columns(["path_bytes"])
    stems = pa.array(_stems(rows, before), pa.string())
    return rows.append_column("stems", stems)


def _stems(rows: pa.Table, before: pa.Table | None) -> Iterator[str]:
    known = dict(_with_stems(before)) if before is not None else {}
    texts = zip(rows["path"].to_pylist(), rows["metadata"].to_pylist(), strict=True)
    for each in texts:
        yield known[each] if each in known else stems_of(*each)


def _with_stems(rows: pa.Table) -> Iterator[tuple[tuple[str, str | None], str]]:
    columns: Collection[list[str]] = [
        rows[name].to_pylist() for name in ("path", "metadata", "stems")
    ]
    for path, metadata, stems in zip(*columns, strict=True):
        yield (path, metadata), stems
