"""Ranks and what is reported of them, against a naive loop."""

from __future__ import annotations

import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wav2clip.ranking import chance, group_ranks, ranks, retrieval, summary


def naive_ranks(similarity: Tensor, relevant: Tensor) -> list[int]:
    """For every query: walk down the sorted list, ties to the irrelevant first."""
    found = []
    for scores, right in zip(similarity.tolist(), relevant.tolist(), strict=True):
        order = sorted(range(len(scores)), key=lambda i: (-scores[i], right[i]))
        first = next(place for place, index in enumerate(order) if right[index])
        found.append(1 + sum(not right[index] for index in order[:first]))
    return found


@given(
    seed=st.integers(0, 2**32),
    queries=st.integers(1, 30),
    candidates=st.integers(1, 30),
    groups=st.integers(1, 6),
    chunk=st.integers(1, 40),
)
def test_chunks_equal_the_naive_matrix(
    seed: int, queries: int, candidates: int, groups: int, chunk: int
) -> None:
    torch.manual_seed(seed)
    # Small integers: sums are exact in any order, and there are ties.
    a = torch.randint(-3, 4, (queries, 4)).float()
    b = torch.randint(-3, 4, (candidates, 4)).float()
    own = torch.randint(groups, (candidates,))
    asked = own[torch.randint(candidates, (queries,))]
    relevant = asked[:, None] == own[None, :]
    expected = naive_ranks(a @ b.T, relevant)
    assert ranks(a @ b.T, relevant).tolist() == expected
    assert group_ranks(a, b, asked, own, chunk).tolist() == expected
    assert group_ranks(a, b, asked, own).tolist() == expected
    found = summary(torch.tensor(expected))
    assert found["MRR"] == pytest.approx(statistics.mean(1 / rank for rank in expected))
    assert found["median_rank"] == statistics.median_low(expected)
    for k in (1, 5, 10):
        share = statistics.mean(rank <= k for rank in expected)
        assert found[f"R@{k}"] == pytest.approx(share)


def test_recall_equals_torchmetrics() -> None:
    from torchmetrics.functional.retrieval import retrieval_hit_rate, retrieval_reciprocal_rank

    torch.manual_seed(0)
    similarity = torch.rand(50, 80)  # positive: torchmetrics takes others for no prediction
    relevant = torch.rand(50, 80) < 0.05
    relevant[torch.arange(50), torch.randint(80, (50,))] = True
    found = retrieval(similarity, relevant)
    pairs = list(zip(similarity, relevant, strict=True))
    for k in (1, 5, 10):
        hits = torch.stack([retrieval_hit_rate(s, r, top_k=k) for s, r in pairs])
        assert found[f"R@{k}"] == pytest.approx(float(hits.mean()), abs=1e-6)
    reciprocal = torch.stack([retrieval_reciprocal_rank(s, r) for s, r in pairs])
    assert found["MRR"] == pytest.approx(float(reciprocal.mean()), abs=1e-6)


def test_chance_is_where_random_order_lands() -> None:
    torch.manual_seed(0)
    found = summary(torch.randint(1, 103, (200_000,)))
    expected = chance(102)
    assert found["median_rank"] == pytest.approx(expected["median_rank"], abs=1)
    for key in ("R@1", "R@5", "R@10", "MRR"):
        assert found[key] == pytest.approx(expected[key], abs=0.002)
