"""`--engine` and `--precision` of the commands that embed, on a real recording."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from wav2clip.cli.classify import classify
from wav2clip.cli.embed import embed
from wav2clip.cli.index import index
from wav2clip.cli.search import search
from wav2clip.embedding.embedder import load
from wav2clip.errors import LibraryError
from wav2clip.library import Library

app = typer.Typer()
for command in (classify, embed, index, search):
    app.command()(command)

COARSE = {"bfloat16": ("--precision", "bfloat16")}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def clips(data: Path, tmp_path: Path) -> list[Path]:
    """Two real recordings, in folders of their own."""
    copies = []
    for clip in sorted((data / "esc10_original").glob("*.ogg"))[:2]:
        copies.append(tmp_path / clip.stem / clip.name)
        copies[-1].parent.mkdir()
        shutil.copy(clip, copies[-1])
    return copies


@pytest.mark.parametrize("kind", COARSE)
def test_what_comes_out_is_that_engines(kind: str, clips: list[Path], tmp_path: Path) -> None:
    exact = load("builtin").embed_file(clips[0])
    model = load("builtin", **{COARSE[kind][0][2:]: COARSE[kind][1]})
    out = tmp_path / "out.npz"
    assert run("embed", clips[0], "-o", out, *COARSE[kind]).exit_code == 0
    arrays = np.load(out)
    assert str(arrays["fingerprint"]) == model.fingerprint
    np.testing.assert_allclose(arrays["embeddings"][0], model.embed_file(clips[0]), atol=1e-3)
    assert np.abs(arrays["embeddings"][0] - exact).max() > 1e-3

    told = run("classify", clips[0], "--labels", "dog,rain", "--json", *COARSE[kind])
    assert told.exit_code == 0, told.output
    (shown,) = json.loads(told.stdout)["results"][0]["segments"]
    expected = model.classify(clips[0], ["dog", "rain"])
    for label in shown["labels"]:
        assert label["probability"] == pytest.approx(expected[label["label"]], abs=1e-3)


@pytest.mark.parametrize("kind", COARSE)
def test_a_library_stays_with_its_engine(kind: str, clips: list[Path], tmp_path: Path) -> None:
    there = ("--library", tmp_path / "library")
    assert run("index", clips[0].parent, *there, *COARSE[kind]).exit_code == 0
    again = run("index", clips[1].parent, *there)  # nothing said: as it was made
    assert again.exit_code == 0, again.output
    rows = Library.open(there[1]).to_arrow()
    (fingerprint,) = set(rows["fingerprint"].to_pylist())
    assert fingerprint == load("builtin").fingerprint + f"-{kind.removeprefix('onnx-')}"
    refused = run("index", clips[1].parent, *there, "--engine", "torch")
    assert isinstance(refused.exception, LibraryError)
    assert f"was made in {kind}, this model computes in float32" in str(refused.exception)
    found = run("search", "a dog barking", *there, "--json")
    assert len(json.loads(found.stdout)) == 2
