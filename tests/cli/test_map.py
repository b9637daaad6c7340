"""The shipped `wav2clip map` on real sounds, run as a user runs it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from PIL import Image

from media import tone, wav_bytes
from wav2clip.cli.map_sources import gather
from wav2clip.errors import InputError

Run = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def sounds(tmp_path: Path, data: Path) -> Path:
    """Real recordings in two folders, one of them twice, one damaged, one with a hostile name."""
    folder = tmp_path / "sounds"
    clips = sorted((data / "esc10_original").glob("*.ogg"))
    for name, chosen in (("one", clips[:3]), ("two", clips[3:5])):
        (folder / name).mkdir(parents=True)
        for clip in chosen:
            shutil.copy(clip, folder / name)
    shutil.copy(clips[0], folder / "one" / "again.ogg")
    (folder / "two" / "<script>alert(1)<∕script>.wav").write_bytes(wav_bytes(tone(0.6)))
    (folder / "two" / "broken.wav").write_bytes(b"RIFF....")
    return folder


def test_a_folder_becomes_a_page_and_a_picture(
    run_command: Run, sounds: Path, tmp_path: Path, small_checkpoint: Path
) -> None:
    done = run_command(
        "map", sounds, "-o", tmp_path / "map.html", "--json", "--model", small_checkpoint,
        "--texts", env={"NUMBA_DISABLE_JIT": "1"},
    )  # fmt: skip  # for seven sounds, compiling takes longer than it saves
    assert done.returncode == 1, done.stderr  # one file is broken
    summary = json.loads(done.stdout)
    assert (summary["sounds"], summary["words"], summary["labels"]) == (7, 2, ["one", "two"])
    assert [Path(path).name for path in summary["failures"]] == ["broken.wav"]
    assert "broken.wav" in done.stderr
    page = (tmp_path / "map.html").read_text("utf-8")
    assert "<script>alert" not in page
    assert "%3Cscript%3Ealert%281%29" in page  # its address
    assert "Plotly.newPlot" in page


def test_one_file_and_a_library(
    run_command: Run, sounds: Path, tmp_path: Path, small_checkpoint: Path
) -> None:
    one = next((sounds / "one").glob("*.ogg"))
    done = run_command("map", one, "-o", tmp_path / "one.png", "--model", "logmel")
    assert done.returncode == 0, done.stderr
    assert "1 sounds in" in done.stdout
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.format == "PNG"
    library = tmp_path / "library"
    indexed = run_command("index", one, "--library", library, "--model", small_checkpoint)
    assert library.is_dir(), indexed.stderr
    done = run_command("map", library, "-o", tmp_path / "library.html", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sounds"] == 1
    assert one.name in (tmp_path / "library.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.wav", "-o", "map.gif"], "expected a name ending in"),
        (["x.wav", "-o", "no/map.png"], "does not exist"),
        (["x.wav", "--labels", "dog"], "--labels needs --texts"),
        (["missing.wav"], "no such file"),
    ],
)
def test_what_cannot_be_done(
    run_command: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = run_command("map", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "map.html").exists()


def test_sources_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAV2CLIP_LIBRARY", str(tmp_path / "none"))
    with pytest.raises(InputError, match="there is no library yet"):
        gather([], None, "cpu", None, False)
    with pytest.raises(InputError, match="one dataset at a time"):
        gather(["esc50", "esc10"], None, "cpu", None, False)
    with pytest.raises(InputError, match="--data needs the name of a dataset"):
        gather(["x.wav"], None, "cpu", tmp_path, False)
