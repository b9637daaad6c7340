"""Classifiers on frozen embeddings, fold by fold.

Everything that is fitted (scaler, classifier, its settings) is fitted on training folds alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from wav2clip.datasets.core import Dataset
from wav2clip.embedding.engine import Embeddings
from wav2clip.errors import DataError, InputError
from wav2clip.evaluation import metrics
from wav2clip.evaluation.mlp import fit_mlp
from wav2clip.evaluation.splits import Fold, Indices, fraction_of, inner_folds, make_folds

Kind = Literal["linear", "mlp", "svm"]
KINDS: tuple[Kind, ...] = get_args(Kind)

STRENGTHS = {"linear": (1e-4, 1e-3, 1e-2, 1e-1, 1.0), "svm": (0.1, 1.0, 10.0, 100.0)}
"""C of the logistic regression and of the support vector machine: one is chosen by clips of the
training folds that are held out."""

FIXED_STRENGTH = {"linear": 1e-2, "svm": 10.0}
"""C where there are too few labels to hold any out."""

INNER_PARTS = 3

Predict = Callable[[Embeddings], NDArray[np.float64]]
"""Embeddings (n, d) to scores (n, classes)."""

Classify = Callable[[Fold, Indices, int], NDArray[np.int64]]
"""Fold, clips whose labels may be seen, and seed to the predicted classes of its test clips."""


@dataclass(frozen=True)
class Outcome:
    """What a classifier did on all folds.

    Attributes:
        folds: accuracy on each, 0 to 1.
        names: of the folds.
        confusion: (classes, classes) counts over all test clips; rows are what it was.
        labels: how many labels were seen, mean over the folds.
    """

    folds: tuple[float, ...]
    names: tuple[str, ...]
    confusion: NDArray[np.int64]
    labels: float

    @property
    def accuracy(self) -> float:
        """Mean over the folds."""
        return float(np.mean(self.folds))

    @property
    def spread(self) -> float | None:
        """Standard deviation over the folds (ddof 0); None of one."""
        return float(np.std(self.folds)) if len(self.folds) > 1 else None


def targets_of(dataset: Dataset) -> NDArray[np.int64]:
    """Class of each clip (n,).

    Raises:
        DataError: a clip has no label or several.
    """
    for clip in dataset.clips:
        if len(clip.labels) != 1:
            raise DataError(
                f"{dataset.sheet.title}: {clip.key} has {len(clip.labels)} labels, classification "
                "takes one; for several use: wav2clip evaluate tagging"
            )
    numbers = {label: number for number, label in enumerate(dataset.labels)}
    return np.array([numbers[clip.labels[0]] for clip in dataset.clips], np.int64)


def probe(
    vectors: Embeddings,
    dataset: Dataset,
    kind: Kind = "linear",
    *,
    fraction: float = 1.0,
    seed: int = 0,
    shuffle_labels: bool = False,
    advance: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Train a classifier on frozen embeddings and test it, on every fold.

    Args:
        vectors: (n, d), a row per clip.
        dataset: whose clips they are of.
        kind: "linear" (logistic regression), "mlp" (see :mod:`wav2clip.evaluation.mlp`) or "svm"
            (radial kernel).
        fraction: share of the training labels that is seen, in (0, 1]; see
            :func:`~wav2clip.evaluation.splits.fraction_of`.
        seed: of that draw, and of the weights of an MLP.
        shuffle_labels: the control: labels of the training clips in random order. A harness without
            leaks lands at chance.
        advance: called with 1 after each fold.

    Raises:
        InputError: unknown kind, or a fraction out of range.
        DataError: no folds can be made, or a recording is on both sides of one.
    """
    if kind not in KINDS:
        raise InputError(f"got probe {kind!r}, expected one of {', '.join(KINDS)}")
    targets = targets_of(dataset)

    def classify(fold: Fold, seen: Indices, seed: int) -> NDArray[np.int64]:
        known = targets.copy()
        if shuffle_labels:
            known[fold.pool] = np.random.default_rng(seed).permutation(known[fold.pool])
        inner = _inner(dataset, fold, seen)
        fit = _fit_mlp if kind == "mlp" else _fit_sklearn
        predict = fit(kind, vectors, known, seen, inner, seed)
        return predict(vectors[fold.test])

    return over_folds(dataset, classify, fraction=fraction, seed=seed, advance=advance)


def over_folds(
    dataset: Dataset,
    classify: Classify,
    *,
    fraction: float,
    seed: int,
    advance: Callable[[int], None],
    folds: Sequence[str] = (),
) -> Outcome:
    """Run a classifier on every fold, or on those that are named, and count what it took for what.

    Raises:
        InputError: a fraction out of range, or a fold that there is not.
        DataError: as :func:`~wav2clip.evaluation.splits.make_folds`.
    """
    if not 0 < fraction <= 1:
        raise InputError(f"got fraction {fraction}, expected more than 0 and at most 1")
    targets, made = targets_of(dataset), make_folds(dataset)
    unknown = set(folds) - {fold.name for fold in made}
    if unknown:
        raise InputError(f"there is no fold {sorted(unknown)[0]}, only {[f.name for f in made]}")
    made = [fold for fold in made if not folds or fold.name in folds]
    classes = len(dataset.labels)
    counts = np.zeros((classes, classes), np.int64)
    scores, seen_labels = [], []
    for fold in made:
        seen = fraction_of(targets, fold.pool, fraction, seed)
        predicted = classify(fold, seen, seed)
        scores.append(metrics.accuracy(predicted, targets[fold.test]))
        counts += metrics.confusion(predicted, targets[fold.test], classes)
        seen_labels.append(len(seen))
        advance(1)
    names = tuple(fold.name for fold in made)
    return Outcome(tuple(scores), names, counts, float(np.mean(seen_labels)))


def _inner(dataset: Dataset, fold: Fold, seen: Indices) -> list[tuple[Indices, Indices]]:
    """Pairs (train, held out) of the labels seen: the validation fold, or drawn parts of them."""
    if len(seen) == len(fold.pool):
        return [(fold.train, fold.validation)]
    return inner_folds(dataset, seen, INNER_PARTS)


def _fit_sklearn(
    kind: Kind,
    vectors: Embeddings,
    targets: NDArray[np.int64],
    seen: Indices,
    inner: list[tuple[Indices, Indices]],
    seed: int,
) -> Callable[[Embeddings], NDArray[np.int64]]:
    def make(strength: float):  # type: ignore[no-untyped-def]  # a scikit-learn pipeline
        last = (
            LogisticRegression(C=strength, max_iter=1000) if kind == "linear" else SVC(C=strength)
        )
        return make_pipeline(StandardScaler(), last)

    def held_out(strength: float) -> float:
        scores = [
            make(strength).fit(vectors[a], targets[a]).score(vectors[b], targets[b])
            for a, b in inner
        ]
        return float(np.mean(scores))

    with warnings.catch_warnings():  # of classes with a single clip, which are meant
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        best = max(STRENGTHS[kind], key=held_out) if inner else FIXED_STRENGTH[kind]
        model = make(best).fit(vectors[seen], targets[seen])
    return lambda rows: np.asarray(model.predict(rows), np.int64)


def _fit_mlp(
    kind: Kind,
    vectors: Embeddings,
    targets: NDArray[np.int64],
    seen: Indices,
    inner: list[tuple[Indices, Indices]],
    seed: int,
) -> Callable[[Embeddings], NDArray[np.int64]]:
    train, held = inner[0] if inner else (seen, seen[:0])
    one_hot = np.eye(int(targets.max()) + 1, dtype=np.float32)[targets]
    predict = fit_mlp(vectors[train], one_hot[train], vectors[held], one_hot[held], seed=seed)
    return lambda rows: predict(rows).argmax(axis=1)
