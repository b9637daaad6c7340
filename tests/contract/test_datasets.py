"""What every data sheet keeps, on tiny copies in the official layouts."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tiny_datasets import MAKERS, write_table, write_tone
from wav2clip.audio.io import load_audio
from wav2clip.datasets.catalogue import GENERIC, SHEETS
from wav2clip.datasets.core import Dataset, Sheet, find_root, how_to_get, open_dataset
from wav2clip.errors import DataError

COMMANDS = {"probe", "zeroshot", "retrieval", "tagging", "events", "captions"}
COUNTS = {
    "esc50": {"1": 8, "2": 8, "3": 8, "4": 8, "5": 8},
    "esc10": {"1": 6, "2": 6, "3": 6, "4": 6, "5": 6},
    "urbansound8k": {"1": 3, "2": 3, "10": 3},
    "vggsound": {"train": 6, "test": 2},
    "tau2020": {"train": 6, "test": 6},
    "fsd50k": {"train": 12, "validation": 3, "test": 6},
    "desed": {"train": 4, "validation": 4, "test": 4},
    "clotho": {"train": 3, "validation": 3, "test": 3},
    "audiocaps": {"train": 3, "validation": 3, "test": 3},
    "tuxpaint": {"all": 3},
    "folder": {"train": 6, "test": 6},
    "csv": {"all": 10},
}


@pytest.fixture(params=sorted(SHEETS))
def sheet(request: pytest.FixtureRequest) -> Sheet:
    return SHEETS[request.param]


@pytest.fixture
def root(sheet: Sheet, tmp_path: Path) -> Path:
    MAKERS[sheet.name](tmp_path / "data")
    return tmp_path / "data"


def counts(dataset: Dataset) -> dict[str, int]:
    splits = [clip.split for clip in dataset.clips]
    return {split: splits.count(split) for split in dataset.splits}


def test_a_sheet_says_whose_the_data_are(sheet: Sheet) -> None:
    assert sheet.licence and sheet.layout and sheet.metric
    assert sheet.tasks and set(sheet.tasks) <= COMMANDS
    assert len(set(sheet.labels)) == len(sheet.labels)
    if sheet.name not in GENERIC:
        assert len(sheet.citation) > 20 and sheet.homepage.startswith("https://")
        assert sheet.remotes or sheet.by_hand, "either fetched, or by hand"
    for remote in sheet.remotes:
        assert remote.url.startswith("https://")
        assert Path(remote.filename).name == remote.filename
        assert remote.checksum is None or re.fullmatch("md5:[0-9a-f]{32}", remote.checksum)
    if any(remote.checksum for remote in sheet.remotes):
        assert sheet.checksum_source


def test_the_official_layout_is_read(sheet: Sheet, root: Path) -> None:
    dataset = open_dataset(sheet, root)
    assert dataset.problems == ()
    assert counts(dataset) == COUNTS[sheet.name]
    assert len({clip.key for clip in dataset.clips}) == len(dataset.clips)
    for clip in dataset.clips:
        assert len(load_audio(clip.path).samples) > 1_000
        assert clip.labels or clip.captions or clip.image or clip.silent
        assert set(clip.labels) <= set(dataset.labels)
        assert all(event.onset < event.offset for event in clip.events)
        assert clip.group
    splits: dict[str, set[str]] = {}
    for clip in dataset.clips:
        splits.setdefault(clip.group, set()).add(clip.split)
    assert all(len(found) == 1 for found in splits.values())


def test_a_folder_around_it_is_as_good(sheet: Sheet, root: Path) -> None:
    if sheet.name != "folder":  # of which any folder is one
        assert find_root(sheet, root.parent) == root


def test_the_same_clips_in_another_container(sheet: Sheet, root: Path) -> None:
    before = open_dataset(sheet, root)
    checksum = before.checksum
    for path in list(root.rglob("*.wav")):
        soundfile.write(path.with_suffix(".ogg"), *soundfile.read(path))
        path.unlink()
    if sheet.name in ("tuxpaint", "csv"):  # these tables name files as they are
        assert {p.reason.split(",")[0] for p in open_dataset(sheet, root).problems} == {"missing"}
        return
    after = open_dataset(sheet, root)
    assert after.problems == ()
    assert counts(after) == counts(before)
    assert after.checksum != checksum


def test_the_checksum_is_of_the_content(sheet: Sheet, root: Path, tmp_path: Path) -> None:
    first = open_dataset(sheet, root)
    checksum = first.checksum
    copy = shutil.copytree(root, tmp_path / "copy")
    assert open_dataset(sheet, copy).checksum == checksum
    clip = first.clips[0]
    samples, rate = soundfile.read(clip.path)
    soundfile.write(clip.path, np.flip(samples), rate)
    assert open_dataset(sheet, root).checksum != checksum


def test_what_is_missing_or_empty_is_named(sheet: Sheet, root: Path) -> None:
    first, second, *_ = open_dataset(sheet, root).clips
    first.path.unlink()
    second.path.write_bytes(b"")
    dataset = open_dataset(sheet, root)
    reasons = {problem.name: problem.reason for problem in dataset.problems}
    assert reasons[second.key] == "the file is empty (0 bytes)"
    if sheet.name != "folder":  # which lists what is there
        assert reasons[first.key].startswith("missing, expected")
    with pytest.raises(DataError) as caught:
        dataset.require_sound()
    assert second.key in str(caught.value) and "--keep-going" in str(caught.value)
    dataset.require_sound(keep_going=True)


def test_a_file_in_no_table_is_unlabelled(sheet: Sheet, root: Path) -> None:
    clip = open_dataset(sheet, root).clips[0]
    if sheet.name == "folder":
        write_tone(root / "stray.wav", "x")
    elif sheet.strays:
        write_tone(clip.path.with_name("stray.wav"), "x")
    else:
        return
    (problem,) = open_dataset(sheet, root).problems
    assert "stray.wav" in problem.name and "unlabelled" in problem.reason


def test_what_is_not_there_is_explained(sheet: Sheet, tmp_path: Path) -> None:
    if sheet.name == "folder":
        return
    with pytest.raises(DataError) as caught:
        open_dataset(sheet, tmp_path / "nothing")
    assert sheet.marker in str(caught.value) and sheet.layout in str(caught.value)
    assert how_to_get(sheet) in str(caught.value)


def test_a_table_of_another_kind_is_refused(sheet: Sheet, root: Path) -> None:
    if sheet.name in ("folder", "vggsound"):  # without a table, without a heading
        return
    for path in [*root.rglob("*.csv"), *root.rglob("*.tsv")]:
        write_table(path, [("1", "2")], ("this", "that"))
    with pytest.raises(DataError, match=r"has no column|cannot be read"):
        open_dataset(sheet, root)
