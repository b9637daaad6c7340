"""The losses that follow a tagger, against slow references that are obvious at sight."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tones import tagged, tiny
from torch import Tensor

from wav2clip.errors import DataError
from wav2clip.pretrain.batch import Batch
from wav2clip.pretrain.data import Classes, Labels
from wav2clip.pretrain.losses import Losses
from wav2clip.pretrain.metrics import agreement
from wav2clip.pretrain.tagger_losses import SameFeatures, ThroughText, TowardsText, tagger_losses


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def make_batch(n: int, k: int, f: int, seed: int, without: float = 0.3) -> Batch:
    """Clips of which some were heard by no tagger."""
    g = torch.Generator().manual_seed(seed)
    probabilities, heard = torch.rand(n, k, generator=g), torch.randn(n, f, generator=g)
    missing = torch.rand(n, generator=g) < without
    probabilities[missing], heard[missing] = torch.nan, torch.nan
    empty = torch.zeros(n, 0)
    return Batch(empty, empty, torch.full((n, 1), -1), torch.ones(n, 1), probabilities, heard)


def heard_rows(batch: Batch) -> list[int]:
    return [i for i in range(len(batch)) if not batch.heard[i].isnan().any()]


SIZES = {"n": st.integers(1, 6), "seed": st.integers(0, 2**31), "without": st.floats(0, 1)}


@settings(max_examples=25, deadline=None)
@given(**SIZES)
def test_through_text_equals_the_slow_reference(n: int, seed: int, without: float) -> None:
    g = torch.Generator().manual_seed(seed + 1)
    bank, audio, prior = torch.randn(4, 5, generator=g), torch.randn(n, 5, generator=g), None
    prior = torch.tensor([0.5, 0.01, 0.0, 0.9])
    batch = make_batch(n, 4, 3, seed, without)
    loss = ThroughText(bank, prior)
    total = 0.0
    for i in heard_rows(batch):
        for c in range(4):
            p0 = min(max(float(prior[c]), 1e-4), 1 - 1e-4)
            logit = 10 * cosine(audio[i], bank[c]) + math.log(p0 / (1 - p0))
            said = 1 / (1 + math.exp(-logit))
            p = float(batch.probabilities[i, c])
            total -= p * math.log(said) + (1 - p) * math.log(1 - said)
    expected = total / max(1, len(heard_rows(batch)))
    assert loss(torch.zeros(n, 3), audio, batch).item() == pytest.approx(expected, abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(power=st.floats(0.25, 2), **SIZES)
def test_towards_text_equals_the_slow_reference(
    n: int, seed: int, without: float, power: float
) -> None:
    g = torch.Generator().manual_seed(seed + 1)
    bank, audio = torch.randn(4, 5, generator=g), torch.randn(n, 5, generator=g)
    batch = make_batch(n, 4, 3, seed, without)
    total = 0.0
    for i in heard_rows(batch):
        wanted = torch.zeros(5)
        for c in range(4):
            wanted += float(batch.probabilities[i, c]) ** power * bank[c] / bank[c].norm()
        total += 1 - cosine(audio[i], wanted)
    expected = total / max(1, len(heard_rows(batch)))
    loss = TowardsText(bank, power)(torch.zeros(n, 3), audio, batch)
    assert loss.item() == pytest.approx(expected, abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(**SIZES)
def test_same_features_equals_the_slow_reference(n: int, seed: int, without: float) -> None:
    features = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed + 1))
    batch = make_batch(n, 2, 3, seed, without)
    mean, std = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 2.0, 0.0])
    total = 0.0
    for i in heard_rows(batch):
        for j, unit in enumerate((1.0, 2.0, 0.1)):  # the third hardly moves: a tenth of the mean
            total += float((features[i, j] - batch.heard[i, j]) / unit) ** 2 / 3
    expected = total / max(1, len(heard_rows(batch)))
    loss = SameFeatures(3, mean, std)(features, torch.zeros(n, 5), batch)
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_features_of_another_number_go_through_a_layer_that_learns() -> None:
    torch.manual_seed(0)
    loss = SameFeatures(7, torch.zeros(3), torch.ones(3))
    features, batch = torch.randn(64, 7), make_batch(64, 2, 3, 0, 0.0)
    batch.heard.copy_(features[:, :3] * 2)
    optimiser = torch.optim.Adam(loss.parameters(), 0.05)
    start = loss(features, features, batch).item()
    for _ in range(200):
        optimiser.zero_grad()
        loss(features, features, batch).backward()
        optimiser.step()
    assert loss(features, features, batch).item() < 0.05 * start


def classes(k: int = 6, d: int = 8, f: int = 5) -> Classes:
    rng = np.random.default_rng(0)
    bank = rng.normal(size=(k, d)) + 3
    bank = (bank / np.linalg.norm(bank, axis=1, keepdims=True)).astype(np.float32)
    numbers = [np.full(k, 0.1), np.zeros(f), np.ones(f)]
    return Classes(tuple("abcdef"[:k]), bank, *(x.astype(np.float32) for x in numbers))


def test_centred_classes_have_unit_length_and_share_nothing() -> None:
    known = classes()
    rows = known.bank - known.bank.mean(axis=0)
    np.testing.assert_allclose(np.linalg.norm(known.centred(), axis=1), 1, atol=1e-6)
    expected = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(known.centred(), expected, atol=1e-6)


def test_clips_that_nobody_heard_leave_no_trace_in_loss_or_gradient() -> None:
    labels = Labels(
        (), np.zeros((0, 8), np.float32), np.zeros(0, np.int64), np.zeros(8, np.float32), classes()
    )
    losses = Losses(tagged(), labels).eval()
    features, audio = torch.randn(3, 8), torch.randn(3, 8)
    features = torch.randn(3, tagged().network.encoder().features, requires_grad=True)
    audio.requires_grad_()
    batch = make_batch(3, 6, 5, 0, 1.0)
    batch = Batch(batch.audio, torch.full((3, 8), torch.nan), *list(vars(batch).values())[2:])
    values = losses(features, audio, batch)
    assert {name: value.item() for name, value in values.items()} == dict.fromkeys(values, 0)
    assert set(values) == {"labels_loss", "loss", *losses.tagger}
    values["loss"].backward()
    for tensor in (features, audio, *losses.parameters()):
        assert tensor.grad is None or torch.equal(tensor.grad, torch.zeros_like(tensor))


def test_each_loss_has_its_switch() -> None:
    for name in ("tagger_loss", "tagger_text_loss", "tagger_features_loss"):
        config = tagged(loss=dict.fromkeys(tagged().loss.weights(), 0) | {name: 0.5})
        assert list(tagger_losses(config, classes())) == [name]
    assert not tagger_losses(tiny(), classes())
    assert not tagger_losses(tiny(), None)
    with pytest.raises(DataError, match="needs shards that a tagger has heard"):
        tagger_losses(tagged(), None)


def slow_average_precision(scores: list[float], relevant: list[bool]) -> float:
    """Mean over the relevant of the share of relevant ones among those at least as high."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    hits, precisions = 0, []
    for rank, i in enumerate(order, start=1):
        if relevant[i]:
            hits += 1
            precisions.append(hits / rank)
    return sum(precisions) / len(precisions)


def test_agreement_is_mean_average_precision_over_the_classes_that_are_heard() -> None:
    g = torch.Generator().manual_seed(0)
    scores, probabilities = torch.randn(30, 5, generator=g), torch.rand(30, 5, generator=g)
    probabilities[:, 3] = 0.2  # never heard
    probabilities[7] = torch.nan
    rows = [i for i in range(30) if i != 7]
    expected = np.mean(
        [
            slow_average_precision(
                [float(scores[i, c]) for i in rows], [bool(probabilities[i, c] > 0.5) for i in rows]
            )
            for c in (0, 1, 2, 4)
        ]
    )
    assert agreement(scores, probabilities)["tagger_mAP"] == pytest.approx(expected)
    perfect = agreement(probabilities.nan_to_num(), probabilities)
    assert perfect["tagger_mAP"] == pytest.approx(1)
    assert agreement(scores, torch.full((30, 5), torch.nan)) == {}
    assert agreement(torch.zeros(30, 0), torch.zeros(30, 0)) == {}
