"""Embeddings are computed once, kept whole, resumed, and never made of half a recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spectrum import Spectrum
from wav2clip.datasets.core import Dataset
from wav2clip.errors import DataError
from wav2clip.evaluation import features
from wav2clip.evaluation.features import FrameLevel, cache_path, compute

Tiny = Callable[[str], Dataset]


def test_once(tiny: Tiny, spectrum: Spectrum, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "PART_CLIPS", 16)
    dataset = tiny("esc50")
    steps: list[int] = []
    first = compute(spectrum, dataset, advance=steps.append)
    assert (first.vectors.shape, first.vectors.dtype) == ((40, 32), np.float32)
    assert sum(steps) == spectrum.embedded == 40
    assert first.clips == dataset.clips
    again = compute(spectrum, tiny("esc50"), advance=steps.append)
    assert spectrum.embedded == 40 and sum(steps) == 80
    np.testing.assert_array_equal(again.vectors, first.vectors)
    from wav2clip.audio.io import load_audio

    wave = load_audio(dataset.clips[33].path).samples
    np.testing.assert_allclose(spectrum.embed([wave])[0], first.vectors[33], rtol=1e-5)


def test_an_interrupted_run_goes_on(
    tiny: Tiny, spectrum: Spectrum, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "PART_CLIPS", 16)
    dataset = tiny("esc50")

    def stop(_: int) -> None:
        if spectrum.embedded > 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute(spectrum, dataset, advance=stop)
    spectrum.embedded = 0
    compute(spectrum, dataset)
    assert spectrum.embedded == 24, "the first part was whole"


def test_a_damaged_cache_is_computed_again(tiny: Tiny, spectrum: Spectrum) -> None:
    dataset = tiny("esc10")
    first = compute(spectrum, dataset)
    (part,) = cache_path(spectrum, dataset, None).glob("*.npz")
    part.write_bytes(part.read_bytes()[:100])
    np.testing.assert_array_equal(compute(spectrum, dataset).vectors, first.vectors)


def test_another_model_or_other_files_are_computed_anew(tiny: Tiny, spectrum: Spectrum) -> None:
    dataset = tiny("esc10")
    compute(spectrum, dataset)
    spectrum.fingerprint = "spectrum-2"
    compute(spectrum, dataset)
    assert spectrum.embedded == 60
    first, second = (clip.path for clip in dataset.clips[:2])
    first.write_bytes(second.read_bytes())
    compute(spectrum, tiny("esc10"))
    assert spectrum.embedded == 90


@pytest.mark.parametrize("damage", ["nonsense", "cut off"])
def test_a_damaged_file_stops_the_run_unless_told(
    tiny: Tiny, spectrum: Spectrum, damage: str
) -> None:
    wave = tiny("esc10").clips[3].path
    flac = wave.with_suffix(".flac")
    soundfile.write(flac, *soundfile.read(wave))
    wave.unlink()
    content = flac.read_bytes()
    flac.write_bytes(b"no sound" if damage == "nonsense" else content[: len(content) // 2])
    dataset = tiny("esc10")
    with pytest.raises(DataError) as caught:
        compute(spectrum, dataset)
    assert dataset.clips[3].key in str(caught.value) and "--keep-going" in str(caught.value)
    found = compute(spectrum, dataset, keep_going=True)
    assert [problem.name for problem in found.problems] == [dataset.clips[3].key]
    assert len(found.vectors) == len(found.clips) == 29
    assert found.dataset.checksum != dataset.checksum, "what is reported is what was measured"


def test_frames(tiny: Tiny, spectrum: Spectrum) -> None:
    dataset = tiny("desed")
    found = compute(spectrum, dataset, frames=FrameLevel(0.3, 0.1))
    assert found.counts.sum() == len(found.vectors) == len(found.starts)
    for clip, rows in zip(found.clips, found.per_clip(), strict=True):
        assert len(rows) == (1 if clip.silent else 8), "1 s, or 0.3 s"
    np.testing.assert_allclose(found.starts[:8], np.arange(8) / 10)


def test_nothing_of_a_cache_is_executed(tiny: Tiny, spectrum: Spectrum, tmp_path: Path) -> None:
    dataset = tiny("esc10")
    folder = cache_path(spectrum, dataset, None)
    folder.mkdir(parents=True)

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "executed",)  # type: ignore[return-value]

    np.savez(folder / "00000000.npz", vectors=np.array([Evil()], object), counts=[1])
    compute(spectrum, dataset)
    assert not (tmp_path / "executed").exists()
