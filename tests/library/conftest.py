"""Folders of small sounds, and libraries made with the small model."""

from __future__ import annotations

from pathlib import Path

import pytest
from library_sounds import noise

from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.library import Library


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Six recordings in two folders, the longest 26 s."""
    folder = tmp_path / "sounds"
    (folder / "deep").mkdir(parents=True)
    for i in range(4):
        (folder / f"{i}.wav").write_bytes(noise(i, 0.2 + 0.1 * i))
    (folder / "deep" / "4.wav").write_bytes(noise(4))
    (folder / "deep" / "long.wav").write_bytes(noise(5, 26.0))
    return folder


@pytest.fixture
def library(tmp_path: Path, small: Wav2CLIP) -> Library:
    """A library that does not exist yet."""
    return Library.open(tmp_path / "library", small)
