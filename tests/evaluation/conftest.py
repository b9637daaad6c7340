"""What tests of the evaluation share: a cache of their own, tiny datasets, cheap encoders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spectrum import Spectrum, Words
from tiny_datasets import MAKERS
from wav2clip.datasets.catalogue import SHEETS
from wav2clip.datasets.core import Dataset, open_dataset


@pytest.fixture
def spectrum() -> Spectrum:
    return Spectrum()


@pytest.fixture
def words() -> Words:
    return Words()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAV2CLIP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[[str], Dataset]:
    """A tiny copy of a dataset by the name of its sheet."""

    def make(name: str) -> Dataset:
        root = tmp_path / name
        if not root.exists():
            MAKERS[name](root)
        return open_dataset(SHEETS[name], root)

    return make
