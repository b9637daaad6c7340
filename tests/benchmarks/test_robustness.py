"""Copies are what their names say, and the measures are those of their definitions."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
from sklearn.linear_model import LogisticRegression

from wav2clip import Wav2CLIP

Script = Callable[[str], ModuleType]
RATE = 44_100


@pytest.fixture
def wave() -> np.ndarray:
    """A second of noise and of a tone at 1 kHz, half of full scale."""
    time = np.arange(RATE) / RATE
    noise = np.random.default_rng(0).uniform(-0.25, 0.25, RATE)
    return (noise + 0.25 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)


def copied(script: Script, kind: str, wave: np.ndarray, folder: Path) -> tuple[np.ndarray, int]:
    suffix, write = script("robustness").COPIES[kind]
    write(folder / f"copy{suffix}", wave, RATE)
    return soundfile.read(folder / f"copy{suffix}", dtype="float32")


def level(wave: np.ndarray, rate: int, low: float, high: float) -> float:
    """Decibels of the part between two frequencies."""
    power = np.abs(np.fft.rfft(wave)) ** 2 / len(wave) ** 2
    hertz = np.fft.rfftfreq(len(wave), 1 / rate)
    return 10 * np.log10(power[(hertz >= low) & (hertz < high)].sum() + 1e-20)


@pytest.mark.parametrize(("kind", "rate"), [("8 kHz", 8_000), ("16 kHz", 16_000)])
def test_limited_copies_keep_what_is_below(
    script: Script, wave: np.ndarray, tmp_path: Path, kind: str, rate: int
) -> None:
    copy, stored = copied(script, kind, wave, tmp_path)
    assert (stored, len(copy)) == (rate, rate)
    for band in ((100, 900), (900, 1100), (1100, 3000)):
        assert level(copy, rate, *band) == pytest.approx(level(wave, RATE, *band), abs=0.3)


def test_quiet_copies_are_the_same_at_another_level(
    script: Script, wave: np.ndarray, tmp_path: Path
) -> None:
    copy, stored = copied(script, "-30 dB", wave, tmp_path)
    assert stored == RATE
    assert np.allclose(copy * 10**1.5, wave, atol=1e-5)


def test_mp3_copies_are_mp3_of_that_bit_rate(
    script: Script, wave: np.ndarray, tmp_path: Path
) -> None:
    copy, stored = copied(script, "MP3, 64 kbit/s", np.tile(wave, 8), tmp_path)
    assert (stored, soundfile.info(tmp_path / "copy.mp3").format) == (RATE, "MP3")
    assert len(copy) == pytest.approx(8 * RATE, abs=4000)
    size = (tmp_path / "copy.mp3").stat().st_size
    assert size * 8 / 8 == pytest.approx(64_000, rel=0.05)
    middle = copy[3 * RATE : 4 * RATE]
    assert level(middle, RATE, 950, 1050) == pytest.approx(level(wave, RATE, 950, 1050), abs=1)


def test_each_clip_gets_the_embedding_of_its_copy(
    script: Script, small: Wav2CLIP, tmp_path: Path
) -> None:
    rng, paths = np.random.default_rng(1), []
    for number in range(20):  # of several lengths: they come back in another order
        wave = rng.uniform(-0.5, 0.5, (4_000 + 1_000 * (number % 3), 1 + number % 2))
        paths.append(tmp_path / f"clip {number}.wav")
        soundfile.write(paths[-1], wave, 16_000, subtype="FLOAT")
    robustness = script("robustness")
    plain = robustness.embedded(small, paths, robustness.AS_IT_IS)
    quiet = robustness.embedded(small, paths, "-30 dB")
    assert all(path.is_file() for path in paths)
    for place, path in enumerate(paths):
        assert np.allclose(plain[place], small.embed_file(path), atol=1e-5)
        wave = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)
        expected = small.embed_audio(wave * np.float32(10**-1.5), 16_000)
        assert np.allclose(quiet[place], expected, atol=1e-3)


def test_embeddings_are_made_once(
    script: Script, small: Wav2CLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    robustness = script("robustness")
    clips = robustness.Collection("some", [], np.zeros(2, int), np.array([1, 4]), ["a"])
    monkeypatch.setattr(robustness, "embedded", lambda *_: np.ones((2, 3), np.float32))
    first = robustness.kept(small, clips, "8 kHz", tmp_path / "new")
    monkeypatch.setattr(robustness, "embedded", None)
    assert np.array_equal(robustness.kept(small, clips, "8 kHz", tmp_path / "new"), first)
    with pytest.raises(TypeError):  # another kind is another file
        robustness.kept(small, clips, "16 kHz", tmp_path / "new")
    with pytest.raises(TypeError):  # and so are other folds
        robustness.kept(small, replace(clips, folds=np.array([2])), "8 kHz", tmp_path / "new")


def test_the_probe_never_sees_the_held_out_fold(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    robustness = script("robustness")
    rng = np.random.default_rng(2)
    targets, folds = np.arange(120) % 4, np.arange(120) // 24 + 1
    plain = (rng.normal(size=(4, 8))[targets] + rng.normal(size=(120, 8))).astype(np.float32)
    worse = plain + rng.normal(size=plain.shape).astype(np.float32)
    clips = robustness.Collection("some", [], targets, folds, list("abcd"))
    found = robustness.probe(plain, {"as it is": plain, "worse": worse}, clips)
    expected: dict[str, list[float]] = {"as it is": [], "worse": []}
    for fold in range(1, 6):
        seen = [n for n in range(120) if folds[n] != fold]
        held = [n for n in range(120) if folds[n] == fold]
        mean, deviation = plain[seen].mean(axis=0), plain[seen].std(axis=0)
        model = LogisticRegression(**robustness.PROBE)
        model.fit((plain[seen] - mean) / deviation, targets[seen])
        for kind, vectors in (("as it is", plain), ("worse", worse)):
            said = model.predict((vectors[held] - mean) / deviation)
            expected[kind].append(100 * float(np.mean(said == targets[held])))
    for kind, scores in expected.items():
        assert found[kind] == pytest.approx(np.mean(scores), abs=1)
    assert found["worse"] < found["as it is"]


def test_what_falls_too_far_is_in_bold(script: Script) -> None:
    robustness = script("robustness")

    def result(title: str, *accuracies: float) -> dict:
        kinds = ("as it is", "8 kHz", "16 kHz")
        rows = [
            {"copy": kind, "zero_shot": accuracy, "cosine": 0.9}
            for kind, accuracy in zip(kinds, accuracies, strict=True)
        ]
        return {"title": title, "collections": {"esc50": {"clips": 2000, "rows": rows}}}

    table = robustness.falls(
        [result("a", 70, 66, 71), result("b", 70, 65.5, 70)], "esc50", "zero_shot"
    )
    assert "| a (2,000 clips) | falls by | b (2,000 clips) |" in table
    assert table.splitlines()[2:] == [
        "| as it is | 70.0 |  | 70.0 |  |",
        "| 8 kHz | 66.0 | 4.0 | 65.5 | **4.5** |",
        "| 16 kHz | 71.0 | -1.0 | 70.0 | 0.0 |",
    ]


def test_folds_can_be_chosen(script: Script, data: Path) -> None:
    robustness = script("robustness")
    some, originals = robustness.collections(data, robustness.folds_in("4,1,4"))
    assert (len(some.paths), len(some.labels), len(originals.paths)) == (800, 50, 40)
    assert {path.name[0] for path in some.paths} == {"1", "4"}  # names begin with the fold
    with pytest.raises(argparse.ArgumentTypeError, match="expected some of"):
        robustness.folds_in("6")


def test_labels_of_the_collections(script: Script, data: Path) -> None:
    whole, originals = script("robustness").collections(data)
    assert (len(whole.paths), len(whole.labels), len(originals.paths)) == (2000, 50, 40)
    assert len(originals.labels) == 10
    for clips in (whole, originals):
        for path, target in zip(clips.paths, clips.targets, strict=True):
            number = int(path.stem.rsplit("-", 1)[1])  # a clip's name ends with its class
            assert whole.labels[number] == clips.labels[target]
