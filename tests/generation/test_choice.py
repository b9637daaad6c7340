"""Which picture is chosen when: against trying everything, and what always holds."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wav2clip.errors import InputError
from wav2clip.generation import choice
from wav2clip.generation.choice import (
    ACCENT,
    CHANGE,
    LONGEST,
    SHORTEST,
    Places,
    Shot,
    choose,
    cut_places,
)
from wav2clip.generation.film import Moments
from wav2clip.generation.rhythm import Rhythm

pytestmark = pytest.mark.everyday


def course(onsets: np.ndarray, strengths: np.ndarray, seconds: float) -> Rhythm:
    nothing = np.zeros(1, np.float32)
    return Rhythm(seconds, 1.0, onsets, strengths.astype("f4"), nothing, nothing)


def moments_of(scores: np.ndarray, hop: float = 0.5) -> Moments:
    """Moments whose embeddings are their scores."""
    return Moments(scores.astype(np.float32), np.arange(len(scores)) * hop + 0.5)


def shots_of(
    scores: np.ndarray, places: Places, budget: int = 3, hop: float = 0.5
) -> tuple[list[Shot], int]:
    return choose(lambda rows: rows, scores.shape[1], moments_of(scores, hop), places, budget)


def integral(scores: np.ndarray, begin: float, end: float) -> np.ndarray:
    """The slow way: in steps of a millisecond, the nearest moment's."""
    middles = np.arange(begin, end, 0.001) + 0.0005
    nearest = np.abs(middles[:, None] - (np.arange(len(scores)) * 0.5 + 0.5)).argmin(axis=1)
    return scores[nearest].sum(axis=0) * 0.001


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(3, 4), st.integers(3, 7))
def test_cuts_are_the_best_there_are(seed: int, pictures: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    seconds = np.concatenate(([0.0], np.cumsum(rng.uniform(0.7, 1.0, count))))
    places = Places(seconds, np.where(rng.random(count + 1) < 0.5, rng.random(count + 1), 0))
    scores = rng.uniform(-0.2, 0.5, (int(seconds[-1] / 0.5) + 1, pictures))

    def value(cuts: tuple[int, ...], shown: tuple[int, ...]) -> float:
        total = 0.0
        for (a, b), picture in zip(pairwise(cuts), shown, strict=True):
            total += float(integral(scores, seconds[a], seconds[b])[picture])
            total += ACCENT * float(places.strengths[b]) - CHANGE
        return total

    best = -np.inf
    for inner in product((False, True), repeat=count - 1):
        cuts = (0, *(k + 1 for k, cut in enumerate(inner) if cut), count)
        lengths = np.diff(seconds[list(cuts)])
        if lengths.min() < SHORTEST or lengths.max() > LONGEST:
            continue
        for shown in product(range(pictures), repeat=len(cuts) - 1):
            if all(a != b for a, b in pairwise(shown)):
                best = max(best, value(cuts, shown))
    if best == -np.inf:
        return
    shots, _ = shots_of(scores, places, budget=100)
    rows = [int(np.flatnonzero(seconds == shot.start)[0]) for shot in shots]
    found = value((*rows, count), tuple(shot.picture for shot in shots))
    # What was chosen by trying everything is not better, but for the steps of the slow way.
    assert found == pytest.approx(best, abs=0.01)


@settings(max_examples=60)
@given(
    st.integers(0, 10_000), st.integers(1, 9), st.floats(0.05, 60), st.integers(1, 4), st.booleans()
)
def test_what_always_holds(
    seed: int, pictures: int, seconds: float, budget: int, silent: bool
) -> None:
    rng = np.random.default_rng(seed)
    onsets = np.sort(rng.uniform(0, seconds, 0 if silent else int(3 * seconds)))
    places = cut_places(course(onsets, rng.random(len(onsets)), seconds), seconds)
    assert places.seconds[0] == 0
    assert places.seconds[-1] == seconds
    gaps = np.diff(places.seconds)
    assert gaps.max() <= 1 + 1e-9
    assert (gaps[:-1] >= min(0.3, gaps.max()) - 1e-9).all() or seconds < 0.6
    moments = max(1, int(seconds / 0.5) - 1)
    scores = np.zeros((moments, pictures)) if silent else rng.normal(0, 0.2, (moments, pictures))
    shots, allowed = shots_of(scores, places, budget)
    assert shots == shots_of(scores, places, budget)[0]
    assert (shots[0].start, shots[-1].end) == (0, seconds)
    assert all(a.end == b.start for a, b in pairwise(shots))
    lengths = [shot.end - shot.start for shot in shots]
    assert max(lengths) <= LONGEST + 1e-6
    assert min(lengths) >= min(SHORTEST, seconds) - 1e-6
    if pictures > 1:
        assert all(a.picture != b.picture for a, b in pairwise(shots))
    assert allowed >= budget or pictures < 3
    assert np.bincount([shot.picture for shot in shots]).max() <= allowed
    if pictures > 2 and len(shots) <= budget * (pictures - 2):
        assert allowed == budget
    strengths = dict(zip(places.seconds.tolist(), places.strengths.tolist(), strict=True))
    assert all(strengths[shot.start] == shot.strength for shot in shots)


def test_a_picture_stays_while_it_fits_and_cuts_fall_on_onsets() -> None:
    scores = np.full((30, 4), 0.1)
    scores[:9, 0] = scores[9:18, 1] = scores[18:, 2] = 0.3  # to 5 s, to 9.5 s, to the end
    scores[4, 3] = 0.35  # for half a second another one fits better
    onsets, strengths = np.array([2.0, 5.1, 9.4]), np.array([0.3, 0.6, 0.8])
    shots, _ = shots_of(scores, cut_places(course(onsets, strengths, 15.0), 15.0))
    assert [(shot.start, shot.picture) for shot in shots] == [(0, 0), (5.1, 1), (9.4, 2)]
    assert shots[1].score == pytest.approx(0.3, abs=0.02)


def test_the_budget_goes_to_whom_it_fits_best() -> None:
    scores = np.full((60, 10), 0.0)
    scores[:, 0] = np.where(np.arange(60) < 30, 0.2, 0.6)
    scores[:, 1] = 0.1
    places = Places(np.linspace(0, 30, 31), np.zeros(31, np.float32))
    shots, _ = shots_of(scores, places, budget=100)
    assert {shot.picture for shot in shots} == {0, 1}
    assert any(shot.start < 9 for shot in shots if shot.picture == 0)
    shots, _ = shots_of(scores, places, budget=2)
    assert sum(shot.picture == 0 for shot in shots) == 2
    assert all(shot.start >= 15 for shot in shots if shot.picture == 0)


def test_of_many_pictures_those_are_kept_that_fit_some_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 0.05, (40, 3000)).astype(np.float32)
    winners = rng.permutation(3000)[:5]
    for part, winner in enumerate(winners):
        scores[part * 8 : part * 8 + 8, winner] = 0.9
    places = Places(np.linspace(0, 20, 41), np.zeros(41, np.float32))
    expected = shots_of(scores, places)
    monkeypatch.setattr(choice, "_CELLS", 4000)  # a hundred pictures
    assert shots_of(scores, places) == expected
    assert {shot.picture for shot in expected[0]} == set(winners.tolist())


def test_a_budget_of_nothing() -> None:
    places = Places(np.array([0.0, 1.0]), np.zeros(2, np.float32))
    with pytest.raises(InputError, match="budget is 0"):
        shots_of(np.zeros((1, 2)), places, budget=0)
