"""Scores of captions against several references: BLEU, ROUGE-L and CIDEr-D.

They are the parts of the usual caption scores that need no Java. METEOR and SPICE need it, and are
in aac-metrics for those who have it; that package asks for torchaudio, which this one does without.
Words are compared as :func:`words` gives them: lower case, without punctuation.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain

import numpy as np

from wav2clip.errors import InputError

Words = tuple[str, ...]
Grams = Counter[Words]

LONGEST = 4
"""Words of the longest n-grams, in BLEU and in CIDEr."""

CIDER_SIGMA = 6.0
"""Of the Gaussian penalty on lengths, in words."""

ROUGE_BETA = 1.2
"""Weight of recall in ROUGE-L's F-score, as the COCO captions have it."""


def words(caption: str) -> Words:
    """The words of a caption: lower case, letters, digits and inner apostrophes."""
    return tuple(re.findall(r"\w+(?:['’]\w+)*", caption.lower()))


def caption_scores(
    candidates: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float]:
    """All scores by name: BLEU-1 to BLEU-4 and ROUGE-L in [0, 1], CIDEr-D in [0, 10].

    Args:
        candidates: n captions.
        references: the references of each, one or more.

    Raises:
        InputError: fewer than two captions (CIDEr weighs words by how rare they are among them),
            or one without a reference.
    """
    _check(candidates, references)
    own = [words(caption) for caption in candidates]
    given = [[words(caption) for caption in several] for several in references]
    scores = {f"BLEU-{n}": bleu(own, given, n) for n in range(1, LONGEST + 1)}
    scores["ROUGE-L"] = float(np.mean([rouge_l(c, r) for c, r in zip(own, given, strict=True)]))
    scores["CIDEr-D"] = float(np.mean(cider_d(own, given)))
    return scores


def grams(sentence: Words, longest: int = LONGEST) -> Grams:
    """How often each run of 1 to ``longest`` words is in a sentence."""
    return Counter(
        sentence[start : start + n]
        for n in range(1, longest + 1)
        for start in range(len(sentence) - n + 1)
    )


def bleu(
    candidates: Sequence[Words], references: Sequence[Sequence[Words]], longest: int = LONGEST
) -> float:
    """BLEU of a corpus (Papineni et al. 2002, ACL), closest reference lengths."""
    matched, total = np.zeros(longest), np.zeros(longest)
    length = reference_length = 0
    for candidate, several in zip(candidates, references, strict=True):
        best: Grams = Counter()
        for reference in several:
            best |= grams(reference, longest)
        for gram, count in grams(candidate, longest).items():
            matched[len(gram) - 1] += min(count, best[gram])
            total[len(gram) - 1] += count
        length += len(candidate)
        reference_length += min(
            (len(reference) for reference in several),
            key=lambda n: (abs(n - len(candidate)), n),
        )
    if not matched.all():
        return 0.0
    brevity = min(0.0, 1 - reference_length / length)
    return float(np.exp(np.log(matched / total).mean() + brevity))


def rouge_l(candidate: Words, references: Sequence[Words]) -> float:
    """ROUGE-L (Lin 2004, ACL workshop): best precision and best recall over the references."""
    common = [_common_words(candidate, reference) for reference in references]
    if not any(common):
        return 0.0
    precision = max(common) / len(candidate)
    recall = max(n / len(r) for n, r in zip(common, references, strict=True) if r)
    weight = ROUGE_BETA**2
    return (1 + weight) * precision * recall / (recall + weight * precision)


def _common_words(a: Words, b: Words) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for word in a:
        diagonal = 0
        for place, other in enumerate(b, 1):
            diagonal, row[place] = (
                row[place],
                diagonal + 1 if word == other else max(row[place], row[place - 1]),
            )
    return row[-1]


def cider_d(candidates: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """CIDEr-D of each caption (Vedantam et al. 2015, arXiv 1411.5726, section 5.1).

    n-grams are weighted by how few of the recordings have them in a reference; the candidate's
    weights are clipped to the reference's, and lengths are compared. As in the reference
    implementation of the COCO captions, a length is the number of pairs of words.
    """
    documents = Counter(
        chain.from_iterable(set(chain.from_iterable(map(grams, several))) for several in references)
    )
    total = np.log(len(references))

    def weigh(sentence: Words) -> tuple[list[dict[Words, float]], int]:
        weights: list[dict[Words, float]] = [{} for _ in range(LONGEST)]
        for gram, count in grams(sentence).items():
            rarity = total - np.log(max(1, documents[gram]))
            weights[len(gram) - 1][gram] = count * float(rarity)
        return weights, max(0, len(sentence) - 1)

    scores = []
    for candidate, several in zip(candidates, references, strict=True):
        own, length = weigh(candidate)
        values = []
        for reference in several:
            other, other_length = weigh(reference)
            penalty = np.exp(-((length - other_length) ** 2) / (2 * CIDER_SIGMA**2))
            values.append(np.mean([_clipped(a, b) for a, b in zip(own, other, strict=True)]))
            values[-1] *= penalty
        scores.append(10.0 * float(np.mean(values)))
    return scores


def _clipped(candidate: dict[Words, float], reference: dict[Words, float]) -> float:
    """Cosine of two weightings, the candidate's clipped to the reference's."""
    product = sum(
        min(weight, reference[gram]) * reference[gram]
        for gram, weight in candidate.items()
        if gram in reference
    )
    norms = [np.sqrt(sum(w * w for w in ws.values())) for ws in (candidate, reference)]
    return float(product / (norms[0] * norms[1])) if all(norms) else float(product)


def _check(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if len(candidates) < 2 or len(candidates) != len(references):
        raise InputError(
            f"{len(candidates)} captions and {len(references)} sets of references, expected as "
            "many of both, at least two"
        )
    empty = [place for place, several in enumerate(references) if not several]
    if empty:
        raise InputError(f"caption {empty[0]} has no reference")
