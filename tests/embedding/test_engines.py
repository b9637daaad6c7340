"""Engines agree: the exact ones to rounding, the coarser ones as closely as they claim."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from wav2clip.audio.io import load_audio
from wav2clip.embedding import engines, waveform
from wav2clip.embedding.diagnosis import examine
from wav2clip.embedding.embedder import Wav2CLIP, load
from wav2clip.embedding.export import calibrate
from wav2clip.errors import InputError, MissingExtraError
from wav2clip.models import registry
from wav2clip.models.checkpoint import Checkpoint, load_checkpoint

LEAST = {
    ("builtin", "onnx", "float32"): 0.99999,
    ("builtin", "torch", "bfloat16"): 0.98,
    ("builtin", "torch", "float16"): 0.999,
    ("calibrated", "onnx", "float32"): 0.99999,
    ("calibrated", "onnx-int8", "float32"): 0.98,
    ("calibrated", "torch", "bfloat16"): 0.99,
}
"""Smallest cosine with float32 of PyTorch that is promised, by model, engine and precision."""

RATE = 32_000


@pytest.fixture(scope="module")
def builtin() -> Checkpoint:
    return load_checkpoint(registry.locate("builtin"))


@pytest.fixture(scope="module")
def paths(data: Path) -> list[Path]:
    return sorted((data / "esc10_original").glob("*.ogg"))


@pytest.fixture(scope="module")
def calibrated(published_checkpoint: Path, paths: list[Path]) -> Checkpoint:
    """The published architecture with ranges of its activations, for 8 bits."""
    failures: dict[Path, str] = {}
    checkpoint = calibrate(load_checkpoint(published_checkpoint), paths[::2], failures.__setitem__)
    assert not failures
    return checkpoint


@pytest.fixture(scope="module")
def clips(paths: list[Path]) -> list[np.ndarray]:
    return [load_audio(path, RATE).samples for path in paths[:20]]


@pytest.mark.parametrize(("kind", "engine", "precision"), LEAST)
def test_on_real_clips(
    kind: str,
    engine: str,
    precision: str,
    clips: list[np.ndarray],
    request: pytest.FixtureRequest,
) -> None:
    checkpoint = request.getfixturevalue(kind)
    exact = Wav2CLIP(checkpoint).embed_audio(clips, RATE, normalize=True)
    model = Wav2CLIP(checkpoint, engine=engine, precision=precision)
    together = model.embed_audio(clips, RATE, normalize=True)
    assert together.dtype == np.float32
    assert (together * exact).sum(axis=1).min() >= LEAST[kind, engine, precision]
    alone = np.stack([model.embed_audio(clip, RATE, normalize=True) for clip in clips[:4]])
    assert (alone * together[:4]).sum(axis=1).min() > 1 - 1e-4, "it depends on batch mates"


@pytest.mark.parametrize(("kind", "engine", "precision"), LEAST)
def test_long_frames_and_features(
    kind: str, engine: str, precision: str, request: pytest.FixtureRequest
) -> None:
    """The other ways through an engine, against the exact one."""
    checkpoint = request.getfixturevalue(kind)
    model, reference = (
        Wav2CLIP(checkpoint, engine=engine, precision=precision),
        Wav2CLIP(checkpoint),
    )
    wave = np.random.default_rng(0).normal(0, 0.1, 62 * 16_000).astype(np.float32)
    for call in (
        lambda m: m.embed_audio(wave, 16_000)[None],  # longer than a minute: in pieces
        lambda m: m.embed_frames(wave[:80_000], 16_000).embeddings,
        lambda m: m.encode_audio(wave[:80_000], 16_000)[None],
    ):
        ours, theirs = (torch.from_numpy(call(m)) for m in (model, reference))
        least = LEAST[kind, engine, precision] - 0.001
        assert torch.cosine_similarity(ours, theirs).min() >= least


def test_fingerprints_tell_coarse_from_exact(builtin: Checkpoint, calibrated: Checkpoint) -> None:
    exact = Wav2CLIP(builtin).fingerprint
    assert Wav2CLIP(builtin, engine="onnx").fingerprint == exact
    assert Wav2CLIP(builtin, precision="bfloat16").fingerprint == f"{exact}-bfloat16"
    exact = Wav2CLIP(calibrated).fingerprint
    assert Wav2CLIP(calibrated, engine="onnx-int8").fingerprint == f"{exact}-int8"


def test_auto_is_onnx_where_it_computes_the_same(
    builtin: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Wav2CLIP(builtin, engine="auto").engine == "onnx"
    assert Wav2CLIP(builtin, engine="auto", precision="bfloat16").engine == "torch"

    def missing(*_: object, **__: object) -> None:
        raise MissingExtraError("ONNX is not installed")

    monkeypatch.setattr(waveform, "Session", missing)
    assert Wav2CLIP(builtin, engine="auto").engine == "torch"


def test_what_does_not_exist(published_checkpoint: Path, builtin: Checkpoint) -> None:
    with pytest.raises(InputError, match="expected one of torch, onnx, onnx-int8 or auto"):
        load(engine="tensorrt")
    with pytest.raises(InputError, match="float32, bfloat16, float16"):
        load(precision="int4")
    with pytest.raises(InputError, match="for the torch engine"):
        load(engine="onnx", precision="bfloat16")
    with pytest.raises(InputError, match="cannot be used here"):
        load(device="cuda:99")
    with pytest.raises(InputError, match="--calibrate"):
        load(published_checkpoint, engine="onnx-int8")
    with pytest.raises(InputError, match="as fast in float32"):
        load(engine="onnx-int8")


def test_diagnosis_names_what_does_not_work(
    builtin: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "seconds", lambda engine, rate, batch=1: 0.01)

    def missing(*_: object, **__: object) -> None:
        raise MissingExtraError("ONNX is not installed")

    monkeypatch.setattr(waveform, "Session", missing)
    found = {report.name: report for report in examine(builtin)}
    assert found["torch, cpu, float32"].problem is None
    assert found["torch, cpu, float32"].cosine == pytest.approx(1, abs=1e-5)
    assert found["torch, cpu, float32"].automatic
    assert found["onnx, cpu"].problem == "ONNX is not installed"
