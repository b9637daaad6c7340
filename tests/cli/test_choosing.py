"""`wav2clip generate --pictures`, as a person runs it, without PyTorch."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from media import tone
from patience import HANGS, wait_until
from wav2clip.audio.io import load_audio
from wav2clip.files import NO_FILE
from wav2clip.generation.camera import prepare
from wav2clip.generation.gallery import describe
from wav2clip.generation.pictures import read_recipe
from wav2clip.models.towers.images import open_image

pytestmark = pytest.mark.everyday

Run = Callable[..., subprocess.CompletedProcess[str]]

WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from wav2clip.cli.main import run; run()"

PAIRS = {
    "frog": "animals/amphibians/frog",
    "truck": "vehicles/emergency/firetruck",
    "bee": "animals/insects/bee",
}
"""Of Tux Paint: sounds that the built-in model knows."""


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "tone.wav", tone(3.0), 16_000)
    return tmp_path / "tone.wav"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve pictures of noise, each in a colour of its own."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        pixels = rng.uniform(0.6, 1, (40, 60, 1)) * rng.integers(40, 255, 3)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:02}.png")
    return folder


def start(folder: Path, sound: Path, photos: Path) -> subprocess.Popen[str]:
    """The command, at work on ``f.mp4``."""
    command = ["generate", sound, "--pictures", photos, "--film", folder / "f.mp4"]
    return subprocess.Popen(
        [sys.executable, "-m", "wav2clip", *map(str, command)],
        env={**os.environ, "WAV2CLIP_CACHE": str(folder / "cache"), "WAV2CLIP_OFFLINE": "1"},
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def frames_of(film: Path) -> list[np.ndarray]:
    with av.open(str(film)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_three_sounds_give_their_three_pictures_in_order(
    data: Path, tmp_path: Path, run_command: Run
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    waves = []
    for name, pair in PAIRS.items():
        shutil.copy(data / "tuxpaint" / f"{pair}.jpg", folder / f"{name}.jpg")
        wave = load_audio(data / "tuxpaint" / f"{pair}.ogg", 32_000).samples[: 3 * 32_000]
        wave = np.resize(wave, 3 * 32_000)  # short ones are repeated
        waves.append(0.7 * wave / np.abs(wave).max())
    for other in ("hobbies/music/strings/cello", "food/fruit/apple_red"):
        for found in (data / "tuxpaint").glob(f"{other.rsplit('/', 1)[0]}/**/*.jpg"):
            shutil.copy(found, folder / f"other-{found.stem}.jpg")
    soundfile.write(tmp_path / "three.wav", np.concatenate(waves), 32_000)
    done = run_command(
        "generate",
        "three.wav",
        "--pictures",
        folder,
        "--film",
        "three.mp4",
        "--size",
        128,
        "--json",
    )
    assert done.returncode == 0, done.stderr
    shots = json.loads(done.stdout)["shots"]
    for number, name in enumerate(PAIRS):
        begin, end = 3 * number, 3 * number + 3
        overlaps = {
            shot["picture"]: min(end, shot["end"]) - max(begin, shot["start"]) for shot in shots
        }
        assert overlaps[f"{name}.jpg"] > 1.5, shots
    frames = frames_of(tmp_path / "three.mp4")
    assert len(frames) == pytest.approx(9 * 25, abs=1)
    shown = {
        name: np.asarray(prepare(open_image(folder / f"{name}.jpg"), 128, 128), int)
        for name in PAIRS
    }
    for number, name in enumerate(PAIRS):
        for frame in frames[75 * number + 30 : 75 * number + 55]:
            apart = {other: np.abs(frame - picture).mean() for other, picture in shown.items()}
            assert min(apart, key=lambda other: apart[other]) == name


def test_it_needs_no_torch_and_keeps_what_it_saw(sound: Path, photos: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "WAV2CLIP_CACHE": str(tmp_path / "cache"), "WAV2CLIP_OFFLINE": "1"}

    def run(*options: object) -> dict[str, object]:
        command = ["generate", sound, "--pictures", photos, "--size", 48, "--json", *options]
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_TORCH, *map(str, command)],
            env=environment, capture_output=True, text=True, timeout=HANGS, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        summary: dict[str, object] = json.loads(done.stdout)
        return summary

    films = []
    for name in ("a.mp4", "b.mp4"):
        summary = run("--film", name, "--seed", 3)
        assert summary["frames"] == 75
        assert summary["pictures"] == 12
        films.append(summary["shots"])
    assert films[0] == films[1]
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert summary["looked_at"] == 0
    run("--film", "c.mp4", "--seed", 4)
    assert (tmp_path / "c.mp4").read_bytes() != (tmp_path / "a.mp4").read_bytes()
    run("-o", "best.png")
    with Image.open(tmp_path / "best.png") as best:
        assert best.size == (48, 48)
    recipe = read_recipe(tmp_path / "best.png")
    assert recipe is not None
    (chosen,) = recipe["chosen"]
    assert f"Chosen from 12 pictures: {chosen}" in describe(recipe)
    nine = run("-o", "nine.jpg", "--collage")["chosen"]
    assert isinstance(nine, list)
    assert len(nine) == 9
    assert nine[0]["picture"] == chosen
    scores = [picture["score"] for picture in nine]
    assert scores == sorted(scores, reverse=True)


def test_any_size_rate_and_container(sound: Path, photos: Path, run_command: Run) -> None:
    soundfile.write(sound, np.stack([tone(2.3, 44_100)] * 2, axis=1), 44_100)
    done = run_command(
        "generate", sound, "--pictures", photos, "--film", "f.mkv", "--size", "64x36", "--fps", 10,
        "--no-follow", "--no-center", "--budget", 1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "f.mkv" in done.stdout
    frames = frames_of(sound.with_name("f.mkv"))
    assert len(frames) == 23
    assert frames[0].shape == (36, 64, 3)


def test_one_picture_and_silence_make_a_film(sound: Path, tmp_path: Path, run_command: Run) -> None:
    (tmp_path / "one").mkdir()
    Image.new("RGB", (90, 160), "teal").save(tmp_path / "one" / "a.webp")
    soundfile.write(sound, np.zeros(16_000 * 14), 16_000)
    done = run_command(
        "generate", sound, "--pictures", "one", "--film", "f.mp4", "--size", 48, "--json"
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["silent"]
    assert "silent" in done.stderr
    assert {shot["picture"] for shot in summary["shots"]} == {"a.webp"}
    assert len(frames_of(tmp_path / "f.mp4")) == 14 * 25


def test_pictures_that_cannot_be_read_are_named(
    sound: Path, photos: Path, run_command: Run
) -> None:
    (photos / "[b]ad.jpg").write_bytes(b"no picture")
    (photos / "notes.txt").touch()
    done = run_command("generate", sound, "--pictures", photos, "--film", "f.mp4", "--size", 48)
    assert done.returncode == 1
    assert "[b]ad.jpg: cannot be read" in done.stderr
    assert "1 failed" in done.stderr
    assert "no picture by name: 1 .txt" in done.stderr
    assert len(frames_of(sound.with_name("f.mp4"))) == 75


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--film", "f.mp4", "--steps", "5"], "--steps means nothing for a film of chosen"),
        (["--film", "f.mp4", "--prompt", "red"], "--prompt means nothing"),
        (["--film", "f.mp4", "--audio-weight", "2"], "--audio-weight means nothing"),
        (["--film", "f.mp4", "--collage"], "--collage means nothing"),
        (["-o", "a.png", "--fps", "5"], "--fps means nothing for a picture that is chosen"),
        (["-o", "a.png", "--no-follow"], "--follow means nothing"),
        (["-o", "a.png", "--size", "8"], "8 pixels"),
        (["--film", "f.mp4", "--size", "33"], "even"),
        (["-o", "a.gif"], ".gif"),
    ],
)
def test_options_without_a_meaning_are_refused(
    options: list[str], message: str, sound: Path, photos: Path, run_command: Run
) -> None:
    done = run_command("generate", sound, "--pictures", photos, *options)
    assert done.returncode == 1
    assert message in done.stderr
    assert not [*sound.parent.glob("a.*"), *sound.parent.glob("f.*")]


def test_options_of_choosing_need_pictures(sound: Path, run_command: Run) -> None:
    done = run_command("generate", sound, "-o", "a.png", "--collage")
    assert done.returncode == 1
    assert "--collage is for pictures that are chosen: give --pictures" in done.stderr


@pytest.mark.parametrize("kind", ["missing", "empty", "a pipe"])
def test_no_pictures_is_an_error_that_says_what_to_do(
    kind: str, sound: Path, run_command: Run
) -> None:
    folder = sound.with_name("none")
    if kind == "empty":
        folder.mkdir()
    elif kind == "a pipe":
        os.mkfifo(folder)
    done = run_command("generate", sound, "--pictures", "none", "--film", "f.mp4")
    assert done.returncode == 1
    expected = {"missing": "no such folder", "empty": "holds no picture", "a pipe": NO_FILE}
    assert expected[kind] in done.stderr
    assert "xpected" in done.stderr
    assert not sound.with_name("f.mp4").exists()


def test_what_was_looked_at_before_an_interrupt_is_kept(
    sound: Path, photos: Path, tmp_path: Path
) -> None:
    first = next(photos.iterdir()).read_bytes()
    for number in range(400):
        (photos / f"more-{number}.png").write_bytes(first)
    process = start(tmp_path, sound, photos)
    kept = tmp_path / "cache" / "pictures.sqlite"

    def known() -> int:
        if not kept.exists():
            return 0
        with closing(sqlite3.connect(kept)) as base, suppress(sqlite3.OperationalError):
            return int(base.execute("SELECT count(*) FROM pictures").fetchone()[0])
        return 0

    wait_until(lambda: known() or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 130, errors
    assert "pictures, which are kept" in errors.replace("\n", " ")
    assert 16 <= known() < 412
    assert not (tmp_path / "f.mp4").exists()


def test_an_interrupted_film_is_kept_as_far_as_it_came(
    sound: Path, photos: Path, tmp_path: Path
) -> None:
    soundfile.write(sound, tone(300.0), 16_000)
    process = start(tmp_path, sound, photos)

    def began() -> bool:
        part = next(tmp_path.glob(".f.mp4*.part"), None)
        return part is not None and part.stat().st_size > 0

    wait_until(lambda: began() or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 130, errors
    assert "f-interrupted.mp4 ends after" in errors.replace("\n", "")
    assert not (tmp_path / "f.mp4").exists()
    assert not list(tmp_path.glob(".*.part"))
    assert 0 < len(frames_of(tmp_path / "f-interrupted.mp4")) < 7500
