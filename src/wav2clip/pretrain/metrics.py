"""What validation measures: retrieval in both directions, zero-shot accuracy, and the factor that
makes probabilities of cosines."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from wav2clip.ranking import retrieval


def validation_table(
    audio: Tensor, targets: Tensor, labels: Sequence[str | None], mean: Tensor
) -> dict[str, float]:
    """Retrieval of targets by sound, and accuracy among the labels that occur.

    Both sides are centred: the sounds on their own mean, the targets on ``mean``, because audio and
    text or image embeddings lie around different centres (the modality gap, Liang et al. 2022,
    arXiv 2203.02053). Clips of one label are relevant to each other.

    Args:
        audio: (n, d) embeddings.
        targets: (n, d) of the teacher.
        labels: n names, None where there is none.
        mean: (d,) of the training targets.

    Returns:
        What :func:`wav2clip.ranking.retrieval` gives, and ``accuracy`` (0 to 1) where two labels
        or more occur.
    """
    unit = F.normalize(audio.float(), dim=-1)
    queries = F.normalize(unit - unit.mean(dim=0), dim=-1)
    candidates = F.normalize(targets.float() - mean, dim=-1)
    names = sorted({label for label in labels if label is not None})
    index = torch.tensor([names.index(x) if x is not None else -1 for x in labels])
    relevant = (index[:, None] == index[None, :]) & (index >= 0)[:, None]
    relevant.fill_diagonal_(True)
    table = retrieval(queries @ candidates.T, relevant)
    if len(names) > 1:
        known = index >= 0
        sums = torch.zeros(len(names), candidates.shape[1])
        sums.index_add_(0, index[known], candidates[known])
        scores = queries[known] @ F.normalize(sums, dim=-1).T
        table["accuracy"] = float((scores.argmax(dim=1) == index[known]).float().mean())
    return table


def fitted_scale(cosines: Tensor, own: Tensor) -> float | None:
    """Factor on cosines whose softmax gives the clips' own labels the most probability.

    It is temperature scaling (Guo et al. 2017, arXiv 1706.04599, section 4.2): the factor with the
    least negative log-likelihood, among 201 from 1 to 100 that are evenly spaced on a log scale.

    Args:
        cosines: (n, labels) of held-out clips with the labels' embeddings, centred.
        own: (n,) index of each clip's label; clips with a negative one are left out.

    Returns:
        None where there are fewer than two labels, or no clip with one.
    """
    known = own >= 0
    if cosines.shape[1] < 2 or not known.any():
        return None
    factors = torch.logspace(0, 2, 201, dtype=torch.float64)
    logits, targets = cosines[known].double(), own[known]
    losses = torch.stack([F.cross_entropy(factor * logits, targets) for factor in factors])
    return float(factors[losses.argmin()])
