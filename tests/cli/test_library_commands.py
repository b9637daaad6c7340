"""The shipped commands on a library, run as a user runs them."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import soundfile

from media import tone, wav_bytes
from wav2clip.cli import main
from wav2clip.cli.finds import UNLIKELY

pytestmark = pytest.mark.everyday

Run = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def command(run_command: Run, tmp_path: Path) -> Run:
    """The command, with a library of its own by default."""

    def run(*arguments: str | Path, env: dict[str, str] | None = None) -> CompletedProcess[str]:
        own = {"WAV2CLIP_LIBRARY": str(tmp_path / "library"), "OMP_NUM_THREADS": "1"}
        return run_command(*arguments, env={**own, **(env or {})})

    return run


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    (folder / "field").mkdir(parents=True)
    for i, hz in enumerate((220, 440, 880, 1760)):
        (folder / f"tone {hz}.wav").write_bytes(wav_bytes(tone(0.5 + i, hz=hz)))
    (folder / "field" / "line\nbreak.wav").write_bytes(wav_bytes(tone(1.0, hz=3000)))
    (folder / "broken.wav").write_bytes(b"broken")
    return folder


def test_from_index_to_finds(
    command: Run, sounds: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    nothing = command("search", "rain")
    assert nothing.returncode == 1
    assert "there is no library at" in nothing.stderr
    done = command("index", sounds, "--model", small_checkpoint)
    assert done.returncode == 1
    assert "5 added, 1 failed" in done.stdout
    assert "broken.wav: " in done.stderr
    (sounds / "broken.wav").unlink()
    (sounds / "notes.pdf").write_bytes(b"no sound")
    again = command("index", sounds, "--json")
    assert again.returncode == 0, again.stderr
    summary = json.loads(again.stdout)
    assert (summary["unchanged"], summary["segments"], summary["failures"]) == (5, 5, {})
    assert summary["left_out"] == {".pdf": 1}
    (sounds / "notes.pdf").unlink()

    found = command(
        "search", "rain", "on", "a", "roof", "+", "0.5*thunder", "-", "voices", "--json"
    )
    assert found.returncode == 0, found.stderr
    assert found.stderr.strip() in ("", UNLIKELY)
    finds = json.loads(found.stdout)
    assert len(finds) == 5
    foreign = command("search", "собака", "+", "🐶", "--json")
    assert len(json.loads(foreign.stdout)) == 5
    said = {line for line in foreign.stderr.strip().splitlines() if line != UNLIKELY}
    warning, note = sorted(said, reverse=True)
    assert warning.startswith("warning the built-in text tower cannot read '🐶'")
    assert note == '"собака": understood as dog (Russian)'
    assert [f["score"] for f in finds] == sorted((f["score"] for f in finds), reverse=True)
    one = command(
        "search", "rain", "--audio", sounds / "tone 440.wav", "--path", "*.wav",
        "--min-duration", "1.2", "--after", "2020-01-01", "-n", "9",
    )  # fmt: skip
    assert one.returncode == 0, one.stderr
    assert "tone 440" not in one.stdout
    assert "tone 880.wav" in one.stdout
    assert "tone 220.wav" not in one.stdout
    where, start, end, sure = one.stdout.splitlines()[0].split("\t")
    assert Path(where).is_file()
    assert 0 <= float(start) < float(end)
    assert 0 <= float(sure) <= 1
    paths = command("search", "rain", "-0").stdout.split("\0")
    assert sorted(paths)[1:] == sorted(str(p) for p in sounds.rglob("*.*"))
    rows = list(csv.DictReader(command("search", "rain", "--csv").stdout.splitlines(True)))
    assert [row["path"] for row in rows] == [find["path"] for find in whole_paths(command)]
    both = command("search", "rain", "--csv", "--json")
    assert (both.returncode, both.stderr.strip()) == (1, "wav2clip: give one of --json and --csv")
    copies = tmp_path / "copies"
    for _ in range(2):
        done = command("similar", sounds / "tone 220.wav", "-n", "1", "--copy-to", copies)
        assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in copies.iterdir())
    assert len(names) == 2
    assert names[0].endswith(" (2).wav")
    tagged = command("tag", "--labels", "rain, a dog", "--json")
    assert json.loads(tagged.stdout)["tagged"] == 5, tagged.stderr
    rain = len(json.loads(command("search", "x", "--tag", "rain", "--json").stdout))
    with_tag = command("search", "rain", "--tag", "rain", "--tag", "a dog", "--json")
    assert json.loads(with_tag.stdout) == []
    wav = json.loads(command("search", "x", "--format", "WAV", "--channels", "1", "--json").stdout)
    assert {Path(find["path"]).suffix for find in wav} == {".wav"}
    none = command("search", "rain", "--format", "mp3", "--rate", "1", "--json")
    assert (none.returncode, json.loads(none.stdout)) == (0, [])
    assert "no file of the library has the format 'mp3'" in none.stderr
    assert "no file of the library has 1 Hz" in none.stderr
    unknown = command("search", "rain", "--category", "animalz")
    assert unknown.returncode == 1 and "did you mean animals" in unknown.stderr
    untagged = command("tag", "--remove", "rain", "--json")
    assert json.loads(untagged.stdout)["removed"] == rain, untagged.stderr
    assert json.loads(command("search", "rain", "--tag", "rain", "--json").stdout) == []
    named = json.loads(command("tag", "--ucs", "--json").stdout)
    assert named == {"segments": 5, "files": 5, "stated": 0}
    both = command("tag", "--ucs", "--labels", "rain, a dog")
    assert both.returncode == 1
    assert "one after the other" in both.stderr
    groups = command("duplicates", "--threshold", "0.9999999")
    assert groups.stdout.strip() == "copies: 0; overlaps: 0"


def whole_paths(command: Run) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(command("search", "rain", "--json").stdout)
    return found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search"], "nothing to search for"),
        (["search", "rain", "+"], "an operator"),
        (["search", "--image", "nowhere.jpg"], "nowhere.jpg"),
        (["search", "--audio", "nowhere.wav"], "nowhere.wav"),
        (["search", "--library", "nowhere", "rain"], "there is no library at"),
        (["tag"], "which labels"),
        (["tag", "--labels", "nosuchlist"], "alone says nothing"),
        (["tag", "--labels", "nowhere.txt"], "no such file"),
        (["index", "nowhere"], "no such file or folder"),
        (["duplicates", "--threshold", "7"], "threshold is 7"),
    ],
)
def test_mistakes_are_told_in_one_line(
    arguments: list[str],
    message: str,
    shared_library: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process: what the entry point prints and the code that it exits with."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WAV2CLIP_LIBRARY", str(shared_library))
    monkeypatch.setattr(sys, "argv", ["wav2clip", *arguments])
    with pytest.raises(SystemExit) as stop:
        main.run()
    assert stop.value.code == 1
    assert message in capsys.readouterr().err


@pytest.fixture(scope="module")
def shared_library(tmp_path_factory: pytest.TempPathFactory, small_checkpoint: Path) -> Path:
    from wav2clip.library import Library

    folder = tmp_path_factory.mktemp("shared")
    rng = np.random.default_rng(0)
    for i in range(3):
        wave = rng.uniform(-0.5, 0.5, 8000).astype(np.float32)
        (folder / f"{i}.wav").write_bytes(wav_bytes(wave))
    Library.open(folder / "library", str(small_checkpoint)).index(folder)
    return folder / "library"


def test_regions_are_copied(command: Run, tmp_path: Path) -> None:
    """Of a file whose parts differ, the part is copied that is like the query; or the whole."""
    rng = np.random.default_rng(0)
    hiss = rng.uniform(-0.5, 0.5, 16_000 * 30).astype(np.float32)
    hum = tone(30.0, hz=100)
    folder, copies = tmp_path / "sounds", tmp_path / "copies"
    folder.mkdir()
    (folder / "long.wav").write_bytes(wav_bytes(np.concatenate([hum, hiss, hum])))
    (tmp_path / "hiss.wav").write_bytes(wav_bytes(hiss[:160_000]))
    assert command("index", folder).returncode == 0
    found = command("similar", tmp_path / "hiss.wav", "--copy-to", copies, "--json")
    assert found.returncode == 0, found.stderr
    (find,) = json.loads(found.stdout)
    assert find["start"] <= 30 < 60 <= find["end"]
    assert find["end"] - find["start"] < 60
    (copy,) = copies.iterdir()
    assert copy.name == f"long 0m{find['start']:04.1f}s.wav"
    samples, rate = soundfile.read(copy)
    assert len(samples) / rate == pytest.approx(find["end"] - find["start"])
    whole = command("similar", tmp_path / "hiss.wav", "--copy-to", copies, "--whole")
    assert whole.returncode == 0, whole.stderr
    assert (copies / "long.wav").read_bytes() == (folder / "long.wav").read_bytes()


def test_play(command: Run, shared_library: Path, tmp_path: Path) -> None:
    """A player of the test's own stands in for a loudspeaker."""
    tools = tmp_path / "bin"
    tools.mkdir()
    heard = tmp_path / "heard"
    environment = {"WAV2CLIP_LIBRARY": str(shared_library), "PATH": str(tools)}
    sound = shared_library.parent / "0.wav"
    silent = command("similar", sound, "--play", env=environment)
    assert silent.returncode == 1
    assert "--play needs one of ffplay" in silent.stderr
    player = tools / "paplay"
    player.write_text(f'#!/bin/sh\n/bin/cat "$1" | /usr/bin/wc -c >> {heard}\n')
    player.chmod(0o755)
    played = command("similar", sound, "--play", env=environment)
    assert played.returncode == 0, played.stderr
    sizes = heard.read_text().split()
    assert len(sizes) == 2
    assert all(int(size) == pytest.approx(44 + 0.5 * 44_100 * 2, rel=0.01) for size in sizes)


def test_demo_of_a_folder(
    command: Run, sounds: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    (sounds / "broken.wav").unlink()
    done = command("demo", "--folder", sounds, "--model", small_checkpoint)
    assert done.returncode == 0, done.stderr
    for part in ('phrase "', "sound tone 1760.wav", "Type next", "wav2clip search"):
        assert part in done.stdout
    line = next(line for line in done.stdout.splitlines() if "a car engine" in line)
    assert os.fspath(tmp_path / "cache" / "demo-library") in line


def test_demo_without_anything(command: Run, small_checkpoint: Path) -> None:
    done = command("demo", "--model", small_checkpoint, "--json")
    assert done.returncode == 0, done.stderr
    assert "not to be had" in done.stderr
    assert "synthesised" in done.stderr
    answers = json.loads(done.stdout)
    assert len(answers) == 2
    assert all(len(finds) >= 4 for finds in answers.values())


@pytest.mark.parametrize("name", ["index", "search", "similar", "duplicates", "tag", "demo"])
def test_help_shows_an_example(command: Run, name: str) -> None:
    done = command(name, "--help")
    assert done.returncode == 0
    assert f"wav2clip {name}" in done.stdout
    assert "Example" in done.stdout


def test_check(command: Run, small_checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    folder.mkdir()
    (folder / "good.wav").write_bytes(wav_bytes(tone(0.5)))
    (folder / "silent.wav").write_bytes(wav_bytes(0 * tone(0.5)))
    (folder / "clipped.wav").write_bytes(wav_bytes(np.clip(4 * tone(0.5), -1, 1)))
    (folder / "broken.wav").write_bytes(b"broken")

    told = command("check", folder, "--clipped", "10")
    assert told.returncode == 0, "it is a report"
    lines = told.stdout.splitlines()
    assert lines[-1] == "checked 4 files: 1 unreadable, 1 silent, 1 clipped"
    assert [line.split(": ")[0] for line in lines[:-1]] == [
        str(folder / f"{name}.wav") for name in ("broken", "clipped", "silent")
    ]
    assert "clipped (" in lines[1]
    assert f"{folder / 'silent.wav'}: silent (peak -inf dBFS, RMS -inf dBFS)" in lines

    report = command("check", folder, tmp_path / "missing", "--all", "--json")
    assert report.returncode == 1
    assert "missing: no such file" in report.stderr
    summary = json.loads(report.stdout)
    assert summary["checked"] == 4
    assert summary["counts"]["silent"] == 1
    broken, clipped, good, silent = summary["files"]
    assert (list(broken["findings"]), broken["peak_dbfs"]) == (["unreadable"], None)
    assert clipped["peak_dbfs"] == 0.0
    assert clipped["clipped_samples"] > 1000
    assert (good["findings"], good["peak_dbfs"], good["seconds"]) == ({}, -6.02, 0.5)
    assert silent["peak_dbfs"] is None

    (folder / "broken.wav").unlink()
    assert command("index", folder, "--model", small_checkpoint).returncode == 0
    (folder / "later.wav").write_bytes(wav_bytes(0 * tone(0.5)))
    table = command("check", "--csv")
    assert table.returncode == 0, table.stderr
    rows = list(csv.DictReader(table.stdout.splitlines()))
    assert [(Path(row["path"]).name, row["findings"]) for row in rows] == [
        ("clipped.wav", "clipped"), ("silent.wav", "silent")
    ]  # fmt: skip
    wrong = command("check", folder, "--json", "--csv")
    assert wrong.returncode == 1
    assert "give one of" in wrong.stderr


def test_collections(command: Run, sounds: Path, small_checkpoint: Path, tmp_path: Path) -> None:
    none = command("collection", "list")
    assert none.returncode == 1 and "there is no library at" in none.stderr
    (sounds / "broken.wav").unlink()
    assert command("index", sounds, "--model", small_checkpoint).returncode == 0
    assert "no collections yet" in command("collection", "list").stderr
    found = command("search", "rain", "-n", "2", "--collect", "Scene 12")
    assert found.returncode == 0, found.stderr
    assert found.stderr.strip().splitlines()[-1] == "added 2 to Scene 12"
    again = command("search", "rain", "-n", "2", "--collect", "Scene 12", "-0")
    paths = again.stdout
    assert again.stderr.strip().splitlines()[-1] == "added 0 to Scene 12, 2 were there already"
    tone = sounds / "tone 1760.wav"  # 3.5 s
    added = command(
        "collection", "add", "<b>雨</b>", f"{tone}@1-2.5", "nowhere.wav", f"{tone}@7-9",
        sounds / "field" / "line\nbreak.wav", "--note", "=owl",
    )  # fmt: skip
    assert added.returncode == 1
    assert added.stdout.strip() == "added 2 to <b>雨</b>"
    assert "nowhere.wav: is not in the library" in added.stderr
    assert "tone 1760.wav: nothing of its 3.500 s lies between 7.0 and 9.0 s" in added.stderr
    listed = command("collection", "list").stdout.splitlines()
    assert listed == ["<b>雨</b>: 2 sounds", "Scene 12: 2 sounds"]
    told = json.loads(command("collection", "list", "--json").stdout)
    assert told[1] == {"name": "Scene 12", "items": 2, "missing": 0}
    shown = command("collection", "show", "<b>雨</b>").stdout
    assert shown == f"{tone}\t1.000\t2.500\n{sounds}/field/line\nbreak.wav\t0.000\t1.000\n"
    part, whole = json.loads(command("collection", "show", "<b>雨</b>", "--json").stdout)
    assert (part["start"], part["end"], part["whole"]) == (1, 2.5, False)
    assert (whole["whole"], whole["note"], whole["missing"]) == (True, "=owl", False)
    rows = csv.DictReader(command("collection", "show", "<b>雨</b>", "--csv").stdout.splitlines())
    assert [row["note"] for row in rows] == ["'=owl", "'=owl"]
    assert command("collection", "show", "Scene 12", "-0").stdout == paths
    both = command("collection", "show", "Scene 12", "--csv", "--json")
    assert (both.returncode, both.stderr.strip()) == (1, "wav2clip: give one of --json and --csv")
    renamed = command("collection", "rename", "<b>雨</b>", "rain")
    assert (renamed.returncode, renamed.stdout) == (0, "<b>雨</b> is called rain now\n")
    taken = command("collection", "remove", "rain", f"{tone}@1-2", f"{tone}@1-2.5")
    assert (taken.returncode, taken.stdout.strip()) == (1, "took 1 out of rain")
    assert "is not in rain" in taken.stderr
    deleted = command("collection", "delete", "rain")
    assert deleted.stdout.strip() == "deleted rain: 1 sound"
    unknown = command("collection", "show", "rain")
    assert unknown.returncode == 1
    assert "there is no collection called 'rain'" in unknown.stderr


def test_a_collection_is_exported(
    command: Run, sounds: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    (sounds / "broken.wav").unlink()
    assert command("index", sounds, "--model", small_checkpoint).returncode == 0
    tone, short = sounds / "tone 1760.wav", sounds / "tone 220.wav"
    assert command("collection", "add", "a", f"{tone}@1-2.5", short).returncode == 0
    folder = tmp_path / "copies"
    for _ in range(2):
        done = command("collection", "export", "a", f"{folder}/")
        assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == [
        "tone 1760 0m01.0s (2).wav", "tone 1760 0m01.0s.wav", "tone 220 (2).wav", "tone 220.wav",
    ]  # fmt: skip
    assert soundfile.info(folder / "tone 1760 0m01.0s.wav").duration == 1.5
    whole = command("collection", "export", "a", tmp_path / "whole", "--whole")
    assert whole.returncode == 0
    assert (tmp_path / "whole" / tone.name).read_bytes() == tone.read_bytes()
    for name in ("a.m3u8", "a.csv"):
        done = command("collection", "export", "a", tmp_path / name)
        assert (done.returncode, done.stderr.strip()) == (0, f"wrote 2 sounds to {tmp_path / name}")
        before = (tmp_path / name).read_bytes()
        twice = command("collection", "export", "a", tmp_path / name)
        assert twice.returncode == 1
        assert "is there already" in twice.stderr
        assert (tmp_path / name).read_bytes() == before
    assert b"#EXTVLCOPT:start-time=1.000\n" in (tmp_path / "a.m3u8").read_bytes()
    for bad, message in (
        ("a.txt", "expected .m3u8, .csv or a folder"),
        ("nowhere/a.csv", "is not a folder"),
        ("a.csv/b", "cannot copy to"),
    ):
        refused = command("collection", "export", "a", tmp_path / bad)
        assert refused.returncode == 1
        assert message in refused.stderr
    short.unlink()
    for name, code in (("gone.m3u8", 1), ("gone.csv", 0), ("gone", 1)):
        done = command("collection", "export", "a", tmp_path / name)
        assert done.returncode == code
        assert ("tone 220.wav: is missing; index its folder again" in done.stderr) == (code == 1)
    assert len((tmp_path / "gone.csv").read_text("utf-8").splitlines()) == 3
    assert str(short) not in (tmp_path / "gone.m3u8").read_text("utf-8")
    assert len(list((tmp_path / "gone").iterdir())) == 1
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")]
    assert command("index", sounds, "--rebuild").returncode == 0
    assert command("collection", "list").stdout == "a: 2 sounds, 1 of them missing\n"


@pytest.mark.parametrize("name", ["", "\x1b[31mred", "\u202egnp", "x" * 10_240, "line\nbreak"])
def test_names_of_collections_that_cannot_be_seen(
    command: Run, tmp_path: Path, small_checkpoint: Path, name: str
) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes(tone(0.5, hz=300)))
    assert command("index", tmp_path / "a.wav", "--model", small_checkpoint).returncode == 0
    done = command("collection", "add", name, tmp_path / "a.wav")
    assert done.returncode == 1
    assert "expected 1 to 100 that can be seen" in done.stderr
    assert done.stderr.strip().isprintable() and len(done.stderr) < 500
