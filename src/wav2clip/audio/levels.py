"""Levels of a recording, block by block: peak, RMS, DC offset, clipping, correlation of channels.

Full scale is 1.0, and levels are in dB relative to it (dBFS) by amplitude, so that a sine of full
scale has a peak of 0 dBFS and an RMS of -3.01 dBFS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wav2clip.audio.track import Samples

CLIPPED_RUN = 3
"""Samples at full scale in a row that are a clipped peak: the default of Audacity's Find Clipping
(manual, "Start Threshold"). One or two may be a peak that just fits."""

_STEP = 2.0**-15
_COARSER = {
    "pcm_u8": 2.0**-7, "pcm_s8": 2.0**-7,
    "ulaw": 1 - 32124 / 2**15, "pcm_mulaw": 1 - 32124 / 2**15,
    "alaw": 1 - 32256 / 2**15, "pcm_alaw": 1 - 32256 / 2**15,
}  # fmt: skip
"""How far below 1.0 the highest sample of a codec lies where that is more than a step of 16 bits
(the largest numbers of mu-law and A-law: ITU-T G.711, tables 1a and 2a)."""

_STRETCH = 0.4
_SILENCE, _PAUSE = 1e-7, 0.1
"""Stretches in which sound is looked for, seconds; power below which there is none (-70 dBFS), and
share of the mean power of the others below which there is a pause (-10 dB): the blocks and gates of
ITU-R BS.1770-5, annex 1, without the overlap of blocks."""

_NOTHING = 2.0**-48
"""Variance, a step of 24 bits squared, of a channel that holds no sound to correlate."""


@dataclass(frozen=True)
class Levels:
    """Measures of a whole recording; all of them finite, but for levels of -inf.

    Attributes:
        frames: samples of a channel.
        peak: dBFS of the largest magnitude in any channel.
        swing: dBFS of the largest distance from the mean of its channel: the peak of what is heard.
        rms: dBFS of the root of the mean square of all samples of all channels.
        offset: mean of the channel whose mean is furthest from 0, as a share of full scale.
        correlation: of the first two channels, in [-1, 1], their means taken away (Pearson); 1 for
            the same sound, -1 for opposite ones. None for one channel, or where one is silent.
        clipped: samples in runs of at least :data:`CLIPPED_RUN` of one channel that are at or
            beyond full scale on the same side.
        runs: such runs.
        samples: of all channels together.
        bad: samples that are NaN or infinite; the other measures take them for 0.
    """

    frames: int
    peak: float
    swing: float
    rms: float
    offset: float
    correlation: float | None
    clipped: int
    runs: int
    samples: int
    bad: int

    @property
    def offset_level(self) -> float:
        """The offset in dBFS."""
        return decibels(abs(self.offset))

    @property
    def clipped_share(self) -> float:
        """Share of the samples that are clipped, in [0, 1]."""
        return self.clipped / max(self.samples, 1)


def decibels(amplitude: float) -> float:
    """Level of an amplitude in dBFS; -inf for 0."""
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf


class Meter:
    """Takes blocks of a recording, and gives its levels.

    Whatever the blocks, the result is the same but for the rounding of float64 sums.

    Args:
        codec: of the file, as :class:`wav2clip.audio.track.Track` names it: the highest sample of
            8 bits is further below full scale than that of others.
    """

    def __init__(self, codec: str = "") -> None:
        self._full = np.float32(1 - _COARSER.get(codec, _STEP))
        self._counts = self._sums = self._squares = np.zeros(0)
        self._lowest, self._highest = np.zeros(0), np.zeros(0)
        self._pair = np.zeros((3, 3))  # sums of products of 1, left and right
        self._open = np.zeros(0, np.int64)  # runs that may go on: length, negative below zero
        self._frames = self._clipped = self._runs = self._bad = 0

    def add(self, frames: Samples) -> None:
        """Take the next frames, (n, channels) float32; the number of channels may change."""
        if not frames.size:
            return
        block = np.ascontiguousarray(frames.T)  # rows are much faster to reduce
        if not np.isfinite(block.sum(dtype=np.float64)):
            bad = ~np.isfinite(block)
            self._bad += int(bad.sum())
            block = np.where(bad, np.float32(0), block)
        count, length = block.shape
        self._frames += length
        self._widen(count)
        lowest, highest = block.min(1), block.max(1)
        self._find_clipped(block, max(highest.max(), -lowest.min()))
        wide = block.astype(np.float64)
        self._counts[:count] += length
        self._sums[:count] += wide.sum(1)
        self._squares[:count] += np.einsum("cn,cn->c", wide, wide)
        self._lowest[:count] = np.minimum(self._lowest[:count], lowest)
        self._highest[:count] = np.maximum(self._highest[:count], highest)
        if count > 1:
            rows = np.concatenate([np.ones((1, length)), wide[:2]])
            self._pair += rows @ rows.T

    def result(self) -> Levels:
        """The levels of all frames so far."""
        counts = np.maximum(self._counts, 1)
        means = self._sums / counts
        peaks = np.maximum(self._highest, -self._lowest)
        swings = np.maximum(self._highest - means, means - self._lowest)
        samples = int(self._counts.sum())
        square = float(self._squares.sum()) / max(samples, 1)
        ending = np.abs(self._open)
        ending = ending[ending >= CLIPPED_RUN]
        return Levels(
            frames=self._frames,
            peak=decibels(float(peaks.max(initial=0.0))),
            swing=decibels(float(swings.max(initial=0.0))),
            rms=decibels(math.sqrt(square)),
            offset=float(means[np.abs(means).argmax()]) if len(means) else 0.0,
            correlation=self._correlation(),
            clipped=self._clipped + int(ending.sum()),
            runs=self._runs + len(ending),
            samples=samples,
            bad=self._bad,
        )

    def _widen(self, count: int) -> None:
        """Make room for so many channels; runs end where the number of channels changes."""
        more = count - len(self._sums)
        if more > 0:
            for name in ("_counts", "_sums", "_squares"):
                setattr(self, name, np.append(getattr(self, name), np.zeros(more)))
            self._lowest = np.append(self._lowest, np.full(more, np.inf))
            self._highest = np.append(self._highest, np.full(more, -np.inf))
        if len(self._open) != count:
            self._close(np.abs(self._open))
            self._open = np.zeros(count, np.int64)

    def _find_clipped(self, block: NDArray[np.float32], peak: float) -> None:
        if peak < self._full:
            self._close(np.abs(self._open))
            self._open[:] = 0
            return
        for channel, row in enumerate(block):
            self._open[channel] = self._runs_in(row, int(self._open[channel]))

    def _runs_in(self, row: NDArray[np.float32], before: int) -> int:
        """Count the runs of a channel that end here; gives the one that may go on.

        Args:
            row: (n,) samples.
            before: length of the run that the samples before ended with, negative below zero.
        """
        side = (row >= self._full).astype(np.int8) - (row <= -self._full)
        starts = np.flatnonzero(np.diff(side, prepend=side[:1] + 1))  # the first is always one
        lengths = np.diff(starts, append=len(side))
        sides = side[starts]
        if before and sides[0] == np.sign(before):
            lengths[0] += abs(before)
        else:
            self._close(np.array([abs(before)]))
        self._close(lengths[:-1][sides[:-1] != 0])
        return int(sides[-1]) * int(lengths[-1])

    def _close(self, lengths: NDArray[np.int64]) -> None:
        long = lengths[lengths >= CLIPPED_RUN]
        self._clipped += int(long.sum())
        self._runs += len(long)

    def _correlation(self) -> float | None:
        count = self._pair[0, 0]
        if not count:
            return None
        means = self._pair[0, 1:] / count
        spread = self._pair[1:, 1:] / count - np.outer(means, means)
        if min(spread[0, 0], spread[1, 1]) <= _NOTHING:
            return None
        return float(np.clip(spread[0, 1] / math.sqrt(spread[0, 0] * spread[1, 1]), -1, 1))


class HeardMeter:
    """Takes blocks of a recording, and gives how loud it is while something is heard.

    The mean power of what is left when silence and pauses are taken away, as ITU-R BS.1770-5 does
    it, but without its weighting of frequencies. Of several channels the mean counts: one channel
    is played on both sides.

    Args:
        rate: samples of a channel per second.

    Attributes:
        peak: the largest magnitude in any channel so far.
    """

    def __init__(self, rate: float) -> None:
        self._size = max(round(_STRETCH * rate), 1)
        self._powers = [np.zeros(0)]
        self._rest = np.zeros(0)
        self.peak = 0.0

    def add(self, frames: Samples) -> None:
        """Take the next frames, (n,) or (n, channels); what is not finite counts as silence."""
        if not frames.size:
            return
        block = np.ascontiguousarray(frames.reshape(len(frames), -1).T)  # faster to reduce
        if not np.isfinite(block.sum(dtype=np.float64)):
            block = np.nan_to_num(block, posinf=0.0, neginf=0.0)
        self.peak = max(self.peak, float(block.max()), -float(block.min()))
        powers = np.einsum("cn,cn->n", block, block, dtype=np.float64) / len(block)
        powers = np.concatenate([self._rest, powers])
        whole = len(powers) // self._size * self._size
        self._powers.append(powers[:whole].reshape(-1, self._size).mean(1))
        self._rest = powers[whole:]

    def level(self) -> float:
        """dBFS of what is heard, by RMS; -inf where nothing is."""
        powers = np.concatenate(
            [*self._powers, *([[self._rest.mean()]] if len(self._rest) else [])]
        )
        lengths = np.full(len(powers), self._size)
        lengths[sum(map(len, self._powers)) :] = len(self._rest)
        heard = powers >= _SILENCE
        if not heard.any():
            return -math.inf
        heard &= powers >= _PAUSE * np.average(powers[heard], weights=lengths[heard])
        return decibels(math.sqrt(np.average(powers[heard], weights=lengths[heard])))
