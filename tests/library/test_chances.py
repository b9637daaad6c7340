"""What many chances are worth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wav2clip.library.chances import independent_segments, worth
from wav2clip.library.regions import around
from wav2clip.models.background import Background
from wav2clip.models.space import unit

pytestmark = pytest.mark.everyday

BACKGROUND = Background.measure(np.zeros((0, 256)))


def noise(count: int, seed: int = 100) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((count, 256)))


@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=30),
    st.floats(1, 1e5),
    st.floats(-0.1, 0.1),
    st.floats(0.03, 0.3),
)
def test_never_more_than_it_is_and_in_order(
    cosines: list[float], segments: float, mean: float, deviation: float
) -> None:
    values = np.sort(np.array(cosines))
    one = np.ones(len(values))
    np.testing.assert_array_equal(worth(values, one, mean, deviation), values)
    many = worth(values, one * segments, mean, deviation)
    assert (many <= values + 1e-6).all()
    assert (np.diff(many) >= 0).all()
    assert (many >= -1).all()


def test_the_best_of_many_is_worth_what_the_best_of_one_is() -> None:
    """The share of files of n segments above a value is that of files of one above its worth."""
    rng = np.random.default_rng(0)
    for count in (2, 30):
        best = rng.standard_normal((40_000, count)).max(axis=1) * 0.1 + 0.02
        single = worth(best, np.full(len(best), float(count)), 0.02, 0.1)
        for z in (-1.0, 0.0, 1.0, 2.0):
            expected = math.erfc(z / math.sqrt(2)) / 2
            assert np.mean(single > 0.02 + 0.1 * z) == pytest.approx(expected, abs=0.01)


def test_segments_that_are_alike_count_for_fewer() -> None:
    different = noise(100)
    same = np.repeat(noise(1, seed=101), 100, axis=0)
    mixed = np.concatenate([same, different[:20]])
    rows = np.concatenate([different, same, mixed, noise(1)])
    counted = independent_segments(rows, np.array([0, 100, 200, 320]), BACKGROUND)
    assert 5 < counted[0] <= 100
    assert counted[1] == pytest.approx(1)
    assert 1.5 < counted[2] < counted[0]
    assert counted[3] == 1
    alone = independent_segments(different, np.array([0]), BACKGROUND)
    assert alone[0] == pytest.approx(counted[0], rel=1e-4), "whatever else is there"


def test_a_region_ends_where_half_of_it_is_gone() -> None:
    cosines = np.array([0.5, 0.05, 0.2, 0.4, 0.3, -np.inf, 0.35])
    assert around(3, cosines, 0.0)[1:] == (2, 4)
    assert around(3, cosines, 0.3)[1:] == (3, 3)
    assert around(0, cosines, 0.0)[1:] == (0, 0)
    assert around(6, cosines, 0.0)[1:] == (6, 6)
    assert around(1, np.array([0.1, 0.1, 0.1]), 0.0)[1:] == (0, 2)
    assert around(1, np.array([-0.4, -0.2, -0.3]), 0.0)[1] <= 1
