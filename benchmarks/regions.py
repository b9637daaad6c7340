"""Whether a long recording is found for what is in it, where that is, and for nothing else.

    python benchmarks/regions.py [--seed 0]

An hour is made of fifty clips of ESC-50, five of each of ten classes, in quiet pink noise at random
times; the library is this hour and 1,950 other clips of ESC-50. Asked are the phrases of
``relevance_phrases.csv``, by sound alone.

where    for the ten classes: the first five regions of the hour are right if they cover at least
         half of a clip of the class
leads    for the phrases that no clip in the hour answers: how often the hour is the first find, and
         among the first ten; then the same in a library of the hour and thirty clips, where one
         file in thirty-one would lead by chance. Without the correction for the number of segments
         (:mod:`wav2clip.library.chances`) beside it
found    for phrases that clips in the hour answer: the same
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import numpy as np
import soundfile
from rich.console import Console
from rich.progress import Progress

from machine import machine, versions
from relevance_sets import Clip, Phrase, clips, phrases
from wav2clip import Library

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data"))
SECONDS, RATE, CLASSES, OF_EACH, OTHERS, FEW = 3600, 16_000, 10, 5, 1950, 30
PINK_DB, CLIP_PEAK = -50.0, 0.5

err = Console(stderr=True)


def pink(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Noise whose power falls by 3 dB an octave, of :data:`PINK_DB` full scale (RMS)."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    noise = np.fft.irfft(spectrum, samples)
    return (noise * 10 ** (PINK_DB / 20) / np.sqrt(np.mean(noise**2))).astype(np.float32)


def make_hour(
    path: Path, chosen: Sequence[Clip], rng: np.random.Generator
) -> list[tuple[str, float, float]]:
    """Write the recording; gives label, start and end of each clip in it."""
    hour, events = pink(SECONDS * RATE, rng), []
    room = SECONDS / len(chosen)
    for slot, clip in zip(rng.permutation(len(chosen)), chosen, strict=True):
        samples, rate = soundfile.read(clip.path, dtype="float32")
        assert rate == RATE, f"{clip.path}: {rate} Hz, expected {RATE}"
        start = slot * room + rng.uniform(0, room - len(samples) / RATE)
        first = int(start * RATE)
        hour[first : first + len(samples)] += samples * CLIP_PEAK / max(np.abs(samples).max(), 1e-6)
        events.append((clip.label, start, start + len(samples) / RATE))
    soundfile.write(path, hour, RATE, subtype="PCM_16")
    return events


def covers(start: float, end: float, events: Sequence[tuple[str, float, float]]) -> bool:
    """Whether half of one of the events lies in a region."""
    return any(
        min(end, late) - max(start, early) >= (late - early) / 2 for _, early, late in events
    )


def places(library: Library, hour: Path, asked: Sequence[Phrase]) -> list[int]:
    """The place of the hour among the finds for each phrase, from 0."""
    found = []
    for phrase in asked:
        results = library.search(phrase.text, limit=20, by="sound")
        paths = [result.path for result in results]
        found.append(paths.index(hour) if hour in paths else len(paths))
    return found


def share(values: Sequence[int], below: int) -> str:
    return f"{sum(v < below for v in values)} of {len(values)}"


def report(library: Library, title: str, hour: Path, sets: dict[str, list[Phrase]]) -> None:
    """Lines of the table: with what a long file's cosine is worth, and without."""
    without = mock.patch("wav2clip.library.search.independent_segments", _all_ones)
    for name, changed in (("as it is", nullcontext()), ("without the correction", without)):
        with changed:
            opened = Library.open(library.store.uri, library.model)
            for kind, asked in sets.items():
                at = places(opened, hour, asked)
                print(f"| {title} | {kind} | {name} | {share(at, 1)} | {share(at, 10)} |")


def _all_ones(vectors: object, first_rows: np.ndarray, background: object) -> np.ndarray:
    return np.ones(len(first_rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    rng = np.random.default_rng(parser.parse_args().seed)
    every = [clip for clip in clips(DATA) if clip.collection == "esc50"]
    labels = {clip.label for clip in every}
    asked = [phrase for phrase in phrases() if phrase.labels & labels]
    # The phrase of a class: the narrowest that it belongs to.
    phrase_of = {
        label: min((p for p in asked if label in p.labels), key=lambda p: len(p.labels))
        for label in sorted(labels)
        if any(label in p.labels for p in asked)
    }
    classes = [str(label) for label in rng.permutation(list(phrase_of))[:CLASSES]]
    chosen: list[Clip] = []
    for label in classes:
        own = [clip for clip in every if clip.label == label]
        chosen += [own[place] for place in rng.permutation(len(own))[:OF_EACH]]
    rest = [clip for clip in every if clip not in chosen]
    others = [rest[place].path for place in rng.permutation(len(rest))[:OTHERS]]
    sets = {
        "not in it": [p for p in asked if not p.labels & set(classes)],
        "in it": [p for p in asked if p.labels & set(classes)],
    }
    with tempfile.TemporaryDirectory(prefix="wav2clip-") as scratch, Progress(console=err) as bar:
        hour = Path(scratch, "hour.wav")
        events = make_hour(hour, chosen, rng)
        libraries = {}
        for title, files in (("1,950 clips", others), ("thirty clips", others[:FEW])):
            task = bar.add_task(f"indexing {title}", total=None)
            library = Library.open(Path(scratch, title))
            library.index(
                [hour, *files], progress=lambda d, n, t=task: bar.update(t, completed=d, total=n)
            )
            libraries[title] = library
        print(f"{machine()}; {versions()}\n\n| class | phrase | right of the first five regions |")
        print("|---|---|---|")
        right = []
        for label in classes:
            phrase = phrase_of[label]
            own = [event for event in events if event[0] == label]
            found = libraries["1,950 clips"].search(
                phrase.text, limit=3000, by="sound", per_file=False
            )
            first = [r for r in found if r.path == hour][:5]
            right.append(sum(covers(r.start, r.end, own) for r in first))
            print(f"| {label.partition(':')[2]} | {phrase.text} | {right[-1]} of {len(first)} |")
        print(f"\nright: {sum(right)} of {5 * len(right)}\n")
        print("| library | phrases | score | the hour leads | among the first ten |")
        print("|---|---|---|---|---|")
        for title, library in libraries.items():
            report(library, title, hour, sets)


if __name__ == "__main__":
    main()
