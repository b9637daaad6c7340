"""The built-in encoder's front end in NumPy; :mod:`wav2clip.models.mel` has it in PyTorch.

Both compute the same; this one needs no PyTorch. Where SciPy is installed, whose Fourier transform
takes several frames at once, it needs less than half the time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from wav2clip.audio.io import Samples
from wav2clip.models.config import MelConfig

Spectrogram = NDArray[np.float32]

_FRAMES = 64
"""Transformed at once: what lies between the steps stays in the cache. Five seconds in one go take
nearly twice as long."""

_BANDS = 32
"""Multiplied at once: neighbours share few frequencies, and what is zero for all is left out."""

QUIETEST = 1e-5
"""Peaks below this (-100 dB) are not worth making louder: they are rounding noise."""


def log_mel(waves: Samples, config: MelConfig) -> Spectrogram:
    """Log-mel spectrograms (batch, bands, frames) of waveforms (batch, samples) in [-1, 1].

    Silence gives ``(ln(log_offset) + shift) / scale`` everywhere. Fewer than
    ``config.min_samples`` samples are padded with zeros on the right, because reflect padding is
    undefined there.
    """
    waves, missing = np.asarray(waves, np.float32), config.min_samples - waves.shape[1]
    if missing > 0:
        waves = np.pad(waves, ((0, 0), (0, missing)))
    return np.stack([_log_mel(wave, config) for wave in waves])


def _log_mel(wave: Samples, config: MelConfig) -> Spectrogram:
    emphasised = _emphasised(wave, config)
    frames = np.lib.stride_tricks.sliding_window_view(emphasised, config.n_fft)
    frames = frames[:: config.hop_length]
    energy = np.empty((config.bands, len(frames)), np.float32)
    windowed = np.empty((_FRAMES, config.n_fft), np.float32)
    power = np.empty((_FRAMES, config.n_fft // 2 + 1), np.float32)
    for first in range(0, len(frames), _FRAMES):
        some = frames[first : first + _FRAMES]
        count = len(some)
        np.multiply(some, _window(config), out=windowed[:count])
        parts = np.asarray(_fourier()(windowed[:count]), np.complex64).view(np.float32)
        parts *= parts
        np.add(parts[:, ::2], parts[:, 1::2], out=power[:count])
        for bands, bins, filters in _filters(config):
            product = energy[bands, first : first + count]
            np.matmul(filters, power[:count, bins].T, out=product)
    if config.peak is not None:
        # The waveform is scaled to the peak; all before this line is linear, or a square.
        loudest = max(wave.max(), -wave.min())
        energy *= np.float32(config.peak / (loudest + np.float32(QUIETEST))) ** 2
    energy += np.float32(config.log_offset)
    np.log(energy, out=energy)
    energy += np.float32(config.shift)
    energy /= np.float32(config.scale)
    return energy


def _emphasised(wave: Samples, config: MelConfig) -> Samples:
    """High frequencies lifted, and reflected by half a window at both ends, in one allocation."""
    half = config.n_fft // 2
    padded = np.empty(len(wave) - 1 + 2 * half, np.float32)
    body = padded[half:-half]
    np.multiply(wave[:-1], np.float32(-config.pre_emphasis), out=body)
    body += wave[1:]
    padded[:half] = body[half:0:-1]
    padded[-half:] = body[-2 : -half - 2 : -1]
    return padded


@cache
def _fourier() -> Callable[[NDArray[np.float32]], NDArray[np.complex64]]:
    """Fourier transform of real rows."""
    try:
        from scipy.fft import rfft
    except ImportError:
        from numpy.fft import rfft
    transform: Callable[[NDArray[np.float32]], NDArray[np.complex64]] = rfft
    return transform


@cache
def _window(config: MelConfig) -> NDArray[np.float32]:
    around = (config.n_fft - config.window_length) // 2
    left = config.n_fft - config.window_length - around
    return np.pad(np.hanning(config.window_length), (around, left)).astype(np.float32)


@cache
def _filters(config: MelConfig) -> list[tuple[slice, slice, NDArray[np.float32]]]:
    """Bands, the bins of which they are made, and that part of :func:`mel_filters`.

    Laid out so that products with powers of frames are fastest.
    """
    filters = mel_filters(config)
    parts = []
    for first in range(0, config.bands, _BANDS):
        some = filters[first : first + _BANDS]
        heard = np.flatnonzero(some.any(axis=0))
        bins = slice(int(heard[0]), int(heard[-1]) + 1) if len(heard) else slice(0, 1)
        parts.append((slice(first, first + len(some)), bins, np.asfortranarray(some[:, bins])))
    return parts


def mel_filters(config: MelConfig) -> NDArray[np.float32]:
    """Triangular filters (bands, n_fft // 2 + 1), evenly spaced on Kaldi's mel scale.

    The bin at half the sample rate takes no part, as in Kaldi.
    """

    def mel(hertz: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return 1127.0 * np.log1p(np.asarray(hertz, np.float64) / 700.0)

    half = config.n_fft // 2
    bins = mel(np.arange(half) * config.sample_rate / config.n_fft)
    step = mel(config.highest) / (config.bands + 1)
    left = np.arange(config.bands)[:, None] * step
    rising, falling = (bins - left) / step, (left + 2 * step - bins) / step
    filters = np.minimum(rising, falling).clip(min=0)
    return np.pad(filters, ((0, 0), (0, 1))).astype(np.float32)
