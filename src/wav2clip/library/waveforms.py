"""Whether two recordings share sound, by their waveforms.

The normalised cross-correlation at 8 kHz over every shift: near 1 where both hold the same
recording, whatever the format and the level, and near 0 for two recordings of the same thing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wav2clip.audio.io import Samples

RATE = 8_000
"""Hz; what codecs keep best is below 4 kHz."""

SECONDS = 60.0
"""Of the beginning of each recording that are compared."""

SAME = 0.9
"""Correlation from which two stretches are the same recording; docs/results/library.md says why."""

_EMPHASIS = 0.97
_LEAST, _LEAST_SHARE = 400, 0.3
"""Samples, and share of the shorter recording, that have to overlap."""

_PERIODIC, _NEAR = 0.8, 160
"""What is nearly as like itself, this share, at a shift further away than so many samples (20 ms)
repeats itself: part of it tells nothing."""


class Likeness(NamedTuple):
    """How two recordings are alike.

    Attributes:
        correlation: the largest magnitude over all shifts, in [0, 1].
        shift: seconds of the first that come before the second's beginning.
        overlap: seconds in which both sound.
        decibels: level of the second above that of the first there.
        periodic: whether another shift fits nearly as well.
    """

    correlation: float
    shift: float
    overlap: float
    decibels: float
    periodic: bool


def compare(first: Samples, second: Samples) -> Likeness:
    """The likeness of two recordings, (n,) and (m,) float32 at :data:`RATE`."""
    a, b = _emphasised(first), _emphasised(second)
    shifts = np.arange(1 - len(b), len(a))
    begin, end = np.maximum(shifts, 0), np.minimum(len(a), len(b) + shifts)
    of_a, of_b = _energy(a), _energy(b)
    energies = of_a[end] - of_a[begin], of_b[end - shifts] - of_b[begin - shifts]
    norm = np.sqrt(np.maximum(energies[0] * energies[1], 0))
    least = max(min(_LEAST, len(a), len(b)), _LEAST_SHARE * min(len(a), len(b)))
    loud = norm > 1e-3 * np.sqrt(float(of_a[-1] * of_b[-1])) + 1e-12
    usable = (end - begin >= least) & loud
    magnitude = np.where(usable, np.abs(_products(a, b)) / np.maximum(norm, 1e-12), 0.0)
    best = int(np.argmax(magnitude))
    far = np.abs(shifts - shifts[best]) > _NEAR
    second_best = float(magnitude[far].max()) if far.any() else 0.0
    correlation = min(1.0, float(magnitude[best]))
    ratio = float(energies[1][best]) / max(float(energies[0][best]), 1e-12)
    return Likeness(
        correlation,
        float(shifts[best]) / RATE,
        float(end[best] - begin[best]) / RATE,
        10 * float(np.log10(max(ratio, 1e-12))),
        second_best >= _PERIODIC * correlation,
    )


def _emphasised(wave: Samples) -> Samples:
    """High frequencies lifted, so that hum does not decide."""
    return np.append(wave[:1], wave[1:] - np.float32(_EMPHASIS) * wave[:-1])


def _energy(wave: Samples) -> NDArray[np.float64]:
    """(n + 1,) energy before each sample."""
    return np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])


def _products(a: Samples, b: Samples) -> NDArray[np.float64]:
    """Sums of products for all shifts of ``b`` against ``a``, from 1 - len(b) to len(a) - 1."""
    size = 1 << (len(a) + len(b) - 2).bit_length()
    sums = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)
    return np.concatenate([sums[size - len(b) + 1 :], sums[: len(a)]])
