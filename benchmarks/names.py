"""What words in names add to a search, with several weights: precision at 10, and when they lie.

    python benchmarks/names.py SHARDS CURATED.csv [--model builtin]

The library is the validation clips of SHARDS, under the names that their recordings had where
they were collected (``original_path`` in the tables of ``$WAV2CLIP_DATA``; CURATED.csv is what the
shards were prepared from). Queries are the phrases of ``tools/sound_phrases_train.txt``. A clip is
relevant if the tagger that heard the shards gives one of the phrase's classes a probability of 0.3
or more, and not below 0.05. Clips between, of which the tagger is not sure, are passed over (as
unjudged documents are in condensed lists, Sakai 2007): a name may well be right there. It judges by
ear, so a name that says more than can be heard counts as wrong.

All clips have their names, or a half or a quarter of them, as in libraries where other files are
called by numbers; or names are dealt out anew at random, which words alone cannot survive.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.progress import track

from machine import machine, versions
from wav2clip import Wav2CLIP, load
from wav2clip.library import words
from wav2clip.library.space import centre
from wav2clip.library.words import Names, stems_of
from wav2clip.pretrain.shards import Sample, iterate, read_manifest

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data"))
PHRASES = ROOT / "tools" / "sound_phrases_train.txt"
HEARD, NOT_HEARD, LEAST_RELEVANT, CUTOFF = 0.3, 0.05, 3, 10
FORMS = [
    (0.0, 0.0, 0.0), (0.05, 0.1, 0.35), (0.03, 0.1, 0.35), (0.1, 0.1, 0.35), (0.2, 0.1, 0.35),
    (0.05, 0.2, 0.35), (0.05, 0.1, 0.2), (0.05, 0.1, 0.5),
]  # fmt: skip
"""What the share of the words is worth, what all of several are, and what all are to the only file
that has them."""

Scores = NDArray[np.floating]


def original_paths(curated: Path, samples: Sequence[Sample]) -> list[str]:
    """Where each clip was collected, under which name."""
    with curated.open(newline="", encoding="utf-8") as file:
        audio = [Path(row["audio"]) for row in csv.DictReader(file)]
    tables = {}
    for folder in ("sounds", "sounds_free"):
        with (DATA / folder / "meta.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                tables[folder, row["filename"]] = row["original_path"]
    paths = []
    for sample in samples:
        path = audio[int(sample.key)]
        paths.append(tables[path.parts[-4], f"{path.parent.name}/{path.name}"])
    return paths


def read_phrases(labels: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Phrases, and the places of the classes that they mean."""
    place = {label: number for number, label in enumerate(labels)}
    lines = (line.strip() for line in PHRASES.read_text(encoding="utf-8").splitlines())
    pairs = (line.split(" = ") for line in lines if line and not line.startswith("#"))
    return [
        (phrase.strip(), [place[name.strip()] for name in names.split(" | ")])
        for phrase, names in pairs
    ]


def embedded(model: Wav2CLIP, samples: Sequence[Sample]) -> Scores:
    """(clips, dimension) as a library keeps them."""
    rows = [
        model.embed_audio(sample.audio / np.float32(32768), sample.sample_rate)
        for sample in track(samples, "embedding")
    ]
    return centre(np.stack(rows), model.mean)


def cosines(model: Wav2CLIP, samples: Sequence[Sample], phrases: Sequence[str]) -> Scores:
    """(phrases, clips) as a library compares them."""
    texts = centre(model.embed_text(list(phrases)), model.towers.means["text"])
    return texts @ embedded(model, samples).T


def precision(scores: Scores, relevant: NDArray[np.bool_], unsure: NDArray[np.bool_]) -> float:
    """Mean precision at 10 of queries (rows); at as many as are relevant where these are fewer.

    Clips of which nobody is sure are passed over.
    """
    values = []
    for row, right, left_out in zip(scores, relevant, unsure, strict=True):
        looked_at = min(CUTOFF, int(right.sum()))
        best = np.argsort(-np.where(left_out, -np.inf, row), kind="stable")
        values.append(right[best[:looked_at]].mean())
    return float(np.mean(values))


def evidence(names: Names, phrases: Sequence[str], form: Sequence[float]) -> Scores:
    """(phrases, clips) what words are worth in a form of the formula."""
    with mock.patch.multiple(words, **dict(zip(("WEIGHT", "WHOLE", "ONLY"), form, strict=True))):
        return np.stack([names.evidence(phrase) for phrase in phrases])


def variants(paths: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """What the clips are called."""
    random = np.random.default_rng(0)
    yield "all", list(paths)
    for title, share in (("a half", 0.5), ("a quarter", 0.25)):
        named = random.random(len(paths)) < share
        yield (
            title,
            [p if n else f"{i:05}" for i, (p, n) in enumerate(zip(paths, named, strict=True))],
        )
    yield "dealt out anew", [str(path) for path in random.permutation(paths)]


def read_heard(shards: Path) -> tuple[list[Sample], Scores, list[tuple[str, list[int]]]]:
    """The validation clips that a tagger heard, (clips, classes) what it heard, and phrases."""
    tagger = read_manifest(shards).tagger
    assert tagger is not None, "a tagger must have heard the shards"
    samples = [s for s in iterate(shards, "validation") if s.tags is not None]
    heard = np.stack([sample.tags.probabilities[0] for sample in samples])
    return samples, heard, read_phrases(tagger.labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("curated", type=Path)
    parser.add_argument("--model", default="builtin")
    options = parser.parse_args()
    samples, heard, every = read_heard(options.shards)
    asked = [
        (phrase, likeliest)
        for phrase, classes in every
        if ((likeliest := heard[:, classes].max(axis=1)) >= HEARD).sum() >= LEAST_RELEVANT
    ]
    phrases, likeliest = [phrase for phrase, _ in asked], np.stack([each for _, each in asked])
    relevant = likeliest >= HEARD
    unsure = ~relevant & (likeliest >= NOT_HEARD)
    model = load(options.model)
    sound = cosines(model, samples, phrases)
    paths = original_paths(options.curated, samples)
    print(f"{machine()}; {versions()}\n")
    print(f"{len(samples)} clips, {len(phrases)} phrases, {model.name} {model.fingerprint}\n")
    forms = " | ".join(", ".join(f"{part:g}" for part in form) for form in FORMS)
    print(f"| named | words alone | {forms} |")
    print("|---" * (2 + len(FORMS)) + "|")
    for title, each in variants(paths):
        names = Names(pa.array(map(stems_of, each), pa.string()))
        alone = evidence(names, phrases, (words.WEIGHT, words.WHOLE, words.ONLY)) + 1e-3 * sound
        scored = [alone, *(sound + evidence(names, phrases, form) for form in FORMS)]
        values = [precision(scores, relevant, unsure) for scores in scored]
        print(f"| {title} | " + " | ".join(f"{value:.3f}" for value in values) + " |")


if __name__ == "__main__":
    main()
