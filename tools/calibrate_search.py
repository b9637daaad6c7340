"""Fit how sure a search may be: the background of an audio encoder, and probabilities from scores.

    python tools/calibrate_search.py CHECKPOINT SHARDS [--write]

The background is the mean and covariance of every fourth training clip's embedding. The fits are
logistic functions of the first ten of a library made of the validation clips of SHARDS, which a
tagger heard. A clip is right if the tagger gives one of the classes that are meant a probability of
0.3 or more, wrong below 0.05, and else left out. Asked are, with the built-in towers:

text    the phrases of tools/sound_phrases_train.txt, and what no recording sounds like: the lines
        of tools/other_phrases.txt, and strings of random letters
image   pictures of CIFAR-10, from the tenth of each class on (``$WAV2CLIP_DATA``)
audio   the validation clips themselves, which mean their likeliest class

Printed is how well the probabilities hold for every second query, from a fit to the others; what is
written with --write is fitted to all.
"""

from __future__ import annotations

import argparse
import os
import random
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from wav2clip.embedding.embedder import Wav2CLIP, load
from wav2clip.library.space import centre
from wav2clip.models import registry
from wav2clip.models.background import Background, Logistic, write_background
from wav2clip.pretrain.shards import iterate, read_manifest

TOOLS = Path(__file__).parent
DATA = Path(os.environ.get("WAV2CLIP_DATA", TOOLS.parents[1] / "shared" / "data"))
HEARD, NOT_HEARD, TOP = 0.3, 0.05, 10
TRAINING_SHARE, RANDOM_STRINGS, PICTURES, CLIPS = 4, 200, 30, 600
CIFAR10 = {
    "airplane": "Fixed-wing aircraft, airplane | Aircraft", "automobile": "Car", "bird": "Bird",
    "cat": "Cat", "deer": "", "dog": "Dog", "frog": "Frog", "horse": "Horse",
    "ship": "Ship | Boat, Water vehicle", "truck": "Truck",
}  # fmt: skip
"""Names of the classes in the order of their numbers, and the AudioSet classes of their sounds."""

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Asked:
    """Queries of one kind.

    Attributes:
        vectors: (q, dimension) of unit length, centred.
        right, wrong: (q, clips).
        audible: (q,) whether there is a class of sounds that is meant.
    """

    vectors: Floats
    right: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    audible: NDArray[np.bool_]

    def of(self, rows: NDArray[np.int64]) -> Asked:
        return Asked(self.vectors[rows], self.right[rows], self.wrong[rows], self.audible[rows])


@dataclass(frozen=True)
class Finds:
    """First finds of queries: (n,) each.

    Attributes:
        wanted: 1 where there is something right, 0 where no clip is, -1 where no sound can be.
    """

    cosines: Floats
    deviations: Floats
    right: NDArray[np.bool_]
    first: NDArray[np.bool_]
    wanted: NDArray[np.int64]


def heard(shards: Path, split: str, model: Wav2CLIP, share: int = 1) -> tuple[Floats, Floats]:
    """Embeddings, comparable with queries, and the tagger's probabilities of a split's clips."""
    embeddings, probabilities = [], []
    for number, sample in enumerate(track(iterate(shards, split), f"embedding {split}")):
        if sample.tags is None or number % share:
            continue
        waveform = sample.audio / np.float32(32768)
        embeddings.append(model.embed_audio(waveform, sample.sample_rate))
        probabilities.append(sample.tags.probabilities[0])
    return centre(np.stack(embeddings), model.mean), np.stack(probabilities)


def asked(vectors: Floats, classes: Sequence[Sequence[int]], heard_in: Floats) -> Asked:
    """Queries that mean some classes each, or nothing that can be heard."""
    likeliest = np.stack(
        [heard_in[:, list(c)].max(axis=1) if c else np.zeros(len(heard_in)) for c in classes]
    )
    audible = np.array([len(c) > 0 for c in classes])
    return Asked(vectors, likeliest >= HEARD, likeliest < NOT_HEARD, audible)


def phrases(model: Wav2CLIP, labels: Sequence[str], heard_in: Floats) -> Asked:
    """Of sounds, of other things, and of nothing at all."""
    texts, classes = [], []
    place = {label: number for number, label in enumerate(labels)}
    for line in lines("sound_phrases_train.txt"):
        phrase, names = line.split(" = ")
        texts.append(phrase.strip())
        classes.append([place[name.strip()] for name in names.split(" | ")])
    rng = random.Random(0)
    texts += lines("other_phrases.txt")
    texts += [
        "".join(rng.choices(string.ascii_lowercase, k=rng.randint(5, 10)))
        for _ in range(RANDOM_STRINGS)
    ]
    classes += [[]] * (len(texts) - len(classes))
    return asked(centre(model.embed_text(texts), model.towers.means["text"]), classes, heard_in)


def lines(name: str) -> list[str]:
    text = (TOOLS / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def pictures(model: Wav2CLIP, labels: Sequence[str], heard_in: Floats) -> Asked:
    """Pictures that benchmarks/relevance.py does not show."""
    with np.load(DATA / "clip_vit_b32/image_cifar10_500.npz") as content:
        images, numbers = content["images"], content["labels"]
    chosen, classes = [], []
    for number, names in enumerate(CIFAR10.values()):
        own = images[numbers == number][10 : 10 + PICTURES]
        chosen += [Image.fromarray(image) for image in own]
        classes += [[labels.index(n) for n in names.split(" | ") if n]] * len(own)
    vectors = centre(model.embed_image(chosen), model.towers.means["image"])
    return asked(vectors, classes, heard_in)


def recordings(embeddings: Floats, heard_in: Floats) -> Asked:
    """Clips that have a likeliest class; none is to be found by itself."""
    surest = heard_in.argmax(axis=1)
    rows = np.flatnonzero(heard_in.max(axis=1) >= HEARD)
    rows = np.random.default_rng(0).permutation(rows)[:CLIPS]
    found = asked(embeddings[rows], [[int(surest[row])] for row in rows], heard_in)
    others = np.arange(len(embeddings)) != rows[:, None]
    return replace(found, right=found.right & others, wrong=found.wrong & others)


def finds(queries: Asked, embeddings: Floats, background: Background) -> Finds:
    """The first :data:`TOP` of each query, among clips that are right or wrong."""
    columns: list[list[NDArray[np.generic]]] = []
    parts = (queries.vectors, queries.right, queries.wrong, queries.audible)
    for vector, right, wrong, audible in zip(*parts, strict=True):
        if not right.any() and not wrong.all():  # a class that nobody heard, and somebody may have
            continue
        mean, deviation = background.of(vector)
        cosines = embeddings @ vector
        there = np.flatnonzero(right | wrong)
        best = there[np.argsort(-cosines[there], kind="stable")[:TOP]]
        z = (cosines[best] - mean) / deviation
        wanted = np.full(len(best), int(right.any()) if audible else -1)
        columns.append([cosines[best], z, right[best], np.arange(len(best)) == 0, wanted])
    return Finds(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def fit(seen: Finds) -> Logistic:
    """Maximum likelihood, by Newton's method."""
    x = np.stack([np.ones(len(seen.right)), seen.cosines, seen.deviations], axis=1)
    beta = np.zeros(3)
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ beta))
        curvature = (x * (p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(3)
        beta += np.linalg.solve(curvature, x.T @ (seen.right - p))
    if beta[1:].min() < 0:
        raise SystemExit(f"got factors {beta[1:]}: an order of finds would be turned round")
    return Logistic(*(round(float(value), 4) for value in beta))


def sure(fitted: Logistic, seen: Finds) -> NDArray[np.float64]:
    """The probability of each find."""
    logit = fitted.bias + fitted.per_cosine * seen.cosines + fitted.per_deviation * seen.deviations
    return np.asarray(1 / (1 + np.exp(-logit)))


def report(kind: str, fitted: Logistic, seen: Finds) -> None:
    """Print how well probabilities hold, in ten bins, and what the surest find is for queries."""
    p = sure(fitted, seen)
    bins = np.minimum((p * 10).astype(int), 9)
    error = sum(
        abs(p[bins == b].mean() - seen.right[bins == b].mean()) * (bins == b).mean()
        for b in range(10)
        if (bins == b).any()
    )
    print(f"\n{kind}: {fitted}; expected calibration error {error:.3f}\n")
    print("| probability | finds | said | right |\n|---|---|---|---|")
    for b in range(10):
        own = bins == b
        if own.any():
            cells = f"{own.sum()} | {p[own].mean():.2f} | {seen.right[own].mean():.2f} |"
            print(f"| {b / 10:.1f} to {b / 10 + 0.1:.1f} | {cells}")
    right = p[seen.first & seen.right]
    print(
        "\n| least probability | right first finds kept | of sounds that no clip has, told |"
        " of no sound at all, told |\n|---|---|---|---|"
    )
    for least in (0.1, 0.12, 0.15, 0.2):
        told = [
            f"{(p[unwanted] < least).mean():.3f} of {unwanted.sum()}" if unwanted.any() else "-"
            for unwanted in (seen.first & (seen.wanted == 0), seen.first & (seen.wanted < 0))
        ]
        print(f"| {least} | {(right >= least).mean():.3f} | {' | '.join(told)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("shards", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    model, tagger = load(options.checkpoint), read_manifest(options.shards).tagger
    assert tagger is not None, "a tagger must have heard the shards"
    background = Background.measure(heard(options.shards, "train", model, TRAINING_SHARE)[0])
    embeddings, heard_in = heard(options.shards, "validation", model)
    kinds = {
        "text": phrases(model, tagger.labels, heard_in),
        "image": pictures(model, tagger.labels, heard_in),
        "audio": recordings(embeddings, heard_in),
    }
    print(f"{model.name} {model.fingerprint}; {len(embeddings)} clips")
    calibration = {}
    for kind, queries in kinds.items():
        order = np.arange(len(queries.vectors))
        halves = [finds(queries.of(order[n::2]), embeddings, background) for n in (0, 1)]
        report(kind, fit(halves[0]), halves[1])
        calibration[kind] = fit(finds(queries, embeddings, background))
        print(f"fitted to all: {calibration[kind]}")
    if options.write:
        complete = replace(background, calibration=calibration)
        write_background(registry.locate(options.checkpoint), complete)


if __name__ == "__main__":
    main()
