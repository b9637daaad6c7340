"""Encoders behind one interface: against librosa, batch mates, and each other."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest

from wav2clip.audio.io import load_audio
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import InputError, MissingExtraError, RegistryError
from wav2clip.evaluation.baselines import LogMel, MelConfig, Mfcc, RandomEncoder, mel_filters
from wav2clip.evaluation.encoders import (
    Encoder,
    TextEncoder,
    Wav2ClipEncoder,
    known_encoders,
    load_encoder,
)


@pytest.fixture(scope="module")
def waves(data: Path) -> list[np.ndarray]:
    """Real clips of unequal length at 16 kHz."""
    paths = sorted((data / "esc10_original").glob("*.ogg"))[:3]
    clips = [load_audio(path).samples for path in paths]
    return [clips[0], clips[1][:30_000], clips[2], clips[1][:200]]


def librosa_decibels(wave: np.ndarray) -> np.ndarray:
    config = MelConfig()
    power = librosa.feature.melspectrogram(
        y=wave.astype(np.float64), sr=config.sample_rate, n_fft=config.n_fft,
        hop_length=config.hop_length, pad_mode="reflect", n_mels=config.bands,
        fmin=config.low, fmax=config.high, htk=True, norm=None,
    )  # fmt: skip
    return librosa.power_to_db(power, top_db=config.range_db)


def test_mel_filters_are_those_of_librosa() -> None:
    config = MelConfig()
    expected = librosa.filters.mel(
        sr=config.sample_rate, n_fft=config.n_fft, n_mels=config.bands, fmin=config.low,
        fmax=config.high, htk=True, norm=None,
    )  # fmt: skip
    filters = mel_filters(config)
    np.testing.assert_allclose(filters, expected, atol=1e-6)
    assert (filters.max(axis=1) > 0).all()


def test_log_mel_statistics_are_those_of_librosa(waves: list[np.ndarray]) -> None:
    encoder = LogMel()
    for wave in waves[:3]:
        decibels = librosa_decibels(wave)
        expected = np.concatenate((decibels.mean(axis=1), decibels.std(axis=1)))
        np.testing.assert_allclose(encoder.embed([wave])[0], expected, atol=0.01)


def test_mfcc_statistics_are_those_of_librosa(waves: list[np.ndarray]) -> None:
    config, encoder = MelConfig(), Mfcc()
    for wave in waves[:3]:
        cepstrum = librosa.feature.mfcc(S=librosa_decibels(wave), n_mfcc=13)[1:]
        crossings = librosa.feature.zero_crossing_rate(
            wave, frame_length=config.n_fft, hop_length=config.hop_length
        )
        rows = np.vstack((cepstrum, crossings))
        expected = np.concatenate((rows.mean(axis=1), rows.std(axis=1)))
        np.testing.assert_allclose(encoder.embed([wave])[0], expected, atol=0.02)
    assert encoder.dimension == 26


@pytest.mark.parametrize("name", ["builtin", "builtin:encoder", "logmel", "mfcc", "random"])
def test_the_interface(name: str, waves: list[np.ndarray]) -> None:
    encoder = load_encoder(name)
    assert isinstance(encoder, Encoder)
    assert encoder.name == name
    together = encoder.embed(waves)
    assert together.shape == (len(waves), encoder.dimension)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    alone = np.concatenate([encoder.embed([wave]) for wave in waves[::-1]])[::-1]
    np.testing.assert_allclose(together, alone, atol=1e-4, rtol=1e-4)
    assert encoder.embed([]).shape == (0, encoder.dimension)


@pytest.mark.parametrize("name", ["builtin", "logmel", "mfcc", "random"])
def test_frames(name: str, waves: list[np.ndarray]) -> None:
    encoder = load_encoder(name)
    samples = 2 * encoder.sample_rate + 100
    embeddings, starts = encoder.embed_frames(np.resize(waves[0], samples), 0.5, 0.25)
    assert embeddings.shape == (7, encoder.dimension)
    np.testing.assert_allclose(starts, np.arange(7) * 0.25)
    with pytest.raises(InputError, match="shorter than one"):
        LogMel().embed_frames(waves[3], 0.5, 0.25)


def test_fingerprints_tell_encoders_apart() -> None:
    encoders = [LogMel(), Mfcc(), LogMel(MelConfig(bands=32)), RandomEncoder(), RandomEncoder(1)]
    assert len({encoder.fingerprint for encoder in encoders}) == len(encoders)
    assert RandomEncoder(1).fingerprint == load_encoder("random:1").fingerprint


def test_random_weights_leave_the_global_seed_alone() -> None:
    import torch

    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    RandomEncoder()
    assert torch.equal(torch.rand(1), expected)


def test_a_checkpoint_and_its_layers(
    small: Wav2CLIP, small_checkpoint: Path, waves: list[np.ndarray]
) -> None:
    encoder = load_encoder(small_checkpoint)
    assert isinstance(encoder, Wav2ClipEncoder)
    assert isinstance(encoder, TextEncoder)
    assert encoder.model.fingerprint == encoder.fingerprint == small.fingerprint
    expected = small.embed_audio(waves, 16_000)
    np.testing.assert_allclose(encoder.embed(waves), expected, atol=1e-5)
    inner = load_encoder(f"{small_checkpoint}:encoder")
    assert inner.dimension == 64 != encoder.dimension
    assert inner.fingerprint != encoder.fingerprint
    np.testing.assert_allclose(inner.embed(waves), small.encode_audio(waves, 16_000), atol=1e-5)
    with pytest.raises(InputError, match="clips alone"):
        inner.embed_frames(waves[0], 0.5, 0.5)


def test_names() -> None:
    known = {encoder.name: encoder for encoder in known_encoders()}
    assert known["builtin"].available
    assert known["logmel"] == ("logmel", True, "")
    with pytest.raises(RegistryError, match="nonsense"):
        load_encoder("nonsense")
    with pytest.raises(InputError, match="seed"):
        load_encoder("random:x")
    with pytest.raises(InputError, match="variant"):
        load_encoder("mfcc:x")
    for name, available, reason in known.values():
        if not available:
            assert reason
            with pytest.raises((MissingExtraError, RegistryError)):
                load_encoder(name)
