"""Projections fitted on stored features, and their average."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from wav2clip import load
from wav2clip.models.checkpoint import load_checkpoint
from wav2clip.models.config import MobileNetConfig
from wav2clip.models.mobilenet import ClassProjection
from wav2clip.models.registry import locate

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import average_projections as tool

CONFIG = MobileNetConfig(width=0.1, hidden=16, classes=5, power=0.5, projection=8)


@pytest.fixture
def clips() -> tool.Clips:
    """Two kinds of clips whose features, probabilities and captions belong together."""
    rng = np.random.default_rng(0)
    kinds = np.arange(6_000) % 2
    features = rng.normal(size=(6_000, CONFIG.features)) + 3 * kinds[:, None]
    probabilities = np.full((6_000, 5), 0.01)
    probabilities[np.arange(6_000), kinds] = 0.9
    worded = np.arange(6_000) % 3 == 0
    captions = torch.eye(8)[torch.from_numpy(kinds[worded])]
    first = np.concatenate([[0], np.cumsum(worded)])
    heard = torch.from_numpy(features.astype(np.float32))
    return tool.Clips(
        heard,
        heard + 0.1 * torch.randn(heard.shape, generator=torch.Generator().manual_seed(0)),
        torch.from_numpy(probabilities.astype(np.float32)),
        captions,
        first,
        np.array(["even", "odd"])[kinds],
    )


def test_the_loss_against_a_slow_one(clips: tool.Clips) -> None:
    rows = np.arange(20)
    audio = F.normalize(torch.randn(20, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    loss = tool.captions_loss(audio, rows, clips, np.random.default_rng(0))
    worded = [row for row in rows if clips.first[row + 1] > clips.first[row]]
    assert len(worded) == 7
    logits = np.array(
        [[float(audio[a] @ clips.captions[clips.first[b]]) for b in worded] for a in worded]
    )
    logits /= tool.TEMPERATURE
    total = 0.0
    for table in (logits, logits.T):
        for a, row in zip(worded, table, strict=True):
            same = [i for i, b in enumerate(worded) if clips.labels[a] == clips.labels[b]]
            logs = row - np.log(np.exp(row).sum())
            total -= np.mean([logs[i] for i in same]) / len(worded) / 2
    assert float(loss) == pytest.approx(total, rel=1e-4)


def test_a_fit_learns_and_is_the_same_again(clips: tool.Clips) -> None:
    bank = torch.eye(5, 8)
    recipe = tool.Recipe(1.0, tagger=0.2, text=1.0, power=0.5, seed=0)

    def fitted() -> ClassProjection:
        torch.manual_seed(3)
        return tool.fit(ClassProjection(CONFIG), clips, bank, recipe)

    once, again = fitted(), fitted()
    for name, value in once.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    with torch.inference_mode():
        audio = F.normalize(once(clips.features), dim=-1)
    found = (audio @ bank[:2].T).argmax(dim=1).numpy()
    assert (found == np.arange(6_000) % 2).mean() > 0.95


def test_the_average() -> None:
    torch.manual_seed(0)
    a, b = ClassProjection(CONFIG), ClassProjection(CONFIG)
    for name, value in tool.average([a, b], [0.75, 0.25]).items():
        expected = 0.75 * a.state_dict()[name] + 0.25 * b.state_dict()[name]
        torch.testing.assert_close(value, expected)


def test_a_band_limit_leaves_nothing_above_and_all_below() -> None:
    time = torch.arange(32_000) / 32_000
    low, high = torch.sin(2 * torch.pi * 1000 * time), torch.sin(2 * torch.pi * 5000 * time)
    torch.testing.assert_close(tool.below(low + high, 32_000, 4e3), low, atol=5e-3, rtol=0)


def test_the_encoder_hears_what_a_model_does() -> None:
    model = load()
    hears = tool.listener(load_checkpoint(locate("builtin")))
    wave = torch.randn(32_000, generator=torch.Generator().manual_seed(0)) / 10
    features = hears(wave)
    assert features.shape == (1, model.config.encoder.features)
    projection = load_checkpoint(locate("builtin")).network.audio_transform
    with torch.inference_mode():
        embedding = F.normalize(projection(features), dim=-1)[0].numpy()
    expected = model.embed_audio(wave.numpy(), 32_000)
    assert float(embedding @ expected / np.linalg.norm(expected)) > 0.9999


def test_the_run_is_one_among_many() -> None:
    assert 0 < tool.RUN_SHARE < 1
    assert len({recipe.seed for recipe in tool.RECIPES}) == len(tool.RECIPES)
