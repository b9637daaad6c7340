"""What words in names add to a search, with several weights: precision at 10, and when they lie.

    python benchmarks/names.py SHARDS CURATED.csv [--model builtin]

The library is the validation clips of SHARDS, under the names that their recordings had where
they were collected (``original_path`` in the tables of ``$WAV2CLIP_DATA``; CURATED.csv is what the
shards were prepared from). Queries are the phrases of ``tools/sound_phrases_train.txt``. A clip is
relevant if the tagger that heard the shards gives one of the phrase's classes a probability of 0.3
or more: it judges by ear, so a name that says more than can be heard counts as wrong here.

What words add is multiplied by factors: 1 is what the library does. Names are kept, or dealt out
anew at random, which words alone cannot survive.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.progress import track

from machine import machine, versions
from wav2clip import Wav2CLIP, load
from wav2clip.library.space import centre
from wav2clip.library.words import Names, stems_of
from wav2clip.pretrain.shards import Sample, iterate, read_manifest

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data"))
PHRASES = ROOT / "tools" / "sound_phrases_train.txt"
HEARD, LEAST_RELEVANT, CUTOFF = 0.3, 3, 10
FACTORS = (0.0, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)

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
    words = centre(model.embed_text(list(phrases)), model.towers.means["text"])
    return words @ embedded(model, samples).T


def precision(scores: Scores, relevant: NDArray[np.bool_]) -> float:
    """Mean precision at 10 of queries (rows); at as many as are relevant where these are fewer."""
    values = []
    for row, right in zip(scores, relevant, strict=True):
        looked_at = min(CUTOFF, int(right.sum()))
        values.append(right[np.argsort(-row, kind="stable")[:looked_at]].mean())
    return float(np.mean(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("curated", type=Path)
    parser.add_argument("--model", default="builtin")
    options = parser.parse_args()
    tagger = read_manifest(options.shards).tagger
    assert tagger is not None, "a tagger must have heard the shards"
    samples = [s for s in iterate(options.shards, "validation") if s.tags is not None]
    heard = np.stack([sample.tags.probabilities[0] for sample in samples])
    asked = [
        (phrase, right)
        for phrase, classes in read_phrases(tagger.labels)
        if (right := heard[:, classes].max(axis=1) >= HEARD).sum() >= LEAST_RELEVANT
    ]
    phrases, relevant = [phrase for phrase, _ in asked], np.stack([right for _, right in asked])
    model = load(options.model)
    sound = cosines(model, samples, phrases)
    paths = original_paths(options.curated, samples)
    print(f"{machine()}; {versions()}\n")
    print(f"{len(samples)} clips, {model.name} {model.fingerprint}\n")
    print("| names | phrases | words alone | " + " | ".join(f"{w:g}" for w in FACTORS) + " |")
    print("|---" * (3 + len(FACTORS)) + "|")
    dealt = [str(path) for path in np.random.default_rng(0).permutation(paths)]
    for title, each in (("kept", paths), ("dealt out anew", dealt)):
        names = Names(pa.array(map(stems_of, each), pa.string()))
        given = np.stack([names.evidence(phrase) for phrase in phrases])
        matching = given.max(axis=1) > 0
        for which, rows in (("all", np.ones(len(phrases), bool)), ("in a name", matching)):
            values = [precision(given[rows] + 1e-3 * sound[rows], relevant[rows])]
            values += [precision(sound[rows] + w * given[rows], relevant[rows]) for w in FACTORS]
            cells = " | ".join(f"{value:.3f}" for value in values)
            print(f"| {title} | {which}, {rows.sum()} | {cells} |")


if __name__ == "__main__":
    main()
