"""An engine that computes something else is refused with the figures, and auto passes over it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wav2clip.audio.io import Samples
from wav2clip.embedding import engines, proof
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.embedding.engine import Embeddings
from wav2clip.embedding.waveform import OnnxGraph
from wav2clip.errors import EngineError
from wav2clip.models import registry
from wav2clip.models.checkpoint import Checkpoint, load_checkpoint


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is remembered from before."""
    monkeypatch.setenv("WAV2CLIP_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def builtin() -> Checkpoint:
    return load_checkpoint(registry.locate("builtin"))


def spoil_short_sounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """As oneDNN's bfloat16 on AMX: garbage for whatever is short, right for the rest."""
    run = OnnxGraph.__call__

    def wrong(self: OnnxGraph, waves: Samples) -> tuple[Embeddings, Embeddings]:
        features, embeddings = run(self, waves)
        if waves.shape[1] < 20_000:
            rng = np.random.default_rng(0)
            embeddings = rng.normal(size=embeddings.shape).astype(np.float32)
        return features, embeddings

    monkeypatch.setattr(OnnxGraph, "__call__", wrong)


def test_wrong_for_short_sounds_alone(builtin: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil_short_sounds(monkeypatch)
    with pytest.raises(EngineError, match=r"cosines 0\.05 s: .*5\.0 s: 1\.0000.*expected at least"):
        engines.make_engine("onnx", builtin)
    assert Wav2CLIP(builtin, engine="auto").engine == "torch"


def test_not_a_number_is_wrong(builtin: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    run = OnnxGraph.__call__
    monkeypatch.setattr(
        OnnxGraph, "__call__", lambda self, waves: tuple(x * np.nan for x in run(self, waves))
    )
    with pytest.raises(EngineError, match="nan"):
        engines.make_engine("onnx", builtin)


def test_what_held_is_remembered(
    builtin: Checkpoint, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    compare = proof.compare

    def counted(*arguments: object) -> list[float]:
        calls.append("compared")
        return compare(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(proof, "compare", counted)
    engines.make_engine("onnx", builtin)
    engines.make_engine("onnx", builtin)
    assert len(calls) == 1
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")  # computes otherwise: proven anew
    engines.make_engine("onnx", builtin)
    assert len(calls) == 2
    for record in (cache / "engines").iterdir():
        record.write_text("{")  # half a record is none
    engines.make_engine("onnx", builtin)
    assert len(calls) == 3


def test_what_did_not_hold_is_remembered_too(
    builtin: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        spoil_short_sounds(broken)
        with pytest.raises(EngineError):
            engines.make_engine("onnx", builtin)
    with pytest.raises(EngineError):
        engines.make_engine("onnx", builtin)


def test_a_cache_that_cannot_be_written(
    builtin: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WAV2CLIP_CACHE", str(tmp_path / "file"))
    assert engines.make_engine("onnx", builtin).name == "onnx"
