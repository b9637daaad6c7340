"""How well queries find what belongs to them: ranks, and what is reported of them."""

from __future__ import annotations

import torch
from torch import Tensor

CUTOFFS = (1, 5, 10)

_SCORES_AT_ONCE = 1 << 24
# 64 MiB of float32: a gallery of any size is compared within a few times this.


def ranks(similarity: Tensor, relevant: Tensor) -> Tensor:
    """Rank, from 1, of each query's best relevant candidate.

    Args:
        similarity: (queries, candidates).
        relevant: (queries, candidates) bool, at least one per row.

    Returns:
        (queries,) int64: 1 plus the irrelevant candidates that score at least as high as the best
        relevant one, so that a model that says the same of everything gains nothing.
    """
    best = similarity.masked_fill(~relevant, -torch.inf).amax(dim=1, keepdim=True)
    return 1 + ((similarity >= best) & ~relevant).sum(dim=1)


def group_ranks(
    queries: Tensor,
    candidates: Tensor,
    query_groups: Tensor,
    candidate_groups: Tensor,
    chunk: int | None = None,
) -> Tensor:
    """:func:`ranks` by inner product, where a candidate is relevant to the queries of its group.

    Args:
        queries: (q, d).
        candidates: (c, d).
        query_groups: (q,) integers, each of which occurs among ``candidate_groups``.
        candidate_groups: (c,) integers.
        chunk: queries compared at once; by default as many as take little memory.

    Returns:
        (q,) int64; the same for any ``chunk``.
    """
    size = chunk or max(1, _SCORES_AT_ONCE // max(1, len(candidates)))
    found = [
        ranks(part @ candidates.T, groups[:, None] == candidate_groups[None, :])
        for part, groups in zip(
            torch.split(queries, size), torch.split(query_groups, size), strict=True
        )
    ]
    return torch.cat(found)


def summary(rank: Tensor) -> dict[str, float]:
    """``R@1``, ``R@5``, ``R@10`` and ``MRR`` (mean reciprocal rank), 0 to 1, and ``median_rank``.

    Of an even number of ranks the median is the lower of the two in the middle.
    """
    recalls = {f"R@{k}": float((rank <= k).float().mean()) for k in CUTOFFS}
    return {
        **recalls,
        "median_rank": float(rank.float().median()),
        "MRR": float(rank.double().reciprocal().mean()),
    }


def chance(gallery: int) -> dict[str, float]:
    """What :func:`summary` tends to where the order is random and one of ``gallery`` is right."""
    recalls = {f"R@{k}": min(1.0, k / gallery) for k in CUTOFFS}
    harmonic = sum(1 / rank for rank in range(1, gallery + 1))
    return {**recalls, "median_rank": (gallery + 1) / 2, "MRR": harmonic / gallery}


def retrieval(similarity: Tensor, relevant: Tensor) -> dict[str, float]:
    """:func:`summary` of :func:`ranks`."""
    return summary(ranks(similarity, relevant))
