"""Metrics of classification and tagging, and how far probabilities can be trusted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    label_ranking_average_precision_score,
)

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

BINS = 15


def accuracy(predicted: Integers, targets: Integers) -> float:
    """Share of (n,) predictions that are right, 0 to 1."""
    return float(np.mean(predicted == targets))


def confusion(predicted: Integers, targets: Integers, classes: int) -> Integers:
    """(classes, classes) counts: rows are what it was, columns what it was taken for."""
    counts: Integers = confusion_matrix(targets, predicted, labels=np.arange(classes))
    return counts


def per_class(counts: Integers) -> Floats:
    """Share of each class's clips that are right, of :func:`confusion`; NaN where it has none."""
    totals = counts.sum(axis=1).astype(np.float64)
    totals[totals == 0] = np.nan
    return np.asarray(np.diag(counts) / totals)


def average_precisions(scores: Floats, targets: NDArray[np.bool_]) -> Floats:
    """Average precision (classes,) of scores (n, classes), 0 to 1; NaN where a class never occurs.

    Their mean over the classes that occur is the mAP, as FSD50K reports it (macro).
    """
    found = np.full(targets.shape[1], np.nan)
    for number in np.flatnonzero(targets.any(axis=0)):
        found[number] = average_precision_score(targets[:, number], scores[:, number])
    return found


def lwlrap(scores: Floats, targets: NDArray[np.bool_]) -> float:
    """Label-weighted label-ranking average precision (Fonseca et al. 2019, DCASE task 2), 0 to 1.

    Of every label that a clip has: the precision among the labels ranked at least as high. The mean
    over all labels of all clips, which is the ranking precision weighted by the clips' labels.

    Args:
        scores: (n, classes).
        targets: (n, classes), a label in one row at least.
    """
    counts = targets.sum(axis=1)
    known = counts > 0
    return float(
        label_ranking_average_precision_score(
            targets[known], scores[known], sample_weight=counts[known]
        )
    )


class Reliability(NamedTuple):
    """Does a probability come true?

    Attributes:
        said: (b,) mean probability of the likeliest class, of each bin that holds a clip.
        right: (b,) share of its clips that are right.
        clips: (b,) how many it holds.
        error: expected calibration error, 0 to 1.
    """

    said: Floats
    right: Floats
    clips: Integers
    error: float


def reliability(probabilities: Floats, targets: Integers, bins: int = BINS) -> Reliability:
    """Clips in bins of equal width by the probability of their likeliest class.

    The expected calibration error is the mean distance of what was said and what was right,
    weighted by clips (Guo et al. 2017, arXiv 1706.04599, section 2).
    """
    said, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
    # A probability on the edge of two bins belongs to the lower one, as in that paper.
    places = np.clip(np.ceil(said * bins).astype(int) - 1, 0, bins - 1)
    chosen = [places == place for place in np.unique(places)]
    means = np.array([said[one].mean() for one in chosen], np.float64)
    shares = np.array([right[one].mean() for one in chosen], np.float64)
    counts = np.array([one.sum() for one in chosen], np.int64)
    error = float((np.abs(means - shares) * counts).sum() / len(said))
    return Reliability(means, shares, counts, error)
