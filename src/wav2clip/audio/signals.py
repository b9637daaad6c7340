"""Signals that engines are tried on: noise of several colours and lengths, always the same."""

from __future__ import annotations

import numpy as np

from wav2clip.audio.io import Samples

SECONDS = (0.05, 0.3, 0.6, 1.0, 2.5, 5.0, 10.0)
"""Lengths that are tried: some shorter than the reach of the networks."""


def signals(sample_rate: int, seconds: float, count: int = 4) -> Samples:
    """Noise (count, n) of different colours that swells at different rates.

    The numbers come from NumPy's old generator, whose streams stay the same in all versions: what
    is computed from them may be stored.
    """
    rng = np.random.RandomState(0)
    n = max(1, round(seconds * sample_rate))
    time = np.arange(n) / sample_rate
    clips = []
    for _ in range(count):
        tilt, rate, phase = rng.uniform(-1, 1), rng.uniform(0.2, 8), rng.uniform(0, 2 * np.pi)
        spectrum = np.fft.rfft(rng.standard_normal(n))
        spectrum *= np.linspace(1e-3, 1, len(spectrum)) ** tilt
        wave = np.fft.irfft(spectrum, n) * (1.1 + np.sin(2 * np.pi * rate * time + phase))
        clips.append(0.5 * wave / np.abs(wave).max())
    return np.array(clips, np.float32)
