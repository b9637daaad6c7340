"""Engines and precisions: queries may be rounded otherwise than a library, its rows may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wav2clip.embedding.embedder import Wav2CLIP, load
from wav2clip.errors import LibraryError
from wav2clip.library import Library


@pytest.fixture
def coarse(small_checkpoint: Path) -> Wav2CLIP:
    pytest.importorskip("torch")
    return load(small_checkpoint, precision="bfloat16")


@pytest.fixture
def rounded(tmp_path: Path, sounds: Path, coarse: Wav2CLIP) -> Library:
    """A library in bfloat16, of two of the six recordings."""
    library = Library.open(tmp_path / "library", coarse)
    assert library.index(sounds / "deep").added == 2
    return library


def fingerprints(library: Library) -> set[str]:
    return set(library.to_arrow()["fingerprint"].to_pylist())


def test_indexing_goes_on_as_the_library_was_made(
    rounded: Library, sounds: Path, coarse: Wav2CLIP, small: Wav2CLIP
) -> None:
    loaded: list[dict[str, str]] = []

    def loader(name: str, **options: Any) -> Wav2CLIP:
        loaded.append(options)
        return load(name, **options)

    again = Library.open(rounded.store.uri, loader=loader)
    assert len(again.search(audio=sounds / "0.wav")) == 2
    assert loaded == [{}]  # a query needs no engine of its own
    assert again.model.fingerprint == small.fingerprint
    assert again.index(sounds).added == 4
    assert again.index(sounds).unchanged == 6
    assert loaded[1:] == [{"precision": "bfloat16"}]
    assert fingerprints(again) == {coarse.fingerprint}


def test_another_rounding_is_searched_with_and_not_added(
    rounded: Library, sounds: Path, coarse: Wav2CLIP, small: Wav2CLIP
) -> None:
    exact = Library.open(rounded.store.uri, small)
    finds = [each.search(audio=sounds / "0.wav", per_file=False) for each in (rounded, exact)]
    scores = [{find.id: find.score for find in found} for found in finds]
    assert scores[0].keys() == scores[1].keys()
    np.testing.assert_allclose([scores[1][key] for key in scores[0]], [*scores[0].values()],
                               atol=0.02)  # fmt: skip
    asked = Library.open(rounded.store.uri, options={"engine": "onnx"})
    for library in (exact, asked):
        with pytest.raises(LibraryError, match=r"made in bfloat16.* in float32.*--engine"):
            library.index(sounds)
    assert fingerprints(rounded) == {coarse.fingerprint}
    assert exact.index(sounds, rebuild=True).added == 6
    assert fingerprints(exact) == {small.fingerprint}
    with pytest.raises(LibraryError, match=r"made in float32.* in bfloat16"):
        Library.open(rounded.store.uri, coarse).index(sounds)


def test_engines_of_float32_go_together(
    library: Library, sounds: Path, small: Wav2CLIP, small_checkpoint: Path
) -> None:
    library.index(sounds / "deep")
    other = Library.open(library.store.uri, small_checkpoint, options={"engine": "onnx"})
    assert other.index(sounds).added == 4
    assert fingerprints(other) == {small.fingerprint}


def test_made_anew_as_it_was(rounded: Library, sounds: Path, coarse: Wav2CLIP) -> None:
    again = Library.open(rounded.store.uri)
    assert again.index(sounds, rebuild=True).added == 6
    assert fingerprints(again) == {coarse.fingerprint}
