"""Levels of recordings against their definitions, and whatever the blocks they come in."""

from __future__ import annotations

import io
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from media import tone, wav_bytes
from wav2clip.audio import levels
from wav2clip.audio.io import stream_audio
from wav2clip.audio.levels import HeardMeter, Levels, Meter

pytestmark = pytest.mark.everyday


def measure(*blocks: np.ndarray, codec: str = "") -> Levels:
    meter = Meter(codec)
    for block in blocks:
        frames = np.asarray(block, np.float32)
        meter.add(frames if frames.ndim == 2 else frames[:, None])
    return meter.result()


def in_blocks(wave: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    return np.split(wave, sorted(cut % (len(wave) + 1) for cut in cuts))


def slow_clipped(wave: np.ndarray, full: float = 1 - 2.0**-15) -> tuple[int, int]:
    """Samples and runs, one sample after the other."""
    samples = runs = 0
    for channel in wave.T:
        sides = [(sample >= full) - (sample <= -full) for sample in channel.tolist()]
        for side, run in itertools.groupby(sides):
            length = len(list(run))
            if side and length >= 3:
                samples, runs = samples + length, runs + 1
    return samples, runs


def slow(wave: np.ndarray) -> tuple[float, float, float]:
    """Largest magnitude, root of the mean square, and the mean that is furthest from 0."""
    means = [math.fsum(channel) / len(channel) for channel in wave.T.tolist()]
    square = math.fsum(sample * sample for sample in wave.ravel().tolist()) / wave.size
    return max(map(abs, wave.ravel().tolist())), math.sqrt(square), max(map(abs, means))


values = st.sampled_from([-1.0, 1.0, 1 - 2.0**-15, -1 + 2.0**-15, 1.5, 0.0, 0.25, -0.5, 0.999])
waves = arrays.arrays(np.float32, st.tuples(st.integers(1, 60), st.integers(1, 3)), elements=values)


@given(waves, st.lists(st.integers(0, 60), max_size=6))
def test_against_slow_references_in_any_blocks(wave: np.ndarray, cuts: list[int]) -> None:
    found = measure(*in_blocks(wave, cuts))
    peak, rms, offset = slow(wave)
    assert found.peak == levels.decibels(peak)
    assert found.rms == pytest.approx(levels.decibels(rms), abs=1e-6)
    assert abs(found.offset) == pytest.approx(offset, abs=1e-9)
    assert (found.clipped, found.runs) == slow_clipped(wave)
    assert (found.frames, found.samples, found.bad) == (len(wave), wave.size, 0)
    swing = max(np.abs(wave - wave.mean(0, dtype=np.float64)).ravel())
    assert found.swing == pytest.approx(levels.decibels(swing), abs=1e-6) or swing < 1e-12


@given(
    arrays.arrays(np.float32, (40, 2), elements=st.floats(-1, 1, width=32)),
    st.lists(st.integers(0, 40), max_size=4),
)
def test_correlation_is_numpys(wave: np.ndarray, cuts: list[int]) -> None:
    found = measure(*in_blocks(wave, cuts)).correlation
    wide = wave.astype(np.float64)
    if wide.var(0).min() <= 2.0**-40:
        assert found is None or abs(found) <= 1
        return
    assert found == pytest.approx(np.corrcoef(wide.T)[0, 1], abs=1e-6)


def test_known_levels() -> None:
    sine = np.sin(2 * np.pi * np.arange(48_000) / 48)
    found = measure(sine)
    assert found.peak == pytest.approx(0, abs=1e-6)
    assert found.rms == pytest.approx(-3.0103, abs=1e-4)
    assert found.correlation is None, "one channel"
    assert found.offset_level < -100
    assert (found.clipped, found.runs) == (0, 0)
    half = measure(0.5 * sine + 0.01)
    assert half.offset == pytest.approx(0.01, rel=1e-5)
    assert half.offset_level == pytest.approx(-40, abs=1e-3)
    assert half.swing == pytest.approx(-6.0206, abs=1e-3)
    assert half.peak == pytest.approx(levels.decibels(0.51), abs=1e-4)


@pytest.mark.parametrize(
    ("right", "expected"), [(1.0, 1.0), (-1.0, -1.0), (-0.1, -1.0), (0.0, None)]
)
def test_correlation_of_channels(right: float, expected: float | None) -> None:
    left = tone(0.1)
    found = measure(np.stack([left, right * left], 1)).correlation
    assert found == (None if expected is None else pytest.approx(expected, abs=1e-6))


def test_an_offset_does_not_hide_antiphase() -> None:
    left = tone(0.1)
    assert measure(np.stack([left, -left], 1) + 0.4).correlation == pytest.approx(-1, abs=1e-5)


def test_silence_and_nothing() -> None:
    found = measure(np.zeros((100, 2)))
    assert (found.peak, found.rms, found.swing) == (-math.inf,) * 3
    assert (found.offset, found.offset_level, found.correlation) == (0, -math.inf, None)
    assert measure() == measure(np.zeros((0, 2)))
    assert measure().frames == 0
    steady = measure(np.full(100, 0.25))
    assert steady.swing == -math.inf, "nothing is heard of a constant"
    assert steady.peak == pytest.approx(-12.04, abs=0.01)


def test_runs_go_on_from_block_to_block() -> None:
    assert (measure([0, 1, 1], [1, 0]).clipped, measure([1, 1], [-1, -1]).clipped) == (3, 0)
    assert measure([1, 1], [0.5, 0.5], [1, 1]).runs == 0
    one_each = [[1], [1], [1], [1]]
    assert (measure(*one_each).clipped, measure(*one_each).runs) == (4, 1)


def test_numbers_that_are_none() -> None:
    found = measure([[0.5, np.nan], [np.inf, -0.25]], [[0.0, 0.25], [0.0, 0.0]])
    assert found.bad == 2
    assert found.peak == pytest.approx(-6.02, abs=0.01)
    assert math.isfinite(found.rms) and math.isfinite(found.offset)
    assert measure([3e38, 3e38, 3e38]).bad == 0


def test_channels_that_change() -> None:
    found = measure(np.ones((2, 1)), np.ones((2, 2)), np.full((4, 1), 0.5))
    assert (found.frames, found.samples, found.clipped) == (8, 10, 0)
    assert found.offset == pytest.approx(1.0), "of the second channel, which is only there once"


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT", "ULAW", "ALAW"])
def test_full_scale_of_files(subtype: str) -> None:
    """Clipped peaks are found however the samples are stored, and high ones alone are not."""
    clipped = np.clip(4 * tone(0.1), -1, 1)
    for wave, found in ((clipped, True), (1.9 * tone(0.1), False)):
        stream = stream_audio(io.BytesIO(wav_bytes(wave, subtype=subtype)))
        meter = Meter(stream.track.codec)
        for frames in stream.frames():
            meter.add(frames)
        assert bool(meter.result().runs) == found, stream.track.codec


# What is heard ------------------------------------------------------------------------------------


def heard(*blocks: np.ndarray, rate: int = 1_000) -> float:
    meter = HeardMeter(rate)
    for block in blocks:
        meter.add(np.asarray(block, np.float32))
    return meter.level()


def slow_heard(wave: np.ndarray, rate: int) -> float:
    """The definition, stretch after stretch."""
    size = round(0.4 * rate)
    powers = [float(np.square(wave[at : at + size], dtype=np.float64).mean(1).mean())
              for at in range(0, len(wave), size)]  # fmt: skip
    lengths = [min(size, len(wave) - at) for at in range(0, len(wave), size)]

    def mean(least: float) -> float:
        kept = [(p, n) for p, n in zip(powers, lengths, strict=True) if p >= least]
        return sum(p * n for p, n in kept) / sum(n for _, n in kept) if kept else 0.0

    return levels.decibels(math.sqrt(mean(max(1e-7, 0.1 * mean(1e-7)))))


@given(
    arrays.arrays(np.float32, st.tuples(st.integers(1, 90), st.integers(1, 3)), elements=values),
    st.lists(st.integers(0, 90), max_size=6),
)
def test_what_is_heard_against_a_slow_reference(wave: np.ndarray, cuts: list[int]) -> None:
    wave = wave * np.float32(0.5) ** np.arange(len(wave), dtype=np.float32)[::-1, None]
    assert heard(*in_blocks(wave, cuts), rate=20) == pytest.approx(slow_heard(wave, 20), abs=1e-6)


def test_pauses_do_not_make_a_sound_quieter() -> None:
    wave = tone(2.0, rate=1_000, hz=50)
    alone = heard(wave)
    assert alone == pytest.approx(-6.02 - 3.01, abs=0.02)
    assert heard(np.zeros(4_000), wave, 1e-3 * wave) == pytest.approx(alone, abs=0.02)
    assert heard(np.stack([wave, wave], 1)) == pytest.approx(alone, abs=1e-6)
    assert heard(np.stack([wave, 0 * wave], 1)) == pytest.approx(alone - 3.01, abs=0.01)
    assert heard(wave[:100]) == pytest.approx(alone, abs=0.02)  # shorter than a stretch


@pytest.mark.parametrize("wave", [np.zeros(3_000), np.zeros(0), np.full(3_000, np.nan), np.ones(0)])
def test_nothing_is_heard(wave: np.ndarray) -> None:
    assert heard(wave) == -math.inf
    assert heard() == -math.inf


def test_the_largest_sample_is_told_beyond_full_scale() -> None:
    meter = HeardMeter(1_000)
    meter.add(np.array([[0.1, -1.5], [math.nan, math.inf]], np.float32))
    assert meter.peak == 1.5
