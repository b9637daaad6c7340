"""Shards come back as they were written, and say so when they do not."""

from __future__ import annotations

import errno
import io
import json
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from wav2clip.errors import DataError, MissingExtraError
from wav2clip.pretrain import shards
from wav2clip.pretrain.shards import (
    Sample,
    TaggerRecord,
    Tags,
    Teacher,
    iterate,
    read_manifest,
    verify,
    write_shards,
)

TEACHER = Teacher("toy", "f00", "toy-space", 8)


def make_samples(count: int, seed: int = 0) -> list[Sample]:
    rng = np.random.default_rng(seed)
    samples = []
    for number in range(count):
        targets = rng.normal(size=(number % 3 + 1, 8)).astype(np.float32)
        samples.append(
            Sample(
                key=f"{number:08d}",
                audio=rng.integers(-32768, 32768, size=1 + 700 * number).astype(np.int16),
                targets=targets / np.linalg.norm(targets, axis=1, keepdims=True),
                label="dog" if number % 2 else None,
                captions=("a dog, barking", "ein Hündchen"),
                kind="image" if number % 4 == 0 else "text",
                source="toy",
            )
        )
    return samples


def assert_equal(found: Sample, expected: Sample) -> None:
    np.testing.assert_array_equal(found.audio, expected.audio)
    np.testing.assert_array_equal(found.targets, expected.targets)
    assert found.audio.dtype == np.int16
    assert found.targets.dtype == np.float32
    for name in ("key", "label", "captions", "kind", "source", "seconds"):
        assert getattr(found, name) == getattr(expected, name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    splits = {"train": make_samples(20), "validation": make_samples(3, seed=1)}
    write_shards(tmp_path / "shards", splits, TEACHER, {"note": "x"}, shard_samples=6)
    return tmp_path / "shards"


def test_samples_return_unchanged_and_in_order(folder: Path) -> None:
    for split, seed, count in (("train", 0, 20), ("validation", 1, 3)):
        found = list(iterate(folder, split))
        for sample, expected in zip(found, make_samples(count, seed), strict=True):
            assert_equal(sample, expected)


def test_manifest_counts_what_is_there(folder: Path) -> None:
    manifest = read_manifest(folder, dimension=8)
    assert manifest.teacher == TEACHER
    assert manifest.settings == {"note": "x"}
    assert [shard.samples for shard in manifest.splits["train"]] == [6, 6, 6, 2]
    seconds = sum(sample.seconds for sample in make_samples(20))
    assert manifest.hours("train") == pytest.approx(seconds / 3600, rel=1e-3)
    written = json.loads((folder / "manifest.json").read_text())
    assert written["splits"]["train"]["kinds"] == {"image": 5, "text": 15}
    verify(folder)


def test_tar_files_are_plain_webdataset(folder: Path) -> None:
    """Read with nothing but the standard library and soundfile."""
    with tarfile.open(folder / "train/000000.tar") as tar:
        names = tar.getnames()
        assert names[:3] == ["00000000.flac", "00000000.json", "00000000.npy"]
        wave, rate = soundfile.read(io.BytesIO(tar.extractfile(names[3]).read()), dtype="int16")
        assert rate == 16_000
        np.testing.assert_array_equal(wave, make_samples(2)[1].audio)
        facts = json.loads(tar.extractfile("00000001.json").read())
        assert facts["captions"] == ["a dog, barking", "ein Hündchen"]


def test_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (
        write_shards(tmp_path / name, {"train": make_samples(5)}, TEACHER) for name in "ab"
    )
    assert first == second


@settings(max_examples=25)
@given(
    audio=st.lists(st.integers(-32768, 32767), min_size=1, max_size=300),
    label=st.none() | st.text(max_size=20),
    captions=st.lists(st.text(max_size=30), max_size=3),
)
def test_any_content_survives(
    tmp_path_factory: pytest.TempPathFactory,
    audio: list[int],
    label: str | None,
    captions: list[str],
) -> None:
    sample = Sample(
        "k", np.array(audio, np.int16), np.eye(8, dtype=np.float32)[:2], label, tuple(captions)
    )
    folder = tmp_path_factory.mktemp("any")
    write_shards(folder, {"train": [sample]}, TEACHER)
    [found] = iterate(folder)
    assert_equal(found, sample)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.9])
def test_a_cut_shard_is_named_and_what_precedes_it_is_given(folder: Path, share: float) -> None:
    path = folder / "train/000001.tar"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    given = []
    with pytest.raises(DataError, match=r"000001\.tar.*prepare"):
        given.extend(iterate(folder))
    assert [sample.key for sample in given[:6]] == [f"{n:08d}" for n in range(6)]
    assert len(given) < 12
    with pytest.raises(DataError, match="not what was written"):
        verify(folder)


def test_a_shard_cut_between_samples_is_noticed(folder: Path) -> None:
    """A tar file that ends cleanly but early."""
    manifest = read_manifest(folder)
    shards.write_shard(folder, "train/000001.tar", make_samples(4))
    with pytest.raises(DataError, match="holds 4 samples, its manifest says 6"):
        list(iterate(folder))
    assert manifest.splits["train"][1].samples == 6


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / "train/000002.tar").unlink()
    with pytest.raises(DataError, match=r"000002\.tar: it is not there"):
        list(iterate(folder))
    with pytest.raises(DataError, match=r"000002\.tar"):
        verify(folder)


def test_nothing_in_a_shard_is_executed(folder: Path) -> None:
    """An array that needs pickle is refused."""
    path = folder / "train/000000.tar"
    target = io.BytesIO()
    np.save(target, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with tarfile.open(path) as tar:
        members = {name: tar.extractfile(name).read() for name in tar.getnames()}
    members["00000000.npy"] = target.getvalue()
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    with pytest.raises(DataError, match="allow_pickle"):
        list(iterate(folder))


def test_teacher_of_another_dimension(folder: Path) -> None:
    with pytest.raises(DataError, match=r"8 dimensions .*expected 512"):
        read_manifest(folder, dimension=512)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "other", "version": 1}', "null"])
def test_what_is_no_manifest(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(DataError, match="no manifest of shards"):
        read_manifest(tmp_path)


def test_folder_without_manifest_or_split(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DataError, match=r"holds no manifest\.json.*prepare"):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no split 'test'; it has: train, validation"):
        list(iterate(folder, "test"))


def test_full_disk_keeps_what_was_finished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / "train/000000.tar").read_bytes()

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("webdataset.TarWriter.write", full)
    for file in ("train/000000.tar", "train/000009.tar"):
        with pytest.raises(DataError, match=r"No space left on device; make room and run"):
            shards.write_shard(folder, file, make_samples(2))
    assert (folder / "train/000000.tar").read_bytes() == before
    assert not (folder / "train/000009.tar").exists()
    assert not list(folder.rglob("*.part"))


def test_without_webdataset_the_extra_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(MissingExtraError, match=r"install wav2clip\[pretrain\]"):
        list(iterate(folder))


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot write"):
        write_shards(tmp_path / "file" / "shards", {"train": make_samples(1)}, TEACHER)


def heard(sample: Sample, rows: int) -> Sample:
    """The same at another rate, heard by a tagger of three classes."""
    rng = np.random.default_rng(rows)
    tags = Tags(rng.random((rows, 3)).astype(np.float16), rng.random((rows, 2)).astype(np.float16))
    return replace(sample, tags=tags, sample_rate=32_000, targets=sample.targets[: rows - 1])


def test_what_a_tagger_hears_returns_unchanged(tmp_path: Path) -> None:
    tagger = TaggerRecord("ear", "ear-1", "MIT", 2, ("dog", "rain, heavy", "bell"))
    written = [heard(sample, 1 + n) for n, sample in enumerate(make_samples(3))]
    write_shards(tmp_path, {"train": written}, TEACHER, tagger=tagger)
    manifest = read_manifest(tmp_path, sample_rate=32_000)
    assert manifest.tagger == tagger
    assert manifest.hours("train") * 3600 == pytest.approx((1 + 701 + 1401) / 32_000, abs=1e-3)
    for found, expected in zip(iterate(tmp_path), written, strict=True):
        assert_equal(found, expected)
        assert found.sample_rate == 32_000
        np.testing.assert_array_equal(found.tags.probabilities, expected.tags.probabilities)
        np.testing.assert_array_equal(found.tags.features, expected.tags.features)
        assert found.tags.features.dtype == np.float16
    with pytest.raises(DataError, match=r"32000 Hz, the network hears 16000 Hz.*--sample-rate"):
        read_manifest(tmp_path, sample_rate=16_000)


def test_shards_from_before_there_were_taggers_still_load(folder: Path) -> None:
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    assert document.pop("tagger") is None
    path.write_text(json.dumps(document))
    manifest = read_manifest(folder, dimension=8, sample_rate=16_000)
    assert manifest.tagger is None
    assert all(s.tags is None and s.sample_rate == 16_000 for s in iterate(folder))
