"""Indexing again and again while files come, go, move, change and break."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lancedb.table
import numpy as np
import pytest
from filelock import FileLock
from library_sounds import noise, rows_of

from odd_files import Audio, mute_video, muxed
from wav2clip.embedding import bulk
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import LibraryError
from wav2clip.library import Library, index
from wav2clip.library.index import Here, IndexReport
from wav2clip.library.space import centre
from wav2clip.library.store import vectors_of
from wav2clip.reading.readers import InProcess

pytestmark = pytest.mark.everyday


def counts(report: IndexReport) -> dict[str, int]:
    names = ("added", "updated", "reused", "unchanged", "pruned", "missing")
    found = {name: getattr(report, name) for name in names} | {"failed": len(report.failures)}
    return {name: count for name, count in found.items() if count}


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*_: object) -> None:
        raise AssertionError("a file was decoded")

    for way in ("_decode", "_embedded"):
        monkeypatch.setattr(bulk, way, decode)


def test_rows_and_vectors(library: Library, sounds: Path, small: Wav2CLIP) -> None:
    report = library.index(sounds)
    assert counts(report) == {"added": 6}
    table = library.to_arrow().sort_by([("path", "ascending"), ("start", "ascending")])
    rows = table.to_pylist()
    # 26 s in windows of 10 s every 7.5 s: 0, 7.5, 15, and a last one that ends with the file.
    long = [(r["start"], r["end"]) for r in rows if r["path"].endswith("long.wav")]
    assert long == [(0, 10), (7.5, 17.5), (15, 25), (16, 26)]
    assert len(rows) == 5 + 4
    for row in rows:
        status = Path(row["path"]).stat()
        assert (row["size"], row["mtime_ns"]) == (status.st_size, status.st_mtime_ns)
        assert (row["channels"], row["sample_rate"]) == (1, 16_000)
        assert row["fingerprint"] == small.fingerprint
    assert [r["duration"] for r in rows[:2]] == pytest.approx([0.2, 0.3])
    vectors = vectors_of(table).astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    expected = centre(small.embed_file(rows[0]["path"])[None], small.mean)[0]
    np.testing.assert_allclose(vectors[0], expected, atol=1e-3)


def test_unchanged_files_are_not_even_opened(
    library: Library, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.index(sounds)
    before, version = rows_of(library), library.store.refresh()
    forbid_decoding(monkeypatch)
    monkeypatch.setattr(index.folders, "_hash", lambda file: pytest.fail(f"{file} was hashed"))
    assert counts(library.index(sounds)) == {"unchanged": 6}
    assert library.store.refresh() == version
    assert rows_of(library) == before


def test_a_look_may_be_a_little_old(library: Library, sounds: Path) -> None:
    """What this process wrote is seen in any case; others' rows once the last look is too old."""
    library.index(sounds / "deep")
    version = library.store.refresh()
    other = Library.open(library.store.name, library.model)
    other.index(sounds)
    assert library.store.refresh(max_age=60) == version
    assert library.store.refresh() > version
    before = library.store.refresh(max_age=60)
    (sounds / "deep" / "long.wav").unlink()
    library.index(sounds, prune=True)
    assert library.store.refresh(max_age=60) > before


def test_moved_copied_and_touched_files_are_not_embedded_again(
    library: Library, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.index(sounds)
    vectors = {r["path"]: r["vector"] for r in library.to_arrow().to_pylist() if r["start"] == 0}
    os.rename(sounds / "0.wav", sounds / "deep" / "moved.wav")
    os.rename(sounds / "deep" / "long.wav", sounds / "renamed.wav")
    shutil.copy(sounds / "1.wav", sounds / "copy.wav")
    os.utime(sounds / "2.wav", (1, 1))
    forbid_decoding(monkeypatch)
    assert counts(library.index(sounds)) == {"reused": 4, "unchanged": 3}
    after = {r["path"]: r["vector"] for r in library.to_arrow().to_pylist() if r["start"] == 0}
    assert set(after) == set(map(str, sounds.rglob("*.wav")))
    assert after[str(sounds / "deep" / "moved.wav")] == vectors[str(sounds / "0.wav")]
    assert after[str(sounds / "copy.wav")] == after[str(sounds / "1.wav")]
    assert len(library) == 5 + 1 + 4
    assert library.files()[sounds / "2.wav"].mtime_ns == 10**9


def test_a_moved_file_whose_old_name_was_taken(library: Library, sounds: Path) -> None:
    library.index(sounds)
    os.rename(sounds / "0.wav", sounds / "z.wav")
    (sounds / "0.wav").write_bytes(noise(77))
    library.index(sounds)
    assert set(library.files()) == set(sounds.rglob("*.wav"))
    fresh = Library.open(sounds.parent / "fresh", library.model)
    fresh.index(sounds)
    assert rows_of(library) == rows_of(fresh)


def test_many_moved_at_once(
    library: Library, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_COMMIT_FILES", 2)
    library.index(sounds)
    shutil.copytree(sounds, sounds / "again")  # copies of files that move at the same time
    for i in range(4):
        os.rename(sounds / f"{i}.wav", sounds / f"moved {i}.wav")
    library.index(sounds)
    fresh = Library.open(sounds.parent / "fresh", library.model)
    fresh.index(sounds)
    assert rows_of(library) == rows_of(fresh)


def test_changed_files_take_the_place_of_the_old(library: Library, sounds: Path) -> None:
    library.index(sounds)
    (sounds / "deep" / "long.wav").write_bytes(noise(9))
    assert counts(library.index(sounds)) == {"updated": 1, "unchanged": 5}
    assert len(library) == 6


def test_deleted_files(library: Library, sounds: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.wav").write_bytes(noise(11))
    library.index([sounds, other])
    (sounds / "0.wav").unlink()
    (other / "a.wav").unlink()
    assert counts(library.index(sounds)) == {"unchanged": 5, "missing": 1}
    assert sounds / "0.wav" in library.files()
    assert counts(library.index(sounds, prune=True)) == {"unchanged": 5, "pruned": 1}
    assert sounds / "0.wav" not in library.files()
    assert other / "a.wav" in library.files(), "it was not asked about that folder"
    shutil.rmtree(other)
    report = library.index(other, prune=True)
    assert list(report.failures.values()) == ["no such file or folder"]
    assert other / "a.wav" in library.files(), "a disk that is not mounted is not a deletion"


def test_bad_files_are_recorded_and_tried_again_when_they_change(
    library: Library, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = sounds / "bad.wav"
    bad.write_bytes(b"no sound at all")
    (sounds / "empty.wav").write_bytes(b"")
    report = library.index(sounds)
    assert counts(report) == {"added": 6, "failed": 2}
    assert "empty (0 bytes)" in report.failures[sounds / "empty.wav"]
    with monkeypatch.context() as patch:
        forbid_decoding(patch)
        report = library.index(sounds)
    assert report.known_failures == 2
    assert report.failures == library.failures()
    bad.write_bytes(noise(20))
    report = library.index(sounds)
    assert counts(report) == {"added": 1, "unchanged": 6, "failed": 1}
    assert set(library.failures()) == {sounds / "empty.wav"}
    bad.write_bytes(b"broken again")
    assert counts(library.index(sounds)) == {"unchanged": 6, "failed": 2}
    assert bad not in library.files()
    bad.unlink()
    library.index(sounds)
    assert set(library.failures()) == {sounds / "empty.wav"}


def test_permission_is_tried_again_once_given(
    small: Wav2CLIP, unprivileged: None, library: Library, sounds: Path
) -> None:
    here = Here(small, readers=InProcess())  # where tests run as root, nobody may start Python
    (sounds / "0.wav").chmod(0)
    (sounds / "deep").chmod(0)
    report = library.index(sounds, prune=True, executor=here)
    assert counts(report) == {"added": 3, "failed": 2}
    assert set(report.failures.values()) == {"Permission denied"}
    (sounds / "0.wav").chmod(0o644)
    (sounds / "deep").chmod(0o755)
    assert counts(library.index(sounds, executor=here)) == {"added": 3, "unchanged": 3}
    (sounds / "deep").chmod(0)
    assert library.index(sounds, prune=True).pruned == 0, "out of reach is not deleted"
    (sounds / "deep").chmod(0o755)


def test_a_read_only_folder_of_sounds(
    small: Wav2CLIP, unprivileged: None, library: Library, sounds: Path
) -> None:
    for folder in (sounds, sounds / "deep"):
        folder.chmod(0o555)
    here = Here(small, readers=InProcess())
    assert counts(library.index(sounds, executor=here)) == {"added": 6}
    for folder in (sounds, sounds / "deep"):
        folder.chmod(0o755)


def test_a_library_that_cannot_be_written(
    small: Wav2CLIP, unprivileged: None, sounds: Path, tmp_path: Path
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    with pytest.raises(LibraryError, match=r"cannot write to .*Permission denied.*--library"):
        Library.open(locked / "library", small).index(sounds)


def test_odd_names(library: Library, sounds: Path) -> None:
    names = [
        b"with space.wav",
        "\u00fcml\u00e4ut \U0001f415.wav".encode(),
        b"line\nbreak.wav",
        b"invalid \xff\xfe.wav",
        b"quote ' and % \" \\.wav",
        b"-dash.wav",
    ]
    for i, name in enumerate(names):
        Path(os.fsdecode(os.fsencode(sounds) + b"/" + name)).write_bytes(noise(30 + i))
    assert counts(library.index(sounds)) == {"added": 12}
    stored = {os.path.basename(row["path_bytes"]) for row in library.to_arrow().to_pylist()}
    assert set(names) < stored
    assert counts(library.index(sounds)) == {"unchanged": 12}
    for name in names:
        path = Path(os.fsdecode(os.fsencode(sounds) + b"/" + name))
        found = library.similar(path, limit=20)
        assert path not in [result.path for result in found]
        assert len(found) == 11
        assert all(result.path.exists() for result in found)


def test_links_pipes_and_loops(library: Library, sounds: Path) -> None:
    (sounds / "deep" / "up").symlink_to(sounds)
    (sounds / "self.wav").symlink_to(sounds / "self.wav")
    (sounds / "gone.wav").symlink_to(sounds / "nowhere.wav")
    (sounds / "link.wav").symlink_to(sounds / "0.wav")
    os.mkfifo(sounds / "pipe.wav")
    report = library.index(sounds)
    assert report.added == 7
    reasons = {path.name: reason for path, reason in report.failures.items()}
    assert set(reasons) == {"self.wav", "gone.wav", "pipe.wav"}
    assert reasons["pipe.wav"] == "is a pipe or a device, expected a file"
    through_link = sounds.parent / "entry"
    through_link.symlink_to(sounds)
    assert library.index(through_link).unchanged == 7


def test_a_file_that_changes_while_it_is_read(
    library: Library, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim, real = sounds / "2.wav", index.embed_segments

    def embed(*arguments: Any, **options: Any) -> Iterator[Any]:
        for result in real(*arguments, **options):
            if result.path == victim:
                with victim.open("ab") as file:
                    file.write(b"more")
            yield result

    with monkeypatch.context() as patch:
        patch.setattr(index, "embed_segments", embed)
        report = library.index(sounds)
    assert "changed while it was read" in report.failures[victim]
    assert victim not in library.files()
    assert counts(library.index(sounds)) == {"added": 1, "unchanged": 5}


def test_a_full_disk_keeps_what_was_committed(
    library: Library, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_COMMIT_FILES", 2)
    real, calls = lancedb.table.LanceTable.add, []

    def add(self: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(lancedb.table.LanceTable, "add", add)
        with pytest.raises(LibraryError, match=r"No space left.*kept.*same command again"):
            library.index(sounds)
    kept = len(library.files())
    assert 0 < kept < 6
    assert counts(library.index(sounds)) == {"added": 6 - kept, "unchanged": kept}
    assert len(library) == 9


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_disk_that_is_really_full(small: Wav2CLIP, sounds: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(options, capture_output=True, check=False).returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    try:
        for i in range(40):
            (sounds / f"more {i}.wav").write_bytes(noise(50 + i, 0.1))
        with pytest.raises(LibraryError, match=r"(?i)no space left|quota"):
            library = Library.open(disk / "library", small)
            for _ in range(20):  # every run keeps something until nothing fits
                library.index(sounds, rebuild=False)
                (sounds / f"more {_}.wav").write_bytes(noise(500 + _, 11))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_another_model_is_refused_with_the_way_out(
    library: Library, sounds: Path, published: Wav2CLIP
) -> None:
    library.index(sounds)
    other = Library.open(library.store.uri, published)
    for attempt in (lambda: other.index(sounds), lambda: other.search("rain")):
        with pytest.raises(LibraryError, match=r"--model.*--library.*--rebuild"):
            attempt()
    (sounds / "deep" / "long.wav").unlink()
    assert other.index(sounds, rebuild=True).added == 5
    assert other.store.settings.fingerprint == published.fingerprint


def test_segments_are_fixed_when_the_library_is_made(library: Library, sounds: Path) -> None:
    library.index(sounds, segment_seconds=5, overlap_seconds=0)
    assert len(library) == 5 + 6
    assert library.index(sounds).unchanged == 6
    with pytest.raises(LibraryError, match=r"segment_seconds 5\.0, not 10"):
        library.index(sounds, segment_seconds=10)


def test_a_second_process_is_told_to_wait(library: Library, sounds: Path) -> None:
    library.index(sounds)
    with FileLock(Path(library.store.uri, ".lock")), pytest.raises(LibraryError, match="wait"):
        library.index(sounds)


def test_interrupted_by_the_keyboard(library: Library, sounds: Path) -> None:
    def progress(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library.index(sounds, progress=progress)
    assert len(library.files()) == 3
    assert counts(library.index(sounds)) == {"added": 3, "unchanged": 3}


def test_progress_counts_what_needs_work(library: Library, sounds: Path) -> None:
    seen: list[tuple[int, int]] = []
    library.index(sounds, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 6) for i in range(1, 7)]
    seen.clear()
    library.index(sounds, progress=lambda done, total: seen.append((done, total)))
    assert seen == []


def test_where_no_file_is_a_library(small: Wav2CLIP, tmp_path: Path) -> None:
    library = Library.open(tmp_path / "nothing", small)
    assert len(library) == 0
    with pytest.raises(LibraryError, match=r"there is no library at .*wav2clip index"):
        library.search("rain")


@pytest.mark.parametrize("scheme", ["file://", "memory://"])
def test_addresses(scheme: str, small: Wav2CLIP, sounds: Path, tmp_path: Path) -> None:
    uri = f"{scheme}{tmp_path / 'by-address'}" if scheme == "file://" else "memory://library"
    library = Library.open(uri, small)
    assert library.index(sounds).added == 6
    (sounds / "0.wav").write_bytes(noise(99))
    assert counts(library.index(sounds)) == {"updated": 1, "unchanged": 5}
    assert len(library.similar(sounds / "0.wav")) == 5


def test_a_file_of_the_far_future(library: Library, sounds: Path) -> None:
    """Its date does not fit 64 bits of nanoseconds; nothing stops at it."""
    os.utime(sounds / "0.wav", (0, 10_413_792_000))
    assert counts(library.index(sounds)) == {"added": 6}
    assert counts(library.index(sounds)) == {"unchanged": 6}
    (sounds / "1.wav").write_bytes(b"no sound")
    os.utime(sounds / "1.wav", (0, 10_413_792_000))
    assert counts(library.index(sounds)) == {"unchanged": 5, "failed": 1}


def test_a_mute_video_is_told_once(library: Library, sounds: Path) -> None:
    (sounds / "mute.mp4").write_bytes(mute_video())
    (sounds / "notes.txt").touch()
    first = library.index(sounds)
    assert counts(first) == {"added": 6}
    assert first.skipped == {sounds / "mute.mp4": "has no audio track, only video"}
    assert first.left_out == {".txt": 1}
    again = library.index(sounds)
    assert (again.skipped, again.known_mute, again.unchanged) == ({}, 1, 6)
    assert not again.failures


def test_times_are_on_the_clock_of_the_film(library: Library, tmp_path: Path) -> None:
    film = tmp_path / "late.mkv"
    film.write_bytes(muxed("matroska", Audio("flac", start=8.0), video="mpeg4"))
    library.index(film)
    (row,) = library.to_arrow().to_pylist()
    times = row["start"], row["end"], row["duration"]
    assert times == pytest.approx((8.0, 10.0, 10.0), abs=0.1)
