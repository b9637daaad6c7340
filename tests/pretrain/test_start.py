"""What a network starts from: a tagger, exactly; a checkpoint; or an error that says why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tones import tagged, tiny

from wav2clip.errors import CheckpointError, DataError, TrainingError
from wav2clip.models.checkpoint import load_checkpoint, save_checkpoint
from wav2clip.models.config import AudioConfig
from wav2clip.models.network import AudioNetwork
from wav2clip.models.tagger import load_tagger
from wav2clip.pretrain.config import NetworkSettings
from wav2clip.pretrain.data import Classes
from wav2clip.pretrain.start import start

WEIGHTS = "teachers/efficientat_mn04/mn04_as_mAP_432.pt"


def classes_of(names: tuple[str, ...], bank: np.ndarray) -> Classes:
    zeros = np.zeros(len(names), np.float32)
    return Classes(names, bank.astype(np.float32), zeros, zeros[:5], zeros[:5])


@pytest.fixture
def audioset(data: Path) -> Classes:
    """The tagger's classes with their genuine text embeddings."""
    with np.load(data / "clip_vit_b32/text_audioset527.npz") as table:
        bank = table["embeddings"].astype(np.float32)
    bank /= np.linalg.norm(bank, axis=1, keepdims=True)
    return classes_of(load_tagger(data / WEIGHTS).labels, bank)


def test_the_first_embedding_is_what_the_tagger_hears_times_its_names(
    data: Path, audioset: Classes
) -> None:
    settings = NetworkSettings(architecture="mobilenet", init=str(data / WEIGHTS))
    network = start(settings, audioset).eval()
    tagger = load_tagger(data / WEIGHTS)
    wave = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 40_000)).astype(np.float32))
    probabilities, features = tagger(wave / 9)
    expected = torch.zeros(2, 512)
    for row in range(2):
        for c, name in enumerate(audioset.centred()):
            expected[row] += probabilities[row, c] * torch.from_numpy(name)
    with torch.inference_mode():
        spectrogram = tagger.frontend(wave / 9)
        torch.testing.assert_close(network.audio_encoder(spectrogram), features)
        torch.testing.assert_close(network(spectrogram), expected, atol=1e-4, rtol=1e-4)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_checkpoint_is_gone_on_with(tmp_path: Path) -> None:
    for config in (tagged(), tiny()):
        torch.manual_seed(1)
        source = AudioNetwork(config.network.encoder())
        audio = AudioConfig(frontend=config.network.frontend(), encoder=source.config)
        folder = save_checkpoint(tmp_path / config.network.architecture, source, audio)
        settings = config.network.model_copy(update={"init": str(folder)})
        network = start(settings, None)
        stored = load_checkpoint(folder).network.state_dict()
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, stored[name]), name
        wider = config.network.model_copy(update={"init": str(folder), "projection": 9})
        with pytest.raises(TrainingError, match="do not fit the dimensions"):
            start(wider, None)


def test_taggers_that_cannot_be_started_from(data: Path, audioset: Classes, tmp_path: Path) -> None:
    settings = NetworkSettings(architecture="mobilenet", init=str(data / WEIGHTS))
    with pytest.raises(DataError, match="no tagger has heard the shards"):
        start(settings, None)
    others = replace(audioset, names=tuple(reversed(audioset.names)))
    with pytest.raises(DataError, match="a tagger of other classes has heard"):
        start(settings, others)
    with pytest.raises(TrainingError, match="do not fit the dimensions"):
        start(settings.model_copy(update={"width": 0.5}), audioset)
    (tmp_path / "half.pt").write_bytes((data / WEIGHTS).read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match=r"half\.pt"):
        start(settings.model_copy(update={"init": str(tmp_path / "half.pt")}), audioset)


def test_without_weights_the_seed_decides() -> None:
    first, second, other = (
        (torch.manual_seed(seed), start(tagged().network, None))[1] for seed in (0, 0, 1)
    )
    weights = [network.audio_encoder.features[0][0].weight for network in (first, second, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
