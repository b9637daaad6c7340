"""The shipped `wav2clip export` and `wav2clip doctor`, run as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import onnxruntime
import pytest

from media import tone, wav_bytes
from wav2clip.embedding.embedder import Wav2CLIP, load

Run = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number in range(4):
        wave = np.random.default_rng(number).normal(0, 0.1, 16_000).astype(np.float32)
        (folder / f"{number}.wav").write_bytes(wav_bytes(wave * tone(1.0)))
    (folder / "broken.wav").write_bytes(b"RIFF")
    return folder


def test_calibrated_export(
    run_command: Run, small_checkpoint: Path, small: Wav2CLIP, sounds: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run_command("export", small_checkpoint, "-o", out, "--calibrate", sounds, "--json")
    assert result.returncode == 1, "a broken recording is reported"
    assert "broken.wav" in result.stderr
    document = json.loads(result.stdout)
    assert [Path(path).name for path in document["graphs"]] == ["model.onnx", "model-int8.onnx"]
    wave = tone(2.0)[None].astype(np.float32)
    (output,) = onnxruntime.InferenceSession(out / "model.onnx").run(
        ["embedding"], {"waveform": wave}
    )
    np.testing.assert_allclose(output[0], small.embed_audio(wave[0], 16_000), atol=1e-3)
    exact, coarse = load(out), load(out, engine="onnx-int8")
    assert coarse.fingerprint == f"{exact.fingerprint}-int8"
    assert document["fingerprint"] == small.fingerprint


def test_export_without_ranges_says_so(
    run_command: Run, small_checkpoint: Path, tmp_path: Path
) -> None:
    result = run_command("export", small_checkpoint, "-o", tmp_path / "out", "--spectrogram")
    assert "--calibrate" in result.stdout
    assert not (tmp_path / "out" / "model-int8.onnx").exists()
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    assert [value.name for value in session.get_inputs()] == ["spectrogram"]


def test_export_errors(run_command: Run, small_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run_command("export", small_checkpoint, "-o", tmp_path / "file")
    assert result.returncode == 1
    assert "is a file" in result.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    result = run_command("export", small_checkpoint, "-o", tmp_path / "o", "--calibrate", empty)
    assert result.returncode == 1
    assert not (tmp_path / "o").exists()


def test_doctor(run_command: Run) -> None:
    found = json.loads(run_command("doctor", "--json").stdout)
    engines = {engine["name"]: engine for engine in found["engines"]}
    assert {"torch, cpu, float32", "onnx, cpu"} <= set(engines)
    assert all(engine["milliseconds"] > 0 for engine in engines.values())
    assert engines["onnx, cpu"]["cosine"] > 0.9999
    assert [engine["name"] for engine in found["engines"] if engine["automatic"]] != []
    assert "onnx" in found["extras"]


def test_an_export_loads_without_pytorch(
    run_command: Run, small_mobilenet_checkpoint: Path, tmp_path: Path
) -> None:
    """The built-in architecture gets a graph over its own weights, beside the one to give away."""
    out = tmp_path / "out"
    result = run_command("export", small_mobilenet_checkpoint, "-o", out)
    assert result.returncode == 0, result.stderr
    again, exact = load(out), load(out, engine="torch")
    assert (again.engine, again.fingerprint) == ("onnx", exact.fingerprint)
    wave = tone(1.0).astype(np.float32)
    np.testing.assert_allclose(
        again.embed_audio(wave, 32_000), exact.embed_audio(wave, 32_000), rtol=1e-3, atol=1e-5
    )
    assert (out / "network.onnx").stat().st_size < (out / "model.onnx").stat().st_size
