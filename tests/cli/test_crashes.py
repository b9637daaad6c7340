"""Commands among whose files are some that crash the decoder, hang, or eat memory."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import hostile
from media import encode, tone, wav_bytes
from patience import HANGS, wait_until
from wav2clip.audio.io import load_audio
from wav2clip.pretrain.shards import iterate

Run = Callable[..., "subprocess.CompletedProcess[str]"]

HOW = {
    "abort": r"the decoder crashed (SIGABRT)",
    "segv": r"the decoder crashed (SIGSEGV)",
    "hang": "the decoder gave nothing for 5 s",
    "memory": "takes more than the 4 GiB of memory",
    "odd": "cannot be decoded (odd)",
}
GOOD = [f"good{number}.wav" for number in range(5)]


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Good files with bad ones between them, and a long one on which the decoder crashes."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number, name in enumerate(GOOD):
        (folder / name).write_bytes(wav_bytes(tone(1.0 + number / 10)))
    for number, how in enumerate(HOW):
        hostile.make(folder / f"good{number}-{how}.wav", wav_bytes(tone()), how)
    return folder


def crashing(run_command: Run, *arguments: Any) -> subprocess.CompletedProcess[str]:
    """Run a command whose decoders are hostile."""
    env = hostile.environment(WAV2CLIP_READ_SECONDS="5")
    return run_command(*arguments, env=env)


def assert_named(failures: list[dict[str, str]] | dict[str, str]) -> None:
    """Every bad file is named with what happened, and no good one."""
    if isinstance(failures, list):
        failures = {failure["file"]: failure["reason"] for failure in failures}
    reasons = {Path(path).stem.partition("-")[2]: reason for path, reason in failures.items()}
    assert set(reasons) == set(HOW), failures
    for how, told in HOW.items():
        assert told in reasons[how]


@pytest.mark.parametrize("options", [[], ["--frames", "0.5"]], ids=["clips", "frames"])
def test_embed(run_command: Run, sounds: Path, options: list[str]) -> None:
    done = crashing(run_command, "embed", sounds, "-o", "out.npz", "--json", *options)
    assert done.returncode == 1, done.stderr
    summary = json.loads(done.stdout)
    assert summary["files"] == len(GOOD)
    assert_named(summary["failures"])
    with np.load(sounds.parent / "out.npz") as out:
        assert {Path(path).name for path in out["paths"]} == set(GOOD)


def test_index_and_again(run_command: Run, sounds: Path) -> None:
    arguments = ("index", sounds, "--library", "library", "--json")
    done = crashing(run_command, *arguments)
    assert done.returncode == 1, done.stderr
    summary = json.loads(done.stdout)
    assert summary["added"] == len(GOOD)
    assert_named(summary["failures"])
    again = json.loads(crashing(run_command, *arguments).stdout)
    assert (again["unchanged"], again["known_failures"]) == (len(GOOD), len(HOW))


@pytest.mark.parametrize("options", [[], ["--segments", "1"]], ids=["whole", "segments"])
def test_classify(run_command: Run, sounds: Path, options: list[str]) -> None:
    done = crashing(run_command, "classify", sounds, "--labels", "dog,rain", "--json", *options)
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    assert {Path(each["file"]).name for each in result["results"]} == set(GOOD)
    assert_named(result["failures"])


def prepare(run_command: Run, source: Path, out: Path) -> dict[str, str]:
    """The failures of `pretrain prepare`."""
    arguments = ("pretrain", "prepare", source, "--out", out, "--validation", "0", "--json")
    done = crashing(run_command, *arguments)
    assert done.returncode == 1, done.stderr
    failures = json.loads(done.stdout)["failures"]
    return {Path(each["source"]).name: each["reason"] for each in failures}


def test_prepare_pictures(run_command: Run, tmp_path: Path) -> None:
    """The sound may be what crashes, or the picture."""
    target = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(target, format="PNG")
    cases = {"a": ("", ""), "b": ("abort", ""), "c": ("", "segv"), "d": ("odd", ""),
             "e": ("", "odd"), "f": ("", "")}  # fmt: skip
    for name, (sound, picture) in cases.items():
        hostile.make(tmp_path / f"{name}.wav", wav_bytes(tone()), sound)
        hostile.make(tmp_path / f"{name}.png", target.getvalue(), picture)
    table = tmp_path / "pairs.csv"
    table.write_text("\n".join(["audio,image", *(f"{name}.wav,{name}.png" for name in cases)]))
    failures = prepare(run_command, table, tmp_path / "shards")
    assert set(failures) == {"b.wav", "c.wav", "d.wav", "e.wav"}
    assert "SIGABRT" in failures["b.wav"] and "SIGSEGV" in failures["c.wav"]
    assert "(odd)" in failures["d.wav"] and "Odd: odd" in failures["e.wav"]
    assert {Path(sample.source).name for sample in iterate(tmp_path / "shards")} == {
        "a.wav",
        "f.wav",
    }


def test_prepare_films(run_command: Run, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    frames = [np.full((32, 32, 3), shade, np.uint8) for shade in (0, 100, 200)]
    film = encode(tmp_path / "film.mp4", tone(), 16_000, "aac", frames).read_bytes()
    for name, how in (("a", ""), ("b", "abort"), ("c", "odd"), ("d", "")):
        hostile.make(films / f"{name}.mp4", film, how)
    failures = prepare(run_command, films, tmp_path / "shards")
    assert set(failures) == {"b.mp4", "c.mp4"}
    assert "SIGABRT" in failures["b.mp4"]


def test_evaluate(run_command: Run, tmp_path: Path) -> None:
    """Clips of a dataset: those that crash are left out where that is asked for."""
    folder = tmp_path / "clips"
    folder.mkdir()
    rows = ["audio,label,split"]
    for number in range(12):
        name, label = f"{number}.wav", ("low", "high")[number % 2]
        content = wav_bytes(tone(0.5, hz=200.0 * (1 + 3 * (number % 2)) + number))
        if number == 3:
            hostile.make(folder / name, content, "abort")
        else:
            (folder / name).write_bytes(content)
        rows.append(f"{name},{label},{('train', 'test')[number // 6]}")
    (folder / "clips.csv").write_text("\n".join(rows))
    done = crashing(
        run_command, "evaluate", "zeroshot", "--dataset", folder / "clips.csv", "--keep-going"
    )
    assert "3.wav" in done.stderr and "SIGABRT" in done.stderr
    assert "zeroshot" in done.stdout, done.stdout


@pytest.mark.xdist_group("ray")
def test_a_worker_of_a_cluster(run_command: Run, sounds: Path) -> None:
    """It survives: no block is begun again."""
    done = crashing(
        run_command, "embed", sounds, "--cluster", "local", "--cluster-workers", "1", "-o", "out",
        "--json",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    summary = json.loads(done.stdout)
    assert summary["files"] == len(GOOD)
    assert_named(summary["failures"])


def test_an_interrupt_ends_everything(sounds: Path, tmp_path: Path) -> None:
    """Ctrl-C reaches all processes of a terminal, while one of them hangs."""
    hangs = tmp_path / "hangs"
    env = {**os.environ, **hostile.environment(HOSTILE_HANGS=str(hangs), OWN_MARK=str(tmp_path))}
    command = [sys.executable, "-m", "wav2clip", "embed", str(sounds), "-o", "out.npz"]
    with subprocess.Popen(
        command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, text=True,
    ) as process:  # fmt: skip
        wait_until(hangs.exists)
        os.killpg(process.pid, signal.SIGINT)
        out, told = process.communicate(timeout=HANGS)
    assert (process.returncode, out) == (130, ""), told
    assert "Traceback" not in told
    assert not (tmp_path / "out.npz").exists()

    def left() -> list[str]:
        marked = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"OWN_MARK={tmp_path}".encode() in (folder / "environ").read_bytes():
                    marked.append(folder.name)
            except OSError:
                continue
        return marked

    wait_until(lambda: not left(), left)


def test_the_flaw_is_there_without_protection(sounds: Path) -> None:
    """What protects is what is tested: in this process the decoder would crash it."""
    code = "import sys; from wav2clip.audio.io import load_audio; load_audio(sys.argv[1])"
    env = {**os.environ, **hostile.environment()}
    bad = sounds / "good0-abort.wav"
    done = subprocess.run([sys.executable, "-c", code, str(bad)], env=env, timeout=HANGS)
    assert done.returncode == -signal.SIGABRT
    assert load_audio(bad).seconds >= 1.0
