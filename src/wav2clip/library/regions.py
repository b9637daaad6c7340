"""Regions: neighbouring segments of a recording that fit a query, found as one thing.

A region reaches from its best segment to both sides as long as segments are at least
:data:`SHARE` as far above the cosine of sounds of all sorts as the best one is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SHARE = 0.5
"""How far below its peak a region ends; docs/results/regions.md has others."""


class Region(NamedTuple):
    """Rows ``first`` to ``last``, both included, of which ``peak`` fits best."""

    peak: int
    first: int
    last: int

    def moved(self, rows: int) -> Region:
        """The same region where rows are numbered from elsewhere."""
        return Region(self.peak + rows, self.first + rows, self.last + rows)


def around(peak: int, cosines: NDArray[np.floating], mean: float) -> Region:
    """The region of a segment.

    Args:
        peak: its place among the segments of its file.
        cosines: (segments,) of the whole file with the query; -inf where none may be found.
        mean: cosine that sounds of all sorts have with the query.
    """
    highest = float(cosines[peak])
    belongs = (cosines >= mean + SHARE * (highest - mean)) & (cosines <= highest)
    ends = np.flatnonzero(~belongs)
    before, after = ends[ends < peak], ends[ends > peak]
    first = int(before[-1]) + 1 if len(before) else 0
    last = int(after[0]) - 1 if len(after) else len(cosines) - 1
    return Region(peak, min(first, peak), max(last, peak))


def separate(rows: Iterable[int], region_of: Callable[[int], Region]) -> Iterator[Region]:
    """Regions of the best rows, best first; a row that is inside a better region gives none."""
    taken: set[int] = set()
    for row in rows:
        if row not in taken:
            region = region_of(row)
            taken.update(range(region.first, region.last + 1))
            yield region
