"""What validation measures: retrieval in both directions, zero-shot accuracy, agreement with the
tagger, and the factor that makes probabilities of cosines."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from wav2clip.pretrain.batch import known
from wav2clip.ranking import retrieval


def validation_table(
    audio: Tensor, targets: Tensor, labels: Sequence[str | None], mean: Tensor
) -> dict[str, float]:
    """Retrieval of targets by sound, and accuracy among the labels that occur.

    Clips without a target (rows of NaN) take no part; of a table without any, nothing is left. Both
    sides are centred: the sounds on their own mean, the targets on ``mean``, because audio and
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
    present = known(targets)
    if not present.any():
        return {}
    audio, targets = audio[present], targets[present]
    labels = [label for label, kept in zip(labels, present.tolist(), strict=True) if kept]
    unit = F.normalize(audio.float(), dim=-1)
    queries = F.normalize(unit - unit.mean(dim=0), dim=-1)
    candidates = F.normalize(targets.float() - mean, dim=-1)
    names = sorted({label for label in labels if label is not None})
    index = torch.tensor([names.index(x) if x is not None else -1 for x in labels])
    relevant = (index[:, None] == index[None, :]) & (index >= 0)[:, None]
    relevant.fill_diagonal_(True)
    table = retrieval(queries @ candidates.T, relevant)
    if len(names) > 1:
        named = index >= 0
        sums = torch.zeros(len(names), candidates.shape[1])
        sums.index_add_(0, index[named], candidates[named])
        scores = queries[named] @ F.normalize(sums, dim=-1).T
        table["accuracy"] = float((scores.argmax(dim=1) == index[named]).float().mean())
    return table


HEARD = 0.5
"""Probability from which the tagger is taken to hear a class."""


def agreement(scores: Tensor, probabilities: Tensor) -> dict[str, float]:
    """How well scores of classes rank the clips in which a tagger hears each class.

    Args:
        scores: (n, k), such as cosines with the classes' text embeddings.
        probabilities: (n, k), the tagger's; clips with NaN take no part.

    Returns:
        ``tagger_mAP``: mean average precision over the classes that it hears in some clip and not
        in all (average precision as AudioSet is scored: Gemmeke et al. 2017, the mean over the
        clips with the class of the precision at their rank); nothing where there is no such class.
    """
    present = known(probabilities)
    scores, heard = scores[present], probabilities[present] > HEARD
    used = heard.any(dim=0) & ~heard.all(dim=0)
    if not used.any():
        return {}
    order = scores[:, used].argsort(dim=0, descending=True, stable=True)
    found = heard[:, used].gather(0, order).double()
    ranks = torch.arange(1, len(found) + 1, dtype=torch.float64)[:, None]
    precision = found.cumsum(dim=0) / ranks
    average = (precision * found).sum(dim=0) / found.sum(dim=0)
    return {"tagger_mAP": float(average.mean())}


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
    named = own >= 0
    if cosines.shape[1] < 2 or not named.any():
        return None
    factors = torch.logspace(0, 2, 201, dtype=torch.float64)
    logits, targets = cosines[named].double(), own[named]
    losses = torch.stack([F.cross_entropy(factor * logits, targets) for factor in factors])
    return float(factors[losses.argmin()])
