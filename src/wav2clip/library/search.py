"""Nearest segments: exactly from memory, or through the index of a library that is large."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wav2clip.library.results import RESULT_COLUMNS, Results
from wav2clip.library.space import Vectors
from wav2clip.library.store import Store, vectors_of
from wav2clip.library.together import Together
from wav2clip.library.words import Condition, Names, matched, stems_of

By = Literal["both", "sound", "words"]
"""What a phrase is compared with: what is heard, the words in names and metadata, or both."""

ROUNDING = 1e-4
"""Most that a float32 dot product of two unit vectors of 512 numbers can be off: 512 roundings of
at most 2**-24 each, times the sum of |a||b| <= 1, is 3.1e-5; three times that is safe."""

PROBES = 64
"""Clusters that approximate search looks into; docs/results/library.md has recall and time."""

STEMS = "stems"
"""Column of the words that were given to a file; see :func:`wav2clip.library.words.stems_of`."""

_BLOCK = 4096

_FILTERS = 32
"""Conditions of which is remembered which rows meet them: a byte for each row."""

_CANDIDATES = 5
"""Approximate search takes this many times what is asked for, and sorts them by exact score."""


@dataclass(frozen=True)
class Wanted:
    """What is searched for.

    Attributes:
        vector: (dimension,) of unit length.
        phrases: with the share of each in the query; none where no phrase is in it.
        by: what phrases are compared with.
        conditions: on the words that files were given.
        notes: how phrases were understood, for the user.
    """

    vector: Vectors
    phrases: tuple[tuple[str, float], ...] = ()
    by: By = "both"
    conditions: tuple[Condition, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def weights(self) -> tuple[float, float]:
        """Of the cosine, and of the words that were given to files."""
        if self.by == "words":
            return 1e-3, 1.0  # the sound decides among names that are as good
        return 1.0, 1.0 if self.by == "both" and self.phrases else 0.0

    def words_in(self, stems: str) -> tuple[str, ...]:
        """Those words of what is added, not of what is subtracted, that are among a file's."""
        if not self.weights[1]:
            return ()
        added = (phrase for phrase, share in self.phrases if share > 0)
        return tuple(dict.fromkeys(word for phrase in added for word in matched(phrase, stems)))


class Snapshot:
    """All segments of one version of a library, in memory, sorted by path and time.

    The sort makes the order of equal scores the same however the library came to be.

    Attributes:
        matching: takes an SQL condition; tells which rows meet it, (rows,) bool.
    """

    def __init__(self, store: Store, rows: pa.Table) -> None:
        """``rows``: what :func:`read_rows` gave."""
        self.vectors: Vectors = vectors_of(rows).astype(np.float32)
        self.row_ids: NDArray[np.uint64] = rows["_rowid"].to_numpy()
        self.rows = rows.select(RESULT_COLUMNS).combine_chunks()
        self.file_of = number_files(rows)
        self._first_rows = np.flatnonzero(np.diff(self.file_of, prepend=-1))
        self._metadata = rows["metadata"].take(pa.array(self._first_rows)).combine_chunks()
        self._stems = rows[STEMS] if STEMS in rows.column_names else None
        self._scores = Together(self._all_scores)
        # Who filters, searches several times with the same filter.
        self.matching = lru_cache(_FILTERS)(partial(_matching, store, self.row_ids))

    @cached_property
    def names(self) -> Names:
        """The words that the files were given."""
        first = pa.array(self._first_rows)
        if self._stems is None:
            paths = self.rows["path"].take(first).to_pylist()
            stems = pa.array(map(stems_of, paths, self._metadata.to_pylist()), pa.string())
        else:
            stems = self._stems.take(first).combine_chunks()
        return Names(stems)

    def meeting(self, condition: Condition) -> NDArray[np.bool_]:
        """(rows,) whether the files of the rows meet a condition."""
        given = self.names.candidates(condition.words)
        if condition.exact or condition.field:
            for file in np.flatnonzero(given).tolist():
                path = self.rows["path"][int(self._first_rows[file])].as_py()
                given[file] = condition.holds(path, self._metadata[file].as_py())
        meeting: NDArray[np.bool_] = given[self.file_of]
        if named := condition.categories():
            tags = pc.is_in(pc.list_flatten(self.rows["tags"]), pa.array(named))
            meeting[pc.list_parent_indices(self.rows["tags"]).filter(tags).to_numpy()] = True
        return ~meeting if condition.excluded else meeting

    def search(
        self,
        wanted: Wanted,
        limit: int,
        allowed: NDArray[np.bool_] | None = None,
        per_file: bool = True,
    ) -> Results:
        """The ``limit`` rows of the highest score, exactly; equal ones in the order of the rows.

        The score is the cosine, plus what the words that a file was given add to it.

        A first pass in float32 gives every row a score that is off by at most :data:`ROUNDING`. The
        rows that can be among the best by that are scored again in float64, one by one, so that the
        outcome is that of float64 throughout, and equal vectors have equal scores.
        """
        heard, named = wanted.weights
        scores, words = self._scores(wanted.vector), None
        if named:
            words = self.names.score(wanted.phrases)[self.file_of]
            scores = heard * scores + named * words
            if wanted.by == "words":
                scores[words <= 0] = -np.inf
        for condition in wanted.conditions:
            scores[~self.meeting(condition)] = -np.inf
        if allowed is not None:
            scores[~allowed] = -np.inf
        candidates = self._candidates(scores, limit, per_file)
        cosines = exact_scores(self.vectors, wanted.vector, candidates)
        exact = cosines if words is None else heard * cosines + named * words[candidates]
        best, best_scores = rank(candidates, exact, limit, self.file_of if per_file else None)
        found = self.rows.take(pa.array(best))
        cosine_of = dict(zip(candidates.tolist(), cosines.tolist(), strict=True))
        files = self.file_of[best].tolist()
        return Results(
            found,
            best_scores,
            np.array([cosine_of[row] for row in best.tolist()]),
            [wanted.words_in(self.names.of_file(file)) if named else () for file in files],
            [self._metadata[file].as_py() for file in files],
            exact=True,
            notes=wanted.notes,
        )

    def _all_scores(self, queries: Sequence[Vectors]) -> list[NDArray[np.float32]]:
        if len(queries) == 1:
            return [self.vectors @ queries[0]]
        return list(np.ascontiguousarray((self.vectors @ np.stack(queries).T).T))

    def _candidates(
        self, scores: NDArray[np.float32], limit: int, per_file: bool
    ) -> NDArray[np.int64]:
        """Rows, in order, that may be among the best ``limit`` rows or files."""
        finite = scores > -np.inf
        pool = scores
        if per_file and len(scores):
            pool = np.maximum.reduceat(scores, self._first_rows)
        if len(pool) > limit:
            threshold = np.partition(pool, len(pool) - limit)[len(pool) - limit]
            finite &= scores >= threshold - 2 * ROUNDING
        return np.flatnonzero(finite)


def read_rows(store: Store) -> pa.Table:
    """All segments with what a search needs of them, in the order of their paths and times."""
    metadata = ["metadata"] if store.has_metadata else []  # an earlier version kept none
    rows = store.read([*RESULT_COLUMNS, *metadata, "vector"], row_ids=True)
    if not metadata:
        rows = rows.append_column("metadata", pa.nulls(rows.num_rows, pa.string()))
    return rows.sort_by([("path_bytes", "ascending"), ("segment", "ascending")])


def with_stems(rows: pa.Table) -> pa.Table:
    """Rows with the stems of their files, which take long to find, in a column :data:`STEMS`.

    They stand at the first segment of each file, as metadata does.
    """
    stems: list[str | None] = [None] * rows.num_rows
    columns = (rows[name].to_pylist() for name in ("path", "metadata"))
    begins = np.diff(number_files(rows), prepend=-1)
    for row, (path, metadata) in enumerate(zip(*columns, strict=True)):
        if begins[row]:
            stems[row] = stems_of(path, metadata)
    return rows.append_column(STEMS, pa.array(stems, pa.string()))


def exact_scores(
    vectors: NDArray[np.floating], query: Vectors, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Cosines of some rows in float64: each row is summed alone, so equal rows score equally."""
    wanted = query.astype(np.float64)
    parts = [
        (vectors[rows[first : first + _BLOCK]] * wanted).sum(axis=1)
        for first in range(0, len(rows), _BLOCK)
    ]
    return np.concatenate([np.zeros(0), *parts])


def number_files(rows: pa.Table) -> NDArray[np.int64]:
    """The number of each row's file, from 0, in rows that are sorted by file."""
    files = rows["file"].combine_chunks()
    if len(files) == 0:
        return np.zeros(0, np.int64)
    begins = pc.not_equal(files[1:], files[:-1]).to_numpy(zero_copy_only=False)
    return np.concatenate(([0], np.cumsum(begins)))


def rank(
    rows: NDArray[np.int64],
    scores: NDArray[np.float64],
    limit: int,
    file_of: NDArray[np.int64] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The best rows and their scores; with ``file_of`` (the file of each row) one row per file."""
    order = np.argsort(-scores, kind="stable")
    if file_of is not None:
        _, first = np.unique(file_of[rows[order]], return_index=True)
        order = order[np.sort(first)]
    order = order[:limit]
    return rows[order], scores[order]


def _matching(store: Store, row_ids: NDArray[np.uint64], where: str) -> NDArray[np.bool_]:
    """Which of the rows meet an SQL condition."""
    found = store.read(["segment"], where, row_ids=True)["_rowid"].to_numpy()
    matching: NDArray[np.bool_] = np.isin(row_ids, found)
    return matching


def allowed_rows(
    snapshot: Snapshot, where: str | None, excluded: Collection[str]
) -> NDArray[np.bool_] | None:
    """Which rows of a snapshot meet an SQL condition and are of no excluded file; None for all."""
    allowed = snapshot.matching(where) if where else None
    if excluded:
        others = ~pc.is_in(snapshot.rows["file"], pa.array(list(excluded), pa.string())).to_numpy()
        allowed = others if allowed is None else allowed & others
    return allowed


def search_index(
    store: Store, wanted: Wanted, limit: int, where: str | None, per_file: bool
) -> Results:
    """Approximately the best rows, or files, through LanceDB's index, by what is heard alone.

    Scores are exact: the candidates' vectors are read and compared in float64. What was added since
    the index was last brought up to date is compared row by row, by LanceDB.
    """
    query, count = wanted.vector, limit * _CANDIDATES
    while True:
        search = store.segments.search(query, vector_column_name="vector").limit(count)
        search = search.nprobes(PROBES).select([*RESULT_COLUMNS, "vector", "_distance"])
        if where:
            search = search.where(where, prefilter=True)
        rows = search.to_arrow()
        rows = rows.sort_by([("path_bytes", "ascending"), ("segment", "ascending")])
        every = np.arange(rows.num_rows)
        scores = exact_scores(vectors_of(rows), query, every)
        best, best_scores = rank(every, scores, limit, number_files(rows) if per_file else None)
        # Many segments of one file may have taken the places of other files.
        if len(best) == limit or rows.num_rows < count:
            return Results(rows.take(pa.array(best)), best_scores, exact=False, notes=wanted.notes)
        count *= 4
