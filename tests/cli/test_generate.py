"""`wav2clip generate` and `wav2clip gallery`, as a person runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from media import tone
from patience import HANGS, wait_until
from tiny_vqgan import write_checkpoint
from wav2clip.cli.gallery import gallery
from wav2clip.cli.generate import generate
from wav2clip.errors import GenerationError, InputError, RegistryError
from wav2clip.generation.pictures import read_recipe

QUICK = ("--size", 48, "--steps", 2, "--cutouts", 1)

Runner = Callable[..., subprocess.CompletedProcess[str]]


def run(command: Callable[..., None], *arguments: object) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "tone.wav", tone(1.3), 16_000)
    return tmp_path / "tone.wav"


def test_a_picture_with_its_recipe(sound: Path) -> None:
    pictures = []
    for name in ("a.png", "b.png"):
        result = run(generate, sound, "-o", sound.with_name(name), *QUICK, "--seed", 7, "--json")
        assert result.exit_code == 0, result.output
        summary = json.loads(result.stdout)
        assert summary["steps"] == 2 and not summary["silent"]
        with Image.open(sound.with_name(name)) as picture:
            assert picture.size == (48, 48)
            pictures.append(np.asarray(picture))
    np.testing.assert_array_equal(*pictures)
    recipe = read_recipe(sound.with_name("a.png"))
    assert recipe is not None
    assert (recipe["seed"], recipe["done"], recipe["sound"]) == (7, 2, "tone.wav")
    assert "vqgan" not in recipe


def test_a_vqgan_words_pictures_and_a_start(sound: Path) -> None:
    vqgan = write_checkpoint(sound.with_name("tiny.ckpt"))
    Image.new("RGB", (80, 60), "teal").save(sound.with_name("start.png"))
    result = run(
        generate, sound, "-o", sound.with_name("out.jpg"), "--size", "64x40", "--steps", 1,
        "--cutouts", 1, "--canvas", "vqgan", "--vqgan", vqgan, "--prompt", "a red sky:-0.5",
        "--image-prompt", f"{sound.with_name('start.png')}:0.3", "--audio-weight", 2,
        "--init", sound.with_name("start.png"),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    with Image.open(sound.with_name("out.jpg")) as picture:
        assert picture.size == (64, 40)
    recipe = read_recipe(sound.with_name("out.jpg"))
    assert recipe is not None and recipe["vqgan"].endswith("tiny.ckpt")


def test_a_film_as_long_as_its_sound(sound: Path) -> None:
    film = sound.with_name("film.mp4")
    result = run(generate, sound, "--film", film, *QUICK, "--film-steps", 1, "--hop", 0.2, "--json")
    assert result.exit_code == 0, result.output
    count = json.loads(result.stdout)["frames"]
    assert count in (32, 33)  # 1.3 s at 25: 32.5
    with av.open(str(film)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == count
    assert frames[0].shape == (48, 48, 3)
    assert (frames[0] != frames[-1]).any()


def test_a_painted_film_follows_its_sound(sound: Path) -> None:
    wave = 0.01 * tone(2.0)
    wave[16_000:] = tone(1.0, hz=880)  # something begins after a second
    soundfile.write(sound, wave, 16_000)
    films = []
    for name, option in (("a", "--follow"), ("b", "--follow"), ("plain", "--no-follow")):
        film = sound.with_name(f"{name}.mp4")
        result = run(generate, sound, "--film", film, *QUICK, "--film-steps", 1, option)
        assert result.exit_code == 0, result.output
        with av.open(str(film)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        films.append(np.stack(frames).astype(float))
    followed, again, plain = films
    np.testing.assert_array_equal(followed, again)
    assert followed.shape == plain.shape == (50, 48, 48, 3)
    # Quiet moments are darker than in the film that does not follow, loud ones about as light.
    share = followed.mean(axis=(1, 2, 3)) / plain.mean(axis=(1, 2, 3))
    assert share[5:20].max() < 0.96 < share[35:45].min()


def test_silence_is_said_and_still_painted(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    result = run(generate, tmp_path / "silent.wav", "-o", tmp_path / "s.png", *QUICK, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["silent"] is True
    assert "silent" in result.stderr
    assert (tmp_path / "s.png").is_file()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ([], InputError, "one of -o"),
        (["-o", "a.png", "--film", "a.mp4"], InputError, "one of -o"),
        (["-o", "a.gif"], InputError, r"\.gif"),
        (["-o", "missing/a.png"], InputError, "folder"),
        (["--film", "a.mp4", "--size", "33"], InputError, "even"),
        (["-o", "a.png", "--size", "big"], InputError, "big"),
        (["-o", "a.png", "--canvas", "oil"], InputError, "oil"),
        (["-o", "a.png", "--size", "8"], InputError, "8 pixels"),
        (["-o", "a.png", "--prompt", ":1"], InputError, "words"),
        (["-o", "a.png", "--audio-weight", "0"], InputError, "weight"),
    ],
)
def test_bad_options_cost_no_time(
    options: list[str], error: type[Exception], message: str, sound: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(sound.parent)
    result = run(generate, sound, *options)
    assert result.exit_code == 1
    assert isinstance(result.exception, error)
    with pytest.raises(error, match=message):
        raise result.exception
    assert not list(sound.parent.glob("a.*"))


def test_too_large_a_picture_says_what_fits(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wav2clip.generation.memory.available_bytes", lambda _: 1_500_000_000)
    result = run(generate, sound, "-o", sound.with_name("a.png"), "--size", 8000, *QUICK[2:])
    assert isinstance(result.exception, GenerationError)
    assert "would fit" in str(result.exception)


def test_a_tower_that_is_none(sound: Path, tmp_path: Path) -> None:
    result = run(generate, sound, "-o", tmp_path / "a.png", "--image-tower", tmp_path, *QUICK)
    assert isinstance(result.exception, RegistryError)
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("kind", ["picture", "film"])
def test_an_interrupt_keeps_what_there_is(kind: str, sound: Path) -> None:
    soundfile.write(sound, tone(20.0), 16_000)
    target = sound.with_name("out.png" if kind == "picture" else "out.mp4")
    options = ["-o", target, "--steps", 10_000, "--snapshot-every", 1]
    if kind == "film":
        options = ["--film", target, "--steps", 1, "--film-steps", 1, "--hop", 0.1]
    command = [sys.executable, "-m", "wav2clip", "generate", sound, "--size", 32, "--cutouts", 1]
    environment = {**os.environ, "WAV2CLIP_OFFLINE": "1"}
    process = subprocess.Popen(
        [str(part) for part in (*command, *options)],
        env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def began() -> bool:
        part = next(sound.parent.glob(".out.mp4*.part"), None)
        return target.exists() or (part is not None and part.stat().st_size > 0)

    wait_until(lambda: began() or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=HANGS)
    assert process.returncode == 130, errors
    assert "after" in errors
    assert not list(sound.parent.glob(".*.part"))
    if kind == "picture":
        recipe = read_recipe(target)
        assert recipe is not None and 1 <= recipe["done"] < 10_000
    else:
        assert not target.exists()
        with av.open(str(sound.with_name("out-interrupted.mp4"))) as film:
            assert next(film.decode(video=0)).width == 32


def test_a_gallery_of_a_folder(sound: Path) -> None:
    folder, site = sound.parent, sound.parent / "site"
    sound.with_suffix(".txt").write_text("A <b>tone</b>.\n")
    sound.with_suffix(".png").write_bytes(b"a picture that nothing here made")
    (folder / "broken.ogg").write_bytes(b"no sound")
    soundfile.write(folder / "[link=x] b.wav", tone(0.4, hz=900), 16_000)
    first = run(gallery, folder, "-o", site, *QUICK, "--json")
    assert first.exit_code == 1, first.output
    summary = json.loads(first.stdout)
    assert summary["exhibits"] == 2
    (failed,) = summary["failures"]
    assert failed.endswith("broken.ogg")
    page = (site / "index.html").read_text("utf-8")
    assert "A &lt;b&gt;tone&lt;/b&gt;." in page
    pictures = {path: path.stat().st_mtime_ns for path in site.glob("media/*.jpg")}
    assert len(pictures) == 2
    (folder / "broken.ogg").unlink()
    again = run(gallery, folder, "-o", site, *QUICK)
    assert again.exit_code == 0, again.output
    assert {path: path.stat().st_mtime_ns for path in site.glob("media/*.jpg")} == pictures
    assert (site / "index.html").read_text("utf-8") == page


def test_a_gallery_with_a_map_that_is_none(sound: Path) -> None:
    result = run(gallery, sound.parent, "-o", sound.parent / "site", "--map", sound)
    assert isinstance(result.exception, InputError)
    assert not (sound.parent / "site").exists()
