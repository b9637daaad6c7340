"""Prompts, class weights, centred scores and probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wav2clip.errors import InputError, SpaceError
from wav2clip.models.space import Space, require_same_space
from wav2clip.models.towers import load_towers
from wav2clip.models.towers.base import Towers
from wav2clip.zeroshot import (
    PRESETS,
    centred_scale,
    check_labels,
    class_weights,
    classify_embeddings,
    preset_labels,
    resolve_templates,
    similarity,
    top,
)

pytestmark = pytest.mark.everyday


@pytest.fixture(scope="module")
def towers() -> Towers:
    return load_towers("builtin")


def random_rows(count: int, seed: int = 0, dimension: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


@given(
    st.integers(1, 5),
    st.integers(1, 40),
    st.floats(0.01, 1e4),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=50)
def test_probabilities_are_probabilities(
    rows: int, labels: int, scale: float, centred: bool, seed: int
) -> None:
    means = random_rows(2, seed + 1) * 0.1 if centred else (None, None)
    shares = classify_embeddings(
        random_rows(rows, seed), random_rows(labels, seed + 2), scale, *means
    )
    assert shares.shape == (rows, labels)
    assert shares.dtype == np.float32
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-5)


def test_probabilities_against_a_slow_reference() -> None:
    sounds, classes, scale = random_rows(3), random_rows(4, 1), 7.0
    means = random_rows(2, 2) * 0.1
    expected = np.zeros((3, 4))
    for i, sound in enumerate(sounds):
        for j, one in enumerate(classes):
            a = sound / np.linalg.norm(sound) - means[0]
            b = one / np.linalg.norm(one) - means[1]
            expected[i, j] = np.exp(scale * (a @ b) / np.linalg.norm(a) / np.linalg.norm(b))
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(
        classify_embeddings(sounds, classes, scale, *means), expected, atol=1e-5
    )


def test_the_factor_shrinks_as_centring_stretches() -> None:
    """Around means of 0.8 and 0.6, what is beside them has the lengths 0.6 and 0.8."""
    means = np.zeros((2, 3))
    means[0, 0], means[1, 1] = 0.8, 0.6
    assert centred_scale(100, *means) == pytest.approx(100 * 0.6 * 0.8)
    assert centred_scale(100, np.zeros(3), np.zeros(3)) == 100


def test_many_rows_are_cut_into_chunks() -> None:
    sounds, classes = random_rows(5000), random_rows(3, 1)
    shares = classify_embeddings(sounds, classes, 10)
    np.testing.assert_allclose(
        shares[4500], classify_embeddings(sounds[4500], classes, 10)[0], atol=1e-6
    )


def test_one_mean_alone_centres_nothing() -> None:
    a, b = random_rows(2), random_rows(3, 1)
    np.testing.assert_array_equal(similarity(a, b, random_rows(1)[0]), similarity(a, b))


def test_centring_closes_the_gap() -> None:
    """Two modalities of the same things, each moved by its own mean: centring finds the pairs."""
    rng = np.random.default_rng(0)
    things = rng.normal(size=(50, 64))
    gap = 20 * rng.normal(size=(2, 64))
    a, b = ((things + shift) for shift in gap)
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    plain, centred = similarity(a, b), similarity(a, b, a.mean(0), b.mean(0))
    assert (centred.argmax(1) == np.arange(50)).mean() > (plain.argmax(1) == np.arange(50)).mean()
    assert (centred.argmax(1) == np.arange(50)).all()


def test_spaces_of_other_dimensions_are_refused() -> None:
    with pytest.raises(SpaceError, match="16 and of 8"):
        classify_embeddings(random_rows(2), random_rows(2, dimension=8), 100)
    with pytest.raises(SpaceError, match=r"the audio encoder embeds into a \(4 .* the towers into"):
        require_same_space(Space("a", 4), Space("b", 4))
    assert Space("a", 4).fingerprint == Space("a", 4).fingerprint != Space("a", 5).fingerprint


def test_no_class_and_no_scale_are_refused() -> None:
    with pytest.raises(InputError, match="no class"):
        classify_embeddings(random_rows(1), np.zeros((0, 16)), 100)
    for scale in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="logit_scale"):
            classify_embeddings(random_rows(1), random_rows(2), scale)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "empty, expected at least one"),
        (["dog", " "], "label 1 is empty"),
        (["dog", "rain", "dog "], "more than once: 'dog'"),
        ("dog", "expected a list"),
        (["dog", None], "expected a list"),
    ],
)
def test_bad_labels(labels: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_labels(labels)


@pytest.mark.parametrize("templates", [[], "no place for it", ["{}", "{} and {}"], "unknown"])
def test_bad_templates(templates: str) -> None:
    with pytest.raises(InputError, match="template"):
        resolve_templates(templates)


def test_class_weights_are_the_mean_of_the_prompts(towers: Towers) -> None:
    labels, templates = ["dog", "rain {x}"], ("{}", "the sound of {}")
    total = sum(towers.embed_text([t.replace("{}", label) for label in labels]) for t in templates)
    expected = total / np.linalg.norm(total, axis=1, keepdims=True)
    np.testing.assert_allclose(class_weights(towers, labels, templates), expected, atol=1e-5)


def test_labels_of_any_kind(towers: Towers) -> None:
    labels = ["dog", "犬", "🐶", "собака", "x" * 10_000, "a{b}c", "{}"]
    weights = class_weights(towers, labels)
    assert weights.shape == (7, towers.dimension)
    np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1, atol=1e-5)


def test_pictures_are_named_by_words(towers: Towers, data: Path) -> None:
    """That pictures, words and means belong together."""
    folder = data / "tuxpaint" / "animals"
    labels = ["frog", "gorilla", "grasshopper", "fire truck", "violin"]
    found = [next(folder.rglob(f"{label}.jpg")) for label in labels[:3]]
    shares = classify_embeddings(
        towers.embed_image(found),
        class_weights(towers, labels, "photo"),
        centred_scale(towers.logit_scale, towers.means["image"], towers.means["text"]),
        towers.means["image"],
        towers.means["text"],
    )
    assert [top(row, labels, 1)[0][0] for row in shares] == labels[:3]


@pytest.mark.parametrize(
    ("name", "count"), [("esc50", 50), ("urbansound8k", 10), ("audioset", 527), ("vggsound", 309)]
)
def test_presets(name: str, count: int) -> None:
    labels = preset_labels(name)
    assert len(labels) == count
    assert check_labels(labels) == labels
    assert not any("_" in label for label in labels)
    assert name in PRESETS


def test_unknown_preset() -> None:
    with pytest.raises(InputError, match="audioset, esc50"):
        preset_labels("../esc50")


def test_top() -> None:
    assert top(np.array([0.2, 0.5, 0.3]), ["a", "b", "c"], 2) == [("b", 0.5), ("c", 0.3)]
    assert len(top(np.array([0.2, 0.5, 0.3]), ["a", "b", "c"])) == 3
    with pytest.raises(InputError, match="top_k 0"):
        top(np.array([1.0]), ["a"], 0)
