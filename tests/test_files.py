"""Finding recordings among odd names and links; whole files only."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wav2clip.errors import InputError
from wav2clip.files import (
    MEDIA_SUFFIXES,
    SOUND_SUFFIXES,
    VIDEO_SUFFIXES,
    atomic_path,
    decode_text,
    display,
    find_recordings,
    is_mute,
    left_out_line,
    modified_ns,
    walk,
)

pytestmark = pytest.mark.everyday


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


def test_atomic_path_that_replaces_nothing(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    with atomic_path(target, replace=False) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"
    with (
        pytest.raises(InputError, match="is there already"),
        atomic_path(target, replace=False) as temporary,
    ):
        temporary.write_text("newer")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_the_suffixes_of_sound_and_video() -> None:
    told = ".m4v .3gp .m2ts .mts .vob .asf .mpc .dsf .mp1 .mka .aifc .bwf .rf64 .w64 .caf .amr .ts"
    assert set(told.split()) <= MEDIA_SUFFIXES
    assert VIDEO_SUFFIXES < MEDIA_SUFFIXES
    assert not {".txt", ".jpg", ".m3u8", ".pls", ".sdp", ".json", ".tsx"} & MEDIA_SUFFIXES


def test_what_was_left_out_is_counted_by_kind(tmp_path: Path) -> None:
    for name in ("a.wav", "b.txt", "c.TXT", "d.jpg", "README", ".hidden"):
        (tmp_path / name).write_bytes(b"x")
    found = find_recordings([str(tmp_path)])
    assert [path.name for path in found.recordings] == ["a.wav"]
    assert found.left_out == {".txt": 2, ".jpg": 1, "": 1}
    line = left_out_line(found.left_out)
    assert line == (
        "left out 4 files, neither sound nor video by name: 2 .txt, 1 without a suffix, 1 .jpg"
    )
    assert left_out_line({}) == ""
    by_pattern = find_recordings([str(tmp_path / "*")])
    assert by_pattern.left_out == found.left_out
    many = left_out_line({f".{i}": 1 for i in range(20)})
    assert many.startswith("left out 20 files") and many.endswith("12 of other kinds")


@pytest.mark.parametrize("suffix", [".ts", ".mts"])
@pytest.mark.parametrize("size", [188, 192, 204])
def test_typescript_is_no_transport_stream(tmp_path: Path, suffix: str, size: int) -> None:
    (tmp_path / f"code{suffix}").write_text("export const Gain: number = 1;\n" * 300)
    (tmp_path / f"tiny{suffix}").write_text("G")
    packets = b"".join(b"\x47" + bytes([i]) * (size - 1) for i in range(30))
    (tmp_path / f"film{suffix}").write_bytes(b"\0" * (size - 188) + packets)
    found = find_recordings([str(tmp_path)])
    assert [path.name for path in found.recordings] == [f"film{suffix}"]
    assert found.left_out == {suffix: 2}
    named = find_recordings([str(tmp_path / f"code{suffix}")])
    assert named.recordings, "what is named is tried"


def test_pipes_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    os.mkfifo(tmp_path / "x.wav")
    os.mkfifo(tmp_path / "x.txt")
    for source in (tmp_path, tmp_path / "*.wav"):
        found = find_recordings([str(source)])
        assert [path.name for path in found.recordings] == ["a.wav"]
        assert found.failures == {tmp_path / "x.wav": "is a pipe or a device, expected a file"}
    named = find_recordings([str(tmp_path / "x.wav")])
    assert not named.recordings and "is a pipe" in named.failures[tmp_path / "x.wav"]


def test_a_folder_that_cannot_be_read_costs_no_other(tmp_path: Path, unprivileged: None) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "a.wav").touch()
    (tmp_path / "closed").chmod(0)
    found = find_recordings([str(tmp_path)])
    (tmp_path / "closed").chmod(0o700)
    assert [path.name for path in found.recordings] == ["a.wav"]
    assert found.failures == {tmp_path / "closed": "Permission denied"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
def test_texts_as_editors_save_them(encoding: str) -> None:
    assert decode_text("Café 007\nGeräusch".encode(encoding)) == "Café 007\nGeräusch"


def test_texts_of_any_bytes() -> None:
    assert decode_text(b"\x81\xff") == "\x81\xff"
    assert decode_text(b"") == ""


@pytest.mark.parametrize(("seconds", "kept"), [(1_600_000_000, True), (10_413_792_000, False)])
def test_dates_that_64_bits_do_not_hold(tmp_path: Path, seconds: int, kept: bool) -> None:
    path = tmp_path / "a.wav"
    path.touch()
    os.utime(path, (0, seconds))
    found = modified_ns(path.stat())
    assert -(2**63) <= found < 2**63
    assert (found == path.stat().st_mtime_ns) is kept


def test_mute_is_no_fault() -> None:
    assert is_mute("has no audio track, only video")
    assert is_mute("film.mp4: has no audio track, only video")
    assert not is_mute("its audio track holds no samples")


def test_the_documentation_lists_the_suffixes() -> None:
    text = (Path(__file__).parent.parent / "docs" / "formats.md").read_text("utf-8")
    lists = text.partition("- sound:")[2].partition("\n\n")[0].split("- video:")
    told = [set(re.findall(r"`(\.[^`]+)`", part)) for part in lists]
    assert told == [SOUND_SUFFIXES, VIDEO_SUFFIXES]
