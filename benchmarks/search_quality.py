"""Searches by words, by sound, and by both, in a library of sounds that people named.

    python benchmarks/search_quality.py SHARDS CURATED.csv

The library is the clips that were held out of the built-in encoder's training (the validation clips
of SHARDS, which CURATED.csv was made into), under the names that their recordings had where they
were collected, together with ESC-50, UrbanSound8K (folds 1 and 10) and Tux Paint under theirs. The
names of the first two are numbers. Asked are the phrases of ``relevance_phrases.csv``. A clip of
the three collections is right by its label; a named one if the tagger hears one of the classes of
``search_classes.csv`` with a probability of 0.3 or more, and wrong below 0.05: a name which says
more than can be heard counts as wrong. Those between, of which the tagger is not sure, are passed
over.

The same is asked with names kept, with names removed (files are numbered), and with names dealt out
anew by chance, which words alone cannot survive. Reported are precision at 10 (at as many as are
right, where these are fewer) and nDCG at 10 with binary gains (Järvelin and Kekäläinen 2002).
"""

from __future__ import annotations

import argparse
import csv
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.progress import Progress, track

from machine import machine, versions
from names import DATA, HEARD, NOT_HEARD, original_paths
from relevance_sets import clips, phrases
from wav2clip import Library
from wav2clip.pretrain.shards import iterate, read_manifest

CLASSES = Path(__file__).with_name("search_classes.csv")
CUTOFF, SEED = 10, 0
BY = ("words", "sound", "both")

err = Console(stderr=True)


class Sounds:
    """Files under neutral names, what they are called, and which phrases each answers.

    Attributes:
        files: as they lie, one after the other.
        names: what each is called where it comes from, with folders.
        right, unsure: (phrases, files).
    """

    def __init__(self, shards: Path, curated: Path, folder: Path) -> None:
        asked, classes = phrases(), _classes()
        tagger = read_manifest(shards).tagger
        assert tagger is not None, "a tagger must have heard the shards"
        samples = [s for s in iterate(shards, "validation") if s.tags is not None]
        self.files, self.names, columns = [], [], []
        for number, (sample, name) in enumerate(
            zip(samples, original_paths(curated, samples), strict=True)
        ):
            path = folder / f"{number}.wav"
            soundfile.write(path, sample.audio, sample.sample_rate)
            heard = sample.tags.probabilities[0]
            own = np.array(
                [
                    max((heard[tagger.labels.index(c)] for c in classes[p.text]), default=0)
                    for p in asked
                ]
            )
            self._add(path, f"{Path(name).with_suffix('')}.wav", columns, own)
        for clip in clips(DATA):
            own = [clip.label in p.labels for p in asked]
            self._add(clip.path, str(clip.path.relative_to(DATA)), columns, np.array(own, float))
        sure = np.stack(columns, axis=1)
        self.right = sure >= HEARD
        self.unsure = ~self.right & (sure >= NOT_HEARD)

    def _add(self, path: Path, name: str, columns: list[np.ndarray], own: np.ndarray) -> None:
        self.files.append(path)
        self.names.append(name)
        columns.append(own)

    def lay_out(self, root: Path, names: Sequence[str]) -> dict[Path, int]:
        """Link the files below a folder under these names; gives the number of each path."""
        shutil.rmtree(root, ignore_errors=True)
        numbers: dict[Path, int] = {}
        for number, (file, name) in enumerate(zip(self.files, names, strict=True)):
            path = root / Path(name.lstrip("/")).with_suffix(file.suffix)
            while path in numbers:
                path = path.with_name(f"{path.stem}-{path.suffix}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(file.resolve())
            numbers[path] = number
        return numbers


def _classes() -> dict[str, list[str]]:
    with CLASSES.open(newline="", encoding="utf-8") as file:
        return {
            row["phrase"]: [name for name in row["audioset"].split("|") if name]
            for row in csv.DictReader(file)
        }


def scores(found: Sequence[bool], right: int) -> tuple[float, float]:
    """Precision and nDCG at :data:`CUTOFF`, of finds, best first, where so many are right."""
    looked_at = min(CUTOFF, right)
    gains = np.zeros(CUTOFF)
    gains[: min(len(found), CUTOFF)] = found[:CUTOFF]
    discounts = 1 / np.log2(np.arange(2, CUTOFF + 2))
    return float(gains[:looked_at].mean()), float(gains @ discounts / discounts[:looked_at].sum())


def ask(library: Library, numbers: dict[Path, int], sounds: Sounds, by: str) -> np.ndarray:
    """(phrases, 2) what :func:`scores` gives for each."""
    rows = []
    for place, phrase in enumerate(track(phrases(), by, console=err, transient=True)):
        right, unsure = sounds.right[place], sounds.unsure[place]
        found = library.search(phrase.text, limit=CUTOFF + int(unsure.sum()), by=by)
        judged = [n for n in (numbers[r.path] for r in found) if not unsure[n]]
        rows.append(scores([bool(right[n]) for n in judged], int(right.sum())))
    return np.array(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("curated", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wav2clip-") as scratch:
        clips_folder = Path(scratch, "clips")
        clips_folder.mkdir()
        sounds = Sounds(options.shards, options.curated, clips_folder)
        dealt = [str(n) for n in np.random.default_rng(SEED).permutation(sounds.names)]
        numbered = [f"{number:05}" for number in range(len(sounds.names))]
        library = Library.open(Path(scratch, "library"))
        answered = sounds.right.sum(axis=1) > 0
        print(f"{machine()}; {versions()}\n\n{len(sounds.files)} files, {answered.sum()} phrases\n")
        print("| names | by | precision at 10 | nDCG at 10 |\n|---|---|---|---|")
        for title, names in (("kept", sounds.names), ("removed", numbered), ("dealt out", dealt)):
            numbers = sounds.lay_out(Path(scratch, "sounds"), names)
            with Progress(console=err, transient=True) as bar:
                task = bar.add_task("indexing", total=None)
                report = library.index(
                    Path(scratch, "sounds"),
                    prune=True,
                    progress=lambda d, n, b=bar, t=task: b.update(t, completed=d, total=n),
                )
            assert not report.failures, report.failures
            for by in BY:
                mean = ask(library, numbers, sounds, by)[answered].mean(axis=0)
                print(f"| {title} | {by} | {mean[0]:.3f} | {mean[1]:.3f} |")


if __name__ == "__main__":
    main()
