"""Synthesise everyday sounds, for docs/gallery: nobody's recordings, so anybody may pass them on.

    python tools/synthesise_sounds.py sounds/
    wav2clip gallery sounds/ -o docs/gallery --size 256 --steps 60 \\
        --title "Pictures of synthesised sounds"

Four seconds each, 22,050 Hz, Ogg Vorbis. Filtered noise, decaying partials and frequency sweeps, as
in Farnell, "Designing Sound" (MIT Press 2010). Seed 0: the same sounds each time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import soundfile

RATE = 22_050
SECONDS = 4.0
Wave = np.ndarray

T = np.arange(int(RATE * SECONDS)) / RATE
RNG = np.random.default_rng(0)


def sine(hz: float | Wave, seconds: Wave = T) -> Wave:
    """A sine of fixed or changing frequency."""
    return np.sin(2 * np.pi * np.cumsum(np.broadcast_to(hz, seconds.shape)) / RATE)


def noise(low: float, high: float, slope: float = 0.0) -> Wave:
    """Noise between two frequencies, its amplitude falling as frequency ** -slope."""
    spectrum = np.fft.rfft(RNG.normal(size=len(T)))
    frequency = np.fft.rfftfreq(len(T), 1 / RATE)
    shape = np.where((frequency >= low) & (frequency <= high), np.maximum(frequency, 1), np.inf)
    wave = np.fft.irfft(spectrum * shape**-slope * np.isfinite(shape), len(T))
    return wave / np.abs(wave).max()


def at(times: np.ndarray, sound: Callable[[Wave], Wave], seconds: float) -> Wave:
    """A short sound at each of the times, each at its own loudness."""
    out = np.zeros(len(T))
    local = np.arange(int(seconds * RATE)) / RATE
    for start in (np.asarray(times) * RATE).astype(int):
        piece = sound(local)[: max(0, len(out) - start)]
        out[start : start + len(piece)] += piece * RNG.uniform(0.6, 1)
    return out


def decaying(partials: tuple[float, ...], rate: float) -> Callable[[Wave], Wave]:
    """Partials that die away, the higher the sooner."""
    return lambda t: sum(
        np.sin(2 * np.pi * hz * t) * np.exp(-rate * t * (1 + place)) / (1 + place)
        for place, hz in enumerate(partials)
    )


def burst(t: Wave, rate: float) -> Wave:
    return RNG.normal(size=len(t)) * np.exp(-rate * t)


def chirp(t: Wave) -> Wave:
    """One note of a bird: a sweep with a trill."""
    hz = RNG.uniform(2500, 4500) + 1200 * np.sin(2 * np.pi * RNG.uniform(15, 35) * t) - 3000 * t
    return np.sin(2 * np.pi * np.cumsum(hz) / RATE) * np.hanning(len(t))


def bark(t: Wave) -> Wave:
    hz = 420 * np.exp(-3 * t) + 180
    voice = np.tanh(6 * np.sin(2 * np.pi * np.cumsum(hz) / RATE))
    return (voice + 0.5 * RNG.normal(size=len(t))) * np.hanning(len(t)) ** 0.5


def engine() -> Wave:
    speed = 28 + 20 * (T / SECONDS) ** 2
    return np.tanh(3 * sine(speed) + 2 * sine(2.01 * speed)) + 0.3 * noise(40, 900, 0.5)


SOUNDS: dict[str, Callable[[], Wave]] = {
    "rain": lambda: (
        noise(500, 10_000, 0.4)
        + 0.7 * at(np.sort(RNG.uniform(0, 3.9, 250)), lambda t: burst(t, 900), 0.02)
    ),
    "thunder": lambda: noise(20, 200, 1.0) * np.exp(-0.8 * T) * (1 + 0.6 * noise(1, 6)),
    "waves on a beach": lambda: noise(80, 6000, 0.7) * (0.15 + np.sin(np.pi * T / 2) ** 4),
    "wind": lambda: noise(120, 900, 0.8) * (1 + 0.8 * sine(0.4)),
    "church bell": lambda: at(
        np.array([0, 2]), decaying((220, 440, 523, 660, 1100, 1480), 0.9), 2.0
    ),
    "siren": lambda: np.tanh(2 * sine(850 + 350 * np.sin(2 * np.pi * 0.5 * T))),
    "birdsong": lambda: at(np.sort(RNG.uniform(0, 3.7, 16)), chirp, 0.18),
    "clock ticking": lambda: at(
        np.arange(8) / 2, lambda t: burst(t, 350) + decaying((2100, 3300), 90)(t), 0.1
    ),
    "heartbeat": lambda: at(
        np.sort(np.r_[np.arange(4) + 0.1, np.arange(4) + 0.42]), decaying((55, 80), 16), 0.3
    ),
    "engine": engine,
    "dog barking": lambda: at(np.array([0.2, 0.7, 1.9, 2.4, 3.2]), bark, 0.22),
    "train": lambda: (
        at(
            np.sort(np.r_[np.arange(6) * 0.7, np.arange(6) * 0.7 + 0.18]),
            lambda t: burst(t, 25),
            0.15,
        )
        + 0.5 * noise(40, 500, 0.7)
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--takes", type=int, default=1, help="of each sound, no two alike by chance"
    )
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for take, (name, make) in product(range(1, chosen.takes + 1), SOUNDS.items()):
        wave = make()
        edges = np.minimum(1, np.minimum(T, SECONDS - T) / 0.01)  # no clicks at the ends
        samples = (0.7 * edges * wave / np.abs(wave).max()).astype(np.float32)
        stem = name.replace(" ", "_") + (f"_{take}" if take > 1 else "")
        path = chosen.folder / f"{stem}.ogg"
        soundfile.write(path, samples, RATE, format="OGG", subtype="VORBIS")
        print(path)


if __name__ == "__main__":
    main()
