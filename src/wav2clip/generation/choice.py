"""Which picture is shown when: shots whose cuts fall on onsets, and a picture that fits each."""

from __future__ import annotations

import math
from bisect import bisect, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from wav2clip.embedding.engine import Embeddings
from wav2clip.errors import InputError
from wav2clip.generation.film import Moments
from wav2clip.generation.rhythm import Rhythm

SHORTEST, LONGEST = 1.2, 6.0
"""Seconds of a shot. Only a recording that is shorter has a shorter one."""

CHANGE = 0.15
"""What a cut costs, in cosine times seconds: a picture is kept until others fit better by more."""

ACCENT = 0.15
"""What a cut gains by the onset it falls on, times its strength."""

_CLOSEST = 0.3  # seconds between places where a cut may fall: the strongest onsets have them
_WIDEST = 1.0  # seconds without an onset after which cuts may fall between onsets, too
_CELLS = 10_000_000
# Scores that are held at once, 40 MB: of hours of sound and thousands of pictures, those of the
# pictures that fit some moment best.
_RANKS = 8  # pictures that fit a moment best
_ROWS = 256  # moments that are compared with all pictures at once

Score = Callable[[Embeddings], Embeddings]
"""Cosines (t, n) of moments (t, dimension) with n pictures."""


@dataclass(frozen=True)
class Shot:
    """A picture for a part of a film.

    Attributes:
        start: seconds.
        end: seconds; that of the last is the end of the film.
        picture: its row among the pictures.
        score: mean cosine of picture and sound in between.
        strength: of the onset that it begins with, in [0, 1); 0 for none.
    """

    start: float
    end: float
    picture: int
    score: float
    strength: float


@dataclass(frozen=True)
class Places:
    """Where cuts may fall.

    Attributes:
        seconds: (c,) float64, rising, from 0 to the end of the film.
        strengths: (c,) float32 in [0, 1): of the onset that is there, or 0.
    """

    seconds: NDArray[np.float64]
    strengths: NDArray[np.float32]


def choose(
    score: Score, count: int, moments: Moments, places: Places, budget: int
) -> tuple[list[Shot], int]:
    """The shots of a film, and how often one of its pictures may appear in it.

    First the cuts: of all ways to cut at the places into shots of :data:`SHORTEST` to
    :data:`LONGEST` seconds, each with another picture than the one before, the one with the
    greatest sum of cosines over time, less :data:`CHANGE` and plus :data:`ACCENT` for each cut
    (found by dynamic programming). Then the budget: a picture with more shots keeps those that it
    fits best. The others take, the best fitting first, the best picture that has shots left and is
    not shown beside them. Where there are too few pictures, each may have as many as it must.

    Args:
        score: compares moments with the pictures.
        count: pictures there are; a single one is shown again and again.
        moments: of the sound.
        places: from :func:`cut_places`.
        budget: shots that one picture may have.

    Raises:
        InputError: a budget below one.
    """
    if budget < 1:
        raise InputError(f"the budget is {budget}, expected at least 1: how often a picture comes")
    most = max(1, _CELLS // max(len(moments.seconds), len(places.seconds)))
    known = _fitting(score, count, moments, most)
    sums = _sums(score, known, moments, places.seconds)
    cuts, best = _cut(sums, places)
    seconds = places.seconds[cuts]
    lengths = np.maximum(np.diff(seconds), 1e-9).astype(np.float32)
    scores = np.diff(sums[cuts], axis=0) / lengths[:, None]
    budget = _budget(budget, len(scores), len(known))
    shots = [
        Shot(
            float(seconds[row]),
            float(seconds[row + 1]),
            int(known[picture]),
            float(scores[row, picture]),
            float(places.strengths[cuts[row]]),
        )
        for row, picture in enumerate(_assign(scores, best, budget))
    ]
    return shots, budget


def cut_places(rhythm: Rhythm, seconds: float) -> Places:
    """Onsets, of those that are closer than 0.3 s the stronger; even steps where there are none.

    Args:
        rhythm: of the sound.
        seconds: length of the film.
    """
    taken, strength = [0.0, seconds], {0.0: 0.0, seconds: 0.0}
    for row in np.argsort(-rhythm.strengths, kind="stable").tolist():
        at = float(rhythm.onsets[row])
        after = bisect(taken, at)
        if 0 < after < len(taken) and min(at - taken[after - 1], taken[after] - at) >= _CLOSEST:
            insort(taken, at)
            strength[at] = float(rhythm.strengths[row])
    filled = [0.0]
    for last, at in pairwise(taken):
        steps = max(1, math.ceil((at - last) / _WIDEST))
        filled += [last + (at - last) * step / steps for step in range(1, steps)]
        filled.append(at)
    strengths = np.array([strength.get(at, 0.0) for at in filled], np.float32)
    return Places(np.array(filled), strengths)


def _fitting(score: Score, count: int, moments: Moments, most: int) -> NDArray[np.int64]:
    """Rows of at most so many pictures, in their order: those that fit some moment best first."""
    if count <= most:
        return np.arange(count)
    ranks = min(_RANKS, count)
    best = np.concatenate(
        [best_rows(row, ranks)[None] for rows in _scored(score, moments) for row in rows]
    )
    chosen: dict[int, None] = {}
    for rank in range(ranks):
        pictures, votes = np.unique(best[:, rank], return_counts=True)
        chosen |= dict.fromkeys(pictures[np.argsort(-votes, kind="stable")].tolist())
    return np.sort(np.array(list(chosen)[:most], np.int64))


def best_rows(scores: Embeddings, count: int) -> NDArray[np.int64]:
    """Rows of the ``count`` greatest of scores (n,), greatest first."""
    some = np.argpartition(-scores, min(count, len(scores)) - 1)[:count]
    return some[np.argsort(-scores[some], kind="stable")]


def _scored(score: Score, moments: Moments) -> Iterator[Embeddings]:
    for start in range(0, len(moments.embeddings), _ROWS):
        yield score(moments.embeddings[start : start + _ROWS])


def _sums(
    score: Score, known: NDArray[np.int64], moments: Moments, seconds: NDArray[np.float64]
) -> Embeddings:
    """Integrals (c, n) of the pictures' cosines over time, from 0 to each of the seconds (c,).

    The cosine at a time is that of the nearest moment.
    """
    scores = np.concatenate([rows[:, known] for rows in _scored(score, moments)])
    edges = np.concatenate(([0.0], (moments.seconds[:-1] + moments.seconds[1:]) / 2))
    row = np.searchsorted(edges, seconds, side="right") - 1
    since: Embeddings = (seconds - edges[row]).astype(np.float32)[:, None] * scores[row]
    scores[:-1] *= np.diff(edges).astype(np.float32)[:, None]  # whole moments, in place
    whole = np.cumsum(scores[:-1], axis=0, dtype=np.float32)
    since[row > 0] += whole[row[row > 0] - 1]
    return since


def _cut(sums: Embeddings, places: Places) -> tuple[list[int], list[int]]:
    """Rows of the places that the best shots lie between, first and last included, and of their
    pictures."""
    seconds, count = places.seconds, len(places.seconds)
    if seconds[-1] < SHORTEST:
        return [0, count - 1], [int(sums[-1].argmax())]
    first = np.searchsorted(seconds, seconds - LONGEST - 1e-9)
    last = np.searchsorted(seconds, seconds - SHORTEST + 1e-9)
    # The best way to each place, and the best whose last picture is another: values, pictures, and
    # where the last shot begins.
    value = np.full((count, 2), -np.inf)
    picture, begin = np.zeros((count, 2), np.int64), np.zeros((count, 2), np.int64)
    # What a shot with each picture that begins at a place starts from.
    before = np.full(sums.shape, -np.inf, np.float32)
    before[0] = 0
    for place in range(1, count):
        window = before[first[place] : last[place]]
        if not len(window):
            continue
        totals = window.max(axis=0) + sums[place]
        gain = ACCENT * places.strengths[place] - CHANGE
        for way in range(min(2, len(totals))):
            best = int(totals.argmax())
            value[place, way], picture[place, way] = totals[best] + gain, best
            begin[place, way] = first[place] + window[:, best].argmax()
            totals[best] = -np.inf
        before[place] = value[place, 0] - sums[place]
        if len(totals) > 1:
            before[place, picture[place, 0]] = value[place, 1] - sums[place, picture[place, 0]]
    cuts, shown = [count - 1], [-1]
    while cuts[-1]:
        place = cuts[-1]
        way = int(picture[place, 0] == shown[-1] and sums.shape[1] > 1)
        shown.append(int(picture[place, way]))
        cuts.append(int(begin[place, way]))
    return cuts[::-1], shown[:0:-1]


def _budget(wanted: int, shots: int, pictures: int) -> int:
    """The least that is enough whichever shots choose first: two pictures may be shown beside."""
    if pictures < 3:
        return shots
    return max(wanted, math.ceil(shots / (pictures - 2)))


def _assign(scores: Embeddings, best: list[int], budget: int) -> list[int]:
    """A picture for each shot (shots, pictures), its best or what its budget leaves: see
    :func:`choose`."""
    chosen, uses = np.full(len(scores), -1), np.zeros(scores.shape[1], np.int64)
    own = scores[np.arange(len(scores)), best]
    for shot in np.argsort(-own, kind="stable").tolist():
        if uses[best[shot]] < budget:
            chosen[shot] = best[shot]
            uses[best[shot]] += 1
    others = np.flatnonzero(chosen < 0)
    for shot in others[np.argsort(-own[others], kind="stable")].tolist():
        free = np.where(uses < budget, scores[shot], -np.inf)
        beside = chosen[max(0, shot - 1) : shot + 2]
        free[beside[beside >= 0]] = -np.inf
        chosen[shot] = free.argmax()
        uses[chosen[shot]] += 1
    pictures: list[int] = chosen.tolist()
    return pictures
