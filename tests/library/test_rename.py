"""Names of the UCS for files: what they are called, that nothing is lost, and that it goes back."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from library_sounds import noise

from media import info, with_chunks
from patience import HANGS
from wav2clip import files
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import InputError
from wav2clip.files import rename_new
from wav2clip.library import Library, suggest, ucs
from wav2clip.library.rename import Move, Plan, carry_out, new_name, plan, undo

pytestmark = pytest.mark.everyday


@pytest.mark.parametrize(
    ("path", "parts", "name"),
    [
        ("rain on roof.wav", [], "RAIN_rain on roof.wav"),
        ("rain_on_roof.WAV", ["AL", "MOOR"], "RAIN_rain on roof_AL_MOOR.WAV"),
        ("a.wav", ["", "MOOR"], "RAIN_a_NONE_MOOR.wav"),
        ("a.wav", ["Ann_Lee", ""], "RAIN_a_Ann Lee.wav"),
        ("...wav", [], "RAIN_Untitled.wav"),
        ("_.wav", [], "RAIN_Untitled.wav"),
        ('a<b>c:"d"|e?*.wav', ["x/y"], "RAIN_a b c d e_x y.wav"),
        ("\u202egnp.exe\u2066\n\x07.wav", [], "RAIN_gnp.exe.wav"),
        ("雷" * 200 + ".wav", ["AL"], "RAIN_" + "雷" * 76 + "_AL.wav"),
        (os.fsdecode(b"T\xfcr.wav"), [], "RAIN_Tr.wav"),
    ],
)
def test_names(path: str, parts: list[str], name: str) -> None:
    assert new_name(Path(path), "RAIN", parts) == name


@given(st.text(max_size=400), st.lists(st.text(max_size=80), max_size=2), st.integers(1, 999))
def test_any_text_makes_a_name(title: str, parts: list[str], number: int) -> None:
    path = Path("/" + title.replace("/", "_").replace("\0", "_") + ".wav")
    name = new_name(path, "ANMLDog", parts, number)
    assert len(f"{name}.txt".encode()) <= 255
    assert name == Path(name).name
    assert name.isprintable()
    assert not set(name) & set('<>:"/\\|?*')
    named = ucs.parse_name(name)
    assert named is not None
    assert (named.category.id, bool(named.title)) == ("ANMLDog", True)


# Renaming one file --------------------------------------------------------------------------------


def _refused(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSYS, "not here")


@pytest.mark.parametrize(
    "without", [[], ["_rename_at_once"], ["_rename_at_once", "_rename_by_link"]]
)
def test_a_name_is_never_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: list[str]
) -> None:
    for way in without:
        monkeypatch.setattr(files, way, _refused)
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    (tmp_path / "dangling").symlink_to("nowhere")
    for taken in ("b", "dangling"):
        with pytest.raises(FileExistsError):
            rename_new(tmp_path / "a", tmp_path / taken)
    rename_new(tmp_path / "a", tmp_path / "c")
    assert sorted(os.listdir(tmp_path)) == ["b", "c", "dangling"]
    assert (tmp_path / "c").read_text() == "a"
    with pytest.raises(FileNotFoundError):
        rename_new(tmp_path / "a", tmp_path / "d")


# A library ----------------------------------------------------------------------------------------


@pytest.fixture
def tagged(tmp_path: Path, small: Wav2CLIP, monkeypatch: pytest.MonkeyPatch) -> Library:
    """Sounds whose names say what they are, to a model that hears nothing."""
    monkeypatch.setattr(suggest, "WORDS", 1e3)
    folder = tmp_path / "sounds"
    (folder / "sub").mkdir(parents=True)
    made = info(IART=b"Ann Lee", IPRD=b"Moor")
    for number, name in enumerate(["thunder.wav", "sub/thunder.wav", "THUNDER.wav", "dog.wav"]):
        content = with_chunks(noise(number), after=made if name == "dog.wav" else b"")
        (folder / name).write_bytes(content)
    (folder / "THUN_ours_AL.wav").write_bytes(noise(7))
    (folder / "dog.txt").write_text("a terrier")
    (folder / "dog.wav.txt").write_text("barking")
    library = Library.open(tmp_path / "library", small)
    library.index(folder)
    library.tag_ucs()
    return library


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_there_and_back(tagged: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "sounds"
    before, times = tree(folder), {p.name: p.stat().st_mtime_ns for p in folder.glob("dog*")}
    made = plan(tagged.store)
    assert (len(made.moves), made.named, made.left) == (4, 1, {})
    assert tree(folder) == before, "a plan changes nothing"
    done = carry_out(made, tmp_path / "journal")
    assert (done.done, done.failures) == (4, {})
    assert set(tree(folder)) == {
        "THUN_THUNDER.wav", "THUN_thunder 2.wav", "sub/THUN_thunder.wav", "THUN_ours_AL.wav",
        "ANMLDog_dog_Ann Lee_Moor.wav", "ANMLDog_dog_Ann Lee_Moor.txt",
        "ANMLDog_dog_Ann Lee_Moor.wav.txt",
    }  # fmt: skip
    assert sorted(tree(folder).values()) == sorted(before.values())
    assert (folder / "ANMLDog_dog_Ann Lee_Moor.wav").stat().st_mtime_ns == times["dog.wav"]

    monkeypatch.setattr("wav2clip.library.index.embed_segments", lambda *a, **k: list(a[1]))
    report = tagged.index(folder)
    assert (report.reused, report.added, report.updated, report.missing) == (4, 0, 0, 0)
    (found,) = tagged.search("terrier barking", by="words", limit=9)
    assert (found.path.name, found.tags) == ("ANMLDog_dog_Ann Lee_Moor.wav", ("ANMLDog",))
    assert plan(tagged.store).moves == []

    assert undo(tmp_path / "journal").failures == {}
    assert tree(folder) == before
    again = undo(tmp_path / "journal")
    assert (again.done, again.failures) == (0, {})


def test_what_cannot_be_named_is_said(tagged: Library, tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    tagged.untag(["ANMLDog"])
    (folder / "thunder.wav").unlink()
    made = plan(tagged.store, [folder], creator="AL", source="MOOR")
    assert {path.name: reason.partition(";")[0] for path, reason in made.left.items()} == {
        "dog.wav": "has no category",
        "thunder.wav": "no such file",
    }
    new = {move.new.name for move in made.moves}
    assert new == {"THUN_THUNDER_AL_MOOR.wav", "THUN_thunder_AL_MOOR.wav"}
    assert [m.old.parent.name for m in plan(tagged.store, [folder / "sub"]).moves] == ["sub"]
    with pytest.raises(InputError, match="no file of the library"):
        plan(tagged.store, [tmp_path / "elsewhere"])


def test_a_text_of_two_sounds_stays(tagged: Library, tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    (folder / "dog.flac").write_bytes(noise(50))
    made = plan(tagged.store)
    (dog,) = [move for move in made.moves if move.old.name == "dog.wav"]
    assert [old.name for old, _ in dog.beside] == ["dog.wav.txt"]
    assert list(made.left) == [folder / "dog.txt"]


def test_rows_of_tables_follow(tagged: Library, tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    (folder / "list.csv").write_text("file,description\ndog.wav,steam valve\n")
    tagged.index(folder)
    carry_out(plan(tagged.store), tmp_path / "journal")
    tagged.index(folder)
    (found,) = tagged.search("steam valve", by="words", limit=9)
    assert found.path.name.startswith("ANMLDog")


def test_a_name_that_is_taken_meanwhile(tagged: Library, tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    made = plan(tagged.store)
    (folder / "ANMLDog_dog_Ann Lee_Moor.wav").write_bytes(b"somebody else's")
    before = tree(folder)
    done = carry_out(made, tmp_path / "journal")
    assert done.done == 3
    assert {path.name for path in done.failures} == {"dog.wav"}
    assert "nothing was overwritten" in str(done.failures)
    after = tree(folder)
    for name in ("dog.wav", "dog.txt", "dog.wav.txt", "ANMLDog_dog_Ann Lee_Moor.wav"):
        assert after[name] == before[name], "texts went back"
    back = undo(tmp_path / "journal")
    assert tree(folder) == before
    assert len(back.failures) == 1, "both names are there: it says so and touches neither"


def test_undo_overwrites_nothing(tagged: Library, tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    carry_out(plan(tagged.store), tmp_path / "journal")
    (folder / "dog.wav").write_bytes(b"new")
    (folder / "THUN_THUNDER.wav").unlink()
    back = undo(tmp_path / "journal")
    assert (folder / "dog.wav").read_bytes() == b"new"
    assert {path.name for path in back.failures} == {
        "ANMLDog_dog_Ann Lee_Moor.wav",
        "THUN_THUNDER.wav",
    }


def test_a_link_that_was_left_is_undone(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"a")
    carry_out(Plan([Move(tmp_path / "a.wav", tmp_path / "b.wav")]), tmp_path / "journal")
    os.link(tmp_path / "b.wav", tmp_path / "a.wav")
    assert undo(tmp_path / "journal").failures == {}
    assert sorted(os.listdir(tmp_path)) == ["a.wav", "journal"]


HEAD = '"wav2clip renamed files, 1"\n'


@pytest.mark.parametrize(
    "content",
    [
        "",
        "text",
        "[1]",
        "\xe9",
        HEAD + '["a"]',
        HEAD + '["a", 1]',
        HEAD + '["a", "b"]',
        HEAD + '["/a/x", "/b/x"]',
    ],
)
def test_what_is_no_journal(tmp_path: Path, content: str) -> None:
    (tmp_path / "journal").write_text(content)
    with pytest.raises(InputError, match="journal"):
        undo(tmp_path / "journal")
    with pytest.raises(InputError, match="cannot read"):
        undo(tmp_path / "none")


def test_without_a_journal_nothing_is_renamed(tagged: Library, tmp_path: Path) -> None:
    before = tree(tmp_path / "sounds")
    (tmp_path / "journal").write_text("mine")
    with pytest.raises(InputError, match="nothing is"):
        carry_out(plan(tagged.store), tmp_path / "journal")
    assert tree(tmp_path / "sounds") == before
    assert (tmp_path / "journal").read_text() == "mine"


SCRIPT = """
import sys
from pathlib import Path
from wav2clip.library.rename import Move, Plan, carry_out
folder = Path(sys.argv[1])
moves = [
    Move(p, p.with_name("THUN_" + p.name),
         ((p.with_suffix(".txt"), p.with_name(f"THUN_{p.stem}.txt")),))
    for p in sorted(folder.glob("*.wav"))
]
carry_out(Plan(moves), folder.parent / "journal")
"""


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_stopped_at_any_moment(tmp_path: Path, stop: signal.Signals) -> None:
    rng, between = random.Random(5), 0
    for attempt in range(3):
        folder = tmp_path / f"{attempt}" / "sounds"
        folder.mkdir(parents=True)
        for number in range(800):
            (folder / f"{number}.wav").write_text(f"{number}")
            (folder / f"{number}.txt").write_text(f"about {number}")
        before = tree(folder)
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, folder], stderr=subprocess.DEVNULL
        )
        begun = folder / f"THUN_{rng.choice([0, 10, 100])}.wav"
        while process.poll() is None and not begun.exists():
            time.sleep(0.001)
        process.send_signal(stop)
        process.wait(HANGS)
        now = tree(folder)
        assert len(now) == len(before)
        assert {name.removeprefix("THUN_"): content for name, content in now.items()} == before
        between += 0 < sum(name.startswith("THUN_") for name in now) < len(now)
        assert undo(folder.parent / "journal").failures == {}
        assert tree(folder) == before
    assert between, "it has to be stopped in the middle of its work"


def test_the_command(tagged: Library, tmp_path: Path, run_command: object) -> None:
    folder, library = tmp_path / "sounds", ["--library", tmp_path / "library"]
    before = tree(folder)

    def command(*arguments: object) -> subprocess.CompletedProcess[str]:
        return run_command("rename", *arguments)  # type: ignore[operator]

    shown = command("--ucs", *library)
    assert shown.returncode == 0, shown.stderr
    assert "ANMLDog_dog_Ann Lee_Moor.wav" in shown.stdout
    assert "nothing was renamed" in shown.stdout
    planned = json.loads(command("--ucs", "--json", *library).stdout)
    assert (len(planned["moves"]), planned["renamed"], planned["list"]) == (4, 0, None)
    assert tree(folder) == before
    done = json.loads(command("--ucs", "--json", "--yes", *library).stdout)
    assert (done["renamed"], done["named"], done["failures"]) == (4, 1, {})
    back = command("--undo", done["list"])
    assert back.returncode == 0, back.stderr
    assert tree(folder) == before
    neither = command(*library)
    assert neither.returncode == 1
    assert "--ucs" in neither.stderr
