"""What a film follows in a sound: when something begins, how loud it is, and how bright."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from wav2clip.audio import io, windows
from wav2clip.audio.io import Samples
from wav2clip.models.config import MelConfig
from wav2clip.models.spectrogram import mel_filters

SILENCE = 1e-4
"""Amplitude below which nothing is heard: three steps of 16 bits."""

RATE = 100
"""Measurements per second."""

FRONT = MelConfig(window_length=1024)
"""Windows of 32 ms every 10 ms, and 128 mel bands, as the built-in encoder has them."""

_FLOOR = 1e-6 * (FRONT.n_fft / 4) ** 2
# Power that is added before the logarithm: 60 dB below a tone as loud as the recording's peak. What
# is fainter begins nothing.

_LAG, _WIDEST = 2, 1
# Frames between which energy rises, and bands to either side in which a partial may have been:
# vibrato is no onset (SuperFlux).
_PEAK = 3  # frames to either side that an onset exceeds
_AROUND = 50  # frames to either side whose median is what rises all the time
_LEAST = 1.5  # dB above that median, on the average of all bands
_HALF = 4.0  # dB above it that are a strength of one half
_APART = 0.05  # seconds between onsets, within which ears hear one

_BLOCK = 1000  # frames measured at once
_DECIBEL = 10 / np.log(10)

_RANGE = 30.0  # dB below the loud moments of a recording that count as no loudness
_LOUD = 95  # percentile of its levels that counts as full loudness
_ATTACK, _RELEASE = 0.03, 0.35  # seconds in which loudness is followed up and down: a pulse
_SLOW = 0.25  # seconds over which brightness is averaged


@dataclass(frozen=True)
class Rhythm:
    """The course of a recording.

    Attributes:
        seconds: its length.
        peak: largest magnitude of its samples.
        onsets: (k,) float64 seconds at which something begins, rising.
        strengths: (k,) float32 in [0, 1): how clearly.
        levels: (n,) float32, mean power per :data:`RATE`-th of a second in dB below the peak.
        centroids: (n,) float32, spectral centroid in Hz; 0 where nothing is heard.
    """

    seconds: float
    peak: float
    onsets: NDArray[np.float64]
    strengths: NDArray[np.float32]
    levels: NDArray[np.float32]
    centroids: NDArray[np.float32]

    @property
    def silent(self) -> bool:
        """Whether nothing is heard: no sample exceeds :data:`SILENCE`."""
        return self.peak <= SILENCE

    def loudness(self, fps: float, count: int) -> NDArray[np.float32]:
        """Loudness in [0, 1] at each of ``count`` video frames: fast up, slowly down.

        1 is the recording's own loud, 0 is 30 dB below it; nothing but 0 in silence.
        """
        if self.silent:
            return np.zeros(count, np.float32)
        heard = np.clip(1 + (self.levels - np.percentile(self.levels, _LOUD)) / _RANGE, 0, 1)
        rises, falls = (1 - np.exp(-1 / (RATE * time)) for time in (_ATTACK, _RELEASE))
        followed, now = np.empty(len(heard), np.float32), float(heard[0])
        for place, level in enumerate(heard.tolist()):
            now += (rises if level > now else falls) * (level - now)
            followed[place] = now
        return _at_frames(followed, fps, count)

    def brightness(self, fps: float, count: int) -> NDArray[np.float32]:
        """Octaves of the spectral centroid above the recording's median, in [-1, 1], at each frame.

        0 where nothing is heard.
        """
        sounding = self.centroids > 0
        if self.silent or not sounding.any():
            return np.zeros(count, np.float32)
        octaves = np.zeros(len(self.centroids), np.float32)
        octaves[sounding] = np.log2(self.centroids[sounding])
        octaves[sounding] -= np.median(octaves[sounding])
        width = min(len(octaves), round(_SLOW * RATE))
        smooth = np.convolve(octaves.clip(-2, 2) / 2, np.ones(width) / width, "same")
        return _at_frames(smooth.astype(np.float32), fps, count)


def is_silent(sound: io.Source) -> bool:
    """Whether no sample of a recording exceeds :data:`SILENCE`; reads up to the first that does."""
    stream = io.stream_audio(sound)
    return all(float(np.abs(block).max(initial=0)) <= SILENCE for block in stream)


def measure(sound: str | os.PathLike[str]) -> Rhythm:
    """The rhythm of a recording of any length, which is decoded twice, in bounded memory.

    Onsets are peaks of the spectral flux: the rise of each log-mel band against the loudest of it
    and its neighbours 20 ms before, averaged over the bands (SuperFlux: Böck and Widmer 2013, Proc.
    DAFx-13). A peak is the largest within 30 ms and 1.5 dB or more above the median of the second
    around it (after the moving thresholds of Dixon 2006, Proc. DAFx-06).

    Raises:
        AudioError: it cannot be read.
    """
    peak = max(float(np.abs(block).max(initial=0)) for block in _stream(sound))
    scale = np.float32(1 / peak) if peak > SILENCE else np.float32(0)
    before = np.full((_LAG, FRONT.bands), np.log(_FLOOR), np.float32)
    flux, levels, centroids = [], [], []
    for frames in _frames(sound):
        mel, level, centroid = _describe(frames * scale)
        course = np.concatenate((before, mel))
        flux.append(_flux(course))
        levels.append(level)
        centroids.append(centroid)
        before = course[-_LAG:]
    onsets, strengths = _pick(np.concatenate(flux))
    level = np.concatenate(levels)
    return Rhythm(len(level) / RATE, peak, onsets, strengths, level, np.concatenate(centroids))


def _stream(sound: str | os.PathLike[str]) -> Iterator[Samples]:
    return iter(io.stream_audio(sound, FRONT.sample_rate))


def _frames(sound: str | os.PathLike[str]) -> Iterator[Samples]:
    """Windows (<= _BLOCK, n_fft), the k-th around the time k / RATE, with silence around it all."""
    half = np.zeros(FRONT.n_fft // 2, np.float32)
    padded = chain([half], _stream(sound), [half])
    return windows.frame_blocks(padded, FRONT.n_fft, FRONT.hop_length, _BLOCK)


def _describe(frames: Samples) -> tuple[NDArray[np.float32], ...]:
    """Log-mel bands (n, bands), level in dB (n,) and spectral centroid in Hz (n,) of windows."""
    spectrum = np.fft.rfft(frames * _WINDOW)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    mel = np.log(power @ _FILTERS.T + np.float32(_FLOOR))
    middle = (FRONT.n_fft - FRONT.hop_length) // 2
    loud = np.square(frames[:, middle : middle + FRONT.hop_length]).mean(axis=1)
    total = power.sum(axis=1)
    centroid = np.where(total > _FLOOR, power @ _HERTZ / np.maximum(total, _FLOOR), 0)
    return mel, 10 * np.log10(loud + 1e-12), centroid.astype(np.float32)


def _flux(mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean rise in dB of bands (n + _LAG, bands) against the widest of before: (n,)."""
    before = np.pad(mel[:-_LAG], ((0, 0), (_WIDEST, _WIDEST)), mode="edge")
    widest = np.lib.stride_tricks.sliding_window_view(before, 2 * _WIDEST + 1, axis=1).max(axis=2)
    rise: NDArray[np.float32] = np.maximum(mel[_LAG:] - widest, 0).mean(axis=1) * _DECIBEL
    return rise


def _pick(flux: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Seconds and strengths of its peaks."""
    largest = _moving(flux, _PEAK, 0.0).max(axis=1)
    around = _moving(flux, _AROUND, 0.0)
    usual = np.concatenate(
        [np.median(around[first : first + _BLOCK], axis=1) for first in range(0, len(flux), _BLOCK)]
    )
    excess = flux - usual
    places: list[int] = []
    for place in np.flatnonzero((flux == largest) & (excess >= _LEAST)).tolist():
        if not places or (place - places[-1]) / RATE > _APART:
            places.append(place)
    rows = np.array(places, np.int64)
    return rows / RATE, (excess[rows] / (excess[rows] + _HALF)).astype(np.float32)


def _moving(values: NDArray[np.float32], reach: int, outside: float) -> NDArray[np.float32]:
    """Each value with ``reach`` before and behind it: (n, 2 reach + 1), a view."""
    padded = np.pad(values, reach, constant_values=outside)
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)


def _at_frames(values: NDArray[np.float32], fps: float, count: int) -> NDArray[np.float32]:
    """Measurements at the times of video frames."""
    places = np.round(np.arange(count) / fps * RATE).astype(np.int64)
    return values[np.minimum(places, len(values) - 1)]


_WINDOW = np.hanning(FRONT.n_fft).astype(np.float32)
_FILTERS = mel_filters(FRONT)
_HERTZ = np.fft.rfftfreq(FRONT.n_fft, 1 / FRONT.sample_rate).astype(np.float32)
