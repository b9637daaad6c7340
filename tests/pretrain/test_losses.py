"""Losses against slow references that are obvious at sight."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wav2clip.pretrain.batch import Batch
from wav2clip.pretrain.config import FitConfig
from wav2clip.pretrain.data import Labels
from wav2clip.pretrain.losses import MAX_SCALE, InfoNCE, LabelsLoss, Losses, Scale, same_label


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def slow_info_nce(a: Tensor, b: Tensor, scale: float, labels: list[int] | None = None) -> float:
    """Per pair, per direction: -log of the share of the matching pair among the allowed ones."""
    total = 0.0
    for queries, candidates in ((a, b), (b, a)):
        for i in range(len(a)):
            allowed = [
                j for j in range(len(a)) if j == i or labels is None or labels[j] != labels[i]
            ]
            terms = [math.exp(scale * cosine(queries[i], candidates[j])) for j in allowed]
            total -= math.log(terms[allowed.index(i)] / sum(terms))
    return total / (2 * len(a))


@settings(max_examples=25)
@given(n=st.integers(1, 7), seed=st.integers(0, 2**31), scale=st.floats(0.5, 50))
def test_info_nce_equals_the_slow_reference(n: int, seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, n, 5, generator=generator)
    loss = InfoNCE(temperature=1 / scale)(a, b)
    assert loss.item() == pytest.approx(slow_info_nce(a, b, scale), abs=1e-4, rel=1e-4)


def test_clips_of_one_label_are_no_negatives() -> None:
    a, b = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))
    labels = [0, 1, 0, 2, 1, 0]
    excluded = same_label(torch.tensor(labels)[:, None])
    loss = InfoNCE(0.1)(a, b, excluded)
    assert loss.item() == pytest.approx(slow_info_nce(a, b, 10, labels), abs=1e-4)
    assert loss.item() != pytest.approx(slow_info_nce(a, b, 10), abs=1e-2)


def test_same_label_knows_mixtures_and_clips_without_label() -> None:
    labels = torch.tensor([[0, 1], [1, 2], [2, 2], [-1, -1], [-1, 0]])
    expected = torch.zeros(5, 5, dtype=torch.bool)
    for i, j in [(0, 1), (1, 2), (0, 4)]:
        expected[i, j] = expected[j, i] = True
    assert torch.equal(same_label(labels), expected)


def test_scale_starts_at_the_published_value_and_is_held_below_100() -> None:
    scale = Scale()
    assert scale.logit_scale.item() == pytest.approx(math.log(1 / 0.07))
    with torch.no_grad():
        scale.logit_scale.fill_(50)
    assert scale(torch.ones(1)).item() == pytest.approx(math.exp(MAX_SCALE)) == pytest.approx(100)
    assert not Scale(learn=False).logit_scale.requires_grad


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_labels_loss_equals_the_slow_reference(smoothing: float) -> None:
    generator = torch.Generator().manual_seed(3)
    bank, audio = torch.randn(4, 5, generator=generator), torch.randn(3, 5, generator=generator)
    labels = torch.tensor([[1, 3], [2, -1], [-1, -1]])
    shares = torch.tensor([[0.7, 0.3], [0.6, 0.4], [0.5, 0.5]])
    total, weight = 0.0, 0.0
    for row, names, parts in zip(audio, labels.tolist(), shares.tolist(), strict=True):
        logits = torch.tensor([10 * cosine(row, label) for label in bank])
        log_shares = (logits.exp() / logits.exp().sum()).log()
        for name, part in zip(names, parts, strict=True):
            if name >= 0:
                target = torch.full((4,), smoothing / 4)
                target[name] += 1 - smoothing
                total -= part * float((target * log_shares).sum())
                weight += part
    loss = LabelsLoss(bank, 0.1, smoothing=smoothing)(audio, labels, shares)
    assert loss.item() == pytest.approx(total / weight, rel=1e-5)


def test_labels_loss_without_any_label_is_zero_and_has_a_gradient() -> None:
    audio = torch.randn(2, 5, requires_grad=True)
    loss = LabelsLoss(torch.randn(3, 5))(audio, torch.full((2, 1), -1), torch.ones(2, 1))
    loss.backward()
    assert loss.item() == 0
    assert audio.grad is not None and torch.isfinite(audio.grad).all()


def test_labels_loss_of_a_corpus_without_labels_is_zero() -> None:
    audio = torch.randn(2, 5, requires_grad=True)
    loss = LabelsLoss(torch.zeros(0, 5))(audio, torch.full((2, 1), -1), torch.ones(2, 1))
    loss.backward()
    assert loss.item() == 0 and audio.grad is not None


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 7), seed=st.integers(0, 2**31))
def test_rows_without_a_target_take_no_part(n: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, n, 5, generator=generator)
    present = torch.rand(n, generator=generator) < 0.6
    present[0] = True
    loss = InfoNCE(0.1)(a, b, None, present)
    assert loss.item() == pytest.approx(slow_info_nce(a[present], b[present], 10), abs=1e-4)
    none = InfoNCE(0.1)(a.requires_grad_(), b, None, torch.zeros(n, dtype=torch.bool))
    none.backward()
    assert none.item() == 0 and torch.equal(a.grad, torch.zeros_like(a))


def test_a_clip_without_a_target_changes_no_contrastive_loss_and_spoils_no_gradient() -> None:
    features, audio, batch = data()
    losses = make_losses(clip_loss=1, clip_loss_x=1)
    some = losses(features[:3], audio[:3], batch_of(batch, slice(3)))
    targets = batch.targets.clone()
    targets[3] = torch.nan
    every = losses(features, audio, replace(batch, targets=targets))
    for name in ("clip_loss", "clip_loss_x"):
        assert every[name].item() == pytest.approx(some[name].item(), abs=1e-5)
    every["loss"].backward()
    assert all(p.grad.isfinite().all() for p in losses.parameters() if p.grad is not None)


def batch_of(batch: Batch, rows: slice) -> Batch:
    return Batch(*(part[rows] for part in vars(batch).values()))


def make_losses(centre: bool = False, **weights: float) -> Losses:
    torch.manual_seed(0)
    config = FitConfig.model_validate(
        {
            "network": {"planes": [4, 4, 4, 6], "projection": 5},
            "loss": {"class_aware": False, "temperature": 0.1, "centre": centre, **weights},
        }
    )
    bank, mean = torch.randn(3, 5).numpy(), np.arange(5, dtype=np.float32) / 5
    return Losses(config, Labels(("a", "b", "c"), bank, np.ones(3, np.int64), mean)).eval()


def data() -> tuple[Tensor, Tensor, Batch]:
    g = torch.Generator().manual_seed(1)
    features, audio, targets = (torch.randn(4, d, generator=g) for d in (6, 5, 5))
    labels, shares = torch.tensor([[0], [1], [2], [0]]), torch.ones(4, 1)
    nothing = torch.zeros(4, 0)
    return features, audio, Batch(nothing, targets, labels, shares, nothing, nothing)


def test_each_loss_compares_what_its_name_says() -> None:
    features, audio, batch = data()
    targets = batch.targets
    assert make_losses(clip_loss=1)(*data())["clip_loss"].item() == pytest.approx(
        slow_info_nce(audio, targets, 10), abs=1e-4
    )
    losses = make_losses(clip_loss_i=1)
    assert losses(*data())["clip_loss_i"].item() == pytest.approx(
        slow_info_nce(audio, losses.image_transform(targets).detach(), 10), abs=1e-4
    )
    losses = make_losses(clip_loss_x=1)
    expected = slow_info_nce(features, losses.image_transform(targets).detach(), 10)
    expected += slow_info_nce(audio, targets, 10)
    assert losses(*data())["clip_loss_x"].item() == pytest.approx(expected / 2, abs=1e-4)


def test_centring_subtracts_the_mean_from_targets_and_labels() -> None:
    _, audio, batch = data()
    losses = make_losses(centre=True, clip_loss=1, labels_loss=1)
    mean = torch.arange(5.0) / 5
    values = losses(*data())
    assert values["clip_loss"].item() == pytest.approx(
        slow_info_nce(audio, batch.targets - mean, 10), abs=1e-4
    )
    torch.manual_seed(0)
    bank = torch.randn(3, 5) - mean
    assert torch.allclose(losses.labels_loss.bank, bank / bank.norm(dim=1, keepdim=True))


def test_the_total_is_the_weighted_sum() -> None:
    values = make_losses(clip_loss=0.25, labels_loss=2)(*data())
    assert set(values) == {"clip_loss", "labels_loss", "loss"}
    total = 0.25 * values["clip_loss"] + 2 * values["labels_loss"]
    assert values["loss"].item() == pytest.approx(total.item())
