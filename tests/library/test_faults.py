"""kill -9 in the middle of indexing, and two processes at once."""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from library_sounds import noise, rows_of

from media import wav_bytes
from patience import HANGS
from wav2clip.library import Library
from wav2clip.library.store import vectors_of

FILES, DAMAGED, KILLS = 300, 30, 12


class Indexer:
    """Starts the command and tells how it ended; see indexer.py."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("indexer.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, arguments: list[str], when: Callable[[], bool] | None = None) -> int:
        """Exit code; -9 if it was killed, which happens as soon as ``when`` is true."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        ended = select.poll()
        ended.register(self._process.stdout, select.POLLIN)
        while when is not None and not ended.poll(1):
            if when():
                os.kill(child, signal.SIGKILL)
                break
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(HANGS)


@pytest.fixture
def indexer() -> Iterator[Indexer]:
    started = Indexer()
    yield started
    started.close()


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """300 recordings, of which every tenth is damaged in one of five ways; one is long."""
    folder = tmp_path / "many"
    folder.mkdir()
    damages = [
        b"",
        b"text " * 50,
        noise(1)[:44],
        wav_bytes(np.full(99, np.nan, np.float32), subtype="FLOAT"),
        b"RIFF\xff\xff\xff\xffWAVEfmt ",
    ]
    for i in range(FILES):
        damaged = i % 10 == 3
        content = damages[i // 10 % 5] if damaged else noise(i, 0.1 + 0.02 * (i % 9))
        (folder / f"{i:03}.wav").write_bytes(content)
    (folder / "000.wav").write_bytes(noise(0, 30.0))
    return folder


def contents(library: Library) -> tuple[object, np.ndarray, object]:
    table = library.to_arrow().sort_by([("path_bytes", "ascending"), ("segment", "ascending")])
    return rows_of(library), vectors_of(table).astype(np.float32), library.failures()


def test_killed_again_and_again(
    indexer: Indexer, many: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    def arguments(name: str) -> list[str]:
        library = str(tmp_path / name)
        return ["index", str(many), "--library", library, "--model", str(small_checkpoint)]

    assert indexer.run(arguments("undisturbed")) == 1, "the damaged files are failures"
    rng = random.Random(7)
    folder = tmp_path / "killed"
    killed = progressed = known = 0
    while killed < KILLS:
        code = indexer.run(arguments("killed"), _some_moment(folder, rng))
        if code != -signal.SIGKILL:  # it was through before: begin another
            shutil.rmtree(folder)
            known = 0
            continue
        killed += 1
        library = Library.open(folder)
        now = len(library.files()) if library.store.exists else 0
        progressed += now > known
        assert now >= known, "what was done is kept"
        known = now
    assert progressed >= KILLS // 4, "the kills have to fall into the work"
    assert indexer.run(arguments("killed")) == 1
    rows, vectors, failures = contents(Library.open(tmp_path / "undisturbed"))
    after_rows, after_vectors, after_failures = contents(Library.open(tmp_path / "killed"))
    assert len(failures) == DAMAGED
    assert len(rows) == FILES - DAMAGED + 3
    assert after_rows == rows
    assert after_failures == failures
    # Batches are composed differently after a kill: float32 sums may round differently.
    np.testing.assert_allclose(after_vectors, vectors, atol=1e-3)


def test_an_upgrade_is_killed_ten_times(
    indexer: Indexer, many: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    """Of a library that an earlier version made, which read no tags."""
    for path in sorted(many.iterdir())[150:]:
        path.unlink()
    folder = tmp_path / "library"
    arguments = ["index", str(many), "--library", str(folder), "--model", str(small_checkpoint)]
    assert indexer.run(arguments) == 1, "the damaged files are failures"
    rows, vectors, failures = contents(Library.open(folder))
    rng, killed, described = random.Random(3), 0, 0
    older = Library.open(folder)
    older.store.segments.drop_columns(["metadata", "origins"])
    while killed < 10:
        if indexer.run(arguments, _some_moment(folder, rng)) == -signal.SIGKILL:
            killed += 1
        store = Library.open(folder).store
        left = len(store.without_metadata()) if store.has_metadata else 150
        described += 0 < left < 135
        if not left:  # it was through before: begin again
            store.segments.drop_columns(["metadata", "origins"])
    assert described, "the kills have to fall into the work"
    assert indexer.run(arguments) == 1
    after_rows, after_vectors, after_failures = contents(Library.open(folder))
    assert (after_rows, after_failures) == (rows, failures)
    np.testing.assert_array_equal(after_vectors, vectors)


def _some_moment(folder: Path, rng: random.Random) -> Callable[[], bool]:
    """True some milliseconds after some more commits, or, one time in five, while starting."""
    versions = folder / "segments.lance" / "_versions"
    before = len(os.listdir(versions)) if versions.exists() else 0
    commits = rng.randint(1, 3)
    late = time.monotonic() + rng.uniform(0, 0.5) if rng.random() < 0.2 else float("inf")
    after = rng.uniform(0, 0.04)
    reached: list[float] = []

    def now() -> bool:
        if not reached and versions.exists() and len(os.listdir(versions)) >= before + commits:
            reached.append(time.monotonic())
        began = reached and time.monotonic() >= reached[0] + after
        return bool(began) or time.monotonic() >= late

    return now


@pytest.mark.parametrize("wait", [False, True])
def test_two_processes_at_once(
    wait: bool, many: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    for path in sorted(many.iterdir())[100:]:
        path.unlink()
    command = [
        sys.executable, "-m", "wav2clip", "index", str(many), "--library", str(tmp_path / "both"),
        "--model", str(small_checkpoint), *(["--wait"] if wait else []),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=HANGS)[1] for process in both]
    for error in errors:
        told = "another process is writing" in error and "--wait" in error
        assert "10 failed, 90 done" in error or (told and not wait), error
    assert any("10 failed, 90 done" in error for error in errors)
    library = Library.open(tmp_path / "both")
    ids = library.store.read(["id"])["id"].to_pylist()
    assert len(ids) == len(set(ids)) == 90 + 3
    assert len(library.files()) == 90
    assert len(library.failures()) == 10
