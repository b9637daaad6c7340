"""Weights on disk: round trips, refusal of everything that is not weights, fingerprints."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from published_layout import published_shapes, published_state
from wav2clip.errors import CheckpointError
from wav2clip.models.checkpoint import load_checkpoint, save_checkpoint
from wav2clip.models.config import AudioConfig, EncoderConfig, FrontendConfig
from wav2clip.models.network import AudioNetwork


def test_the_network_has_the_published_names_and_shapes() -> None:
    found = {name: tuple(value.shape) for name, value in AudioNetwork().state_dict().items()}
    expected = published_shapes()
    del expected["audio_encoder.spectrogram.window"]
    assert found == expected


def test_round_trip(tmp_path: Path) -> None:
    config = AudioConfig(
        frontend=FrontendConfig(hop_length=160),
        encoder=EncoderConfig(planes=(4, 8, 8, 16), blocks=(1, 1, 2, 1), projection=32),
        space="test",
        licence="MIT",
        provenance={"hours": 3, "note": "éß"},
    )
    network = AudioNetwork(config.encoder)
    mean = np.linspace(0, 1, 32, dtype=np.float32)
    loaded = load_checkpoint(save_checkpoint(tmp_path / "m", network, config, mean, "float32"))
    assert loaded.config == config
    np.testing.assert_array_equal(loaded.mean, mean)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(loaded.network.state_dict()[name], value, rtol=0, atol=0)
    assert not loaded.network.training
    same = load_checkpoint(tmp_path / "m" / "model.safetensors")
    assert same.fingerprint == loaded.fingerprint


def test_published_file_and_its_own_copy_are_one_model(
    published_checkpoint: Path, tmp_path: Path
) -> None:
    first = load_checkpoint(published_checkpoint)
    save_checkpoint(tmp_path, first.network, first.config, dtype="float32")
    assert load_checkpoint(tmp_path).fingerprint == first.fingerprint
    save_checkpoint(tmp_path, first.network, first.config)  # float16 rounds: another model
    assert load_checkpoint(tmp_path).fingerprint != first.fingerprint
    assert (tmp_path / "model.safetensors").stat().st_size < 24e6


def test_other_names_are_left_alone(tmp_path: Path) -> None:
    state = published_state()
    state["image_transform.sequential.0.weight"] = torch.zeros(512, 512)
    state["loss_fn_i.logit_scale"] = torch.tensor(2.6)
    torch.save(state, tmp_path / "more.pt")
    torch.save(published_state(), tmp_path / "less.pt")
    more, less = load_checkpoint(tmp_path / "more.pt"), load_checkpoint(tmp_path / "less.pt")
    assert more.fingerprint == less.fingerprint


def test_the_fingerprint_sees_every_tensor(tmp_path: Path) -> None:
    fingerprints = set()
    for name in (
        None,
        "audio_encoder.layer3.1.bn2.running_var",
        "audio_transform.sequential.3.bias",
    ):
        state = published_state()
        if name:
            state[name].view(-1)[0] += 1
        torch.save(state, tmp_path / "m.pt")
        fingerprints.add(load_checkpoint(tmp_path / "m.pt").fingerprint)
    assert len(fingerprints) == 3


class _Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_pickle_that_would_execute_code_is_refused(tmp_path: Path, how: str) -> None:
    path, target = tmp_path / "bomb.pt", tmp_path / "boom"
    content = {**published_state(), "extra": _Bomb(target)}
    if how == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(CheckpointError, match=r"bomb\.pt: refused"):
        load_checkpoint(path)
    assert not target.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged or no PyTorch file"),
        (b"not a checkpoint", "refused"),
        ("half", "damaged or no PyTorch file"),
        ([1, 2], "holds a list"),
        ({"a": 1}, "holds no tensors"),
        ({"fc.weight": torch.zeros(2)}, "tensors do not fit the Wav2CLIP layout"),
    ],
)
def test_damaged_and_foreign_files(tmp_path: Path, content: object, words: str) -> None:
    path = tmp_path / "m.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(published_state() if content == "half" else content, path)
    if content == "half":
        path.write_bytes(path.read_bytes()[:1_000_000])
    with pytest.raises(CheckpointError, match=words) as caught:
        load_checkpoint(path)
    assert "m.pt" in str(caught.value)


def test_missing_misshapen_and_non_finite_tensors(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    state = published_state()
    del state["audio_encoder.conv1.weight"]
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"1 tensors .*conv1\.weight is missing"):
        load_checkpoint(path)
    state = published_state() | {"audio_encoder.conv1.weight": torch.zeros(64, 3, 7, 7)}
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"is \(64, 3, 7, 7\), expected \(64, 1, 7, 7\)"):
        load_checkpoint(path)
    state = published_state()
    state["audio_encoder.bn1.bias"][3] = torch.nan
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"bn1\.bias holds NaN"):
        load_checkpoint(path)


def test_another_window_is_other_preprocessing(tmp_path: Path) -> None:
    state = published_state()
    state["audio_encoder.spectrogram.window"] = torch.ones(512)
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="no periodic Hann window"):
        load_checkpoint(tmp_path / "m.pt")


def test_damaged_folders(small_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json: missing or not valid"):
        load_checkpoint(tmp_path)
    config = json.loads((small_checkpoint / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"model\.safetensors: missing or damaged"):
        load_checkpoint(tmp_path)
    weights = (small_checkpoint / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: missing or damaged"):
        load_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**config, "format": "wav2clip-audio/99"}))
    with pytest.raises(CheckpointError, match="format is not"):
        load_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**config, "surprise": 1}))
    with pytest.raises(CheckpointError, match="surprise"):
        load_checkpoint(tmp_path)


def test_a_failed_save_leaves_the_old_checkpoint(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = load_checkpoint(small_checkpoint)
    save_checkpoint(tmp_path, checkpoint.network, checkpoint.config)
    before = load_file(tmp_path / "model.safetensors")

    def full(tensors: object, path: Path, metadata: object) -> None:
        save_file({"a": torch.zeros(1)}, path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wav2clip.models.checkpoint.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, checkpoint.network, checkpoint.config)
    assert load_file(tmp_path / "model.safetensors").keys() == before.keys()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
