"""Metrics against torchmetrics, scikit-learn and loops that say what they mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wav2clip.evaluation import metrics


def naive_lwlrap(scores: np.ndarray, targets: np.ndarray) -> float:
    precisions = []
    for row, truth in zip(scores, targets, strict=True):
        for label in np.flatnonzero(truth):
            above = row >= row[label]
            precisions.append((truth & above).sum() / above.sum())
    return float(np.mean(precisions))


def naive_average_precision(scores: np.ndarray, targets: np.ndarray) -> float:
    order = np.argsort(-scores, kind="stable")
    hits, total = 0, 0.0
    for place, index in enumerate(order, 1):
        if targets[index]:
            hits += 1
            total += hits / place
    return total / hits


@given(st.integers(0, 2**32), st.integers(2, 40), st.integers(2, 8))
def test_tagging(seed: int, clips: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.arange(clips * classes)).reshape(clips, classes) / (clips * classes)
    targets = rng.random((clips, classes)) < 0.4
    targets[0, 0] = True
    assert metrics.lwlrap(scores, targets) == pytest.approx(naive_lwlrap(scores, targets))
    found = metrics.average_precisions(scores, targets)
    for number in range(classes):
        if targets[:, number].any():
            expected = naive_average_precision(scores[:, number], targets[:, number])
            assert found[number] == pytest.approx(expected)
        else:
            assert np.isnan(found[number])


def test_mean_average_precision_equals_torchmetrics() -> None:
    from torchmetrics.functional.classification import multilabel_average_precision

    rng = np.random.default_rng(0)
    scores, targets = rng.random((200, 12)), rng.random((200, 12)) < 0.1
    expected = multilabel_average_precision(
        torch.from_numpy(scores), torch.from_numpy(targets).long(), 12
    )
    found = np.nanmean(metrics.average_precisions(scores, targets))
    assert found == pytest.approx(float(expected), abs=1e-6)


def test_classification_equals_torchmetrics() -> None:
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    rng = np.random.default_rng(0)
    predicted, targets = rng.integers(0, 6, 300), rng.integers(0, 5, 300)
    counts = metrics.confusion(predicted, targets, 6)
    expected = multiclass_confusion_matrix(
        torch.from_numpy(predicted), torch.from_numpy(targets), 6
    )
    np.testing.assert_array_equal(counts, expected.numpy())
    assert metrics.accuracy(predicted, targets) == pytest.approx(np.trace(counts) / 300)
    shares = metrics.per_class(counts)
    assert shares[2] == pytest.approx((predicted[targets == 2] == 2).mean())
    assert np.isnan(shares[5]), "a class that never occurs"


@pytest.mark.parametrize("sharpness", [0.5, 2.0, 8.0])
def test_calibration_equals_torchmetrics(sharpness: float) -> None:
    from torchmetrics.functional.classification import multiclass_calibration_error

    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2_000, 10)) * sharpness
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = rng.integers(0, 10, 2_000)
    found = metrics.reliability(shares, targets)
    expected = multiclass_calibration_error(
        torch.from_numpy(shares), torch.from_numpy(targets), 10, n_bins=15
    )
    assert found.error == pytest.approx(float(expected), abs=1e-6)
    assert found.clips.sum() == 2_000


def test_a_calibrated_model_has_no_error() -> None:
    rng = np.random.default_rng(0)
    said = rng.uniform(0.5, 1, 100_000)
    shares = np.stack([said, 1 - said], axis=1)
    targets = (rng.random(100_000) > said).astype(np.int64)
    assert metrics.reliability(shares, targets).error < 0.01
