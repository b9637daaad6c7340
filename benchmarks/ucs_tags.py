"""How right `wav2clip tag --ucs` is: by what is heard, by words, and by both.

    python benchmarks/ucs_tags.py [--model builtin] [--choose]

Sounds are those of ``$WAV2CLIP_DATA/sounds_free`` whose original file name holds the name of one
UCS category, or one of the synonyms in :data:`SYNONYMS`, and that of no other: this is taken for
the truth. It was somebody's word and not an ear's, and is wrong at times. Names of what can be done
in a game, of surfaces that are walked on, and of what is no sound (:data:`NO_SOUND`) do not count.
At most :data:`MOST` clips of a category, chosen by a hash of the name; the hash also parts
validation from test. ``--choose`` compares phrases and weights, on validation alone.

Words: "left" is the original path without the words that gave the truth; "whole" is all of it,
which gives the truth away. By sound alone no word is looked at.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import itertools
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from machine import machine, versions
from wav2clip import Wav2CLIP, load
from wav2clip.library import suggest, ucs
from wav2clip.library.space import centre
from wav2clip.library.words import split, stem

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data"))
MOST, LONGEST_TERM = 12, 3

_NO_SOUND = """
loop stone field activ small bounc alert weather power generic larg equip swing armor spark car
grass energi grab product indoor market container cover wade suppress sampl string evil effort
tool object game data park sea fish board contain residenti desert school underground combust
cri ingredi suspens gate shell coin slide shake torch leav concret flesh battl drone train
"""
NO_SOUND = frozenset(_NO_SOUND.split())
"""Stems of categories' names that say something else in these names, or nothing to be heard."""

_SYNONYMS = """
tuba gunshot owl zombi seagul gull eagl rat growl river droplet lightn sonar minigun mace meow
klaxon gallop canter campfir flamethrow dynamit haha retch gulp xylophon marimba violin saxophon
chainsaw rooster hen goos tiger boar gorilla woodpeck firecrack snarl belch chomp brook creek
bulldoz steamrol turboprop biplan hacksaw handgun musket afterburn shutter rattlesnak throat
snort bull moos coyot canari peacock flamingo woosh beeper claxon newspap uzi glock blowtorch
"""
SYNONYMS = frozenset(_SYNONYMS.split())
"""Stems of synonyms that are somebody's or something's name and mean nothing else."""

_WALKED = {stem(word) for word in ("footsteps", "step", "steps", "walk", "foot", "feet")}
_FIRED = {"gun", "weapon", "shot", "rifl", "cannon", "laser", "bullet", "missil", "turret", "tank"}

Numbers = NDArray[np.float32]


class Clip(NamedTuple):
    """A sound and what its name says."""

    file: Path
    path: str
    row: int
    term: str
    test: bool


def terms() -> dict[str, set[int]]:
    """Stems of what may give a category away, and the rows that they name."""
    named: defaultdict[str, set[int]] = defaultdict(set)
    for row, category in enumerate(ucs.categories()):
        named[" ".join(map(stem, split(category.phrase)))].add(row)
    titles = set(named)
    for row, category in enumerate(ucs.categories()):
        for synonym in category.synonyms:
            term = " ".join(map(stem, split(synonym)))
            if term in SYNONYMS and term not in titles:
                named[term].add(row)
    return {term: rows for term, rows in named.items() if len(term) > 2 and term not in NO_SOUND}


def truth(path: str, named: dict[str, set[int]]) -> tuple[int, str] | None:
    """The row and the term that a file's name gives, if it gives one alone."""
    words = [stem(word) for word in split(os.path.splitext(os.path.basename(path))[0])]
    every = {stem(word) for word in split(path)}
    found: dict[str, set[int]] = {}
    at = 0
    while at < len(words):
        for end in range(min(len(words), at + LONGEST_TERM), at, -1):
            if (term := " ".join(words[at:end])) in named:
                found[term], at = named[term], end
                break
        else:
            at += 1
    if len(found) != 1 or every & _WALKED:
        return None
    ((term, rows),) = found.items()
    if len(rows) != 1 or (term in ("fire", "launch") and every & _FIRED):
        return None
    return next(iter(rows)), term


def digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def read_clips() -> list[Clip]:
    """At most :data:`MOST` of each category, by hash."""
    folder, named = DATA / "sounds_free", terms()
    with (folder / "meta.csv").open(newline="", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: digest(row["filename"]))
    taken: Counter[int] = Counter()
    clips = []
    for row in rows:
        told = truth(row["original_path"], named)
        if told is not None and taken[told[0]] < MOST:
            taken[told[0]] += 1
            test = bool(digest("split " + row["filename"]) % 2)
            clips.append(
                Clip(folder / "audio" / row["filename"], row["original_path"], *told, test)
            )
    return clips


def without(path: str, term: str) -> str:
    """A path whose words that gave the truth are taken out."""
    gone = set(term.split())
    parts = os.path.splitext(path)[0].split("/")
    return "/".join(
        " ".join(word for word in split(part) if stem(word) not in gone) for part in parts
    )


def right(scores: Numbers, rows: NDArray[np.int64]) -> list[float]:
    """Top-1 and top-5 of the CatID, and of the category: the share of clips."""
    names = np.array([category.category for category in ucs.categories()])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    same = order == rows[:, None]
    alike = names[order] == names[rows][:, None]
    hit = scores.max(axis=1) > scores.min(axis=1)  # who says nothing is not right by chance
    return [float((each & hit[:, None])[:, :n].any(axis=1).mean())
            for each in (same, alike) for n in (1, 5)]  # fmt: skip


PHRASINGS: dict[str, Callable[[ucs.Category], tuple[str, ...]]] = {
    "phrase": lambda c: (c.phrase,),
    "the sound of phrase": lambda c: (f"the sound of {c.phrase}",),
    "category phrase": lambda c: (f"{c.category} {c.phrase}",),
    "phrase, category phrase": lambda c: (c.phrase, f"{c.category} {c.phrase}"),
    "all but no synonyms, sound of": lambda c: (
        c.phrase, f"{c.category} {c.phrase}", f"the sound of {c.phrase}"
    ),
    **{
        f"phrase, category phrase, {n} synonyms": (
            lambda c, n=n: (c.phrase, f"{c.category} {c.phrase}", *c.synonyms[:n])
        )
        for n in (3, 6, 12, 100)
    },
    "phrase x3, category phrase x3, 6 synonyms": lambda c: (
        c.phrase, f"a {c.phrase}", f"the sound of {c.phrase}", f"{c.category} {c.phrase}",
        f"{c.phrase} {c.category}", f"the sound of {c.category} {c.phrase}", *c.synonyms[:6],
    ),
}  # fmt: skip


def logits(model: Wav2CLIP, sounds: Numbers, vectors: Numbers) -> Numbers:
    labels = centre(vectors, model.towers.means["text"])
    return model.logit_scale() * (sounds @ labels.T)


def evidence(paths: list[str]) -> Numbers:
    suggest._named.cache_clear()
    return np.stack([suggest.evidence(path, {}) for path in paths])


def choices(
    model: Wav2CLIP, sounds: Numbers, clips: list[Clip], rows: NDArray[np.int64]
) -> Iterator[str]:
    """Tables of phrases and weights, on validation."""
    yield "| phrases | CatID top-1 | top-5 | category top-1 | top-5 |"
    yield "|---" * 5 + "|"
    for name, phrasing in PHRASINGS.items():
        vectors = suggest.category_vectors(model.towers, phrasing)
        yield line(name, right(logits(model, sounds, vectors), rows))
    heard = logits(model, sounds, suggest.category_vectors(model.towers))
    yield ""
    yield "| title | folder | weight | left: CatID top-1 | whole: CatID top-1 | mean |"
    yield "|---" * 6 + "|"
    left, whole = [without(c.path, c.term) for c in clips], [c.path for c in clips]
    for title, folder in itertools.product((2.0, 5.0, 10.0, 20.0), (0.0, 0.25, 0.5)):
        suggest.TITLE, suggest.FOLDER = title, folder
        told = [evidence(paths) for paths in (left, whole)]
        for weight in (2.0, 4.0, 6.0, 8.0, 12.0):
            one, other = (right(heard + weight * each, rows)[0] for each in told)
            cells = f"{weight:g} | {one:.3f} | {other:.3f} | {(one + other) / 2:.3f}"
            yield f"| {title:g} | {folder:g} | {cells} |"


def line(name: str, values: list[float]) -> str:
    return f"| {name} | " + " | ".join(f"{value:.3f}" for value in values) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--choose", action="store_true")
    options = parser.parse_args()
    clips = [clip for clip in read_clips() if clip.test != options.choose]
    model = load(options.model)
    embedded = [model.embed_file(clip.file) for clip in track(clips, "embedding")]
    sounds = centre(np.stack(embedded), model.mean)
    rows = np.array([clip.row for clip in clips])
    print(f"{machine()}; {versions()}\n")
    which = "validation" if options.choose else "test"
    print(
        f"{len(clips)} clips of {len(set(rows.tolist()))} categories ({which}), "
        f"{model.name} {model.fingerprint}\n"
    )
    if options.choose:
        for text in choices(model, sounds, clips, rows):
            print(text, flush=True)
        return
    heard = logits(model, sounds, suggest.category_vectors(model.towers))
    left = evidence([without(clip.path, clip.term) for clip in clips])
    whole = evidence([clip.path for clip in clips])
    none = np.zeros_like(heard)
    print("| by | CatID top-1 | top-5 | category top-1 | top-5 |")
    print("|---" * 5 + "|")
    for name, scores in (
        ("sound", heard),
        ("words left", left + none),
        ("sound and words left", heard + suggest.WORDS * left),
        ("words", whole + none),
        ("sound and words", heard + suggest.WORDS * whole),
    ):
        print(line(name, right(scores, rows)))


if __name__ == "__main__":
    main()
