"""Vectors in 8 bits per number: cosines with all of them within a known bound, much sooner.

A search needs to know which few of all vectors can be among the nearest; these are then compared
exactly. Reading 8 bits per number in place of 32 takes a quarter of the memory's time, and integer
products compute eight queries as fast as one, where products of floats take eight times as long.

Vectors are turned by one random rotation first, which changes no cosine. It spreads what some
numbers have more of over all of them, so that steps of one 254th of the largest number are as fine
as they can be: as in RaBitQ (Gao and Long, SIGMOD 2024) and in rotations before product
quantisation. How far a vector is from what its code stands for is measured, not assumed: by the
Cauchy-Schwarz inequality no cosine with it is off by more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wav2clip.library.space import Vectors
from wav2clip.models.sessions import Session

GRAPH = Path(__file__).with_name("products.onnx")
"""`tools/export_graphs.py` writes it."""

CODES, QUERIES, PRODUCTS = "codes", "queries", "products"

_STEPS, _ZERO = 127, 128
_QUERY_STEPS = 63
"""Processors without instructions for it add two products of codes and queries in 16 bits:
255 * 63 * 2 is less than 2**15."""

_FLOATS = 1e-5
"""More than what the float32 operations round by."""

_BLOCK = 4096


class Codes:
    """Vectors (n, dimension) of unit length, as codes.

    Attributes:
        error: the length of the longest difference between a vector and what its code stands for.
    """

    def __init__(self, vectors: NDArray[np.floating]) -> None:
        count, dimension = vectors.shape
        self._codes = np.empty((count, dimension), np.uint8)
        self._steps = np.empty(count, np.float32)
        self.error = 0.0
        for first in range(0, count, _BLOCK):
            block = vectors[first : first + _BLOCK].astype(np.float32) @ _rotation(dimension)
            steps = np.maximum(np.abs(block).max(axis=1), np.float32(1e-30)) / _STEPS
            whole = np.rint(block / steps[:, None])
            self._codes[first : first + _BLOCK] = whole + _ZERO
            self._steps[first : first + _BLOCK] = steps
            off = np.linalg.norm(block - whole * steps[:, None], axis=1)
            self.error = max(self.error, float(off.max()))

    def cosines(self, queries: Sequence[Vectors]) -> tuple[list[Vectors], float]:
        """Cosines (n,) with each of some queries of unit length, and most that one is off by."""
        turned = np.stack(queries).astype(np.float32) @ _rotation(len(queries[0]))
        coarse, fine, scales = _two_parts(turned)
        columns = np.ascontiguousarray(np.concatenate([coarse, fine]).T)
        (products,) = _session().run([PRODUCTS], {CODES: self._codes, QUERIES: columns})
        zeros = _ZERO * columns.sum(axis=0, dtype=np.int32)
        found = []
        for place, scale in enumerate(scales.tolist()):
            coarse_place, fine_place = place, place + len(scales)
            sums = (products[:, fine_place] - zeros[fine_place]).astype(np.float32)
            sums /= np.float32(2 * _QUERY_STEPS)
            sums += products[:, coarse_place] - zeros[coarse_place]
            sums *= self._steps
            sums *= np.float32(scale)
            found.append(sums)
        meant = (coarse + fine / np.float32(2 * _QUERY_STEPS)) * scales[:, None]
        off = float(np.linalg.norm(turned - meant, axis=1).max())
        return found, self.error + (1 + self.error) * off + _FLOATS


def _two_parts(queries: Vectors) -> tuple[NDArray[np.int8], NDArray[np.int8], Vectors]:
    """Queries in steps, what is left in steps 126 times as fine, and the size of the first."""
    scales = np.maximum(np.abs(queries).max(axis=1), np.float32(1e-30)) / np.float32(_QUERY_STEPS)
    steps = queries / scales[:, None]
    coarse = np.rint(steps)
    fine = np.rint((steps - coarse) * (2 * _QUERY_STEPS))
    return coarse.astype(np.int8), fine.astype(np.int8), scales


@cache
def _rotation(dimension: int) -> Vectors:
    """A random orthogonal matrix, the same one each time."""
    normal = np.random.default_rng(0).standard_normal((dimension, dimension))
    return np.ascontiguousarray(np.linalg.qr(normal)[0], np.float32)


@cache
def _session() -> Session:
    return Session(GRAPH.read_bytes(), 1)
