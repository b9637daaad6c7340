"""Films: what is shown when, how long they are, what is heard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_towers import ToyTowers

from media import encode, tone
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import AudioError, InputError
from wav2clip.generation.film import (
    Keys,
    Moments,
    blend,
    check_film,
    frame_count,
    grow,
    key_times,
    listen,
    sound_seconds,
    write_film,
)
from wav2clip.generation.fourier import FourierCanvas
from wav2clip.generation.guide import Guide, Settings
from wav2clip.generation.prompts import Prompt
from wav2clip.generation.rhythm import Rhythm

FPS = 25


def grey(level: float) -> np.ndarray:
    return np.full((32, 48, 3), level, np.uint8)


def ramp(count: int) -> Iterator[np.ndarray]:
    for number in range(count):
        yield grey(255 * number / max(1, count - 1))


def level_at(now: float, levels: list[int], seconds: list[float]) -> float:
    """The slow way: look for the keys before and after."""
    before = [k for k, at in enumerate(seconds) if at <= now]
    after = [k for k, at in enumerate(seconds) if at > now]
    if not before or not after:
        return levels[before[-1] if before else 0]
    a, b = before[-1], after[0]
    x = (now - seconds[a]) / (seconds[b] - seconds[a])
    return levels[a] + (levels[b] - levels[a]) * (3 * x**2 - 2 * x**3)


@given(
    st.lists(st.tuples(st.integers(0, 255), st.floats(0.01, 1.0)), min_size=1, max_size=6),
    st.integers(1, 40),
    st.integers(1, 60),
)
def test_frames_are_blended_between_keys(
    keys: list[tuple[int, float]], fps: int, count: int
) -> None:
    levels, gaps = [level for level, _ in keys], [gap for _, gap in keys]
    seconds = np.cumsum(gaps)
    times = Keys(seconds, np.full(len(seconds), np.inf))
    frames = list(blend((grey(level) for level in levels), times, fps, count))
    assert len(frames) == count
    for number, frame in enumerate(frames):
        expected = level_at(number / fps, levels, seconds.tolist())
        assert frame.min() == frame.max()
        assert abs(frame[0, 0, 0] - expected) <= 0.51


def test_keys_are_made_when_they_are_needed_and_no_sooner() -> None:
    made: list[int] = []

    def keys() -> Iterator[np.ndarray]:
        for number in range(10):
            made.append(number)
            yield grey(number)

    frames = blend(keys(), Keys(np.arange(10) + 0.5, np.full(10, np.inf)), 10, 30)
    for _ in range(5):
        next(frames)
    assert made == [0]
    next(frames)
    assert made == [0, 1]
    assert len(list(frames)) == 24
    assert made == [0, 1, 2, 3]


def course(onsets: list[float], strengths: list[float]) -> Rhythm:
    nothing = np.zeros(1, np.float32)
    return Rhythm(9.0, 1.0, np.array(onsets), np.array(strengths, np.float32), nothing, nothing)


def test_keys_come_with_strong_onsets() -> None:
    moments = Moments(np.zeros((5, 2), np.float32), np.arange(5) + 0.5)
    plain = key_times(moments)
    np.testing.assert_array_equal(plain.seconds, moments.seconds)
    assert np.isinf(plain.fades).all()
    # The first stands from the beginning; 1.2 is weaker than 1.4; 2.4 is weak; 3.3 is strong.
    times = key_times(moments, course([0.4, 1.2, 1.4, 2.4, 3.3], [0.9, 0.5, 0.7, 0.2, 0.6]))
    np.testing.assert_allclose(times.seconds, [0.5, 1.6, 2.5, 3.5, 4.5])
    np.testing.assert_allclose(times.fades, [np.inf, 0.2, np.inf, 0.2, np.inf])
    frames = list(blend((grey(40 * k) for k in range(5)), times, 10, 50))
    levels = [int(frame[0, 0, 0]) for frame in frames]
    assert levels[5:15] == [0] * 10  # it stands until the onset at 1.4,
    assert levels[15] == 20 and levels[16] == 40  # and has changed a fifth of a second later
    assert 40 < levels[20] < 80  # where nothing begins, it comes little by little


@given(
    st.floats(0.05, 2.0),
    st.integers(1, 20),
    st.lists(st.tuples(st.floats(0, 30), st.floats(0, 0.99)), max_size=40),
)
def test_keys_keep_their_order(hop: float, count: int, onsets: list[tuple[float, float]]) -> None:
    moments = Moments(np.zeros((count, 2), np.float32), np.arange(count) * hop + 0.5)
    onsets = sorted(set(onsets))
    times = key_times(moments, course([at for at, _ in onsets], [s for _, s in onsets]))
    assert (np.diff(times.seconds) > 0).all()
    assert (np.abs(times.seconds - moments.seconds) <= hop).all()


def read_film(path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Brightness (frames,), sound (channels, n), its rate."""
    with av.open(str(path)) as film:
        shown = [frame.to_ndarray(format="gray").mean() for frame in film.decode(video=0)]
    with av.open(str(path)) as film:
        heard = [frame.to_ndarray() for frame in film.decode(audio=0)]
        rate = film.streams.audio[0].rate
    return np.array(shown), np.concatenate(heard, axis=1), rate


@pytest.mark.parametrize(
    ("seconds", "rate", "channels", "suffix"),
    [(1.0, 16_000, 1, ".wav"), (2.33, 44_100, 2, ".flac"), (0.71, 96_000, 3, ".wav"),
     (3.01, 7_000, 1, ".wav")],
)  # fmt: skip
def test_a_film_is_as_long_as_its_sound(
    tmp_path: Path, seconds: float, rate: int, channels: int, suffix: str
) -> None:
    sound = tmp_path / f"sound{suffix}"
    wave = tone(seconds, rate, 440)
    soundfile.write(sound, np.stack([wave] * channels, axis=1), rate)
    count = frame_count(sound_seconds(sound), FPS)
    write_film(tmp_path / "film.mp4", ramp(count), (32, 48), FPS, sound)
    shown, heard, heard_rate = read_film(tmp_path / "film.mp4")
    assert len(shown) == count
    assert abs(len(shown) / FPS - seconds) <= 1 / FPS
    # An AAC packet, 1,024 samples, may be filled up at the end.
    assert -1 / FPS <= heard.shape[1] / heard_rate - seconds <= 2048 / heard_rate
    assert len(heard) == min(channels, 2)
    np.testing.assert_allclose(shown, [f.mean() for f in ramp(count)], atol=6)
    middle = heard[0, heard.shape[1] // 4 : heard.shape[1] // 2]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert spectrum.argmax() * heard_rate / len(middle) == pytest.approx(440, abs=10)


def test_sound_and_picture_are_in_step(tmp_path: Path) -> None:
    wave = np.where(np.arange(32_000) < 16_000, 0, tone(2.0))
    soundfile.write(tmp_path / "sound.wav", wave, 16_000)
    frames = (grey(0 if number < FPS else 255) for number in range(2 * FPS))
    write_film(tmp_path / "f.mov", frames, (32, 48), FPS, tmp_path / "sound.wav", "mov")
    with av.open(str(tmp_path / "f.mov")) as film:
        lit = next(f.time for f in film.decode(video=0) if f.to_ndarray(format="gray").mean() > 99)
    with av.open(str(tmp_path / "f.mov")) as film:
        loud = next(f.time for f in film.decode(audio=0) if np.abs(f.to_ndarray()).max() > 0.1)
    assert lit == pytest.approx(1.0, abs=0.001)
    assert loud == pytest.approx(1.0, abs=2048 / 16_000)


def test_the_sound_of_a_video_will_do(tmp_path: Path) -> None:
    source = encode(tmp_path / "v.mkv", tone(1.2, 48_000), 48_000, "aac", [grey(9)] * 6)
    count = frame_count(sound_seconds(source), FPS)
    write_film(tmp_path / "film.mkv", ramp(count), (32, 48), FPS, source, "matroska")
    assert len(read_film(tmp_path / "film.mkv")[0]) == pytest.approx(1.2 * FPS, abs=1)


def test_an_interrupt_leaves_a_film_of_what_there_was(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "sound.wav", tone(3.0), 16_000)

    def frames() -> Iterator[np.ndarray]:
        yield from ramp(30)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_film(tmp_path / "f.mp4", frames(), (32, 48), FPS, tmp_path / "sound.wav")
    shown, heard, rate = read_film(tmp_path / "f.mp4")
    assert len(shown) == 30
    assert heard.shape[1] / rate == pytest.approx(1.2, abs=0.15)


def test_moments_of_a_recording(tmp_path: Path, small: Wav2CLIP) -> None:
    soundfile.write(tmp_path / "long.wav", tone(2.6), 16_000)
    soundfile.write(tmp_path / "short.wav", tone(0.5), 16_000)
    moments = listen(small, tmp_path / "long.wav", 1.0, 0.5)
    np.testing.assert_allclose(moments.seconds, [0.5, 1.0, 1.5, 2.0])
    frames = small.embed_file_frames(tmp_path / "long.wav", 1.0, 0.5)
    np.testing.assert_allclose(moments.embeddings, frames.embeddings)
    moments = listen(small, tmp_path / "short.wav", 1.0, 0.5)
    np.testing.assert_allclose(moments.seconds, [0.25])
    np.testing.assert_allclose(moments.embeddings[0], small.embed_file(tmp_path / "short.wav"))
    with pytest.raises(InputError, match="hop is 0"):
        listen(small, tmp_path / "long.wav", 1.0, 0)


def test_each_key_picture_starts_from_the_last() -> None:
    rng = np.random.default_rng(0)
    moments = [
        [Prompt(row / np.linalg.norm(row))] for row in rng.normal(size=(3, 512)).astype("f4")
    ]
    canvas = FourierCanvas(32, 32)
    canvas.clear(torch.Generator().manual_seed(0))
    guide, steps = Guide(canvas, ToyTowers(), Settings(cutouts=1)), []
    keys = list(grow(guide, moments, 20, 1, steps.append))
    assert len(keys) == 3 and len(steps) == guide.steps == 22

    def change(a: int, b: int) -> float:
        return float(np.abs(keys[a].astype(int) - keys[b]).mean())

    fresh = FourierCanvas(32, 32)
    fresh.clear(torch.Generator().manual_seed(0))
    start = np.abs(fresh.pixels().astype(int) - keys[0]).mean()
    assert 0 < change(0, 1) < start / 2


def test_bad_films(tmp_path: Path) -> None:
    for path, size, message in (
        (Path("a.avi"), (32, 32), "avi"),
        (Path("a.mp4"), (33, 32), "32 x 33 pixels, expected even"),
    ):
        with pytest.raises(InputError, match=message):
            check_film(path, *size)
    with pytest.raises(InputError, match="0 frames per second"):
        frame_count(1.0, 0)
    (tmp_path / "no.wav").write_text("no sound")
    with pytest.raises(AudioError, match=r"no.wav"):
        sound_seconds(tmp_path / "no.wav")
    silent = encode(tmp_path / "mute.mp4", None, 0, "", [grey(1)] * 3)
    with pytest.raises(AudioError, match="no audio track"):
        sound_seconds(silent)
