"""What subtracting a phrase and marking results does: precision at 10, with several weights.

    python benchmarks/arithmetic.py SHARDS [--model builtin]

The library is the validation clips of SHARDS; what is right is what the tagger that heard them
says: a class of a phrase at 0.3 or more; "without" is below 0.1. Phrases are those of
``tools/sound_phrases_train.txt``. No test set is looked at.

subtracting  pairs of phrases, drawn by chance: with clips that answer both, where the second is to
             be taken away ("together"), and with near meanings and no such clips ("apart"), where
             taking it away must not cost what is wanted
marking      the first result that is right, or the first that is wrong, is marked; precision is
             that of the others
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from machine import machine, versions
from names import CUTOFF, HEARD, embedded, read_heard
from wav2clip import load
from wav2clip.library.query import Query
from wav2clip.library.settings import Settings
from wav2clip.library.space import centre

WITHOUT, PAIRS, LOOKED_AT = 0.1, 400, 20
WEIGHTS = (0.0, 0.25, 0.5, 1.0)
UPS, DOWNS = (0.0, 0.25, 0.5, 1.0, 2.0), (0.0, 0.1, 0.25, 0.5)

Vectors = NDArray[np.floating]
Rows = NDArray[np.bool_]


def precision(query: Vectors, sounds: Vectors, right: Rows, out: Sequence[int] = ()) -> float:
    """At :data:`CUTOFF`, or at as many as are right where these are fewer; without some clips."""
    scores = sounds @ query
    scores[list(out)] = -np.inf
    looked_at = min(CUTOFF, int(np.delete(right, list(out)).sum()))
    best = np.argsort(-scores, kind="stable")[:looked_at]
    return float(right[best].mean()) if looked_at else np.nan


def combined(*terms: tuple[float, Vectors]) -> Vectors:
    """The vector of a query, as a library makes it."""
    query = sum((w * Query.embedding(v) for w, v in terms if w), Query(()))
    return query.vector(None, Settings("", "", len(terms[0][1]), ""))


def pairs(right: Rows, without: Rows, near: Vectors, *, apart: bool) -> list[tuple[int, int]]:
    """Phrases: what is wanted, and what is taken away."""
    rng, found = random.Random(0), []
    usable = np.flatnonzero(right.sum(axis=1) >= 8).tolist()
    while len(found) < PAIRS:
        one = rng.choice(usable)
        others = [k for k in np.argsort(-near[one])[5:80] if k in usable] if apart else usable
        other = int(rng.choice(others or [one]))
        both = int((right[one] & right[other]).sum())
        wanted = int((right[one] & without[other]).sum())
        if one != other and wanted >= 3 and (both <= 1 if apart else both >= 2):
            found.append((one, other))
    return found


def subtracting(phrases: Vectors, sounds: Vectors, right: Rows, without: Rows) -> None:
    """Print the table of both kinds of pairs."""

    def plain(a: Vectors, b: Vectors, weight: float) -> Vectors:
        total = a - weight * b
        return np.asarray(total / np.linalg.norm(total))

    forms: dict[str, Callable[[Vectors, Vectors, float], Vectors]] = {
        "subtracted": plain,
        "projected out": lambda a, b, weight: combined((1, a), (-weight, b)),
    }
    print("| pairs | how | " + " | ".join(f"{weight:g}" for weight in WEIGHTS) + " |")
    print("|---" * (2 + len(WEIGHTS)) + "|")
    for title, apart in (("together", False), ("apart", True)):
        chosen = pairs(right, without, phrases @ phrases.T, apart=apart)
        for name, form in forms.items():
            cells = [
                np.mean([
                    precision(form(phrases[a], phrases[b], w), sounds, right[a] & without[b])
                    for a, b in chosen
                ])
                for w in WEIGHTS
            ]  # fmt: skip
            print(f"| {title} | {name} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")


def marking(phrases: Vectors, sounds: Vectors, right: Rows) -> None:
    """Print the table of weights of a good result (rows) and of a bad one (columns)."""
    cases = []
    for phrase, own in zip(phrases, right, strict=True):
        first = np.argsort(-(sounds @ phrase), kind="stable")[:LOOKED_AT].tolist()
        good, bad = [k for k in first if own[k]], [k for k in first[:CUTOFF] if not own[k]]
        if own.sum() >= 6 and good and bad:
            cases.append((phrase, own, good[0], bad[0]))
    print(f"\n{len(cases)} phrases with a good and a bad result\n")
    print("| good \\ bad | " + " | ".join(f"{weight:g}" for weight in DOWNS) + " |")
    print("|---" * (1 + len(DOWNS)) + "|")
    for up in UPS:
        cells = []
        for down in DOWNS:
            values = [
                precision(
                    combined((1, phrase), (up, sounds[good]), (-down, sounds[bad])),
                    sounds, own, (good, bad),
                )
                for phrase, own, good, bad in cases
            ]  # fmt: skip
            cells.append(f"{np.nanmean(values):.3f}")
        print(f"| {up:g} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--model", default="builtin")
    options = parser.parse_args()
    samples, heard, asked = read_heard(options.shards)
    likeliest = np.stack([heard[:, classes].max(axis=1) for _, classes in asked])
    model = load(options.model)
    texts = [phrase for phrase, _ in asked]
    phrases = centre(model.embed_text(texts), model.towers.means["text"])
    sounds = embedded(model, samples)
    print(f"{machine()}; {versions()}\n\n{len(samples)} clips, {model.name} {model.fingerprint}\n")
    subtracting(phrases, sounds, likeliest >= HEARD, likeliest < WITHOUT)
    marking(phrases, sounds, likeliest >= HEARD)


if __name__ == "__main__":
    main()
