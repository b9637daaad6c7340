"""Rewritten graphs: the same numbers, made once, and never in the way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from patience import HANGS
from wav2clip.models import kept_graphs, registry, sessions
from wav2clip.models.checkpoint import GRAPH_FILE, WEIGHTS_FILE
from wav2clip.models.sessions import EMBEDDING, SPECTROGRAM, Session

pytestmark = pytest.mark.everyday

INPUT = {SPECTROGRAM: np.random.default_rng(0).normal(size=(2, 128, 70)).astype(np.float32)}


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The built-in one, with a place of its own for what is kept."""
    monkeypatch.setenv(kept_graphs.VARIABLE, str(tmp_path / "graphs"))
    (tmp_path / "model").mkdir()
    for name in (GRAPH_FILE, WEIGHTS_FILE):
        shutil.copy2(registry.locate("builtin") / name, tmp_path / "model")
    return tmp_path / "model" / GRAPH_FILE


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What ONNX Runtime was given to open."""
    given: list[Any] = []
    open_ = sessions._open

    def record(model: Any, *rest: Any) -> Any:
        session = open_(model, *rest)
        given.append(model)
        return session

    monkeypatch.setattr(sessions, "_open", record)
    return given


def compute(graph: Path) -> tuple[np.ndarray, dict[str, str]]:
    session = Session(graph, threads=1)
    (embedding,) = session.run([EMBEDDING], INPUT)
    return embedding, session.metadata


def kept(graph: Path) -> list[Path]:
    folder = graph.parents[1] / "graphs"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def test_made_once_and_the_same(
    graph: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compute(graph)
    (place,) = kept(graph)
    assert place == kept_graphs.place(graph)
    assert opened == [graph]
    again = compute(graph)
    assert opened == [graph, place / kept_graphs.GRAPH]
    monkeypatch.setenv(kept_graphs.VARIABLE, "")
    plain = compute(graph)
    assert opened[-1] == graph
    for embedding, metadata in (again, plain):
        np.testing.assert_array_equal(embedding, first[0])
        assert metadata == first[1]
    assert "proof" in first[1]


@pytest.mark.parametrize("name", [kept_graphs.GRAPH, kept_graphs.WEIGHTS])
@pytest.mark.parametrize("content", [b"", b"damaged", None])
def test_a_damaged_one_is_made_anew(
    graph: Path, opened: list[Any], name: str, content: bytes | None
) -> None:
    expected, _ = compute(graph)
    (place,) = kept(graph)
    whole = (place / name).stat().st_size
    if content is None:
        (place / name).unlink()
    else:
        (place / name).write_bytes(content)
    np.testing.assert_array_equal(compute(graph)[0], expected)
    assert kept(graph) == [place]
    assert (place / name).stat().st_size == whole
    compute(graph)
    assert opened == [graph, graph, place / kept_graphs.GRAPH]


def test_other_weights_have_another_and_the_old_one_goes(graph: Path) -> None:
    compute(graph)
    (before,) = kept(graph)
    os.utime(graph.with_name(WEIGHTS_FILE), (1e9, 1e9))
    compute(graph)
    (after,) = kept(graph)
    assert before != after


def test_another_runtime_or_processor_has_another(
    graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = kept_graphs.place(graph)
    with monkeypatch.context() as other:
        other.setattr("onnxruntime.__version__", "0.1")
        assert kept_graphs.place(graph) != here
    monkeypatch.setattr("wav2clip.runtime.processor", lambda: "another")
    assert kept_graphs.place(graph) != here


def test_what_was_left_half_written_goes_after_a_while(graph: Path) -> None:
    folder = graph.parents[1] / "graphs"
    place = kept_graphs.place(graph)
    assert place is not None
    prefix = place.name.partition("-")[0]
    for name, seconds in ((f".{prefix}-old", 1e9), (f".{prefix}-new", None)):
        (folder / name).mkdir(parents=True)
        if seconds:
            os.utime(folder / name, (seconds, seconds))
    compute(graph)
    assert kept(graph) == [folder / f".{prefix}-new", place]


WITHOUT_WRITING = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
from wav2clip.models.sessions import Session
print(Session(Path(sys.argv[1]), threads=1).metadata["fingerprint"])
"""


@pytest.mark.skipif(os.name == "nt", reason="limits of Unix")
def test_a_process_that_may_not_write_opens_it_all_the_same(graph: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_WRITING, str(graph)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANGS)
    assert done.stdout.strip() == compute(graph)[1]["fingerprint"], done.stderr
    assert len(kept(graph)) == 1, "made by this process, and by no other"


def test_where_nothing_can_be_kept(
    graph: Path, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = graph.parents[1] / "file"
    in_the_way.write_bytes(b"")
    monkeypatch.setenv(kept_graphs.VARIABLE, str(in_the_way))
    compute(graph)
    assert opened == [graph]
