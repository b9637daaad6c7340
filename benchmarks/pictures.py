"""Whether chosen pictures are those of their sounds, and what choosing and filming cost.

    python benchmarks/pictures.py stills    # one picture for each of Tux Paint's 102 sounds
    python benchmarks/pictures.py films     # films of five joined sounds: what is shown when
    python benchmarks/pictures.py onsets    # against onsets marked by hand
    python benchmarks/pictures.py speed     # pictures per second, seconds of work per second
    python benchmarks/pictures.py long      # a film of an hour: work and memory

A picture is right if it is the sound's own or one whose caption has the same noun. Nothing was
fitted to these pairs or marks.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from wav2clip.audio.io import load_audio
from wav2clip.embedding.embedder import Wav2CLIP, load
from wav2clip.generation import camera, choice, film, montage, rhythm
from wav2clip.generation.album import open_album
from wav2clip.models.towers.images import open_image
from wav2clip.zeroshot import class_weights, preset_labels, similarity, softmax

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data"))
TUXPAINT = DATA / "tuxpaint"
RATE = 32_000
WITHIN = 0.1
SHARP = 40.0
LENGTH, SOUNDS = 4, 5

MARKS = {
    "esc10_original/1-100032-A-0.ogg": [2.25],
    "esc10_original/3-155312-A-0.ogg": [0.03, 0.37, 0.72, 1.14, 2.41, 2.92, 3.66, 4.38],
    "esc10_original/2-114587-A-0.ogg": [
        0.03, 0.35, 0.65, 0.98, 1.55, 1.88, 2.20, 2.65, 2.82, 2.92, 3.40, 3.76, 4.22, 4.62
    ],
    "esc10_original/1-21934-A-38.ogg": [0.51, 1.57, 2.51, 3.56, 4.52],
    "esc10_original/3-142605-A-21.ogg": [1.00],
    "tuxpaint/hobbies/music/percussion/drumkit.ogg": [
        0.24, 0.80, 1.06, 1.29, 1.44, 1.58, 1.86, 2.13, 2.35, 2.62, 2.90, 3.16
    ],
}  # fmt: skip
"""Seconds at which something begins: three dogs, a clock, a sneeze, a drum kit. Marked by eye in
plots of the waveform and of its level in dB every 5 ms, before the detector was run on them."""


@dataclass(frozen=True)
class Pairs:
    """Sounds, their pictures, and the nouns of their captions."""

    sounds: list[Path]
    pictures: list[Path]
    nouns: np.ndarray


def pairs() -> Pairs:
    with (TUXPAINT / "pairs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return Pairs(
        [TUXPAINT / row["audio"] for row in rows],
        [TUXPAINT / row["image"] for row in rows],
        np.array([noun(row["caption"]) for row in rows]),
    )


def noun(caption: str) -> str:
    """The last word before "of" and outside of brackets: "A glass of water." is a glass."""
    words = re.findall(r"[a-z]+", re.sub(r"\(.*?\)", "", caption.lower()).split(" of ")[0])
    return words[-1]


def with_pictures(model: Wav2CLIP, embeddings: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    return similarity(embeddings, pictures, model.mean, model.towers.means["image"])


def row(title: str, scores: np.ndarray, nouns: np.ndarray) -> None:
    """Of scores (n, n): whether the first is right, and whether one of the first nine is."""
    own = np.arange(len(scores))
    order = np.argsort(-scores, axis=1)
    rank = np.argmax(order == own[:, None], axis=1)
    right = nouns[order] == nouns[:, None]
    print(
        f"| {title} | {(rank == 0).mean():.2f} | {right[:, 0].mean():.2f} | "
        f"{right[:, :9].any(axis=1).mean():.2f} | {np.median(rank) + 1:.0f} |"
    )


def stills(_: argparse.Namespace) -> None:
    found, model = pairs(), load()
    means = model.towers.means
    audio = np.stack([model.embed_file(sound) for sound in found.sounds])
    pictures = model.embed_image(found.pictures)
    words = list(dict.fromkeys(found.nouns.tolist()))
    texts = class_weights(model.towers, words)[[words.index(n) for n in found.nouns]]
    print("| from, to | its own | right | right among nine | median rank |\n|---|---|---|---|---|")
    row("sound, picture (what is chosen)", with_pictures(model, audio, pictures), found.nouns)
    row("not centred", similarity(audio, pictures), found.nouns)
    row(
        "its best second",
        np.stack([best_second(model, s, pictures) for s in found.sounds]),
        found.nouns,
    )
    row("through AudioSet's labels", through_words(model, audio, pictures), found.nouns)
    heard = similarity(audio, texts, model.mean, means["text"])
    row("sound, the caption's noun in words", heard, found.nouns)
    seen = similarity(texts, pictures, means["text"], means["image"])
    row("the caption's noun in words, picture", seen, found.nouns)
    rng = np.random.default_rng(0)
    chance = np.mean([found.nouns[rng.permutation(102)] == found.nouns for _ in range(1000)])
    print(f"\nby chance right: {chance:.3f}")


def best_second(model: Wav2CLIP, sound: Path, pictures: np.ndarray) -> np.ndarray:
    """(n,) greatest cosines of any second of a sound."""
    return with_pictures(model, film.listen(model, sound, 1.0, 0.5).embeddings, pictures).max(
        axis=0
    )


def through_words(model: Wav2CLIP, audio: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """(n, n) log-probabilities that both mean the same of AudioSet's labels."""
    labels = preset_labels("audioset")
    means = model.towers.means
    heard = similarity(audio, class_weights(model.towers, labels), model.mean, means["text"])
    words = class_weights(model.towers, labels, "label")
    seen = similarity(pictures, words, means["image"], means["text"])
    return np.log(softmax(SHARP * heard) @ softmax(SHARP * seen).T + 1e-12)


def films(options: argparse.Namespace) -> None:
    """Five sounds of four seconds each (shorter ones repeated), one after the other."""
    found, model = pairs(), load()
    pictures = model.embed_image(found.pictures)
    sounds = found.sounds
    if options.clips == "esc50":  # to choose settings by: sounds without pictures of their own
        sounds = sorted((DATA / "esc50" / "audio").glob("*.ogg"))
    choice.CHANGE, choice.ACCENT = options.change, options.accent
    rng, seconds = np.random.default_rng(options.seed), LENGTH * SOUNDS
    measured: list[list[float]] = []
    for _ in range(options.films):
        rows = rng.permutation(len(sounds))[:SOUNDS]
        waves = [level(np.resize(load_audio(sounds[r], RATE).samples, LENGTH * RATE)) for r in rows]
        alone = with_pictures(model, model.embed_audio(waves, RATE), pictures)
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            soundfile.write(file.name, np.concatenate(waves), RATE)
            moments = film.listen(model, file.name, options.frame, 0.5)
            places = choice.cut_places(rhythm.measure(file.name), seconds)
        score = partial(with_pictures, model, pictures=pictures)
        shots, _ = choice.choose(score, len(pictures), moments, places, 3)
        times = np.arange(0, seconds, 0.04)
        starts = np.array([shot.start for shot in shots])
        shown = np.array([s.picture for s in shots])[np.searchsorted(starts, times, "right") - 1]
        played = (times // LENGTH).astype(int)
        gaps = [np.abs(starts - border).min() for border in range(LENGTH, seconds, LENGTH)]
        measured.append(
            [
                len(shots),
                np.mean([shot.strength > 0 for shot in shots[1:]]),
                np.mean(np.array(gaps) < 0.25),
                np.mean(shown == alone.argmax(axis=1)[played]),
                np.mean(alone[played, shown]) / np.mean(alone.max(axis=1)),
            ]
        )
        if options.clips == "tuxpaint":
            measured[-1].append(np.mean(found.nouns[shown] == found.nouns[rows][played]))
            best = alone.argmax(axis=1)
            measured[-1].append(np.mean(found.nouns[best] == found.nouns[rows]))
    titles = [
        "shots",
        "cuts on an onset",
        "borders with a cut within 0.25 s",
        "time with the picture chosen for the sound alone",
        "cosine with it, of that picture's",
        "time with a right picture",
        "pictures chosen for the sounds alone that are right",
    ]
    for title, value in zip(titles, np.nanmean(measured, axis=0), strict=False):
        print(f"| {title} | {value:.2f} |")


def level(wave: np.ndarray) -> np.ndarray:
    return 0.7 * wave / max(1e-6, float(np.abs(wave).max()))


def onsets(_: argparse.Namespace) -> None:
    print("| recording | marked | found | right | F1 |\n|---|---|---|---|---|")
    totals = np.zeros(3, int)
    for name, marks in MARKS.items():
        free = rhythm.measure(DATA / name).onsets.tolist()
        counts = [len(marks), len(free), 0]
        for mark in marks:
            near = [at for at in free if abs(at - mark) <= WITHIN]
            if near:
                free.remove(min(near, key=lambda at: abs(at - mark)))
                counts[2] += 1
        totals += counts
        print(f"| {Path(name).stem} | {' | '.join(map(str, counts))} | {f1(*counts):.2f} |")
    print(f"| all | {' | '.join(map(str, totals))} | {f1(*totals.tolist()):.2f} |")


def f1(marked: int, found: int, right: int) -> float:
    return 2 * right / (marked + found)


def speed(options: argparse.Namespace) -> None:
    """Processor time, of all threads."""
    model = load()
    with tempfile.TemporaryDirectory() as name:
        os.environ["WAV2CLIP_CACHE"] = str(Path(name) / "cache")
        folder = Path(name) / "photos"
        folder.mkdir()
        photos = sorted((DATA / "clip_vit_b32" / "photos").glob("*.jpg"))
        for photo in photos[: options.photos]:
            large = open_image(photo).resize((4000, 3000))
            large.save(folder / f"{photo.stem}.jpg", quality=90)
        for what, source in (
            ("stamps of 200 pixels, looked at", TUXPAINT),
            ("photographs of 12 megapixels, looked at", folder),
            ("of them, known", folder),
        ):
            begun = time.process_time()
            album = open_album(source, model.towers)
            work, count = time.process_time() - begun, len(album.paths)
            print(f"- {count} {what}: {work / count * 1000:.1f} ms of work each")
        rng = np.random.default_rng(0)
        sound = Path(name) / "sound.wav"
        wave = rng.normal(size=30 * RATE) * np.exp(-4 * (np.arange(30 * RATE) / RATE % 0.7))
        soundfile.write(sound, 0.2 * wave, RATE)
        for size in ((512, 512), (720, 1280)):
            begun = time.process_time()
            moments = film.listen(model, sound, 1.0, 0.5)
            course, heard = rhythm.measure(sound), time.process_time()
            places = choice.cut_places(course, 30)
            score = partial(with_pictures, model, pictures=album.vectors)
            shots, _ = choice.choose(score, count, moments, places, 3)
            chosen = time.process_time()
            frames = montage.montage(
                shots,
                lambda row, least: open_image(album.paths[row], least),
                camera.follow(course, 25, 750),
                size,
                25,
            )
            film.write_film(Path(name) / "film.mp4", frames, size, 25, sound)
            done = time.process_time()
            print(
                f"- film of {size[1]} x {size[0]}: {(done - begun) / 30:.2f} s of work per second "
                f"of film: {(heard - begun) / 30:.3f} to listen, {(chosen - heard) / 30:.4f} to "
                f"choose, {(done - chosen) / 30:.2f} to show {len(shots)} shots and encode"
            )


def long(options: argparse.Namespace) -> None:
    """A film of a long sound by the command, in a process of its own."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        sound, rate = Path(name) / "long.wav", 16_000
        with soundfile.SoundFile(sound, "w", rate, 1) as file:
            for _ in range(options.minutes * 6):
                t = np.arange(10 * rate) / rate
                beats = 0.2 * rng.normal(size=len(t)) * np.exp(-4 * (t % rng.uniform(0.3, 2)))
                file.write(beats + 0.2 * np.sin(2 * np.pi * rng.uniform(100, 3000) * t))
        command = ["generate", sound, "--pictures", TUXPAINT, "--film", Path(name) / "film.mp4"]
        command = [sys.executable, "-m", "wav2clip", *command, "--size", 64, "--fps", 5, "--json"]
        done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, check=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        summary = json.loads(done.stdout)
        print(
            f"- {options.minutes} minutes: {len(summary['shots'])} shots, budget "
            f"{summary['budget']}, {used.ru_utime + used.ru_stime:.0f} s of work, "
            f"{used.ru_maxrss / 1000:.0f} MB at most"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=("stills", "films", "onsets", "speed", "long"))
    parser.add_argument("--films", type=int, default=40)
    parser.add_argument("--frame", type=float, default=1.0)
    parser.add_argument("--clips", choices=("tuxpaint", "esc50"), default="tuxpaint")
    parser.add_argument("--change", type=float, default=choice.CHANGE)
    parser.add_argument("--accent", type=float, default=choice.ACCENT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--photos", type=int, default=48)
    options = parser.parse_args()
    stages = {"stills": stills, "films": films, "onsets": onsets, "speed": speed, "long": long}
    stages[options.stage](options)


if __name__ == "__main__":
    main()
