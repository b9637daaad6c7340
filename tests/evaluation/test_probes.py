"""Probes: folds, fractions, planted leaks, the shuffled control, and a check on the harness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from spectrum import Spectrum
from wav2clip.datasets.catalogue import SHEETS, load_dataset
from wav2clip.datasets.core import Clip, Dataset
from wav2clip.errors import DataError, InputError
from wav2clip.evaluation.encoders import load_encoder
from wav2clip.evaluation.features import compute
from wav2clip.evaluation.probes import KINDS, Kind, probe, targets_of
from wav2clip.evaluation.splits import fraction_of, inner_folds, make_folds
from wav2clip.evaluation.tagging import tagging

Tiny = Callable[[str], Dataset]


def made(clips: int = 400, classes: int = 4, folds: int = 5) -> tuple[np.ndarray, Dataset]:
    """Vectors that tell the classes apart, and clips whose files need not exist."""
    rng = np.random.default_rng(0)
    targets = np.arange(clips) % classes
    vectors = rng.normal(size=(clips, max(16, classes))).astype(np.float32)
    vectors[np.arange(clips), targets] += 4
    rows = [
        Clip(str(n), Path(f"{n}.wav"), str(1 + n // classes % folds), (f"c{targets[n]}",), f"g{n}")
        for n in range(clips)
    ]
    sheet = replace(SHEETS["esc50"], splits=tuple("12345"[:folds]))
    labels = tuple(f"c{n}" for n in range(classes))
    dataset = Dataset(sheet, Path(), tuple(rows), (), labels, sheet.splits)
    dataset.__dict__["digests"] = {clip.key: clip.key for clip in rows}
    return vectors, dataset


@pytest.mark.parametrize("name", ["esc50", "urbansound8k", "tau2020", "fsd50k", "csv", "folder"])
def test_folds_cover_and_never_mix(tiny: Tiny, name: str) -> None:
    dataset = tiny(name)
    folds = make_folds(dataset)
    for fold in folds:
        parts = [set(fold.train), set(fold.validation), set(fold.test)]
        assert all(parts)
        assert len(set.union(*parts)) == sum(map(len, parts)) == len(dataset.clips)
        groups = [{dataset.clips[n].group for n in part} for part in parts]
        assert not groups[2] & (groups[0] | groups[1])
    if len(folds) > 1:
        tested = np.concatenate([fold.test for fold in folds])
        assert sorted(tested) == list(range(len(dataset.clips))), "each clip is tested on once"


def test_the_official_folds_of_the_real_ones(data: Path) -> None:
    for name, folder, expected in (("esc50", "esc50", 5), ("urbansound8k", "urbansound8k", 2)):
        dataset = load_dataset(name, data / folder)
        folds = make_folds(dataset)
        assert [fold.name for fold in folds] == list(dataset.splits) and len(folds) == expected
        for fold in folds:
            assert {dataset.clips[n].split for n in fold.test} == {fold.name}


@pytest.mark.parametrize("how", ["recording", "file"])
def test_a_planted_leak_is_caught(how: str) -> None:
    """The same recording in two folds, said by the table or seen in the file."""
    vectors, dataset = made()
    clips = list(dataset.clips)
    a, b = clips[0], next(clip for clip in clips if clip.split != clips[0].split)
    if how == "recording":
        clips[0] = replace(a, group=b.group)
    leaky = replace(dataset, clips=tuple(clips))
    digests = {clip.key: clip.key for clip in clips}
    leaky.__dict__["digests"] = digests | ({a.key: b.key} if how == "file" else {})
    with pytest.raises(DataError) as caught:
        probe(vectors, leaky)
    assert "trained on and tested on" in str(caught.value)
    assert a.key in str(caught.value) and b.key in str(caught.value)
    with pytest.raises(DataError, match="trained on and tested on"):
        tagging(vectors, leaky)


def test_a_copied_file_in_another_fold_is_caught(tiny: Tiny, spectrum: Spectrum) -> None:
    dataset = tiny("esc10")
    first = dataset.clips[0]
    other = next(c for c in dataset.clips if c.split != first.split and c.labels == first.labels)
    other.path.write_bytes(first.path.read_bytes())
    found = compute(spectrum, tiny("esc10"))
    with pytest.raises(DataError, match="trained on and tested on"):
        probe(found.vectors, found.dataset)


@pytest.mark.parametrize("kind", KINDS)
def test_probes_learn_what_is_there_and_nothing_else(kind: Kind) -> None:
    vectors, dataset = made(clips=300, classes=20, folds=3)
    outcome = probe(vectors, dataset, kind)
    assert outcome.accuracy > 0.8 and outcome.spread is not None
    assert outcome.confusion.sum() == 300
    assert np.trace(outcome.confusion) / 300 == pytest.approx(outcome.accuracy)
    control = probe(vectors, dataset, kind, shuffle_labels=True)
    # Chance is 0.05. Whole classes are mistaken together, so 60 of them are what is counted.
    assert control.accuracy < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_fitted_on_the_test_fold(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, dataset = made(clips=120, folds=3)
    marked = vectors.copy()
    marked[:, -1] = np.arange(len(vectors))  # tells which clips a scaler saw
    seen: list[set[int]] = []
    fit = StandardScaler.fit

    def spy(self: StandardScaler, rows: np.ndarray, *args: object) -> StandardScaler:
        seen.append(set(rows[:, -1].astype(int)))
        return fit(self, rows, *args)

    monkeypatch.setattr(StandardScaler, "fit", spy)
    probe(marked, dataset, kind)
    pools = [set(fold.pool) for fold in make_folds(dataset)]
    assert seen and all(any(rows <= pool for pool in pools) for rows in seen)
    assert all(any(rows <= set(fold.pool) for rows in seen) for fold in make_folds(dataset))


def test_test_labels_do_not_matter() -> None:
    """What is predicted for a fold must not change when that fold's labels do."""
    vectors, dataset = made()
    fold = make_folds(dataset)[0]
    clips = list(dataset.clips)
    for n in fold.test:
        clips[n] = replace(clips[n], labels=("c0",))
    other = replace(dataset, clips=tuple(clips))
    other.__dict__["digests"] = dataset.digests
    before, after = probe(vectors, dataset), probe(vectors, other)
    share = float((targets_of(dataset)[fold.test] == 0).mean())
    assert after.folds[0] == pytest.approx(share, abs=0.05) and before.folds[0] > 0.95


@given(st.integers(0, 99), st.sampled_from([0.01, 0.1, 0.3, 0.5]), st.integers(2, 9))
def test_fractions_keep_the_proportions_and_nest(seed: int, share: float, classes: int) -> None:
    targets = np.random.default_rng(seed).integers(0, classes, 200)
    indices = np.flatnonzero(np.arange(200) % 5)
    chosen = fraction_of(targets, indices, share, seed)
    assert set(chosen) <= set(indices) and len(set(chosen)) == len(chosen)
    for number in np.unique(targets[indices]):
        own = (targets[indices] == number).sum()
        assert (targets[chosen] == number).sum() == max(1, round(share * own))
    assert set(chosen) <= set(fraction_of(targets, indices, min(1.0, 2 * share), seed))
    assert set(fraction_of(targets, indices, 1.0, seed)) == set(indices)


def test_fewer_labels_cost_accuracy() -> None:
    vectors, dataset = made()
    vectors[:, :4] *= 0.45
    scores = {share: probe(vectors, dataset, fraction=share).accuracy for share in (0.01, 0.1, 1)}
    assert scores[0.01] < scores[0.1] < scores[1]
    assert probe(vectors, dataset, fraction=0.01).labels == 4, "one of each class"
    assert inner_folds(dataset, np.arange(4), 3) == [], "nothing to choose a setting by"


def test_tagging_reads_the_official_split(tiny: Tiny, spectrum: Spectrum) -> None:
    found = compute(spectrum, tiny("fsd50k"))
    outcome = tagging(found.vectors, found.dataset, "linear")
    assert outcome.names == ("test",)
    assert outcome.folds["mAP"][0] > 0.6 and outcome.folds["lwlrap"][0] > 0.6


def test_tagging_learns_and_its_control_does_not() -> None:
    """Two labels of eight for each of 160 clips: chance is a mAP of 0.25."""
    vectors, dataset = made(clips=160, classes=8, folds=2)
    clips = []
    for n, clip in enumerate(dataset.clips):
        second = (n // 8) % 7 + 1  # never the first: labels shift by 1 to 7 places
        clips.append(replace(clip, labels=(clip.labels[0], f"c{(n + second) % 8}")))
        vectors[n, (n + second) % 8] += 4
    both = replace(dataset, clips=tuple(clips))
    both.__dict__["digests"] = dataset.digests
    learnt = tagging(vectors, both, "mlp").folds
    assert min(learnt["mAP"]) > 0.8 and min(learnt["lwlrap"]) > 0.8
    noise = np.random.default_rng(0).normal(size=vectors.shape).astype(np.float32)
    control = tagging(noise, both, "mlp").folds["mAP"]
    assert np.mean(control) < 0.4


def test_what_cannot_be_done_is_said(tiny: Tiny) -> None:
    vectors, dataset = made()
    with pytest.raises(InputError, match="expected one of linear, mlp, svm"):
        probe(vectors, dataset, "forest")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="more than 0 and at most 1"):
        probe(vectors, dataset, fraction=0)
    with pytest.raises(DataError, match="evaluate tagging"):
        targets_of(tiny("fsd50k"))
    alone = replace(dataset, clips=dataset.clips[:4], splits=("1",))
    with pytest.raises(DataError, match="two folds or more"):
        make_folds(alone)


def test_the_harness_lands_where_the_literature_is(data: Path) -> None:
    """Log-mel statistics and an SVM on ESC-10: 65 to 80 %, as classical baselines have it
    (Piczak 2015: SVM 67.5, random forest 72.7)."""
    dataset = load_dataset("esc10", data / "esc50")
    found = compute(load_encoder("logmel"), dataset)
    outcome = probe(found.vectors, found.dataset, "svm")
    assert 0.65 <= outcome.accuracy <= 0.80
    control = probe(found.vectors, found.dataset, "svm", shuffle_labels=True)
    assert abs(control.accuracy - 0.1) < 0.06
