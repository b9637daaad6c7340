"""Outcomes of tasks as rows of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from wav2clip.datasets.core import TEST, Dataset
from wav2clip.evaluation.encoders import Encoder
from wav2clip.evaluation.probes import Outcome
from wav2clip.evaluation.records import Record
from wav2clip.evaluation.retrieval import Direction
from wav2clip.evaluation.splits import make_folds
from wav2clip.evaluation.tagging import Tagging
from wav2clip.evaluation.zeroshot import ZeroShot


@dataclass(frozen=True)
class Subject:
    """What is measured on what."""

    encoder: Encoder
    dataset: Dataset

    def row(self, task: str, metric: str, value: float, **others: Any) -> Record:
        """A row about it."""
        return Record(
            task=task,
            dataset=self.dataset.sheet.name,
            dataset_checksum=self.dataset.checksum,
            model=self.encoder.name,
            fingerprint=self.encoder.fingerprint,
            metric=metric,
            value=value,
            **others,
        )


def probe_rows(
    subject: Subject, outcome: Outcome, settings: Mapping[str, Any], fraction: float, seed: int
) -> list[Record]:
    """The accuracy, with the folds' values and what was taken for what."""
    details = {
        "folds": dict(zip(outcome.names, outcome.folds, strict=True)),
        "labels_seen": outcome.labels,
        "classes": subject.dataset.labels,
        "confusion": outcome.confusion.tolist(),
    }
    return [
        subject.row(
            "probe",
            "accuracy",
            outcome.accuracy,
            spread=outcome.spread,
            split=tested_on(subject.dataset, outcome.names),
            fraction=fraction,
            seed=seed,
            settings=settings,
            details=details,
        )
    ]


def zeroshot_rows(subject: Subject, outcome: ZeroShot, settings: Mapping[str, Any]) -> list[Record]:
    """A row per metric; that of the accuracy has confusion and reliability."""
    details: dict[str, Any] = {"clips": outcome.clips, "classes": subject.dataset.labels}
    if outcome.confusion is not None and outcome.reliability is not None:
        trust = outcome.reliability
        details["confusion"] = outcome.confusion.tolist()
        details["reliability"] = {
            "said": trust.said.tolist(),
            "right": trust.right.tolist(),
            "clips": trust.clips.tolist(),
        }
    main, *others = outcome.values
    row = partial(
        subject.row, "zeroshot", split=untrained_split(subject.dataset), settings=settings
    )
    return [
        row(main, outcome.values[main], details=details),
        *(row(name, outcome.values[name]) for name in others),
    ]


def retrieval_rows(
    subject: Subject, directions: Sequence[Direction], settings: Mapping[str, Any]
) -> list[Record]:
    """A row per direction and metric, each with the size of its gallery."""
    return [
        subject.row(
            "retrieval",
            metric,
            value,
            split=untrained_split(subject.dataset),
            settings={
                **settings,
                "direction": direction.name,
                "queries": direction.queries,
                "gallery": direction.candidates,
            },
        )
        for direction in directions
        for metric, value in direction.values.items()
    ]


def tagging_rows(
    subject: Subject, outcome: Tagging, settings: Mapping[str, Any], fraction: float, seed: int
) -> list[Record]:
    """A row per metric; that of the mAP has the average precision of each class."""
    per_class = [None if np.isnan(value) else float(value) for value in outcome.per_class]
    return [
        subject.row(
            "tagging",
            metric,
            float(np.mean(values)),
            spread=float(np.std(values)) if len(values) > 1 else None,
            split=tested_on(subject.dataset, outcome.names),
            fraction=fraction,
            seed=seed,
            settings=settings,
            details={"classes": subject.dataset.labels, "average_precision": per_class}
            if metric == "mAP"
            else {},
        )
        for metric, values in outcome.folds.items()
    ]


def tested_on(dataset: Dataset, names: Sequence[str]) -> str:
    """Folds in words: "5 folds", "folds 1, 10 of 10", "5 drawn folds", or the split's name."""
    if dataset.sheet.folds:
        total = len(dataset.sheet.splits)
        whole = len(names) == total
        return f"{total} folds" if whole else f"folds {', '.join(names)} of {total}"
    return ", ".join(names) if TEST in names else f"{len(names)} drawn folds"


def tested_on_folds(dataset: Dataset) -> str:
    """All folds that are made of the dataset, in the words of :func:`tested_on`."""
    return tested_on(dataset, [fold.name for fold in make_folds(dataset)])


def untrained_split(dataset: Dataset) -> str:
    """The clips that a task without training tests on, in words."""
    if TEST in dataset.splits:
        return TEST
    if dataset.sheet.folds and len(dataset.splits) < len(dataset.sheet.splits):
        return f"folds {', '.join(dataset.splits)} of {len(dataset.sheet.splits)}"
    return "all clips"


def score_rows(
    subject: Subject,
    task: str,
    scores: Sequence[Mapping[str, float]],
    split: str,
    settings: Mapping[str, Any],
) -> list[Record]:
    """A row per metric: its mean over several trainings, and their spread."""
    return [
        subject.row(
            task,
            metric,
            float(np.mean([one[metric] for one in scores])),
            spread=float(np.std([one[metric] for one in scores])) if len(scores) > 1 else None,
            split=split,
            settings={**settings, "trainings": len(scores)},
        )
        for metric in scores[0]
    ]
