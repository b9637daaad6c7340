"""The published package's two functions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import wav2clip
from wav2clip.errors import InputError


def test_clip_and_frame_shapes(small_checkpoint: Path) -> None:
    audio = np.random.default_rng(0).uniform(-1, 1, (3, 40_000)).astype(np.float32)
    clip = wav2clip.get_model(model=str(small_checkpoint))
    assert wav2clip.embed_audio(audio, clip).shape == (3, 512)
    assert wav2clip.embed_audio(audio[0], clip).shape == (1, 512)
    frames = wav2clip.get_model(model=str(small_checkpoint), frame_length=16_000, hop_length=8_000)
    assert wav2clip.embed_audio(audio, frames).shape == (3, 512, 4)
    assert wav2clip.embed_audio(audio[0], frames).shape == (1, 512, 4)
    alone = wav2clip.embed_audio(audio[1], frames)[0]
    np.testing.assert_allclose(wav2clip.embed_audio(audio, frames)[1], alone, atol=1e-5)


def test_batch_statistics_over_frames_of_all_recordings(small_checkpoint: Path) -> None:
    audio = np.random.default_rng(0).normal(size=(2, 20_000)).astype(np.float32)
    audio[0] *= 0.001
    options = {"model": str(small_checkpoint), "frame_length": 8_000, "hop_length": 8_000}
    batch = wav2clip.embed_audio(audio, wav2clip.get_model(**options, standardize="batch"))
    own = wav2clip.embed_audio(audio, wav2clip.get_model(**options))
    assert batch.shape == own.shape == (2, 512, 2)
    assert np.abs(batch - own).max() > 1e-3


def test_without_pretraining_there_is_no_projection() -> None:
    model = wav2clip.get_model(pretrained=False)
    assert model.model.config.encoder.projection is None
    assert wav2clip.embed_audio(np.zeros(1_000, np.float32), model).shape == (1, 512)


def test_wrong_arguments(small_checkpoint: Path) -> None:
    with pytest.raises(InputError, match="give both or neither"):
        wav2clip.get_model(model=str(small_checkpoint), frame_length=100)
    with pytest.raises(InputError, match="expected >= 1"):
        wav2clip.get_model(model=str(small_checkpoint), frame_length=0, hop_length=1)
    model = wav2clip.get_model(model=str(small_checkpoint), frame_length=16_000, hop_length=16_000)
    with pytest.raises(InputError, match="shorter than one window"):
        wav2clip.embed_audio(np.zeros(100, np.float32), model)
