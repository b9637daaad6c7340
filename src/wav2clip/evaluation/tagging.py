"""Tagging: several labels per clip, by a probe on frozen embeddings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wav2clip.datasets.core import Dataset
from wav2clip.embedding.engine import Embeddings
from wav2clip.errors import InputError
from wav2clip.evaluation import metrics, mlp
from wav2clip.evaluation.probes import INNER_PARTS
from wav2clip.evaluation.splits import fraction_of, inner_folds, label_of, make_folds
from wav2clip.evaluation.zeroshot import label_matrix

LAYERS: dict[str, tuple[int, ...]] = {"linear": (), "mlp": mlp.HIDDEN}


@dataclass(frozen=True)
class Tagging:
    """What a probe did on all folds.

    Attributes:
        folds: metric (``mAP``, ``lwlrap``) to the value on each fold, 0 to 1.
        names: of the folds.
        per_class: (classes,) average precision, mean over the folds; NaN where one never occurs.
    """

    folds: dict[str, tuple[float, ...]]
    names: tuple[str, ...]
    per_class: NDArray[np.float64]


def tagging(
    vectors: Embeddings,
    dataset: Dataset,
    kind: str = "mlp",
    *,
    fraction: float = 1.0,
    seed: int = 0,
    advance: Callable[[int], None] = lambda _: None,
) -> Tagging:
    """Train a probe with a sigmoid per class and test it, on every fold.

    Args:
        vectors: (n, d), a row per clip.
        dataset: whose clips they are of.
        kind: "linear" or "mlp", trained alike, see :mod:`wav2clip.evaluation.mlp`.
        fraction: share of the training clips, in the proportions of their first labels.
        seed: of that draw and of the weights.
        advance: called with 1 after each fold.

    Raises:
        InputError: unknown kind, or a dataset without labels.
        DataError: no folds can be made, or a recording is on both sides of one.
    """
    if kind not in LAYERS:
        raise InputError(f"got probe {kind!r}, expected one of {', '.join(LAYERS)}")
    if not dataset.labels:
        raise InputError(f"{dataset.sheet.title} has no labels")
    truth = label_matrix(dataset)
    first = np.unique([label_of(clip) for clip in dataset.clips], return_inverse=True)[1]
    found: dict[str, list[float]] = {"mAP": [], "lwlrap": []}
    classes = []
    folds = make_folds(dataset)
    for fold in folds:
        seen = fraction_of(first, fold.pool, fraction, seed)
        if len(seen) == len(fold.pool):
            train, held = fold.train, fold.validation
        else:
            train, held = (inner_folds(dataset, seen, INNER_PARTS) or [(seen, seen[:0])])[0]
        targets = truth.astype(np.float32)
        predict = mlp.fit_mlp(
            vectors[train],
            targets[train],
            vectors[held],
            targets[held],
            multilabel=True,
            hidden=LAYERS[kind],
            seed=seed,
        )
        scores = predict(vectors[fold.test])
        classes.append(metrics.average_precisions(scores, truth[fold.test]))
        found["mAP"].append(float(np.nanmean(classes[-1])))
        found["lwlrap"].append(metrics.lwlrap(scores, truth[fold.test]))
        advance(1)
    return Tagging(
        {name: tuple(values) for name, values in found.items()},
        tuple(fold.name for fold in folds),
        np.mean(classes, axis=0),
    )
