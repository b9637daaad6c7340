"""Texts and tables beside sounds: which belong to what, and what a library makes of them."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from library_sounds import noise

from media import bext, with_chunks
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.files import walk
from wav2clip.library import Library, beside
from wav2clip.library.beside import Beside, read_table, readable
from wav2clip.library.scan import scan
from wav2clip.reading import child

pytestmark = pytest.mark.everyday


def lay(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(noise(number))
    return folder


def words(folder: Path, name: str) -> dict[str, str]:
    return scan([folder]).beside.words(Path(os.path.realpath(folder)) / name)


def names(library: Library, query: str) -> set[str]:
    return {find.path.name for find in library.search(query, by="words", limit=99)}


def test_texts_belong_to_the_sound_of_their_name(tmp_path: Path) -> None:
    folder = lay(tmp_path / "s", "a.wav", "b.wav", "b.flac", "sub/a.wav", "1.5 m.wav")
    (folder / "a.txt").write_text("gate creaking")
    (folder / "b.wav.TXT").write_text("steam")
    (folder / "b.txt").write_text("valve")
    (folder / "1.5 m.txt").write_text("ferry")
    (folder / "readme.txt").write_text("nothing of a sound")
    assert words(folder, "a.wav") == {"note": "gate creaking"}
    assert words(folder, "b.wav") == {"note": "steam; valve"}
    assert words(folder, "b.flac") == {"note": "valve"}
    assert words(folder, "1.5 m.wav") == {"note": "ferry"}
    assert words(folder, "sub/a.wav") == {}
    assert scan([folder]).left_out == {".txt": 1}, "the readme"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_name_sounds_in_any_column(tmp_path: Path, encoding: str, delimiter: str) -> None:
    folder = lay(tmp_path / "s", "Tür.wav", "b.wav", "c.wav")
    lines = [
        ["No", "Title", "Filename", "Keywords"],
        ["1", "Tür fällt zu", "TÜR.WAV", "door"],
        ["2", "Ventil", "old\\b", "steam"],
        ["3", "of no sound", "z.wav", "x"],
    ]
    text = "\n".join(delimiter.join(line) for line in lines)
    (folder / "list.csv").write_bytes(text.encode(encoding))
    assert words(folder, "Tür.wav") == {"title": "Tür fällt zu", "keywords": "door"}
    assert words(folder, "b.wav") == {"title": "Ventil", "keywords": "steam"}
    assert words(folder, "c.wav") == {}
    assert scan([folder]).left_out == {}


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lay(tmp_path / "s", *(f"{name}.wav" for name in "abcdefg"))
    (folder / "a.txt").write_bytes(b"x" * (beside.LARGEST_TEXT + 1))
    (folder / "b.txt").write_bytes(bytes(range(256)) * 9)
    (folder / "c.txt").write_bytes(b"")
    (folder / "d.txt").mkdir()
    os.mkfifo(folder / "e.txt")
    (folder / "f.txt").symlink_to(folder / "nowhere")
    (folder / "pipe.csv").symlink_to(folder / "e.txt")
    (folder / "long.csv").write_text('name,x\n"' + "g.wav," * 50_000)
    (folder / "other.csv").write_text("a,b\n1,2\n")
    for name in "abcdefg":
        assert words(folder, f"{name}.wav") == {}
    (folder / "g.txt").write_text("very long " * 2_000)
    assert 0 < len(words(folder, "g.wav")["note"]) <= 4_000


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_none(content: bytes) -> None:
    for row in read_table(readable(content.decode("latin-1"))):
        assert row


def test_a_library_follows_its_sidecars(
    small: Wav2CLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lay(tmp_path / "s", "a.wav", "b.wav", "c.wav")
    (folder / "a.wav").write_bytes(with_chunks(noise(1), bext(b"marble rolling")))
    (folder / "a.txt").write_text("gate creaking")
    (folder / "list.csv").write_text("file,description\nb.wav,steam valve\n")
    library = Library.open(tmp_path / "library", small)
    assert library.index(folder).added == 3
    assert names(library, "gate") == names(library, "marble") == {"a.wav"}
    assert names(library, "valve") == {"b.wav"}

    def decoded(*_: object) -> None:
        raise AssertionError("a sound was decoded")

    monkeypatch.setattr(child.io, "stream_audio", decoded)
    monkeypatch.setattr("wav2clip.library.index.embed_segments", decoded_none)
    report = library.index(folder)
    assert (report.unchanged, report.retold) == (3, 0)
    (folder / "a.txt").write_text("winch under load")
    (folder / "c.wav.txt").write_text("ferry horn")
    report = library.index(folder)
    assert (report.unchanged, report.retold, report.described) == (3, 2, 0)
    assert names(library, "gate") == set()
    assert names(library, "winch") == names(library, "marble") == {"a.wav"}
    assert names(library, "ferry") == {"c.wav"}
    (folder / "a.txt").unlink()
    (folder / "list.csv").write_text("file,description\nb.wav,dry ice\n")
    assert library.index(folder).retold == 2
    assert names(library, "winch") == names(library, "valve") == set()
    assert names(library, "ice") == {"b.wav"}
    (folder / "list.csv").unlink()
    (folder / "c.wav.txt").unlink()
    assert library.index(folder).retold == 2
    assert library.index(folder).retold == 0
    assert names(library, "ice") == names(library, "ferry") == set()
    assert names(library, "marble") == {"a.wav"}
    assert library.store.origins() == {}, "nothing is left to remember"


def decoded_none(model: object, paths: object, **_: object) -> list[object]:
    assert list(paths) == []  # type: ignore[call-overload]
    return []


def test_moved_with_and_without_its_text(small: Wav2CLIP, tmp_path: Path) -> None:
    folder = lay(tmp_path / "s", "a.wav", "b.wav")
    (folder / "a.txt").write_text("gate creaking")
    (folder / "b.txt").write_text("steam valve")
    library = Library.open(tmp_path / "library", small)
    library.index(folder)
    (folder / "a.wav").rename(folder / "a2.wav")
    (folder / "a.txt").rename(folder / "a2.txt")
    (folder / "b.wav").rename(folder / "b2.wav")
    report = library.index(folder)
    assert (report.reused, report.added) == (2, 0)
    assert names(library, "gate") == {"a2.wav"}
    assert names(library, "valve") == set(), "what does not lie beside it is not its own"
    (folder / "a2.wav").write_bytes(noise(9))
    assert library.index(folder).updated == 1
    assert names(library, "gate") == {"a2.wav"}


def test_a_file_that_is_named_alone(small: Wav2CLIP, tmp_path: Path) -> None:
    folder = lay(tmp_path / "s", "a.wav", "b.wav")
    (folder / "a.txt").write_text("gate creaking")
    (folder / "list.csv").write_text("file,description\na.wav,steam valve\n")
    library = Library.open(tmp_path / "library", small)
    library.index([folder / "a.wav"])
    assert names(library, "gate") == names(library, "valve") == {"a.wav"}
    assert library.index(folder).retold == 0
    assert library.index([folder / "a.wav"]).retold == 0


def test_looking_costs_nothing_where_there_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One listing of each folder, and no question about any file that is not there."""
    folder = lay(tmp_path / "s", *(f"{i}.wav" for i in range(20)))
    (folder / "notes.txt").write_text("of no sound")
    entries = list(os.scandir(folder))
    seen = Beside()
    list(walk(folder, others=seen.see))
    seen.settle((Path(e.path) for e in entries if e.name.endswith("wav")), Counter())

    def asked(*_: object) -> None:
        raise AssertionError("a file was asked for")

    monkeypatch.setattr(beside, "_state", asked)
    for entry in (entry for entry in entries if entry.name.endswith("wav")):
        assert seen.stamp(Path(entry.path)) == ""
