"""Prompts: distances, weights, centring."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import InputError
from wav2clip.generation.prompts import (
    Prompt,
    Prompter,
    loss,
    parse_weighted,
    spherical_distance,
)
from wav2clip.zeroshot import similarity


@given(st.floats(0.01, math.pi - 0.01), st.integers(0, 1000))
def test_the_distance_is_half_the_squared_angle(angle: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a = F.normalize(torch.randn(8, generator=generator, dtype=torch.float64), dim=0)
    other = torch.randn(8, generator=generator, dtype=torch.float64)
    other = F.normalize(other - (other @ a) * a, dim=0)
    b = math.cos(angle) * a + math.sin(angle) * other
    assert float(spherical_distance(a, b)) == pytest.approx(angle**2 / 2, rel=1e-3)


def test_the_distance_has_gradients_everywhere() -> None:
    a = F.normalize(torch.ones(4), dim=0)
    for b in (a, -a):
        x = b.clone().requires_grad_()
        spherical_distance(a, x).backward()
        assert x.grad is not None and x.grad.isfinite().all()


def test_the_loss_weighs_prompts_and_drives_away_from_negative_ones() -> None:
    x, y = np.eye(2, 4, dtype=np.float32)
    here = torch.tensor([1.0, 0, 0, 0])
    quarter = math.pi**2 / 8
    assert float(loss([Prompt(y)], here)) == pytest.approx(quarter, rel=1e-4)
    both = loss([Prompt(x, weight=3.0), Prompt(y, weight=1.0)], here)
    assert float(both) == pytest.approx(quarter / 4, rel=1e-3)
    assert float(loss([Prompt(y, weight=-2.0)], here)) == pytest.approx(-quarter, rel=1e-4)


def test_centred_distances_order_pictures_as_centred_cosines_do(small: Wav2CLIP) -> None:
    rng = np.random.default_rng(0)
    sound = rng.normal(size=512).astype(np.float32)
    pictures = F.normalize(torch.from_numpy(rng.normal(size=(20, 512)).astype(np.float32)), dim=1)
    means = small.mean, small.towers.means["image"]
    cosines = similarity(sound, pictures.numpy(), *means)[0]
    distances = Prompter(small).embedding(sound).distance(pictures)
    np.testing.assert_allclose(distances, np.arccos(cosines) ** 2 / 2, rtol=1e-3)
    plain = Prompter(small, center=False).embedding(sound).distance(pictures)
    cosines = similarity(sound, pictures.numpy())[0]
    np.testing.assert_allclose(plain, np.arccos(cosines) ** 2 / 2, rtol=1e-3)


def test_a_missing_mean_leaves_embeddings_plain(published: Wav2CLIP) -> None:
    assert published.mean is None
    prompter = Prompter(published)
    assert prompter.embedding(np.ones(512)).centre is None
    assert prompter.text("a dog").centre is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a dog", ("a dog", 1.0)),
        ("a dog:0.5", ("a dog", 0.5)),
        ("no fog:-1", ("no fog", -1.0)),
        ("time: noon", ("time: noon", 1.0)),
        ("C:/pictures/a.png:2", ("C:/pictures/a.png", 2.0)),
    ],
)
def test_weights_stand_after_the_last_colon(text: str, expected: tuple[str, float]) -> None:
    assert parse_weighted(text) == expected


@pytest.mark.parametrize("text", ["", " ", ":0.5"])
def test_prompts_need_words(text: str) -> None:
    with pytest.raises(InputError):
        parse_weighted(text)


def test_weights_are_finite() -> None:
    with pytest.raises(InputError, match="nan"):
        Prompt(np.ones(4, np.float32), weight=float("nan"))
