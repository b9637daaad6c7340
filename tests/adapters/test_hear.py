"""The HEAR 2021 API: the validator's checks, centred times, no influence of batch mates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hear_checks import validate

from wav2clip.adapters import hear
from wav2clip.audio.io import load_audio
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import InputError


@pytest.fixture(scope="module")
def model(small_checkpoint: Path) -> hear.HearModel:
    return hear.load_model(str(small_checkpoint))


@pytest.fixture(scope="module")
def audio(data: Path) -> torch.Tensor:
    paths = sorted((data / "esc10_original").glob("*.ogg"))[:3]
    return torch.stack([torch.from_numpy(load_audio(p).samples[:33_333]) for p in paths])


def test_what_the_validator_checks() -> None:
    validate("wav2clip.adapters.hear")


def test_what_the_validator_checks_of_a_checkpoint(small_checkpoint: Path) -> None:
    validate("wav2clip.adapters.hear", str(small_checkpoint))


def test_scenes_are_the_embeddings(
    model: hear.HearModel, audio: torch.Tensor, small: Wav2CLIP
) -> None:
    scenes = hear.get_scene_embeddings(audio, model)
    np.testing.assert_allclose(scenes, small.embed_audio(audio.numpy(), 16_000), atol=1e-5)
    assert torch.equal(model(audio), scenes)


def test_no_influence_of_batch_mates(model: hear.HearModel, audio: torch.Tensor) -> None:
    together, times = hear.get_timestamp_embeddings(audio, model)
    for row, wave in enumerate(audio):
        alone, own_times = hear.get_timestamp_embeddings(wave[None], model)
        np.testing.assert_allclose(together[row], alone[0], atol=1e-4)
        assert torch.equal(times[row], own_times[0])
        np.testing.assert_allclose(
            hear.get_scene_embeddings(audio, model)[row],
            hear.get_scene_embeddings(wave[None], model)[0],
            atol=1e-4,
        )


def test_timestamps_are_the_centres_of_their_windows(model: hear.HearModel) -> None:
    """A click changes most the windows whose timestamps are near it."""
    quiet = 0.01 * torch.randn(1, 48_000, generator=torch.Generator().manual_seed(0))
    click = quiet.clone()
    click[0, 24_000:24_400] += torch.sin(torch.arange(400.0))
    changes = []
    for wave in (quiet, click):
        embeddings, times = hear.get_timestamp_embeddings(wave, model)
        changes.append(torch.nn.functional.normalize(embeddings[0], dim=-1))
    change = (changes[0] - changes[1]).norm(dim=-1)
    centre = float((change * times[0]).sum() / change.sum())
    assert abs(centre - 1512.5) < 60
    assert times[0, 0] == 0
    np.testing.assert_allclose(np.diff(times[0]), 50.0, rtol=1e-5)


@pytest.mark.parametrize("samples", [1, 2, 100, 799, 800, 7_999, 8_001])
def test_any_length(model: hear.HearModel, samples: int) -> None:
    embeddings, times = hear.get_timestamp_embeddings(torch.full((2, samples), 0.1), model)
    assert embeddings.shape == (2, 1 + samples // 800, 512)
    assert times.shape == embeddings.shape[:2]
    assert times.max() <= 1000 * samples / 16_000
    assert torch.isfinite(embeddings).all()


@pytest.mark.parametrize("audio", [torch.zeros(5), torch.zeros(0, 5), np.zeros((1, 5))])
def test_wrong_audio_is_refused(model: hear.HearModel, audio: torch.Tensor) -> None:
    with pytest.raises(InputError, match="expected a tensor"):
        hear.get_scene_embeddings(audio, model)
