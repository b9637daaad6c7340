"""Datasets by name and by path, and the real ones that are at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiny_datasets import MAKERS, write_table, write_tone
from wav2clip.datasets.catalogue import load_dataset
from wav2clip.errors import DataError


def test_by_name_in_the_folder_of_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MAKERS["esc50"](tmp_path / "esc50" / "ESC-50-master")
    monkeypatch.setenv("WAV2CLIP_DATASETS", str(tmp_path))
    assert len(load_dataset("esc50").clips) == 40
    assert len(load_dataset("esc10").clips) == 30
    MAKERS["esc50"](tmp_path / "elsewhere")
    assert load_dataset("esc50", tmp_path / "elsewhere").root == tmp_path / "elsewhere"


def test_by_path(tmp_path: Path) -> None:
    MAKERS["folder"](tmp_path / "mine")
    MAKERS["csv"](tmp_path / "other")
    folder = load_dataset(str(tmp_path / "mine"))
    assert (folder.sheet.name, folder.labels) == ("mine", ("bell", "whistle"))
    table = load_dataset(str(tmp_path / "other" / "table.csv"))
    assert table.clips[0].group == "session 0"
    with pytest.raises(DataError, match="neither a known dataset"):
        load_dataset(str(tmp_path / "nothing"))


def test_a_table_of_tags(tmp_path: Path) -> None:
    write_tone(tmp_path / "a.wav", "a")
    write_table(
        tmp_path / "tags.csv",
        [("a.wav", "rain; dog", "test"), ("", "dog", "train")],
        ("audio", "labels", "split"),
    )
    dataset = load_dataset(str(tmp_path / "tags.csv"))
    assert dataset.clips[0].labels == ("rain", "dog")
    assert dataset.splits == ("test",)
    assert [str(problem) for problem in dataset.problems] == ["tags.csv, line 3: names no file"]


def test_the_real_ones(data: Path) -> None:
    esc50 = load_dataset("esc50", data / "esc50")
    assert (len(esc50.clips), esc50.problems) == (2_000, ())
    for label in esc50.labels:
        assert sum(clip.labels == (label,) for clip in esc50.clips) == 40
    esc10 = load_dataset("esc10", data / "esc50")
    assert (len(esc10.clips), len(esc10.labels)) == (400, 10)
    assert {clip.labels[0] for clip in esc10.clips} == set(esc10.labels)
    urban = load_dataset("urbansound8k", data / "urbansound8k")
    assert (len(urban.clips), urban.splits, urban.problems) == (1_710, ("1", "10"), ())
    pairs = load_dataset("tuxpaint", data / "tuxpaint")
    assert (len(pairs.clips), pairs.problems) == (102, ())
    assert all(clip.image is not None and clip.captions for clip in pairs.clips)
