"""Sound that is already in memory: arrays of any shape and type into waveforms of one kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wav2clip.audio.io import Samples, check_finite, check_rate, resample
from wav2clip.errors import InputError


def to_waves(wave: Any, source_rate: int, sample_rate: int) -> tuple[list[Samples], bool]:
    """Waveforms (n,) float32 at ``sample_rate``, and whether only one was given.

    Args:
        wave: (n,), (batch, n), or a list of (n,) of unequal lengths; floats, or integers.
        source_rate: Hz of all of them.
        sample_rate: Hz wanted.

    Raises:
        InputError: another shape or type, nothing in it, or a rate outside 1 to 768 kHz.
        AudioError: NaN or infinity.
    """
    if isinstance(wave, list | tuple) and any(np.ndim(item) for item in wave):
        items, single = list(wave), False
    else:
        array = np.asarray(wave)
        if array.ndim not in (1, 2):
            raise InputError(f"waveform has shape {array.shape}, expected (n,) or (batch, n)")
        items, single = list(np.atleast_2d(array)), array.ndim == 1
    check_rate(source_rate)
    return [_to_wave(item, source_rate, sample_rate, row) for row, item in enumerate(items)], single


def _to_wave(wave: ArrayLike, source_rate: int, sample_rate: int, row: int) -> Samples:
    array = np.asarray(wave)
    if array.ndim != 1 or len(array) == 0:
        raise InputError(f"waveform {row} has shape {array.shape}, expected (n,) with n >= 1")
    samples = _to_float(array)
    check_finite(samples, f"waveform {row}", source_rate)
    resampled = resample(samples, source_rate, sample_rate)
    # A handful of samples at a high rate can round to none at a lower one.
    return resampled if len(resampled) else samples[:1]


def _to_float(array: NDArray[Any]) -> Samples:
    """Floats as they are, integers scaled from their range to [-1, 1), as libsndfile does."""
    if array.dtype.kind == "f":
        return np.ascontiguousarray(array, np.float32)
    if array.dtype.kind not in "iu":
        raise InputError(f"waveform has dtype {array.dtype}, expected floats or integers")
    scale = 2.0 ** (8 * array.dtype.itemsize - 1)
    offset = scale if array.dtype.kind == "u" else 0.0
    return ((array.astype(np.float64) - offset) / scale).astype(np.float32)
