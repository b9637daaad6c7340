"""Recordings that are nearly the same: copies, other formats, other levels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wav2clip.errors import InputError
from wav2clip.library.search import Snapshot, read_rows
from wav2clip.library.store import Store

THRESHOLD = 0.97
"""Cosine from which segments count as nearly identical; docs/results/library.md says why."""

_BLOCK = 1024
_SECONDS, _SHARE = 0.25, 0.01
# Codecs pad: durations of copies may differ by a quarter second and one per cent.


@dataclass(frozen=True)
class Group:
    """Recordings that are nearly identical to at least one other of them.

    Attributes:
        paths: the files, sorted.
        identical: whether all hold the same bytes.
        similarity: the lowest cosine of the pairs that made the group.
    """

    paths: tuple[Path, ...]
    identical: bool
    similarity: float


def find(
    store: Store,
    threshold: float = THRESHOLD,
    progress: Callable[[int, int], None] | None = None,
) -> list[Group]:
    """Groups of nearly identical recordings, the largest first.

    Two recordings are nearly identical if their durations agree within a quarter second and one per
    cent, they have as many segments, and each segment's cosine with its counterpart reaches the
    threshold. Only recordings of like durations are compared, all of them, exactly.

    Args:
        store: the library.
        threshold: cosine in (0, 1].
        progress: called with (files done, files in all).
    """
    if not 0 < threshold <= 1:
        raise InputError(f"threshold is {threshold}, expected above 0 and at most 1")
    snapshot = Snapshot(store, read_rows(store))
    files = _Files(snapshot)
    groups = _Groups(len(files.first))
    for left, right, cosine in _pairs(snapshot, files, threshold, progress):
        groups.join(left, right, cosine)
    paths = [Path(path) for path in _paths(snapshot, files)]
    hashes = snapshot.rows["hash"].to_pylist()
    found = [
        Group(
            tuple(sorted(paths[member] for member in members)),
            len({hashes[files.first[member]] for member in members}) == 1,
            similarity,
        )
        for members, similarity in groups.result()
    ]
    return sorted(found, key=lambda group: (-len(group.paths), group.paths))


class _Files:
    """First row, segments and duration of each file, ordered by duration."""

    def __init__(self, snapshot: Snapshot) -> None:
        first = np.flatnonzero(np.diff(snapshot.file_of, prepend=-1))
        counts = np.diff(np.append(first, len(snapshot.file_of)))
        durations = snapshot.rows["duration"].to_numpy()[first] if len(first) else np.zeros(0)
        order = np.argsort(durations, kind="stable")
        self.first, self.counts, self.durations = first[order], counts[order], durations[order]


def _pairs(
    snapshot: Snapshot,
    files: _Files,
    threshold: float,
    progress: Callable[[int, int], None] | None,
) -> Iterator[tuple[int, int, float]]:
    """Pairs of files that are nearly identical, and the lowest cosine of their segments."""
    vectors, total = snapshot.vectors, len(files.first)
    longest = files.durations * (1 + _SHARE) + _SECONDS
    for begin in range(0, total, _BLOCK):
        end = min(begin + _BLOCK, total)
        last = int(np.searchsorted(files.durations, longest[end - 1], side="right"))
        for other in range(begin, last, _BLOCK):
            right_end = min(other + _BLOCK, last)
            cosines = vectors[files.first[begin:end]] @ vectors[files.first[other:right_end]].T
            rows, columns = np.nonzero(cosines >= threshold - 1e-5)
            for left, right in zip(
                (rows + begin).tolist(), (columns + other).tolist(), strict=True
            ):
                if left < right and files.durations[right] <= longest[left]:
                    cosine = _lowest(vectors, files, left, right)
                    if cosine >= threshold:
                        yield left, right, cosine
        if progress is not None:
            progress(end, total)


def _lowest(vectors: NDArray[np.float32], files: _Files, left: int, right: int) -> float:
    """Lowest cosine of two files' counterparts, -1 where they have not as many segments."""
    count = files.counts[left]
    if count != files.counts[right]:
        return -1.0
    a = vectors[files.first[left] : files.first[left] + count].astype(np.float64)
    b = vectors[files.first[right] : files.first[right] + count]
    # Stored as float16, a vector's length may be off by some ten-thousandths.
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b.astype(np.float64), axis=1)
    return float(((a * b).sum(axis=1) / np.maximum(lengths, 1e-12)).min())


def _paths(snapshot: Snapshot, files: _Files) -> Iterator[str]:
    for row in files.first.tolist():
        yield os.fsdecode(snapshot.rows["path_bytes"][row].as_py())


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

    def join(self, left: int, right: int, cosine: float) -> None:
        a, b = self._root(left), self._root(right)
        self._parent[b] = a
        self._lowest[a] = min(self._lowest.get(a, 1.0), self._lowest.get(b, 1.0), cosine)

    def result(self) -> Iterator[tuple[list[int], float]]:
        """Members of each set of two and more, and the lowest cosine that joined it."""
        members: dict[int, list[int]] = {}
        for item in range(len(self._parent)):
            members.setdefault(self._root(item), []).append(item)
        for root, items in members.items():
            if len(items) > 1:
                yield items, min(1.0, self._lowest[root])
