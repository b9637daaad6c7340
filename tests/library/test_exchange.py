"""Words of files as a table, and back."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from library_sounds import noise, rows_of

from media import bext, info, with_chunks
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import InputError
from wav2clip.library import Library, exchange
from wav2clip.library.exchange import HEADER, Imported, read_words, write_words

pytestmark = pytest.mark.everyday


@pytest.fixture
def told(tmp_path: Path, small: Wav2CLIP) -> Library:
    folder = tmp_path / "sounds"
    (folder / "sub").mkdir(parents=True)
    chunks = {
        "a.wav": bext(b"gate creaking", b"Ann Lee"),
        "b.wav": info(INAM=b"=HYPERLINK(x)", IKEY=b"steam, valve"),
        "sub/c.wav": b"",
        "sub/a.wav": b"",
    }
    for number, (name, extra) in enumerate(chunks.items()):
        (folder / name).write_bytes(with_chunks(noise(number), after=extra))
    library = Library.open(tmp_path / "library", small)
    library.index(folder)
    return library


def exported(library: Library) -> list[dict[str, str]]:
    text = io.StringIO(newline="")
    write_words(library.store, text)
    return list(csv.DictReader(io.StringIO(text.getvalue(), newline="")))


def words_read(library: Library, table: Path, text: str, encoding: str = "utf-8") -> Imported:
    table.write_bytes(text.encode(encoding))
    with library.store.lock():
        return read_words(library.store, table)


def names(library: Library, query: str) -> set[str]:
    return {
        str(find.path).rpartition("sounds/")[2]
        for find in library.search(query, by="both" if ":" in query else "words", limit=99)
    }


def test_export(told: Library) -> None:
    told.tag(["rain", "a dog"], top=2)
    first, second, *_ = exported(told)
    assert tuple(first) == HEADER
    assert first["path"].endswith("sounds/a.wav")
    assert (first["description"], first["creator"]) == ("gate creaking", "Ann Lee")
    assert sorted(first["tags"].split("; ")) == ["a dog", "rain"]
    assert (first["duration"], first["channels"], first["sample_rate"]) == ("0.3", "1", "16000")
    assert (second["title"], second["keywords"]) == ("'=HYPERLINK(x)", "steam, valve")


def test_what_was_exported_changes_nothing(told: Library, tmp_path: Path) -> None:
    before = rows_of(told)
    text = io.StringIO(newline="")
    assert write_words(told.store, text) == 4
    assert words_read(told, tmp_path / "words.csv", text.getvalue()) == Imported(0, 4)
    assert rows_of(told) == before


@given(st.text())
def test_no_cell_is_a_formula(text: str) -> None:
    cell = exchange.harmless(text)
    assert cell[:1] not in {"=", "+", "-", "@", "\t", "\r"}
    assert exchange._plain(cell) == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_import_in_any_encoding(told: Library, tmp_path: Path, encoding: str) -> None:
    vectors = told.to_arrow().sort_by("id")["vector"]
    folder = tmp_path / "sounds"
    table = (
        "Path;Description;Mood;Duration\n"
        f"{folder}/a.wav;Tür quietscht;grim;99\n"
        "sounds/sub/../sub/a.wav;ferry horn;;\n"
        "c.wav;'=dry ice;;\n"
        "\n"
    )
    assert words_read(told, tmp_path / "words.csv", table, encoding) == Imported(3, 0)
    assert names(told, "Tür") == names(told, "mood grim") == {"a.wav"}
    assert names(told, "gate") == set(), "what was imported takes the place of what was there"
    assert names(told, "ferry horn") == {"sub/a.wav"}
    assert [f.metadata for f in told.search("dry ice", by="words")] == [{"description": "=dry ice"}]
    assert names(told, "creator:lee") == {"a.wav"}, "other fields stay"
    assert told.to_arrow().sort_by("id")["vector"].equals(vectors)
    words_read(
        told,
        tmp_path / "words.csv",
        "path,description\na.wav,x\n".replace("a.wav", f"{folder}/a.wav"),
    )
    assert names(told, "grim") == {"a.wav"}, "a column that is not there changes nothing"
    words_read(told, tmp_path / "back.csv", f"path,description\n{folder}/a.wav,gate creaking\n")
    assert names(told, "gate") == {"a.wav"}
    assert exported(told)[0]["description"] == "gate creaking"


def test_rows_of_no_file(told: Library, tmp_path: Path) -> None:
    table = "path,title\na.wav,x\nnowhere.wav,y\n/etc/passwd,z\nb.wav,good\n"
    imported = words_read(told, tmp_path / "words.csv", table)
    assert imported.files == 1
    assert {key: reason.partition(";")[0] for key, reason in imported.failures.items()} == {
        "row 2: a.wav": "is what several files are called",
        "row 3: nowhere.wav": "no such file in the library",
        "row 4: /etc/passwd": "no such file in the library",
    }
    (tmp_path / "sounds" / "words.csv").write_text("path,title\na.wav,nearest\n")
    with told.store.lock():
        assert read_words(told.store, tmp_path / "sounds" / "words.csv").files == 1
    assert names(told, "nearest") == {"a.wav"}, "beside the table before anywhere else"


def test_imported_words_stay(told: Library, tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    table = f"path,title\n{folder}/a.wav,marble\nb.wav,winch\nc.wav,moss\n"
    words_read(told, tmp_path / "words.csv", table)
    (folder / "a.wav").write_bytes(with_chunks(noise(70), after=bext(b"another sound")))
    (folder / "b.wav").rename(folder / "b2.wav")
    (folder / "b2.txt").write_text("heavy load")
    (folder / "sub" / "c.wav").touch()
    report = told.index(folder)
    assert (report.updated, report.reused) == (1, 2)
    assert names(told, "marble") == names(told, "another") == {"a.wav"}
    assert names(told, "winch") == names(told, "load") == {"b2.wav"}
    assert names(told, "moss") == {"sub/c.wav"}
    (folder / "b2.txt").unlink()
    told.index(folder)
    assert (names(told, "winch"), names(told, "load")) == ({"b2.wav"}, set())
    assert told.index(folder).unchanged == 4
    assert names(told, "winch") == {"b2.wav"}


def test_imported_words_wait_for_a_file_to_be_mended(told: Library, tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    words_read(told, tmp_path / "words.csv", f"path,title\n{folder}/a.wav,marble\n")
    for broken in (b"broken", b"broken in another way"):
        (folder / "a.wav").write_bytes(broken)
        assert len(told.index(folder).failures) == 1
        assert names(told, "marble") == set()
    assert told.index(folder).known_failures == 1
    (folder / "a.wav").write_bytes(noise(71))
    assert told.index(folder).added == 1
    assert names(told, "marble") == {"a.wav"}


def test_what_is_no_table(told: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows_of(told)
    for text in ("", "a,b\n1,2\n", "\0\0\0", '"path,title\n' * 3):
        with pytest.raises(InputError, match="no column called path"):
            words_read(told, tmp_path / "words.csv", text)
    monkeypatch.setattr(exchange, "LARGEST", 10)
    with pytest.raises(InputError, match="larger than"):
        words_read(told, tmp_path / "words.csv", "path,title\n" * 9)
    with pytest.raises(InputError, match="cannot read"):
        read_words(told.store, tmp_path / "nowhere.csv")
    assert rows_of(told) == before


def test_no_file_is_written_to(told: Library, tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*.wav")}
    words_read(told, tmp_path / "words.csv", f"path,title\n{folder}/a.wav,{'long ' * 9_000}\n")
    now = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*.wav")}
    assert now == before
    (find,) = [f for f in told.search("long", by="words") if f.path == folder / "a.wav"]
    assert len(find.metadata["title"]) <= 4_000


def test_the_commands(told: Library, tmp_path: Path, run_command: object) -> None:
    library = {"WAV2CLIP_LIBRARY": str(tmp_path / "library")}

    def command(*arguments: object) -> subprocess.CompletedProcess[str]:
        return run_command("metadata", *arguments, env=library)  # type: ignore[operator]

    table = tmp_path / "words.csv"
    done = command("export", table)
    assert done.returncode == 0, done.stderr
    assert table.read_text("utf-8") == command("export").stdout
    changed = table.read_text("utf-8").replace("gate creaking", "ferry horn") + "nowhere.wav\n"
    table.write_text(changed, "utf-8")
    imported = command("import", table, "--json")
    assert imported.returncode == 1
    assert "no such file in the library" in imported.stderr
    summary = json.loads(imported.stdout)
    assert (summary["files"], summary["unchanged"]) == (1, 3)
    assert names(told, "ferry horn") == {"a.wav"}
