"""Zero-shot classification and tagging of a dataset: nothing is trained, no setting is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from wav2clip import zeroshot as prompts
from wav2clip.datasets.core import TEST, Dataset
from wav2clip.errors import InputError
from wav2clip.evaluation import metrics
from wav2clip.evaluation.encoders import Encoder, TextEncoder, Wav2ClipEncoder
from wav2clip.evaluation.features import Features
from wav2clip.evaluation.metrics import Reliability
from wav2clip.models.space import unit
from wav2clip.models.towers.base import Embeddings, Towers

PLAIN_SCALE = 100.0
"""Factor on cosines of encoders that state none: that of CLIP, at which CLAP's is capped too."""


@dataclass(frozen=True)
class ZeroShot:
    """What came of it.

    Attributes:
        values: metric to value, 0 to 1: ``accuracy`` and ``ECE`` (expected calibration error) where
            every clip has one label, else ``mAP`` and ``lwlrap``.
        clips: how many were tested.
        confusion: (classes, classes) counts where every clip has one label, else None.
        reliability: of the probabilities, likewise.
    """

    values: dict[str, float]
    clips: int
    confusion: NDArray[np.int64] | None = None
    reliability: Reliability | None = None


def phrase(label: str) -> str:
    """A label as a person would put it: words are separated by spaces."""
    return " ".join(label.replace("_", " ").split())


def tested_clips(dataset: Dataset) -> NDArray[np.int64]:
    """Clips to test on where nothing is trained: those of the test split, or all of them."""
    chosen = [n for n, clip in enumerate(dataset.clips) if clip.split == TEST]
    return np.array(chosen or range(len(dataset.clips)), np.int64)


def require_text(encoder: Encoder) -> TextEncoder:
    """The encoder, if it has a text side.

    Raises:
        InputError: it has none, or one in another space than what was asked for.
    """
    inner = isinstance(encoder, Wav2ClipEncoder) and encoder.layer == "encoder"
    if inner or not isinstance(encoder, TextEncoder):
        raise InputError(
            f"{encoder.name} gives no embeddings in a space with words; take one that does, such "
            "as builtin, or train a probe on it"
        )
    return encoder


def probabilities(
    encoder: TextEncoder,
    vectors: Embeddings,
    labels: Sequence[str],
    templates: str | Sequence[str] = prompts.DEFAULT_TEMPLATES,
    center: bool = True,
) -> Embeddings:
    """Probabilities (n, classes) of sounds (n, d); see :meth:`Wav2CLIP.probabilities`."""
    phrases = [phrase(label) for label in labels]
    # Prompts need a text side and its dimension, which every text encoder has.
    weights = prompts.class_weights(cast(Towers, encoder), phrases, templates)
    if isinstance(encoder, Wav2ClipEncoder):
        return encoder.model.probabilities(vectors, weights, center=center)
    scale: Any = getattr(encoder, "logit_scale", PLAIN_SCALE)
    return prompts.classify_embeddings(unit(vectors), weights, float(scale))


def zeroshot(
    encoder: Encoder,
    features: Features,
    *,
    templates: str | Sequence[str] = prompts.DEFAULT_TEMPLATES,
    center: bool = True,
) -> ZeroShot:
    """Test on the clips of the test split, or on all where there are folds or no splits.

    Args:
        encoder: with a text side.
        features: of its sounds.
        templates: prompts; fixed beforehand.
        center: take each modality's mean off, where it is known.

    Raises:
        InputError: the encoder has no text side; or the dataset has no labels.
    """
    dataset = features.dataset
    if not dataset.labels:
        raise InputError(f"{dataset.sheet.title} has no labels: use wav2clip evaluate retrieval")
    tested = tested_clips(dataset)
    rows = features.vectors[tested]
    shares = probabilities(require_text(encoder), rows, dataset.labels, templates, center)
    shares64 = shares.astype(np.float64)
    truth = label_matrix(dataset)[tested]
    if (truth.sum(axis=1) != 1).any():
        found = metrics.average_precisions(shares64, truth)
        values = {"mAP": float(np.nanmean(found)), "lwlrap": metrics.lwlrap(shares64, truth)}
        return ZeroShot(values, len(tested))
    targets = truth.argmax(axis=1)
    predicted = shares.argmax(axis=1)
    trust = metrics.reliability(shares64, targets)
    return ZeroShot(
        {"accuracy": metrics.accuracy(predicted, targets), "ECE": trust.error},
        len(tested),
        metrics.confusion(predicted, targets, len(dataset.labels)),
        trust,
    )


def label_matrix(dataset: Dataset) -> NDArray[np.bool_]:
    """(clips, classes): which labels each clip has."""
    numbers = {label: number for number, label in enumerate(dataset.labels)}
    matrix = np.zeros((len(dataset.clips), len(dataset.labels)), bool)
    for row, clip in enumerate(dataset.clips):
        matrix[row, [numbers[label] for label in clip.labels]] = True
    return matrix
