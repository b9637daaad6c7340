"""Nearest segments: exactly from memory, or through the index of a library that is large."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache, partial
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wav2clip.library.chances import independent_segments, worth
from wav2clip.library.codes import Codes
from wav2clip.library.directory import Directory
from wav2clip.library.regions import Region, around, separate
from wav2clip.library.results import RESULT_COLUMNS, Results
from wav2clip.library.space import Vectors
from wav2clip.library.store import Store, is_one_of, vectors_of
from wav2clip.library.together import Together
from wav2clip.library.words import Condition, Names, PartOfNames, matched, stems_of
from wav2clip.models.background import Background

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

_SEEDS = 200

_MEASURED = 4096
"""Rows of a library that are looked at, at most, to tell how near its sounds lie to queries."""

_CANDIDATES = 5
"""Approximate search takes this many times what is asked for, and sorts them by exact score."""

_MOST = 50_000
"""Segments that approximate search asks for before it gives what it has."""

_NAMED = 2_000
"""Files whose words fit of which approximate search compares the sounds, at most."""


@dataclass(frozen=True)
class Wanted:
    """What is searched for.

    Attributes:
        vector: (dimension,) of unit length.
        phrases: with the share of each in the query; none where no phrase is in it.
        by: what phrases are compared with.
        conditions: on the words that files were given.
        notes: how phrases were understood, for the user.
        modality: of the query, for how sure its results are.
    """

    vector: Vectors
    phrases: tuple[tuple[str, float], ...] = ()
    by: By = "both"
    conditions: tuple[Condition, ...] = ()
    notes: tuple[str, ...] = ()
    modality: str = "audio"

    @property
    def weights(self) -> tuple[float, float]:
        """Of the cosine, and of the words that were given to files."""
        if self.by == "words":
            return 1e-3, 1.0  # the sound decides among names that are as good
        return 1.0, 1.0 if self.by == "both" and self.phrases else 0.0

    @property
    def asks(self) -> bool:
        """Whether there is more than conditions, which a file meets or does not."""
        return bool(self.vector.any())

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
        vectors: (rows, dimension) float16.
        matching: takes an SQL condition; tells which rows meet it, (rows,) bool.
    """

    def __init__(
        self,
        store: Store,
        rows: pa.Table,
        background: Background | None = None,
        directory: Directory | None = None,
    ) -> None:
        """``rows``: what :func:`read_rows` gave; ``background``: of the model, if it has one;
        ``directory``: of the whole library, where the rows are a part of it."""
        self._background = background
        self._directory = directory
        self.vectors = vectors_of(rows)
        self.row_ids: NDArray[np.uint64] = rows["_rowid"].to_numpy()
        self.rows = rows.select(RESULT_COLUMNS).combine_chunks()
        self._starts, self._ends = (self.rows[name].to_numpy() for name in ("start", "end"))
        self.file_of = number_files(rows)
        self._first_rows = np.flatnonzero(np.diff(self.file_of, prepend=-1))
        self._metadata = rows["metadata"].take(pa.array(self._first_rows)).combine_chunks()
        self._stems = rows[STEMS] if STEMS in rows.column_names else None
        self._scores = Together(self._all_scores)
        self._searched = False
        # Who filters, searches several times with the same filter.
        self.matching = lru_cache(_FILTERS)(partial(_matching, store, self.row_ids))

    @cached_property
    def background(self) -> Background:
        """How near sounds of all sorts lie to queries: as the model has it, or else those of the
        library, each file counted once."""
        if self._background is not None:
            return self._background
        rows = np.unique(np.linspace(0, len(self.vectors) - 1, _MEASURED).astype(int))
        rows = rows[rows >= 0]
        counts = np.bincount(self.file_of, minlength=1)
        vectors = self.vectors[rows].astype(np.float32)
        return Background.measure(vectors, 1 / counts[self.file_of[rows]])

    @cached_property
    def independent(self) -> NDArray[np.float64]:
        """(files,) independent segments of each file; see :mod:`.chances`."""
        return independent_segments(self.vectors, self._first_rows, self.background)

    @cached_property
    def names(self) -> Names | PartOfNames:
        """The words that the files were given."""
        first = pa.array(self._first_rows)
        if self._directory is not None:
            files = self._directory.numbers(self.rows["file"].take(first))
            return self._directory.names.part(files)
        if self._stems is None:
            paths = self.rows["path"].take(first).to_pylist()
            stems = pa.array(map(stems_of, paths, self._metadata.to_pylist()), pa.string())
        else:
            stems = self._stems.take(first).combine_chunks()
        return Names(stems)

    def meeting(self, condition: Condition) -> NDArray[np.bool_]:
        """(rows,) whether the files of the rows meet a condition."""
        meeting: NDArray[np.bool_] = condition.holders(self.names, self._texts)[self.file_of]
        if named := condition.categories():
            tags = pc.is_in(pc.list_flatten(self.rows["tags"]), pa.array(named))
            meeting[pc.list_parent_indices(self.rows["tags"]).filter(tags).to_numpy()] = True
        return ~meeting if condition.excluded else meeting

    def _texts(self, file: int) -> tuple[str, str | None]:
        """The path and the metadata of a file."""
        path = self.rows["path"][int(self._first_rows[file])].as_py()
        return path, self._metadata[file].as_py()

    def search(
        self,
        wanted: Wanted,
        limit: int,
        allowed: NDArray[np.bool_] | None = None,
        per_file: bool = True,
    ) -> Results:
        """The regions of the highest score, exactly; equal ones in the order of the rows.

        The score is what the cosine of a region's best segment is worth in a file of so many (see
        :mod:`.chances`), plus what the words that the file was given add to it. With ``per_file``
        the best region of each file is given, otherwise every region; see :mod:`.regions`.

        A first pass gives every row a cosine and says how far it can be off. The rows that can be
        among the best by that are compared again in float64, one by one, so that the outcome is
        that of float64 throughout, and equal vectors have equal scores.
        """
        cosines, error = self._scores(wanted.vector)
        scoring = self._scoring(wanted, error)
        allowed = self._allowed(wanted, scoring, allowed)
        if allowed is not None:
            cosines = np.where(allowed, cosines, np.float32(-np.inf))
        find = self._best_of_files if per_file else self._best_regions
        found, scores = find(wanted, scoring, cosines, limit)
        return self._results(wanted, scoring, found, scores)

    def _allowed(
        self, wanted: Wanted, scoring: _Scoring, allowed: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_] | None:
        """(rows,) which may be found; None for all."""
        conditions = [self.meeting(condition) for condition in wanted.conditions]
        if wanted.by == "words" and scoring.words is not None and wanted.phrases:
            conditions.append((scoring.words > 0)[self.file_of])
        for condition in conditions:
            allowed = condition if allowed is None else allowed & condition
        return allowed

    def _scoring(self, wanted: Wanted, error: float) -> _Scoring:
        heard, named = wanted.weights
        words = self.names.score(wanted.phrases) if named else None
        independent = self.independent if wanted.asks else np.ones(len(self._first_rows))
        mean, deviation = self.background.of(wanted.vector)
        return _Scoring(mean, deviation, heard, named, independent, words, error)

    def _best_of_files(
        self, wanted: Wanted, scoring: _Scoring, cosines: NDArray[np.float32], limit: int
    ) -> tuple[list[Region], NDArray[np.float64]]:
        """The region around the best row of each of the best files, and their scores."""
        if not len(cosines):
            return [], np.zeros(0)
        best = np.maximum.reduceat(cosines, self._first_rows)
        files = np.flatnonzero(best > -np.inf)
        files = files[scoring.candidates(best[files], files, limit)]
        can_be_best = np.full(len(best), np.inf, np.float32)
        can_be_best[files] = best[files] - 2 * scoring.error
        rows = np.flatnonzero(cosines >= can_be_best[self.file_of])
        exact = scoring.of(exact_scores(self.vectors, wanted.vector, rows), self.file_of[rows])
        rows, scores = rank(rows, exact, limit, self.file_of)
        region_of = self._regions(wanted, scoring, cosines)
        return [region_of(row) for row in rows.tolist()], scores

    def _best_regions(
        self, wanted: Wanted, scoring: _Scoring, cosines: NDArray[np.float32], limit: int
    ) -> tuple[list[Region], NDArray[np.float64]]:
        """The best regions, several of a file where it has several, and their scores."""
        every = np.flatnonzero(cosines > -np.inf)
        count = limit
        while True:
            rows = every[scoring.candidates(cosines[every], self.file_of[every], count)]
            exact = scoring.of(exact_scores(self.vectors, wanted.vector, rows), self.file_of[rows])
            ranked, best = rank(rows, exact, len(rows), None)
            found = separate(ranked.tolist(), self._regions(wanted, scoring, cosines))
            chosen = list(islice(found, limit))
            if len(chosen) == limit or len(rows) == len(every):
                score_of = dict(zip(ranked.tolist(), best.tolist(), strict=True))
                return chosen, np.array([score_of[region.peak] for region in chosen])
            count *= 4

    def _regions(
        self, wanted: Wanted, scoring: _Scoring, cosines: NDArray[np.float32]
    ) -> Callable[[int], Region]:
        """What gives the region around a row."""

        @cache
        def compared(file: int) -> NDArray[np.float64]:
            rows = np.arange(self._bounds[file], self._bounds[file + 1])
            exact = exact_scores(self.vectors, wanted.vector, rows)
            return np.where(cosines[rows] > -np.inf, exact, -np.inf)

        def region_of(row: int) -> Region:
            file = int(self.file_of[row])
            begin = int(self._bounds[file])
            return around(row - begin, compared(file), scoring.mean).moved(begin)

        return region_of

    @cached_property
    def _bounds(self) -> NDArray[np.int64]:
        return np.append(self._first_rows, len(self.file_of))

    def _results(
        self,
        wanted: Wanted,
        scoring: _Scoring,
        found: Sequence[Region],
        scores: NDArray[np.float64],
    ) -> Results:
        rows, first, last = np.array(found, np.int64).reshape(-1, 3).T
        files = self.file_of[rows].tolist()
        words = [wanted.words_in(self.names.of_file(f)) if scoring.named else () for f in files]
        fit = self.background.logistic(wanted.modality)
        sure = fit.probability(scoring.evidence(scores), scoring.mean, scoring.deviation)
        return Results(
            self.rows.take(pa.array(rows)),
            scores,
            starts=pa.array(self._starts[first]),
            ends=pa.array(self._ends[last]),
            similarities=exact_scores(self.vectors, wanted.vector, rows),
            confidences=sure if wanted.asks else np.ones(len(rows)),
            words=words,
            metadata=[self._metadata[file].as_py() for file in files],
            exact=True,
            notes=wanted.notes,
        )

    @cached_property
    def _codes(self) -> Codes:
        return Codes(self.vectors)

    def _all_scores(self, queries: Sequence[Vectors]) -> list[tuple[Vectors, float]]:
        """Cosines (rows,) with each query, and most that one of them is off by.

        Making codes takes longer than to do without them once, as a search from the shell does.
        """
        once, self._searched = len(queries) == 1 and not self._searched, True
        if not once:
            found, error = self._codes.cosines(queries)
            return [(cosines, error) for cosines in found]
        cosines = np.empty(len(self.vectors), np.float32)
        for first in range(0, len(cosines), _BLOCK):
            block = self.vectors[first : first + _BLOCK].astype(np.float32)
            np.matmul(block, queries[0], out=cosines[first : first + _BLOCK])
        return [(cosines, ROUNDING)]


@dataclass(frozen=True)
class _Scoring:
    """How cosines with one query become scores.

    Attributes:
        mean, deviation: of cosines that sounds of all sorts have with it.
        heard, named: weights of what is heard, and of words.
        independent: (files,) see :mod:`.chances`.
        words: (files,) what the words of each are worth, where they count.
        error: most that a cosine of the first pass is off by.
    """

    mean: float
    deviation: float
    heard: float
    named: float
    independent: NDArray[np.float64]
    words: NDArray[np.float32] | None
    error: float

    def of(self, cosines: NDArray[np.floating], files: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n,) the scores of segments in these files."""
        heard = self.heard * worth(cosines, self.independent[files], self.mean, self.deviation)
        return heard if self.words is None else heard + self.named * self.words[files]

    def candidates(
        self, cosines: NDArray[np.float32], files: NDArray[np.int64], limit: int
    ) -> NDArray[np.int64]:
        """Places, in order, of what may be among the best ``limit``.

        A cosine is never worth more than it is, so most need not be looked at closer: those do that
        would be as good as the best surely are if they were worth all that they may be.
        """
        most = self.heard * (cosines.astype(np.float64) + self.error)
        if self.words is not None:
            most += self.named * self.words[files]
        seeds = np.flatnonzero(most >= _least_of_best(most, max(4 * limit, _SEEDS)))
        surely = self.of(cosines[seeds] - self.error, files[seeds])
        return np.flatnonzero(most >= _least_of_best(surely, limit))

    def evidence(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """What scores say about being what was asked for, on the scale of cosines."""
        return scores if self.heard == 1 else scores + (1 - self.heard) * self.mean


def _least_of_best(scores: NDArray[np.float64], limit: int) -> float:
    """The smallest of the ``limit`` largest, or the smallest of fewer."""
    place = max(len(scores) - limit, 0)
    return float(np.partition(scores, place)[place]) if len(scores) else -np.inf


def read_rows(store: Store, where: str | None = None) -> pa.Table:
    """Segments with what a search needs of them, in the order of their paths and times."""
    metadata = ["metadata"] if store.has_metadata else []  # an earlier version kept none
    rows = store.read([*RESULT_COLUMNS, *metadata, "vector"], where, row_ids=True)
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


class Excluded(NamedTuple):
    """Segments that are not to be found: those of a file that lie in a span, or all of them."""

    file: str
    start: float = -math.inf
    end: float = math.inf

    def sql(self) -> str:
        """The condition that segments meet which may be found."""
        own = f"file = '{self.file}'"
        if self.end < math.inf:
            own += f" AND start < {self.end!r} AND end > {self.start!r}"
        return f"NOT ({own})"

    def among(self, rows: pa.Table) -> NDArray[np.bool_]:
        """(rows,) which of them are meant."""
        own: NDArray[np.bool_] = pc.equal(rows["file"], self.file).to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(own).tolist():
            start, end = rows["start"][row].as_py(), rows["end"][row].as_py()
            own[row] = start < self.end and end > self.start
        return own


def allowed_rows(
    snapshot: Snapshot, where: str | None, excluded: Collection[Excluded]
) -> NDArray[np.bool_] | None:
    """Which rows of a snapshot meet an SQL condition and are not excluded; None for all."""
    allowed = snapshot.matching(where) if where else None
    for each in excluded:
        others = ~each.among(snapshot.rows)
        allowed = others if allowed is None else allowed & others
    return allowed


def search_index(
    store: Store,
    wanted: Wanted,
    limit: int,
    where: str | None,
    excluded: Collection[Excluded],
    per_file: bool,
    background: Background | None,
    directory: Directory,
) -> Results:
    """As :meth:`Snapshot.search`, among the files that LanceDB's index finds nearest, and those
    whose words fit best.

    The index is approximate; scores and regions of the files that are looked at are exact. What was
    added since the index was last brought up to date is compared row by row, by LanceDB.
    """
    known = background or Background.measure(np.zeros((0, len(wanted.vector))))
    conditions = [*([where] if where else []), *(each.sql() for each in excluded)]
    conditions += filter(None, map(directory.sql, wanted.conditions))
    count = limit * _CANDIDATES
    while True:
        files, complete = _candidates(store, wanted, directory, conditions, count)
        of_these = is_one_of("file", files)
        whole = Snapshot(store, read_rows(store, of_these), known, directory)
        allowed = whole.matching(" AND ".join([*conditions, of_these])) if conditions else None
        found = whole.search(wanted, limit, allowed, per_file)
        # Many segments of one file may have taken the places of other files.
        if len(found) == limit or complete or count > _MOST:
            found.exact = False
            return found
        count *= 4


def _candidates(
    store: Store, wanted: Wanted, directory: Directory, conditions: Sequence[str], count: int
) -> tuple[set[str], bool]:
    """Ids of the files that may be among the best, and whether there are no more.

    Of the files whose words fit, the best ``count`` are taken, and those with the ``count`` nearest
    segments among the best :data:`_NAMED`: many share a word, and the sound decides among them.
    """
    named = directory.best(wanted.phrases, _NAMED) if wanted.weights[1] else []
    files, complete = set(named[:count]), count >= len(named)
    if named and wanted.asks:
        among = _nearest(store, wanted, [*conditions, is_one_of("file", named)], count)
        files |= set(among.bypass_vector_index().to_arrow()["file"].to_pylist())
    if wanted.by == "words" and wanted.phrases:
        return files, complete
    if not wanted.asks:
        return directory.first(wanted.conditions, count), count >= len(directory)
    near = _nearest(store, wanted, conditions, count).to_arrow()["file"]
    return files | set(near.to_pylist()), complete and len(near) < count


def _nearest(store: Store, wanted: Wanted, conditions: Sequence[str], count: int) -> Any:
    """LanceDB's query for the files of the nearest segments."""
    search = store.segments.search(wanted.vector, vector_column_name="vector").limit(count)
    search = search.nprobes(PROBES).select(["file", "_distance"])
    return search.where(" AND ".join(conditions), prefilter=True) if conditions else search
