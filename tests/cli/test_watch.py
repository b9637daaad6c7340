"""`wav2clip watch`, run as a user runs it, while files come, go and change."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from media import tone, wav_bytes
from patience import HANGS, wait_until
from wav2clip.library import Library

pytestmark = pytest.mark.everyday


@contextmanager
def watching(folder: Path, *options: str | Path) -> Iterator[subprocess.Popen[str]]:
    """The command beside the test, which has indexed what was there, with a library in it."""
    environment = {**os.environ, "WAV2CLIP_LIBRARY": str(folder / "library"), "COLUMNS": "200"}
    with (folder.parent / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "wav2clip", "watch", folder, "--quiet", "0.2", *options],
            env=environment, stdout=subprocess.PIPE, stderr=said, text=True,
        )  # fmt: skip
    try:
        wait_until(lambda: "watching for changes" in said_by(folder) or process.poll() is not None)
        assert process.poll() is None, said_by(folder)
        yield process
    finally:
        process.kill()
        process.wait(HANGS)
        assert process.stdout is not None
        process.stdout.close()


def said_by(folder: Path) -> str:
    return (folder.parent / "said").read_text()


@pytest.mark.parametrize("poll", [False, True])
def test_files_are_taken_up_as_they_come_and_go(
    tmp_path: Path, small_checkpoint: Path, poll: bool
) -> None:
    folder = tmp_path / "sounds"
    folder.mkdir()
    (folder / "a.wav").write_bytes(wav_bytes(tone(1.0)))
    options = ["--model", small_checkpoint, "--prune", "--json", *(["--poll"] if poll else [])]
    with watching(folder, *options) as process:
        library = Library.open(folder / "library")

        def wait_for(*names: str) -> None:
            def happened() -> bool:
                assert process.poll() is None, said_by(folder)
                return {path.name for path in library.files()} == set(names)

            wait_until(happened, lambda: said_by(folder))

        wait_for("a.wav")
        (folder / "new").mkdir()
        (folder / "new" / "b.wav").write_bytes(wav_bytes(tone(1.0, hz=900)))
        wait_for("a.wav", "b.wav")
        (folder / "broken.wav").write_bytes(b"broken")
        wait_until(lambda: "broken.wav" in said_by(folder))
        (folder / "a.wav").rename(folder / "c.wav")
        wait_for("b.wav", "c.wav")
        (folder / "new" / "b.wav").unlink()
        wait_for("c.wav")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 130
    assert said_by(folder).count("failed") == 1, "a bad file is named once"
    summaries = _documents(out)
    done = [(each["added"], each["reused"], each["pruned"]) for each in summaries]
    assert sum(added + reused for added, reused, _ in done) == 3, done
    assert all(map(any, done)), "it speaks where something was done"


def _documents(text: str) -> list[dict[str, object]]:
    decoder, found = json.JSONDecoder(), []
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


def test_nothing_to_watch(run_command: Callable[..., CompletedProcess[str]]) -> None:
    done = run_command("watch", "nowhere")
    assert done.returncode == 1
    assert "nowhere: no such file or folder, expected one to watch" in done.stderr
