"""What is there twice: every copy that was made is found, and nothing else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from media import encode
from wav2clip.audio.io import load_audio, resample
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.library import Library
from wav2clip.library.duplicates import Overlap
from wav2clip.library.waveforms import RATE, SAME, compare

pytestmark = pytest.mark.everyday

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data"))


def noise(seed: int, seconds: float = 2.0) -> np.ndarray:
    wave = np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE))
    return np.convolve(wave, np.hanning(6), "same").astype(np.float32)


def slow_correlation(a: np.ndarray, b: np.ndarray, least: int) -> float:
    """Shift by shift."""
    a, b = (np.append(x[:1], x[1:] - 0.97 * x[:-1]).astype(np.float64) for x in (a, b))
    best = 0.0
    for shift in range(1 - len(b), len(a)):
        begin, end = max(shift, 0), min(len(a), len(b) + shift)
        if end - begin >= least:
            one, other = a[begin:end], b[begin - shift : end - shift]
            best = max(best, abs(one @ other) / np.sqrt((one @ one) * (other @ other)))
    return best


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.integers(450, 700), st.integers(450, 700))
def test_correlation_against_a_slow_one(seed: int, left: int, right: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=n).astype(np.float32) for n in (left, right))
    least = max(400, int(np.ceil(0.3 * min(left, right))))
    assert compare(a, b).correlation == pytest.approx(slow_correlation(a, b, least), abs=1e-4)


def test_shift_overlap_and_level() -> None:
    wave = noise(1)
    like = compare(wave, 0.5 * wave[4000:])
    assert like.correlation == pytest.approx(1.0, abs=1e-3)
    assert (like.shift, like.overlap) == (0.5, 1.5)
    assert like.decibels == pytest.approx(-6.02, abs=0.05)
    assert not like.periodic
    turned = compare(wave, -wave)
    assert turned.correlation == pytest.approx(1.0, abs=1e-4)


def test_what_is_nothing() -> None:
    silent = np.zeros(800, np.float32)
    assert compare(silent, silent).correlation == 0.0
    assert compare(noise(1), silent).correlation == 0.0
    assert compare(noise(1), noise(2)).correlation < SAME / 2
    assert compare(noise(1)[:1], noise(1)[:1]).correlation <= 1.0


def test_what_repeats_itself_is_periodic() -> None:
    beep = np.tile(np.append(noise(3, 0.1), np.zeros(800, np.float32)), 10)
    assert compare(beep, beep[800:]).periodic


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve real recordings, and six kinds of copies of each of the first four."""
    folder = tmp_path_factory.mktemp("copies")
    sources = sorted((DATA / "tuxpaint").rglob("*.ogg"))
    sources = [path for path in sources if 2.5 < soundfile.info(path).duration < 8][:12]
    for number, source in enumerate(sources):
        wave, rate = load_audio(source, 44_100).samples, 44_100
        soundfile.write(folder / f"{number:02}.wav", wave, rate)
        if number < 4:
            shutil.copy(folder / f"{number:02}.wav", folder / f"{number:02} same.wav")
            soundfile.write(folder / f"{number:02} quieter.wav", wave * 10 ** (-6 / 20), rate)
            soundfile.write(folder / f"{number:02} trimmed.wav", wave[rate:], rate)
            low = resample(wave, rate, 16_000)
            soundfile.write(folder / f"{number:02} low.wav", low, 16_000)
            encode(folder / f"{number:02} coded.mp3", wave, rate, "mp3")
            soundfile.write(folder / f"{number:02} coded.ogg", wave, rate)
    return folder


def test_every_copy_is_found_and_nothing_else(copies: Path, tmp_path: Path) -> None:
    library = Library.open(tmp_path / "library")
    library.index(copies)
    found = library.duplicates()
    assert not found.unread
    assert not found.overlaps
    assert [len(group.paths) for group in found.groups] == [7] * 4
    for number, group in enumerate(sorted(found.groups, key=lambda g: g.paths)):
        said = {p.name: r for p, r in zip(group.paths, group.relations, strict=True)}
        kept, *_ = said
        assert kept in (f"{number:02}.wav", f"{number:02} same.wav")
        assert said.pop(kept) == ""
        assert set(said) >= {f"{number:02} {kind}" for kind in ("trimmed.wav", "low.wav")}
        assert "the same bytes" in said.values()
        assert said[f"{number:02} quieter.wav"] == "6.0 dB quieter"
        assert said[f"{number:02} coded.mp3"].startswith("as mp3")
        assert said[f"{number:02} coded.ogg"].startswith("as ogg")
        assert "at 16000 Hz" in said[f"{number:02} low.wav"]
        assert " of " in said[f"{number:02} trimmed.wav"]
        assert not group.identical
        assert SAME <= group.similarity <= 1


def test_overlaps_and_files_that_are_gone(small: Wav2CLIP, tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    folder.mkdir()
    long = noise(7, 6.0)
    soundfile.write(folder / "begin.wav", long[: 4 * RATE], RATE)
    soundfile.write(folder / "end.wav", long[2 * RATE :], RATE)
    soundfile.write(folder / "other.wav", noise(8, 4.0), RATE)
    library = Library.open(tmp_path / "library", small)
    library.index(folder)
    found = library.duplicates(0.01)
    assert found.groups == []
    (overlap,) = found.overlaps
    assert overlap == Overlap((folder / "begin.wav", folder / "end.wav"), 2.0, overlap.similarity)
    (folder / "other.wav").unlink()
    again = library.duplicates(0.01)
    assert again.overlaps == found.overlaps
    assert set(again.unread) == {folder / "other.wav"}
