"""Who is trained on and who is tested on: official folds, drawn ones, fractions, and leaks."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from wav2clip.datasets.core import TEST, TRAIN, VALIDATION, Clip, Dataset
from wav2clip.errors import DataError
from wav2clip.files import display

Indices = NDArray[np.int64]

DRAWN_FOLDS = 5
"""Folds of a dataset that has none."""

SEED = 2021
"""Of folds that are drawn: that of the published training."""


@dataclass(frozen=True)
class Fold:
    """Clips by their number in the dataset.

    Attributes:
        name: of the fold or split that is tested on.
        train: to fit on.
        validation: to choose settings and to stop by; never to test on.
        test: to report.
    """

    name: str
    train: Indices
    validation: Indices
    test: Indices

    @property
    def pool(self) -> Indices:
        """All whose labels may be seen."""
        return np.sort(np.concatenate([self.train, self.validation]))


def make_folds(dataset: Dataset) -> list[Fold]:
    """Official folds, each tested on in its turn; the official split; or drawn folds.

    Of three folds or more the one after the tested one is for validation. Where there is no
    official validation set, a fifth of the training clips is drawn, whole recordings at a time and
    in the proportions of the classes. A dataset without splits gets :data:`DRAWN_FOLDS` like that.

    Raises:
        DataError: there is nothing to train or to test on, or a recording is on both sides.
    """
    splits = np.array([clip.split for clip in dataset.clips])
    if dataset.sheet.folds and len(dataset.splits) > 1:
        folds = _rotate(dataset, splits, list(dataset.splits))
    elif {TRAIN, TEST} <= set(dataset.splits):
        train, test = np.flatnonzero(splits == TRAIN), np.flatnonzero(splits == TEST)
        held = np.flatnonzero(splits == VALIDATION)
        if not len(held):
            train, held = hold_out(dataset, train)
        folds = [Fold(TEST, train, held, test)]
    elif len(dataset.splits) == 1 and not dataset.sheet.folds:
        drawn = np.empty(len(splits), object)
        whole = np.arange(len(splits))
        for number, (_, chosen) in enumerate(_divide(dataset, whole, DRAWN_FOLDS), 1):
            drawn[chosen] = str(number)
        folds = _rotate(dataset, drawn, [str(n) for n in range(1, DRAWN_FOLDS + 1)])
    else:
        raise DataError(
            f"{dataset.sheet.title} has {', '.join(dataset.splits) or 'no clips'} here: expected "
            "two folds or more, or the splits train and test"
        )
    for fold in folds:
        check_leaks(dataset, fold)
    return folds


def check_leaks(dataset: Dataset, fold: Fold) -> None:
    """Do nothing if no recording is both trained on and tested on.

    Clips are of one recording when the dataset says so, or when their files are the same.

    Raises:
        DataError: naming such clips.
    """
    seen = _recordings(dataset, fold.pool)
    tested = _recordings(dataset, fold.test)
    shared = sorted(seen.keys() & tested.keys(), key=str)
    if not shared:
        return
    lines = [f"  {display(seen[key].key)} and {display(tested[key].key)}" for key in shared[:10]]
    raise DataError(
        f"{dataset.sheet.title}: {len(shared)} recordings are trained on and tested on "
        f"(fold {fold.name}), which would make the result worthless:\n" + "\n".join(lines)
    )


def hold_out(dataset: Dataset, indices: Indices, parts: int = 5) -> tuple[Indices, Indices]:
    """The clips without, and with, one of ``parts``, drawn by recording and class."""
    recordings = len({dataset.clips[index].group for index in indices})
    rest, held = _divide(dataset, indices, max(2, min(parts, recordings)))[0]
    return rest, held


def inner_folds(dataset: Dataset, indices: Indices, parts: int) -> list[tuple[Indices, Indices]]:
    """(train, held out) within some clips, to choose settings by; fewer where classes are small.

    Empty where the smallest class has one recording.
    """
    groups: dict[str, set[str]] = defaultdict(set)
    for index in indices:
        groups[label_of(dataset.clips[index])].add(dataset.clips[index].group)
    parts = min(parts, *(len(found) for found in groups.values()))
    return _divide(dataset, indices, parts) if parts > 1 else []


def fraction_of(targets: NDArray[np.int64], indices: Indices, share: float, seed: int) -> Indices:
    """A share of the clips, in the proportions of the classes, one of each class at least.

    Smaller shares of one seed lie within larger ones.

    Args:
        targets: (n,) class of each clip of the dataset.
        indices: clips to choose among.
        share: in (0, 1].
        seed: of the draw.
    """
    if share >= 1:
        return indices
    rng = np.random.default_rng(seed)
    chosen = []
    for number in np.unique(targets[indices]):
        own = rng.permutation(indices[targets[indices] == number])
        chosen.append(own[: max(1, round(share * len(own)))])
    return np.sort(np.concatenate(chosen))


def label_of(clip: Clip) -> str:
    """What classes are balanced by: the label, of several the first."""
    return clip.labels[0] if clip.labels else ""


def _rotate(dataset: Dataset, splits: NDArray[np.object_], names: list[str]) -> list[Fold]:
    folds = []
    for place, name in enumerate(names):
        test = np.flatnonzero(splits == name)
        others = np.flatnonzero(splits != name)
        if len(names) > 2:
            following = splits[others] == names[(place + 1) % len(names)]
            train, held = others[~following], others[following]
        else:
            train, held = hold_out(dataset, others)
        folds.append(Fold(name, train, held, test))
    return folds


def _divide(dataset: Dataset, indices: Indices, parts: int) -> list[tuple[Indices, Indices]]:
    clips = [dataset.clips[index] for index in indices]
    labels, groups = [label_of(clip) for clip in clips], [clip.group for clip in clips]
    parts = min(parts, max(Counter(labels).values()))  # no part without the largest class
    if parts < 2 or len(set(groups)) < parts:
        raise DataError(
            f"{dataset.sheet.title}: {len(set(groups))} recordings of {len(set(labels))} classes "
            "are too few to hold any out; bring more, or splits of your own"
        )
    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=SEED)
    with warnings.catch_warnings():  # of classes with fewer recordings than parts
        warnings.simplefilter("ignore", UserWarning)
        return [(indices[a], indices[b]) for a, b in splitter.split(clips, labels, groups)]


def _recordings(dataset: Dataset, indices: Indices) -> dict[tuple[str, str], Clip]:
    found = {}
    for index in indices:
        clip = dataset.clips[index]
        found["file", dataset.digests[clip.key]] = clip
        if clip.group not in dataset.sheet.shared_groups:
            found["recording", clip.group] = clip
    return found
