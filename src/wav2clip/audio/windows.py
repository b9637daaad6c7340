"""Cutting a waveform into windows, and their times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from wav2clip.audio.io import Samples
from wav2clip.errors import InputError


def window_count(samples: int, length: int, hop: int) -> int:
    """Whole windows of ``length`` every ``hop`` in ``samples``; the incomplete tail is dropped."""
    if length < 1 or hop < 1:
        raise InputError(f"window of {length} and hop of {hop} samples, expected at least 1 each")
    return 0 if samples < length else 1 + (samples - length) // hop


def frame(samples: Samples, length: int, hop: int) -> Samples:
    """Windows (count, length) of (n,) samples, a read-only view without padding.

    Raises:
        InputError: fewer samples than one window.
    """
    if window_count(len(samples), length, hop) == 0:
        raise InputError(
            f"{len(samples)} samples are shorter than one window of {length}; "
            "choose shorter frames or embed the whole recording"
        )
    return np.lib.stride_tricks.sliding_window_view(samples, length)[::hop]


def frame_blocks(blocks: Iterable[Samples], length: int, hop: int, batch: int) -> Iterator[Samples]:
    """The windows of :func:`frame` from a stream of blocks, as batches (<= batch, length).

    Memory is that of one block and one batch, whatever the length of the stream.
    """
    window_count(0, length, hop)
    rest = np.zeros(0, np.float32)
    skip = 0  # samples still to pass over, when the hop is longer than the window
    for block in blocks:
        rest = np.concatenate((rest, block))
        if skip:
            passed = min(skip, len(rest))
            rest, skip = rest[passed:], skip - passed
        count = window_count(len(rest), length, hop)
        for first in range(0, count, batch):
            last = min(first + batch, count)
            yield frame(rest[first * hop : (last - 1) * hop + length], length, hop)
        consumed = count * hop
        skip += max(0, consumed - len(rest))
        rest = rest[consumed:]


def frame_starts(count: int, hop: int, sample_rate: int) -> NDArray[np.float64]:
    """Start of each window in seconds, (count,) float64."""
    return np.arange(count, dtype=np.float64) * hop / sample_rate


def segments(
    blocks: Iterable[Samples], length: int, hop: int, shortest: int = 1
) -> Iterator[tuple[int, Samples]]:
    """Cut a stream so that nothing is lost: (first sample, samples) of each segment.

    A recording of fewer than ``length + shortest`` samples is one segment. A longer one gives
    windows of ``length`` every ``hop``, and a last window that ends with the recording, so that all
    are equally long; the last is left out where it would add fewer than ``shortest`` samples.
    Memory is that of one block and two windows.

    Args:
        blocks: (n,) each, from the start of the recording.
        length: samples of a window.
        hop: samples from one window's start to the next, at most ``length``.
        shortest: fewest new samples that are worth a window.
    """
    if not 1 <= hop <= length:
        raise InputError(f"hop of {hop} samples, expected 1 to the window's length, {length}")
    held = np.zeros(0, np.float32)
    start, cut = 0, False
    for block in blocks:
        held = np.concatenate((held, block))
        if not cut and len(held) >= length + shortest:
            yield 0, held[:length]
            cut = True
        while cut and len(held) >= hop + length:
            held, start = held[hop:], start + hop
            yield start, held[:length]
    if not cut:
        yield 0, held
    elif len(held) >= length + shortest:
        yield start + len(held) - length, held[-length:]
