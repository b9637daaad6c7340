"""A command that works on a cluster of its own and is killed in the middle, as by the system."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from patience import wait_until
from wav2clip.embedding.embedder import load
from wav2clip.library import Library

pytestmark = pytest.mark.xdist_group("ray")

FILES = 120
MARK = "WAV2CLIP_TEST_RUN"
"""In the environment of the command, and so of every process that its cluster consists of."""


def marked(value: str) -> set[int]:
    """Processes that were started by, or below, the command with this mark."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={value}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.add(int(folder.name))
        except OSError:
            continue
    return found


def test_an_index_that_is_killed_goes_on(
    run_command: Callable[..., CompletedProcess[str]], data: Path, tmp_path: Path
) -> None:
    folder, there, mark = tmp_path / "sounds", tmp_path / "library", str(tmp_path)
    folder.mkdir()
    for clip in sorted((data / "esc50" / "audio").glob("*.ogg"))[:FILES]:
        shutil.copy(clip, folder)
    arguments = ["index", folder, "--cluster", "local", "--cluster-workers", "1", "--library",
                 there, "--json"]  # fmt: skip
    command = [sys.executable, "-m", "wav2clip", *map(str, arguments)]
    environment = {**os.environ, MARK: mark}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as driver:

        def rows_or_end() -> bool:
            return len(Library.open(there)) > 0 or driver.poll() is not None

        wait_until(rows_or_end, "nothing was stored")
        driver.kill()
        assert driver.wait() == -9, driver.stderr.read()
    # Ray's processes end by themselves once they notice, after a second or after minutes.
    for process in marked(mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    wait_until(lambda: not marked(mark), "killed processes do not end")
    kept = Library.open(there).files()
    assert 0 < len(kept) < FILES

    done = run_command(*arguments)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["added"], summary["unchanged"]) == (FILES - len(kept), len(kept))

    undisturbed = Library.open(tmp_path / "undisturbed", load())
    assert undisturbed.index(folder).added == FILES
    tables = [
        library.to_arrow().sort_by([("id", "ascending")])
        for library in (undisturbed, Library.open(there))
    ]
    assert tables[1].num_rows == FILES  # five seconds are one segment
    assert tables[0].drop(["vector"]).equals(tables[1].drop(["vector"]))
    vectors = [np.array(table["vector"].to_pylist(), np.float32) for table in tables]
    np.testing.assert_allclose(*vectors, atol=2e-3)  # stored in half precision
