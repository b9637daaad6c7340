"""Finding recordings among odd names and links; whole files only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wav2clip.errors import InputError
from wav2clip.files import atomic_path, display, find_recordings, walk


def test_walk_follows_links_once_and_sorts(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("z.wav", "a.MP3", "notes.txt", ".hidden.wav", "b/c.flac"):
        (tmp_path / name).touch()
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling.wav").symlink_to(tmp_path / "gone.wav")
    names = [str(path.relative_to(tmp_path)) for path in walk(tmp_path)]
    assert names == ["a.MP3", "b/c.flac", "dangling.wav", "z.wav"]


def test_names_of_every_kind(tmp_path: Path) -> None:
    names = [b"space here.wav", b"line\nbreak.wav", "🐕.wav".encode(), b"latin\xe9.wav", b"[1].wav"]
    for name in names:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
            pass
    paths, failures, _ = find_recordings([str(tmp_path)])
    assert not failures
    assert sorted(os.fsencode(p.name) for p in paths) == sorted(names)
    one, failures, _ = find_recordings([str(tmp_path / "[1].wav")])
    assert len(one) == 1 and not failures, "a name with brackets is a name before it is a pattern"


@given(st.binary(min_size=1, max_size=30).filter(lambda b: b"\0" not in b))
def test_display_is_one_printable_line(name: bytes) -> None:
    shown = display(os.fsdecode(name))
    shown.encode("utf-8")
    assert shown.isprintable()


def test_sources_that_give_nothing_are_named(tmp_path: Path) -> None:
    paths, failures, _ = find_recordings([str(tmp_path), "no/such/*.wav", "gone.wav"])
    assert paths == []
    assert [str(path) for path in failures] == [str(tmp_path), "no/such/*.wav", "gone.wav"]


def test_atomic_path(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("first")
        assert not target.exists()
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(InputError, match="is not a folder"), atomic_path(tmp_path / "no" / "x"):
        pass
