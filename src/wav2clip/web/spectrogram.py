"""A recording as a picture of its frequencies over time, in bounded memory."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wav2clip.audio.io import Samples, downmix

RANGE = 80.0
"""Decibels below the loudest point that are shown; what is softer is black."""

_WINDOW_SECONDS = 0.043
"""About 2048 samples at 48 kHz: 23 Hz apart, as editors show by default."""

_SMALLEST, _LARGEST = 256, 8192
_BATCH = 128
_LOUDEST = 1e6
"""Of samples, far above full scale; their squares are still numbers."""

_BREAK = 700.0
"""Hz from which the mel scale is rather logarithmic than linear: 1127 ln(1 + f / 700)."""


def spectrogram(
    blocks: Iterable[Samples], total: int, sample_rate: int, width: int, height: int
) -> NDArray[np.uint8]:
    """Levels (height, width): 255 is the loudest point, 0 is :data:`RANGE` below it, or silence.

    Rows are evenly spaced in mels from 0 Hz, the last, to half the sample rate, the first. A column
    shows the largest power of the frames that lie in it. Frames overlap by a half at least, so
    nothing is passed over; there is never more in memory than a block, a batch of frames, and the
    picture.

    Args:
        blocks: (n,) or (n, channels) of one recording; channels are mixed. What is not finite
            counts as silence.
        total: samples per channel that are expected. Further ones are of the last column.
        sample_rate: Hz.
        width: columns.
        height: rows.
    """
    size = window_length(sample_rate)
    hop = int(np.clip(total // (2 * width), size // 32, size // 2))
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    bands = _bands(size, sample_rate, height)
    loudest = np.zeros((width, height), np.float32)
    filled = np.zeros(width, bool)
    for number, frames in _batches(blocks, size, hop):
        power = np.square(np.abs(np.fft.rfft(frames * window, axis=1))).astype(np.float32) @ bands
        columns = (number + np.arange(len(frames))) * hop * width // max(total, 1)
        columns = np.minimum(columns, width - 1)
        begins = np.flatnonzero(np.diff(columns, prepend=-1))
        seen = columns[begins]
        loudest[seen] = np.maximum(loudest[seen], np.maximum.reduceat(power, begins, axis=0))
        filled[seen] = True
    # A recording shorter than the picture has fewer frames than columns.
    nearest = np.maximum.accumulate(np.where(filled, np.arange(width), 0))
    return _levels(loudest[nearest].T[::-1])


def window_length(sample_rate: int) -> int:
    """Samples in a frame, a power of two."""
    size = 2 ** round(float(np.log2(max(sample_rate * _WINDOW_SECONDS, 1))))
    return int(np.clip(size, _SMALLEST, _LARGEST))


def png(levels: NDArray[np.uint8]) -> bytes:
    """A greyscale picture of 8 bits."""
    target = io.BytesIO()
    Image.fromarray(levels, "L").save(target, "PNG")
    return target.getvalue()


def _levels(power: NDArray[np.float32]) -> NDArray[np.uint8]:
    peak = float(power.max(initial=0))
    if peak < np.finfo(np.float32).tiny:
        return np.zeros(power.shape, np.uint8)
    share = np.maximum(power / peak, 1e-30)
    decibels = 10 * np.log10(share)
    levels: NDArray[np.uint8] = np.round((decibels / RANGE + 1).clip(0, 1) * 255).astype(np.uint8)
    return levels


def _batches(
    blocks: Iterable[Samples], size: int, hop: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The number of the first frame, and frames (n, size); the first is centred on the beginning,
    the last on the end or what follows it closely."""
    kept = np.zeros(size // 2, np.float32)
    number = 0
    for block in _with_silence(blocks, size // 2):
        kept = np.concatenate([kept, block])
        while len(kept) >= size:
            frames = np.lib.stride_tricks.sliding_window_view(kept, size)[::hop][:_BATCH]
            yield number, frames
            number += len(frames)
            kept = kept[len(frames) * hop :]


def _with_silence(blocks: Iterable[Samples], after: int) -> Iterator[Samples]:
    for block in blocks:
        mixed = downmix(block) if block.ndim == 2 else block
        yield np.nan_to_num(mixed, posinf=0.0, neginf=0.0).clip(-_LOUDEST, _LOUDEST)
    yield np.zeros(after, np.float32)


def _bands(size: int, sample_rate: int, height: int) -> NDArray[np.float32]:
    """(size // 2 + 1, height) weights that sum to one in each row of the picture: triangles between
    neighbouring rows, but never narrower than the distance of two frequencies."""
    highest = sample_rate / 2
    mels = np.linspace(0, np.log1p(highest / _BREAK), height)
    centres = _BREAK * np.expm1(mels)
    apart = sample_rate / size
    reach = np.maximum(np.gradient(centres) if height > 1 else np.array([highest]), apart)
    frequencies = np.arange(size // 2 + 1) * apart
    weights = (1 - np.abs(frequencies[:, None] - centres) / reach).clip(min=0)
    bands: NDArray[np.float32] = (weights / weights.sum(axis=0)).astype(np.float32)
    return bands
