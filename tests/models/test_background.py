"""How near sounds of all sorts lie to a query, on disk and in numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wav2clip.embedding.embedder import load
from wav2clip.errors import CheckpointError
from wav2clip.models.background import (
    AXES,
    BACKGROUND_FILE,
    BY_DEVIATION,
    Background,
    Logistic,
    read_background,
    write_background,
)
from wav2clip.models.space import unit

pytestmark = pytest.mark.everyday


def sounds(count: int, dimension: int = 64, seed: int = 0) -> np.ndarray:
    """Vectors that lie more in some directions than in others."""
    rng = np.random.default_rng(seed)
    return unit(rng.standard_normal((count, dimension)) * np.linspace(2, 0.1, dimension) + 0.1)


def test_is_the_distribution_of_the_cosines() -> None:
    vectors = sounds(20_000)
    background = Background.measure(vectors)
    for query in sounds(5, seed=1):
        cosines = vectors @ query
        mean, deviation = background.of(query)
        assert mean == pytest.approx(cosines.mean(), abs=1e-3)
        assert deviation == pytest.approx(cosines.std(), rel=1e-2)
    probes, means, deviations = background.probes(7)
    for probe, *expected in zip(probes, means, deviations, strict=True):
        np.testing.assert_allclose(background.of(probe), expected, rtol=1e-4, atol=1e-6)


def test_few_sounds_and_weights() -> None:
    nothing = Background.measure(np.zeros((0, 8)))
    assert nothing.of(np.eye(8)[0]) == pytest.approx((0, 0.1))
    one, other = sounds(2, 8)
    thrice = Background.measure(np.stack([one, other]), np.array([3.0, 1.0]))
    repeated = Background.measure(np.stack([one, one, one, other]))
    np.testing.assert_allclose(thrice.mean, repeated.mean, atol=1e-6)
    assert thrice.of(one) == pytest.approx(repeated.of(one), rel=1e-5)


def test_on_disk(tmp_path: Path) -> None:
    assert read_background(tmp_path) is None
    fit = {"text": Logistic(-7.5, 9.0, 0.7)}
    whole = Background.measure(sounds(2_000, 2 * AXES))
    write_background(tmp_path, Background(whole.mean, whole.axes, fit))
    read = read_background(tmp_path)
    assert read is not None
    assert read.axes.shape == (AXES, 2 * AXES)
    for query in sounds(5, 2 * AXES, seed=1):
        assert read.of(query) == pytest.approx(whole.of(query), rel=0.05, abs=1e-3)
    assert (read.logistic("text"), read.logistic("image")) == (fit["text"], BY_DEVIATION)
    assert [path.name for path in tmp_path.iterdir()] == [BACKGROUND_FILE]
    content = (tmp_path / BACKGROUND_FILE).read_bytes()
    for damaged in (content[:-10], b"nothing", b"", content.replace(b"per_cosine", b"per_cosinX")):
        (tmp_path / BACKGROUND_FILE).write_bytes(damaged)
        with pytest.raises(CheckpointError, match="missing or damaged"):
            read_background(tmp_path)


@given(
    st.lists(st.floats(-1, 1), min_size=2, max_size=20),
    st.floats(-0.2, 0.2),
    st.floats(0.02, 0.3),
)
def test_what_is_nearer_is_surer(cosines: list[float], mean: float, deviation: float) -> None:
    values = np.sort(np.array(cosines))
    for fit in (BY_DEVIATION, Logistic(-7.6, 8.9, 0.7)):
        sure = fit.probability(values, mean, deviation)
        assert (np.diff(sure) >= 0).all()
        assert ((sure >= 0) & (sure <= 1)).all()


def test_the_built_in_model_has_one() -> None:
    background = load("builtin").background
    assert background is not None
    assert set(background.calibration) == {"text", "image", "audio"}
    assert all(fit.per_cosine >= 0 <= fit.per_deviation for fit in background.calibration.values())
