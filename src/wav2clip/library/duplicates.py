"""Recordings that are there twice: copies, other formats, other levels, parts, and overlaps.

Vectors propose pairs, waveforms decide: nothing is called a duplicate for sounding alike.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from wav2clip.audio.io import Samples
from wav2clip.embedding.bulk import ahead
from wav2clip.errors import InputError, Wav2ClipError
from wav2clip.library import waveforms
from wav2clip.library.search import Snapshot, read_rows
from wav2clip.library.store import Store
from wav2clip.library.waveforms import RATE, SAME, SECONDS, Likeness
from wav2clip.models.space import unit
from wav2clip.reading.readers import Readers

THRESHOLD = 0.7
"""Cosine from which two recordings are compared; docs/results/library.md says why."""

_NEIGHBOURS = 10
"""Nearest recordings that are compared with each."""

_BLOCK = 256
"""Recordings whose cosines with all others are in memory at once."""

_AHEAD = 32
_CACHED_BYTES = 2**28

_WHOLE = 0.9
"""Share of the shorter recording that the longer one holds, if that is a copy of it or a part."""

_SECONDS, _SHARE, _DECIBELS = 0.25, 0.01, 0.5
# Codecs pad: durations of copies may differ by a quarter second and one per cent.

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Group:
    """Recordings of which each is, or is a part of, the first.

    Attributes:
        paths: the files; the first is the longest, of the highest rate, the largest, or of the
            shortest name.
        relations: how each differs from the first, in words; "" for the first itself.
        identical: whether all hold the same bytes.
        similarity: the lowest correlation of the waveforms that made the group.
    """

    paths: tuple[Path, ...]
    relations: tuple[str, ...]
    identical: bool
    similarity: float


@dataclass(frozen=True)
class Overlap:
    """Two recordings that share a stretch and each hold more.

    Attributes:
        paths: the two.
        seconds: length of the stretch.
        similarity: correlation of the waveforms there.
    """

    paths: tuple[Path, Path]
    seconds: float
    similarity: float


@dataclass
class Duplicates:
    """What is there twice.

    Attributes:
        groups: the largest first.
        overlaps: the longest first.
        unread: files that could not be read again, with the reason; what holds the same bytes as
            another one is known without.
    """

    groups: list[Group]
    overlaps: list[Overlap]
    unread: dict[Path, str] = field(default_factory=dict)


def find(
    store: Store, threshold: float = THRESHOLD, progress: Progress | None = None
) -> Duplicates:
    """Recordings of a library that are there twice.

    Each recording is compared with up to ten others whose vectors have a cosine of at least the
    threshold, by waveform, up to the first minute of both: see :mod:`.waveforms`. A correlation of
    0.9 makes them the same; where less than nine tenths of the shorter one are shared, they
    overlap. Sounds that repeat themselves, such as alarms, are not said to overlap.

    Args:
        store: the library.
        threshold: cosine in (0, 1].
        progress: called with (pairs compared, pairs in all).
    """
    if not 0 < threshold <= 1:
        raise InputError(f"threshold is {threshold}, expected above 0 and at most 1")
    files = _Files(Snapshot(store, read_rows(store)))
    pairs = sorted(_pairs(files, threshold) | _same_bytes(files))
    groups, overlaps = _Groups(len(files.paths)), list[Overlap]()
    with Readers() as readers:
        waves = _Waves(files, readers)
        calls = (partial(waves.compare, left, right) for left, right in pairs)
        results = ahead(calls, os.cpu_count() or 1, _AHEAD)
        for done, ((left, right), like) in enumerate(zip(pairs, results, strict=True), start=1):
            if like is not None and like.correlation >= SAME:
                if _holds(files, left, right, like):
                    groups.join(left, right, like.correlation)
                elif not like.periodic:
                    both = files.paths[left], files.paths[right]
                    overlaps.append(Overlap(both, like.overlap, like.correlation))
            if progress is not None:
                progress(done, len(pairs))
        found = [_group(files, waves, members, low) for members, low in groups.result()]
    found.sort(key=lambda group: (-len(group.paths), group.paths))
    overlaps.sort(key=lambda overlap: (-overlap.seconds, overlap.paths))
    return Duplicates(found, overlaps, waves.unread)


class _Files:
    """The files of a library, in the order of their paths."""

    def __init__(self, snapshot: Snapshot) -> None:
        first = np.flatnonzero(np.diff(snapshot.file_of, prepend=-1))
        rows = snapshot.rows.take(first)
        self.paths = [Path(os.fsdecode(path)) for path in rows["path_bytes"].to_pylist()]
        self.hashes = rows["hash"].to_pylist()
        self.durations = rows["duration"].to_pylist()
        self.rates = rows["sample_rate"].to_pylist()
        self.sizes = rows["size"].to_pylist()
        self.vectors: NDArray[np.float32] = np.zeros((0, 0), np.float32)
        if len(first):
            sums = np.add.reduceat(snapshot.vectors, first, axis=0, dtype=np.float32)
            self.vectors = unit(sums)

    def rank(self, file: int) -> tuple[float, int, int, int, Path]:
        """Sorts what is best kept first."""
        length, rate = round(self.durations[file], 1), self.rates[file]
        path = self.paths[file]
        return -length, -rate, -self.sizes[file], len(path.name), path


def _same_bytes(files: _Files) -> set[tuple[int, int]]:
    first: dict[str, int] = {}
    return {
        (first[content], file)
        for file, content in enumerate(files.hashes)
        if first.setdefault(content, file) != file
    }


def _pairs(files: _Files, threshold: float) -> set[tuple[int, int]]:
    """Pairs of near recordings, each with its nearest."""
    vectors, pairs = files.vectors, set()
    for begin in range(0, len(vectors), _BLOCK):
        cosines = vectors[begin : begin + _BLOCK] @ vectors.T
        rows = np.arange(len(cosines))
        cosines[rows, begin + rows] = -1.0
        count = min(_NEIGHBOURS, cosines.shape[1] - 1)
        if count < 1:
            return set()
        nearest = np.argpartition(cosines, -count, axis=1)[:, -count:]
        for row, others in enumerate(nearest.tolist()):
            for other in others:
                if cosines[row, other] >= threshold - 1e-5:
                    pairs.add((min(begin + row, other), max(begin + row, other)))
    return pairs


class _Waves:
    """Waveforms of the files, decoded when they are needed, the last used kept."""

    def __init__(self, files: _Files, readers: Readers) -> None:
        self._files, self._readers, self._lock = files, readers, Lock()
        self._kept: LRUCache[int, Samples] = LRUCache(_CACHED_BYTES, getsizeof=lambda w: w.nbytes)
        self.unread: dict[Path, str] = {}

    def compare(self, left: int, right: int) -> Likeness | None:
        """Likeness of two files; None if one cannot be read."""
        if self._files.hashes[left] == self._files.hashes[right]:
            return Likeness(1.0, 0.0, self._files.durations[left], 0.0, periodic=False)
        first, second = self._wave(left), self._wave(right)
        if first is None or second is None:
            return None
        return waveforms.compare(first, second)

    def _wave(self, file: int) -> Samples | None:
        path = self._files.paths[file]
        with self._lock:
            if path in self.unread:
                return None
            if (kept := self._kept.get(file)) is not None:
                return kept
        most = round(SECONDS * RATE)
        try:
            wave = np.concatenate(list(self._readers.stream_audio(path, RATE, most=most)))[:most]
        except (Wav2ClipError, OSError) as error:
            with self._lock:
                self.unread[path] = str(error)
            return None
        with self._lock:
            self._kept[file] = wave
        return wave


def _holds(files: _Files, left: int, right: int, like: Likeness) -> bool:
    """Whether the longer one holds nearly all of the shorter, or of its beginning."""
    shorter = float(min(files.durations[left], files.durations[right], SECONDS))
    return like.overlap >= _WHOLE * shorter - _SECONDS * (shorter > 1)


def _group(files: _Files, waves: _Waves, members: list[int], lowest: float) -> Group:
    members = sorted(members, key=files.rank)
    kept = members[0]
    relations = [_relation(files, kept, m, waves.compare(kept, m)) for m in members[1:]]
    return Group(
        tuple(files.paths[member] for member in members),
        ("", *relations),
        len({files.hashes[member] for member in members}) == 1,
        lowest,
    )


def _relation(files: _Files, kept: int, other: int, like: Likeness | None) -> str:
    """How one differs from that which is kept."""
    if files.hashes[kept] == files.hashes[other]:
        return "the same bytes"
    said = []
    long, short = files.durations[kept], files.durations[other]
    if long - short > _SECONDS + _SHARE * long:
        said.append(f"{short:.1f} of {long:.1f} s")
    suffixes = [files.paths[file].suffix.lower() for file in (kept, other)]
    if suffixes[0] != suffixes[1]:
        said.append(f"as {suffixes[1].removeprefix('.')}")
    if files.rates[kept] != files.rates[other]:
        said.append(f"at {files.rates[other]} Hz")
    if like is not None and like.correlation >= SAME and abs(like.decibels) >= _DECIBELS:
        said.append(f"{abs(like.decibels):.1f} dB {'louder' if like.decibels > 0 else 'quieter'}")
    return ", ".join(said) or "the same sound"


class _Groups:
    """Disjoint sets with path halving."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))
        self._lowest: dict[int, float] = {}

    def _root(self, item: int) -> int:
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, left: int, right: int, similarity: float) -> None:
        a, b = self._root(left), self._root(right)
        self._parent[b] = a
        self._lowest[a] = min(self._lowest.get(a, 1.0), self._lowest.get(b, 1.0), similarity)

    def result(self) -> Iterator[tuple[list[int], float]]:
        """Members of each set of two and more, and the lowest similarity that joined it."""
        members: dict[int, list[int]] = {}
        for item in range(len(self._parent)):
            members.setdefault(self._root(item), []).append(item)
        for root, items in members.items():
            if len(items) > 1:
                yield items, self._lowest[root]
