"""Onsets, loudness and brightness of sounds whose course is known."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from media import tone
from wav2clip.errors import AudioError
from wav2clip.generation import rhythm
from wav2clip.generation.rhythm import RATE, is_silent, measure

pytestmark = pytest.mark.everyday

SR = 44_100
WITHIN = 0.1  # seconds


def click(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    return 0.7 * rng.normal(size=len(t)) * (t < 0.0005)


def pluck(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    hz = rng.uniform(150, 1200)
    partials = sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 7))
    return 0.5 * partials * np.exp(-12 * t) * np.minimum(1, t / 0.003)


def burst(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    return 0.3 * rng.normal(size=len(t)) * np.exp(-18 * t) * np.minimum(1, t / 0.01)


def drum(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    body = 0.8 * np.sin(2 * np.pi * (60 * t + 4 * (1 - np.exp(-30 * t)))) * np.exp(-14 * t)
    return body + 0.15 * rng.normal(size=len(t)) * np.exp(-90 * t)


def syllable(rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    hz, formant = rng.uniform(100, 220), rng.uniform(500, 900)
    voice = sum(
        np.sin(2 * np.pi * hz * k * t) * np.exp(-(((hz * k - formant) / 500) ** 2))
        for k in range(1, 25)
    )
    return 0.3 * voice * np.minimum(1, t / 0.04) * np.exp(-20 * np.maximum(0, t - 0.12))


KINDS: tuple[Callable[[np.random.Generator, np.ndarray], np.ndarray], ...] = (
    click,
    pluck,
    burst,
    drum,
    syllable,
)


def track(rng: np.random.Generator, events: int, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Sounds of five kinds, up to 15 dB apart, over noise; and the seconds at which they begin."""
    times = np.cumsum(rng.uniform(0.28, 0.9, events))
    wave = floor * rng.normal(size=int((times[-1] + 1) * SR))
    t = np.arange(int(0.3 * SR)) / SR
    for number, at in enumerate(times):
        event = KINDS[number % len(KINDS)](rng, t) * 10 ** (-rng.uniform(0, 15) / 20)
        wave[int(at * SR) : int(at * SR) + len(t)] += event
    return 0.9 * wave / np.abs(wave).max(), times


def f1(found: np.ndarray, marked: np.ndarray) -> float:
    """Each mark takes the nearest onset that no other has, within a tenth of a second."""
    free = found.tolist()
    hits = 0
    for mark in marked:
        near = [at for at in free if abs(at - mark) <= WITHIN]
        if near:
            free.remove(min(near, key=lambda at: abs(at - mark)))
            hits += 1
    return 2 * hits / (len(found) + len(marked))


@pytest.mark.parametrize("floor", [0.003, 0.01])
def test_onsets_of_many_kinds_are_found(tmp_path: Path, floor: float) -> None:
    wave, times = track(np.random.default_rng(7), 60, floor)
    soundfile.write(tmp_path / "track.wav", wave, SR)
    found = measure(tmp_path / "track.wav")
    assert f1(found.onsets, times) >= 0.8
    assert len(found.strengths) == len(found.onsets)
    assert ((found.strengths > 0) & (found.strengths < 1)).all()
    # What a recording is scaled to changes nothing: quiet ones have onsets, too.
    soundfile.write(tmp_path / "quiet.wav", wave / 100, SR, subtype="FLOAT")
    quiet = measure(tmp_path / "quiet.wav").onsets
    assert f1(quiet, found.onsets) >= 0.98


def test_steady_sounds_have_no_onsets_but_their_beginning(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.normal(size=8 * SR)
    sine = tone(8.0, SR)
    for name, wave in (("noise", noise), ("sine", sine), ("silence", np.zeros(8 * SR))):
        soundfile.write(tmp_path / f"{name}.wav", wave, SR)
        found = measure(tmp_path / f"{name}.wav")
        inside = found.onsets[(found.onsets > 0.1) & (found.onsets < 7.9)]
        assert not len(inside), name
    assert measure(tmp_path / "noise.wav").onsets[0] == pytest.approx(0, abs=0.05)


def test_vibrato_is_no_onset(tmp_path: Path) -> None:
    t = np.arange(6 * SR) / SR
    wobble = 440 * 0.01 / 6 * np.sin(2 * np.pi * 6 * t)  # by 1 %, six times a second
    phase = 2 * np.pi * 440 * t + wobble
    wave = sum(np.sin(k * phase) / k for k in range(1, 6)) / 4
    soundfile.write(tmp_path / "v.wav", wave, SR)
    onsets = measure(tmp_path / "v.wav").onsets
    assert not len(onsets[(onsets > 0.1) & (onsets < 5.9)])


def test_loudness_rises_fast_and_falls_slowly(tmp_path: Path) -> None:
    wave = np.where((np.arange(3 * SR) > SR) & (np.arange(3 * SR) < 2 * SR), tone(3.0, SR), 1e-4)
    soundfile.write(tmp_path / "a.wav", wave, SR)
    found = measure(tmp_path / "a.wav")
    loud = found.loudness(25, 75)
    assert len(loud) == 75
    assert loud.min() >= 0
    assert loud.max() <= 1
    assert loud[:23].max() < 0.05
    assert loud[29:49].min() > 0.9  # 0.2 s after it began
    assert 0.3 < loud[53] < 0.95  # 0.12 s after it ended
    assert loud[74] < 0.2
    assert found.seconds == pytest.approx(3.0, abs=0.02)


def test_brightness_follows_the_spectrum(tmp_path: Path) -> None:
    wave = np.concatenate([tone(2.0, SR, 300), tone(2.0, SR, 3000)])
    soundfile.write(tmp_path / "a.wav", wave, SR)
    found = measure(tmp_path / "a.wav")
    assert np.median(found.centroids[50:150]) == pytest.approx(300, rel=0.05)
    assert np.median(found.centroids[250:350]) == pytest.approx(3000, rel=0.05)
    bright = found.brightness(25, 100)
    assert bright[10:40].max() < bright[60:90].min()
    assert np.abs(bright).max() <= 1


def test_silence_has_no_course(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(SR), SR)
    found = measure(tmp_path / "a.wav")
    assert found.silent
    assert not found.loudness(25, 25).any()
    assert not found.brightness(25, 25).any()


@settings(max_examples=10)
@given(st.integers(1, 3000), st.integers(1, 60))
def test_any_length_will_do(tmp_path_factory: pytest.TempPathFactory, n: int, count: int) -> None:
    path = tmp_path_factory.mktemp("short") / "a.wav"
    soundfile.write(path, 0.3 * np.random.default_rng(n).normal(size=n), 16_000)
    found = measure(path)
    assert len(found.levels) == len(found.centroids) == pytest.approx(n / 16_000 * RATE, abs=1)
    assert len(found.loudness(25, count)) == len(found.brightness(25, count)) == count


def test_blocks_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wave, _ = track(np.random.default_rng(1), 20, 0.003)
    soundfile.write(tmp_path / "a.wav", wave, SR)
    whole = measure(tmp_path / "a.wav")
    monkeypatch.setattr(rhythm, "_BLOCK", 37)
    parts = measure(tmp_path / "a.wav")
    np.testing.assert_array_equal(parts.onsets, whole.onsets)
    np.testing.assert_allclose(parts.strengths, whole.strengths, atol=1e-4)
    np.testing.assert_allclose(parts.levels, whole.levels, atol=1e-3)


def test_memory_does_not_grow_with_the_sound(tmp_path: Path) -> None:
    peaks = []
    for seconds in (30, 240):
        path = tmp_path / f"{seconds}.wav"
        soundfile.write(path, 0.1 * np.random.default_rng(0).normal(size=seconds * 8000), 8000)
        tracemalloc.start()
        measure(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # What is kept is some bytes a hundredth of a second; what is measured at once is 20 MB.
    assert peaks[1] - peaks[0] < 210 * RATE * 100


def test_silence_is_noticed(tmp_path: Path) -> None:
    for name, level in (("silent", 0.0), ("faint", 5e-5), ("soft", 1e-2)):
        wave = np.zeros(40_000)
        wave[-10] = level
        soundfile.write(tmp_path / f"{name}.wav", wave, 16_000, subtype="FLOAT")
    silent = {n: is_silent(tmp_path / f"{n}.wav") for n in ("silent", "faint", "soft")}
    assert silent == {"silent": True, "faint": True, "soft": False}


def test_what_is_no_sound(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no sound")
    with pytest.raises(AudioError, match=r"a\.wav"):
        measure(tmp_path / "a.wav")
