"""Files in which only the words changed: their sound is not embedded again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from library_sounds import noise, rows_of
from test_index import counts, forbid_decoding

from media import bext, encode, id3, info, tone, with_chunks
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.library import Library, scan
from wav2clip.library.store import Store

pytestmark = pytest.mark.everyday

Retag = Callable[[Path], None]


def tag_wav(path: Path) -> None:
    path.write_bytes(with_chunks(path.read_bytes(), bext(b"rusty gate"), info(IART=b"Ann Lee")))


def tag_flac(path: Path) -> None:
    """By libsndfile's own hand: the same samples with another comment."""
    samples, rate = soundfile.read(path, dtype="int16")
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_16", format="FLAC") as file:
        file.title = "rusty gate"
        file.write(samples)


def tag_mp3(path: Path) -> None:
    content = path.read_bytes()
    bare = content[10 + (content[8] << 7 | content[9]) :]
    path.write_bytes(id3(TIT2="rusty gate") + bare)


RETAG: dict[str, Retag] = {"a.wav": tag_wav, "b.flac": tag_flac, "c.mp3": tag_mp3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    folder.mkdir()
    (folder / "a.wav").write_bytes(noise(1))
    soundfile.write(folder / "b.flac", tone(0.5), 16_000, subtype="PCM_16")
    encode(folder / "c.mp3", tone(0.5, 44_100), 44_100, "mp3")
    return folder


def vectors(library: Library) -> dict[str, list[float]]:
    return {row["id"]: row["vector"] for row in library.to_arrow().to_pylist()}


def test_retagged_files_are_not_decoded(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.index(folder)
    library.tag(["rain"])
    before = vectors(library)
    for name, retag in RETAG.items():
        retag(folder / name)
    forbid_decoding(monkeypatch)
    report = library.index(folder)
    assert (report.retagged, report.updated, report.unchanged) == (3, 0, 0)
    assert report.failures == {}
    assert vectors(library) == before
    finds = library.search("rusty gate", by="words")
    assert {find.path.name for find in finds} == set(RETAG)
    assert {find.tags for find in finds} == {("rain",)}, "tags belong to the sound"
    again = library.index(folder)
    assert (again.retagged, again.unchanged) == (0, 3)


def test_one_sample_is_enough_to_be_embedded_again(library: Library, folder: Path) -> None:
    library.index(folder)
    before = vectors(library)
    for name, at in (("a.wav", -1000), ("b.flac", 30), ("c.mp3", -600)):
        content = bytearray((folder / name).read_bytes())
        content[at] ^= 0x20
        (folder / name).write_bytes(content)
    report = library.index(folder)
    assert report.retagged == 0
    assert report.updated + len(report.failures) == 3
    changed = library.store.read(["path", "hash"]).to_pylist()
    assert {row["hash"] for row in changed}.isdisjoint(before)


def test_a_file_that_is_cut_is_embedded_again(library: Library, folder: Path) -> None:
    library.index(folder)
    content = (folder / "a.wav").read_bytes()
    (folder / "a.wav").write_bytes(content[: len(content) // 2])
    report = library.index(folder)
    assert (report.updated, report.retagged, report.unchanged) == (1, 0, 2)
    assert len(report.warnings) == 1


def test_moved_and_retagged_at_once(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As programs do that name and describe files by a scheme."""
    library.index(folder)
    library.tag(["rain"])
    os.rename(folder / "a.wav", folder / "DOORMetl_Gate.wav")
    tag_wav(folder / "DOORMetl_Gate.wav")
    (folder / "copy.wav").write_bytes((folder / "DOORMetl_Gate.wav").read_bytes())
    forbid_decoding(monkeypatch)
    report = library.index(folder)
    assert (report.retagged, report.unchanged, report.missing) == (2, 2, 0)
    assert {path.name for path in library.files()} == {
        "DOORMetl_Gate.wav", "copy.wav", "b.flac", "c.mp3"
    }  # fmt: skip
    (find,) = library.search("ann lee", by="words", filters=None, limit=1)
    assert find.tags == ("rain",)


def test_the_same_sound_with_tags_of_their_own(library: Library, tmp_path: Path) -> None:
    """Two files of one sound keep their own rows when both are described anew."""
    folder = tmp_path / "twins"
    folder.mkdir()
    for name, text in (("a", b"gate"), ("b", b"door")):
        (folder / f"{name}.wav").write_bytes(with_chunks(noise(3), bext(text)))
    assert counts(library.index(folder)) == {"added": 2}
    ids = [
        f"{file}-0" for file in library.store.without_metadata() | set(library.store.origins([]))
    ]
    assert ids == []
    rows = library.store.read(["id", "path"]).to_pylist()
    library.store.replace_tags(
        [row["id"] for row in rows], [[Path(row["path"]).stem] for row in rows]
    )
    for name in "ab":
        tag_wav(folder / f"{name}.wav")
    report = library.index(folder)
    assert report.retagged == 2
    finds = library.search("ann lee", by="words")
    assert {find.path.stem: find.tags for find in finds} == {"a": ("a",), "b": ("b",)}


def test_imported_words_stay(library: Library, folder: Path, tmp_path: Path) -> None:
    library.index(folder)
    table = tmp_path / "words.csv"
    table.write_text("path,mood\na.wav,eerie\n", "utf-8")
    from wav2clip.library.exchange import read_words

    with library.store.lock():
        read_words(library.store, table)
    (folder / "a.txt").write_text("sidecar", "utf-8")
    tag_wav(folder / "a.wav")
    assert library.index(folder).retagged == 1
    (find,) = library.search("eerie", by="words")
    assert set(find.metadata) >= {"mood", "description"}
    assert len(library.search("sidecar", by="words")) == 1


def test_a_library_of_an_earlier_version(
    small: Wav2CLIP, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no hashes of sound: a file gets one when it is touched, moved or embedded."""
    Library.open(tmp_path / "library", small).index(folder)
    Store(tmp_path / "library").segments.drop_columns(["sound"])
    older = Library.open(tmp_path / "library", small)
    assert set(older.files()) == set(folder.iterdir())
    assert len(older.search("a", by="sound")) == 3
    os.utime(folder / "a.wav", (1, 1))
    tag_flac(folder / "b.flac")
    report = older.index(folder)
    assert (report.reused, report.updated, report.unchanged) == (1, 1, 1)
    tag_wav(folder / "a.wav")
    os.utime(folder / "b.flac", (1, 1))
    tag_mp3(folder / "c.mp3")
    report = older.index(folder)
    assert (report.retagged, report.reused, report.updated) == (1, 1, 1)
    fresh = Library.open(tmp_path / "fresh", small)
    fresh.index(folder)
    names = sorted(set(fresh.store.segments.schema.names) - {"vector"})
    assert set(older.store.segments.schema.names) == {*names, "vector"}
    ours, theirs = (
        sorted(each.store.read(names).to_pylist(), key=lambda row: row["id"])
        for each in (older, fresh)
    )
    assert ours == theirs


def test_one_that_changes_while_its_words_are_read(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.index(folder)
    tag_wav(folder / "a.wav")
    read = scan.read_metadata

    def read_and_change(paths: list[Path]) -> list[dict[str, str]]:
        words = list(read(paths))
        (folder / "a.wav").write_bytes(noise(9))
        return words

    monkeypatch.setattr(scan, "read_metadata", read_and_change)
    report = library.index(folder)
    assert list(report.failures.values()) == [scan.CHANGED]
    monkeypatch.setattr(scan, "read_metadata", read)
    assert counts(library.index(folder)) == {"added": 1, "unchanged": 2}


def test_interrupted_between_the_two(
    library: Library, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.index(folder)
    before = rows_of(library)
    tag_wav(folder / "a.wav")

    def stop(paths: list[Path]) -> list[dict[str, str]]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(scan, "read_metadata", stop)
        with pytest.raises(KeyboardInterrupt):
            library.index(folder)
    assert rows_of(library) == before, "the old rows stand until the new ones do"
    assert library.index(folder).retagged == 1
