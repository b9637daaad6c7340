"""A long recording has many chances to lie near a query by accident: what that is worth.

The best of n sounds of all sorts lies nearer to any query than one does. If P(z) is the share of
sounds that lie below z standard deviations, P(z)**n is the share of files of n independent segments
that do (Sidak 1967), and the z at which a single segment would be as rare is what the best segment
of a long file is worth.

Segments of a file are alike, and count for fewer. How many independent ones they amount to is
measured: by how far the nearest of them lies above their mean for queries that have nothing to do
with the file. So an hour of steady rain is worth about what one segment of it is, and an hour in
which much happens has to be surer. docs/results/regions.md has what this does.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from wav2clip.models.background import Background

_Z = np.concatenate([-np.geomspace(1e4, 8, 2_000, endpoint=False), np.linspace(-8, 30, 7_601)])
"""Standard deviations, as far down as the best of many far-off segments can come."""


_PROBES, _BLOCK = 32, 1024


def _gumbel(z: float) -> float:
    """-log(-log P(z)) of the normal distribution: log P times n is this minus log n."""
    if z < -8:  # Mills' ratio; the tail itself is too small for a float soon
        return -math.log(z * z / 2 + math.log(-z * math.sqrt(2 * math.pi)) + 1 / (z * z))
    if z < 0:
        return -math.log(-math.log(0.5 * math.erfc(-z / math.sqrt(2))))
    return -math.log(-math.log1p(-0.5 * math.erfc(z / math.sqrt(2))))


_GUMBEL = np.array([_gumbel(z) for z in _Z.tolist()])


def independent_segments(
    vectors: NDArray[np.floating], first_rows: NDArray[np.int64], background: Background
) -> NDArray[np.float64]:
    """(files,) how many independent segments those of each file amount to, at least 1.

    The mean of the largest of n normal numbers is about P^-1((n - 3/8) / (n + 1/4)) (Blom 1958).

    Args:
        vectors: (rows, dimension) of unit length, sorted by file.
        first_rows: (files,) where each file begins, rising from 0.
        background: of all sounds.
    """
    counts = np.diff(first_rows, append=len(vectors))
    found = np.ones(len(first_rows))
    several = np.flatnonzero(counts > 1)
    probes, means, deviations = background.probes(_PROBES)
    for first in range(0, len(several), _BLOCK):
        files = several[first : first + _BLOCK]
        rows = np.concatenate([vectors[first_rows[f] : first_rows[f] + counts[f]] for f in files])
        z = (rows.astype(np.float32) @ probes.T - means) / deviations
        begins = np.concatenate(([0], np.cumsum(counts[files])[:-1]))
        nearest = np.maximum.reduceat(z, begins, axis=0)
        usual = np.add.reduceat(z, begins, axis=0) / counts[files][:, None]
        share = np.minimum(_share_below((nearest - usual).mean(axis=1)), 1 - 1e-9)
        found[files] = (3 / 8 + share / 4) / (1 - share)
    return np.clip(found, 1, np.maximum(counts, 1))


def _share_below(z: NDArray[np.floating]) -> NDArray[np.float64]:
    """P(z), from the table."""
    return np.asarray(np.exp(-np.exp(-np.interp(z, _Z, _GUMBEL))))


def worth(
    cosines: NDArray[np.floating],
    segments: NDArray[np.float64],
    mean: float,
    deviation: float,
) -> NDArray[np.float64]:
    """What cosines with a query are worth in files of so many independent segments.

    Args:
        cosines: (n,).
        segments: (n,) of the file that each belongs to, at least 1; where it is 1 the cosine stays.
        mean, deviation: of the cosines of sounds of all sorts, see
            :meth:`wav2clip.models.background.Background.of`.
    """
    values = np.asarray(cosines, np.float64).copy()
    several = np.flatnonzero(segments > 1)
    if len(several):
        rarity = np.interp((values[several] - mean) / deviation, _Z, _GUMBEL)
        single = np.interp(rarity - np.log(segments[several]), _GUMBEL, _Z)
        values[several] = np.maximum(mean + deviation * single, -1)
    return values
