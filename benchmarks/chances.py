"""What the best segment of a long file is worth, with several corrections for its many chances.

    python benchmarks/chances.py SHARDS [--model builtin]

Files are made of the embeddings of training clips of SHARDS, whose classes a tagger heard: segments
that are drawn by chance and do not answer a phrase (below 0.05), the same with one in 96 that does
(0.3 or more), and segments that are all about the same as one that does. Each is asked for with the
phrase, in a library of 300 of the validation clips. Reported is how often it is first, and among
the first ten: for the first kind among all clips, for the others among those that do not answer.
No test set is looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from machine import machine, versions
from names import HEARD, NOT_HEARD, embedded, read_heard
from wav2clip import load
from wav2clip.library.chances import independent_segments, worth
from wav2clip.library.space import centre
from wav2clip.models.background import Background
from wav2clip.models.space import unit
from wav2clip.pretrain.shards import iterate

CLIPS, SHARE, RIGHT, JITTER = 300, 4, 96, 0.45
LENGTHS = (1, 8, 60, 480)

Vectors = NDArray[np.floating]
Count = Callable[[Vectors, Background], float]
"""Independent segments of a file."""


def design_effect(segments: Vectors, _: Background) -> float:
    """n / (1 + (n - 1) r), r the mean correlation (Kish 1965)."""
    count = len(segments)
    return count**2 / max(float((segments.sum(axis=0) ** 2).sum()), count)


def measured(segments: Vectors, background: Background) -> float:
    """As a library counts them."""
    return float(independent_segments(segments, np.zeros(1, np.int64), background)[0])


COUNTS: dict[str, Count] = {
    "none": lambda segments, _: 1.0,
    "all segments": lambda segments, _: float(len(segments)),
    "their square root": lambda segments, _: len(segments) ** 0.5,
    "design effect": design_effect,
    "measured": measured,
}


def steady(segment: Vectors, count: int, rng: np.random.Generator) -> Vectors:
    """Segments that are about the same as one."""
    noise = rng.standard_normal((count, len(segment))) / len(segment) ** 0.5
    return unit(segment + JITTER * noise)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--model", default="builtin")
    options = parser.parse_args()
    model = load(options.model)
    assert model.background is not None, "tools/calibrate_search.py makes one"
    samples, heard, asked = read_heard(options.shards)
    library = embedded(model, samples)
    training = [s for s in iterate(options.shards, "train") if s.tags is not None][::SHARE]
    parts, parts_heard = (
        embedded(model, training),
        np.stack([s.tags.probabilities[0] for s in training]),
    )
    phrases = centre(model.embed_text([p for p, _ in asked]), model.towers.means["text"])
    print(f"{machine()}; {versions()}\n\n{len(parts)} segments, {model.name} {model.fingerprint}\n")
    print("| segments | counted | independent | none right: first, ten | right: first, ten |"
          " steady: first, ten |\n|---|---|---|---|---|---|")  # fmt: skip
    rng = np.random.default_rng(0)
    for length in LENGTHS:
        places: dict[str, list[list[float]]] = {name: [] for name in COUNTS}
        for phrase, (_, classes) in zip(phrases, asked, strict=True):
            answers = heard[:, classes].max(axis=1)
            likely = parts_heard[:, classes].max(axis=1)
            wrong, right = np.flatnonzero(likely < NOT_HEARD), np.flatnonzero(likely >= HEARD)
            if (answers >= HEARD).sum() < 3 or len(wrong) < length or not len(right):
                continue
            mean, deviation = model.background.of(phrase)
            clips = rng.choice(len(library), CLIPS, replace=False)
            every = library[clips] @ phrase
            others = every[answers[clips] < NOT_HEARD]
            drawn = rng.choice(wrong, length, replace=False)
            few = rng.choice(right, min(max(1, length // RIGHT), len(right)), replace=False)
            files = (
                (parts[drawn], every),
                (parts[np.concatenate([drawn[len(few) :], few])], others),
                (steady(parts[rng.choice(right)], length, rng), others),
            )
            for name, count in COUNTS.items():
                row = []
                for segments, against in files:
                    independent = max(count(segments, model.background), 1.0)
                    best = np.array([(segments @ phrase).max()])
                    (value,) = worth(best, np.array([independent]), mean, deviation)
                    place = int((against > value).sum())
                    row += [independent, place < 1, place < 10]
                places[name].append(row)
        for name, rows in places.items():
            m = np.mean(rows, axis=0)
            pairs = " | ".join(f"{m[at]:.3f}, {m[at + 1]:.3f}" for at in (1, 4, 7))
            print(f"| {length} | {name} | {m[0]:.1f}, {m[6]:.1f} | {pairs} |")


if __name__ == "__main__":
    main()
