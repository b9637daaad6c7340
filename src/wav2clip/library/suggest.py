"""UCS categories for sounds, by what their names say and by what is heard in them.

A file whose name follows the system, or whose metadata has a CatID, has said its category. For all
others each of the 752 categories gets a score: the scaled cosine of zero-shot classification (see
:mod:`wav2clip.zeroshot`), and for each term of the system in the words that the file was given,
:data:`WORDS` times how surely it names the category. docs/results/ucs.md has how the phrases and
the weights were chosen.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from wav2clip import zeroshot
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.library import ucs
from wav2clip.library.languages import naming
from wav2clip.library.space import Vectors, centre
from wav2clip.library.words import FIELDS, split, stem
from wav2clip.models.space import unit
from wav2clip.models.towers.base import Towers

WORDS = 8.0
"""Added to a score, on the scale of the logits, for a term that names one category alone."""

FOLDER, TITLE, MOST = 0.25, 20.0, 2.0
"""Factors on what a term is worth, in a folder's name, and where it is the category's own name and
not a synonym; and the most that all terms together are worth."""

_SHORTEST = 3
_NO_SOUND = frozenset((*FIELDS["creator"], *FIELDS["library"], "copyright", "reference"))
_BATCH = 512


def stated(path: str, metadata: Mapping[str, str]) -> ucs.Category | None:
    """The category that a file says it has: in its name, or else as a CatID in its metadata."""
    named = ucs.parse_name(path)
    return named.category if named else ucs.category_of(metadata.get("catid", "").strip())


def phrases(category: ucs.Category) -> tuple[str, ...]:
    """What a category is called for the text tower; synonyms only mislead it."""
    return (category.phrase, f"{category.category} {category.phrase}")


def category_vectors(
    towers: Towers, phrasing: Callable[[ucs.Category], Sequence[str]] = phrases
) -> Vectors:
    """(752, dimension) of unit length: the mean of each category's phrases, not centred."""
    wanted = [tuple(dict.fromkeys(phrasing(category))) for category in ucs.categories()]
    every = list(dict.fromkeys(phrase for each in wanted for phrase in each))
    batches = (every[at : at + _BATCH] for at in range(0, len(every), _BATCH))
    vectors = unit(np.concatenate([towers.embed_text(batch) for batch in batches]))
    place = {phrase: row for row, phrase in enumerate(every)}
    means = [vectors[[place[phrase] for phrase in each]].mean(axis=0) for each in wanted]
    return unit(np.stack(means))


def evidence(path: str, metadata: Mapping[str, str]) -> NDArray[np.float32]:
    """(752,) how surely the words that a file was given name each category, 0 to :data:`MOST`.

    A term is shared by all categories that it names: "rain" by the one of that name and by those
    that have it as a synonym.
    """
    folder, name = os.path.split(os.path.splitext(path)[0])
    told = [text for field, text in metadata.items() if field not in _NO_SOUND]
    texts = [(text, 1.0) for text in (name, *told)]
    texts += [(part, FOLDER) for part in folder.split(os.sep) if part]
    worth = np.zeros(len(ucs.categories()), np.float32)
    for text, weight in texts:
        for row, share in _named(text):
            worth[row] += weight * share
    return np.minimum(worth, np.float32(MOST))


@lru_cache(1 << 12)  # files of a folder share its name
def _named(text: str) -> tuple[tuple[int, float], ...]:
    """Rows that a text names, and how surely.

    Who names a category and something in it ("rain on tin": metal rain) means that.
    """
    shares: defaultdict[int, float] = defaultdict(float)
    every, wholes, parts = ucs.categories(), dict[str, str](), dict[int, set[str]]()
    for term, named in dict(naming(text)).items():
        if len(term) < _SHORTEST and term.isascii():
            continue  # a T in T01 is no Ford
        weights: dict[int, float] = {}
        for what in named:
            if what < 0:
                wholes[every[-1 - what].category] = term
            else:
                parts.setdefault(what, set()).add(term)
            for row in _rows(what):
                own = term == _titles()[row] or (what < 0 and every[row].general)
                weights[row] = max(weights.get(row, 0.0), TITLE if own else 1.0)
        total = sum(weights.values())
        for row, weight in weights.items():
            shares[row] += weight / total
    for row, terms in parts.items():
        whole = wholes.get(every[row].category)
        if whole is not None and terms - {whole}:
            shares[row] += 1.0
    return tuple(shares.items())


@cache
def _rows(what: int) -> tuple[int, ...]:
    """The row that a number of :func:`.languages.naming` means, or those of a whole category."""
    if what >= 0:
        return (what,)
    every = ucs.categories()
    name = every[-1 - what].category
    return tuple(row for row, category in enumerate(every) if category.category == name)


@cache
def _titles() -> list[str]:
    """What each category is called, as stems."""
    return [" ".join(map(stem, split(category.phrase))) for category in ucs.categories()]


class Suggester:
    """Gives the sounds of a library their categories.

    Args:
        model: the one that made the vectors.
        centred: whether the vectors are.
    """

    def __init__(self, model: Wav2CLIP, centred: bool) -> None:
        text_mean = model.towers.means.get("text") if centred and model.mean is not None else None
        self._labels = centre(category_vectors(model.towers), text_mean)
        self._scale = np.float32(model.logit_scale(center=centred))

    def probabilities(self, sounds: Vectors, words: NDArray[np.float32]) -> Vectors:
        """(files, 752) of the categories.

        Args:
            sounds: (files, dimension) of unit length.
            words: (files, 752) what :func:`evidence` gave.
        """
        logits = self._scale * (sounds @ self._labels.T) + np.float32(WORDS) * words
        return zeroshot.softmax(logits)

    def suggest(
        self,
        sounds: Vectors,
        paths: Sequence[str],
        metadata: Sequence[Mapping[str, str]],
        top: int,
        min_probability: float,
    ) -> list[list[str]]:
        """CatIDs of each file, likeliest first; the stated one alone where there is one."""
        words = np.stack([evidence(*each) for each in zip(paths, metadata, strict=True)])
        chances, every = self.probabilities(sounds, words), ucs.categories()
        best = np.argsort(-chances, axis=1, kind="stable")[:, :top]
        suggested = []
        for file, each in enumerate(zip(paths, metadata, strict=True)):
            own = stated(*each)
            likely = [k for k in best[file] if chances[file, k] >= min_probability]
            suggested.append([own.id] if own else [every[k].id for k in likely])
        return suggested
