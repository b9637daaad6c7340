"""Vectors that can be compared: unit length, and without the mean of their modality.

Embeddings of sounds, words and pictures lie in cones of their own (the modality gap, Liang et al.
2022, arXiv 2203.02053): taking each modality's mean away before comparing lets what a sound means
count, not that it is a sound. The library does it once, when a segment is stored.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from wav2clip.errors import InputError
from wav2clip.models.space import unit

Vectors = NDArray[np.float32]


def centre(vectors: NDArray[np.floating], mean: NDArray[np.floating] | None) -> Vectors:
    """(n, d) vectors: to unit length, minus the mean if there is one, to unit length again."""
    scaled = unit(vectors)
    return scaled if mean is None else unit(scaled - np.asarray(mean, np.float32))


def mean_digest(mean: NDArray[np.floating] | None) -> str:
    """16 hexadecimal digits of a mean, or "" for none."""
    if mean is None:
        return ""
    return hashlib.sha256(np.ascontiguousarray(mean, np.float32).tobytes()).hexdigest()[:16]


def require_direction(vector: Vectors, what: str) -> Vectors:
    """(d,) to unit length.

    Raises:
        InputError: it is zero, or not finite, so that nothing is nearer to it than anything else.
    """
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length < 1e-6:
        raise InputError(f"{what} has no direction: its parts cancel out; change a word or weight")
    return np.asarray(vector / length, np.float32)
