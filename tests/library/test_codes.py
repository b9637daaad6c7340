"""Cosines from 8 bits per number: never off by more than is said, on any vectors."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from wav2clip.library.codes import GRAPH, Codes

pytestmark = pytest.mark.everyday


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def check(vectors: NDArray[np.float16], queries: NDArray[np.float32], finest: float) -> None:
    codes = Codes(vectors)
    found, error = codes.cosines(list(queries))
    assert len(found) == len(queries)
    truth = vectors.astype(np.float64) @ queries.astype(np.float64).T
    assert np.abs(np.stack(found, axis=1) - truth).max() <= error
    assert error < finest


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 63, 5000]),
    st.sampled_from([1, 3, 16]),
    st.sampled_from([0.0, 1.0, 3.0]),
)
def test_no_cosine_is_off_by_more_than_is_said(
    seed: int, count: int, queries: int, decay: float
) -> None:
    """Also where some numbers have most of the length, as in embeddings."""
    rng = np.random.default_rng(seed)
    spread = np.arange(1, 513) ** -decay
    vectors = unit(rng.normal(size=(count, 512)) * spread).astype(np.float16)
    check(vectors, unit(rng.normal(size=(queries, 512))), 0.02)
    check(vectors, vectors[:1].astype(np.float32), 0.02)


def test_single_numbers_and_nothing() -> None:
    axes = np.eye(512, dtype=np.float16)
    check(axes, np.eye(512, dtype=np.float32)[:5], 0.03)
    (found,), error = Codes(axes).cosines([np.zeros(512, np.float32)])
    assert np.abs(found).max() <= error
    (found,), _ = Codes(np.zeros((3, 512), np.float16)).cosines([axes[0].astype(np.float32)])
    np.testing.assert_array_equal(found, 0)
    (found,), _ = Codes(np.zeros((0, 512), np.float16)).cosines([axes[0].astype(np.float32)])
    assert found.shape == (0,)


def test_equal_vectors_have_equal_cosines() -> None:
    rng = np.random.default_rng(1)
    vectors = unit(rng.normal(size=(40, 512))).astype(np.float16)
    vectors[20:] = vectors[:20]
    queries = list(unit(rng.normal(size=(9, 512))))
    together, _ = Codes(vectors).cosines(queries)
    for query, cosines in zip(queries, together, strict=True):
        (alone,), _ = Codes(vectors).cosines([query])
        np.testing.assert_allclose(alone, cosines, atol=1e-5)
        np.testing.assert_array_equal(cosines[:20], cosines[20:])


def test_the_graph_is_what_its_tool_writes() -> None:
    onnx = pytest.importorskip("onnx")
    path = Path(__file__).parents[2] / "tools" / "write_products_graph.py"
    spec = importlib.util.spec_from_file_location("tool", path)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert onnx.load(GRAPH) == tool.graph(), "run: python tools/write_products_graph.py"
