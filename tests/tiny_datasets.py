"""Every dataset of the catalogue in its official layout, with tones in place of recordings."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

RATE = 16_000


def write_tone(path: Path, label: str, seconds: float = 0.3) -> None:
    """A tone whose pitch tells the label, in noise that tells the file."""
    where = "/".join(path.parts[-3:])  # without the folder of the run: the same noise in each
    rng = np.random.default_rng(zlib.crc32(where.encode()))
    pitch = 200 + zlib.crc32(label.encode()) % 3_000
    time = np.arange(int(seconds * RATE)) / RATE
    wave = 0.3 * np.sin(2 * np.pi * pitch * time) + 0.05 * rng.normal(size=len(time))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, RATE)


def write_table(
    path: Path, rows: Iterable[Sequence[object]], heading: Sequence[str] = (), delimiter: str = ","
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([heading] if heading else [])
        writer.writerows(rows)


def esc50(root: Path, labels: Sequence[str] = ("dog", "rain", "clock_tick", "hen")) -> None:
    """Five folds, two clips of a source and class in each; hens are not part of ESC-10."""
    rows = []
    for fold in range(1, 6):
        for target, label in enumerate(labels):
            for take in "AB":
                source = f"{fold}{target}000"
                name = f"{fold}-{source}-{take}-{target}.wav"
                write_tone(root / "audio" / name, label)
                rows.append((name, fold, target, label, label != "hen", source, take))
    heading = ("filename", "fold", "target", "category", "esc10", "src_file", "take")
    write_table(root / "meta/esc50.csv", rows, heading)


def urbansound8k(root: Path) -> None:
    rows = []
    for fold in (1, 2, 10):
        for number, label in enumerate(("dog_bark", "siren", "jackhammer")):
            name = f"{fold}{number}-3-0-{number}.wav"
            write_tone(root / f"audio/fold{fold}" / name, label)
            rows.append((name, f"{fold}{number}", 0, 4, 1, fold, number, label))
    heading = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")
    write_table(root / "metadata/UrbanSound8K.csv", rows, heading)


def vggsound(root: Path) -> None:
    rows = []
    for number, split in enumerate(("train", "train", "train", "test")):
        for label in ("dog barking", "playing harp"):
            video = f"-x{number}{label[0]}"
            write_tone(root / "clips" / f"{video}_000030.wav", label)
            rows.append((video, 30, label, split))
    write_table(root / "vggsound.csv", rows)


def tau2020(root: Path) -> None:
    meta, setup = [], {"fold1_train.csv": [], "fold1_evaluate.csv": []}
    for table, city in (("fold1_train.csv", "lyon"), ("fold1_evaluate.csv", "paris")):
        for scene in ("airport", "tram"):
            for number in range(3):
                name = f"audio/{scene}-{city}-{number}-a.wav"
                write_tone(root / name, scene)
                meta.append((name, scene, f"{city}-{number}", "a"))
                setup[table].append((name, scene))
    write_tone(root / "audio/tram-oslo-9-s1.wav", "tram")  # in the tables of neither split
    meta.append(("audio/tram-oslo-9-s1.wav", "tram", "oslo-9", "s1"))
    heading = ("filename", "scene_label", "identifier", "source_label")
    write_table(root / "meta.csv", meta, heading, "\t")
    for table, rows in setup.items():
        write_table(root / "evaluation_setup" / table, rows, heading[:2], "\t")


def fsd50k(root: Path) -> None:
    tags = ("Bark,Dog,Animal", "Rain,Water", "Rain,Water,Bark,Dog,Animal")
    dev, evaluation = [], []
    for number in range(15):
        labels = tags[number % 3]
        write_tone(root / "FSD50K.dev_audio" / f"{number}.wav", labels)
        dev.append((number, labels, "/m/0", "train" if number < 12 else "val"))
    for number in range(100, 106):
        labels = tags[number % 3]
        write_tone(root / "FSD50K.eval_audio" / f"{number}.wav", labels)
        evaluation.append((number, labels, "/m/0"))
    truth = root / "FSD50K.ground_truth"
    write_table(truth / "dev.csv", dev, ("fname", "labels", "mids", "split"))
    write_table(truth / "eval.csv", evaluation, ("fname", "labels", "mids"))


def desed(root: Path) -> None:
    parts = {
        "train/synthetic21_train/soundscapes": "train/synthetic21_train/soundscapes.tsv",
        "validation/validation": "validation/validation.tsv",
        "eval/public": "eval/public.tsv",
    }
    for number, (folder, table) in enumerate(parts.items()):
        rows: list[tuple[object, ...]] = []
        for clip in range(3):
            name = f"Y{number}{clip}_0.000_10.000.wav"
            write_tone(root / "audio" / folder / name, "Cat", 1.0)
            rows += [(name, 0.1, 0.5, "Cat"), (name, 0.4, 0.9, "Speech")]
        write_tone(root / "audio" / folder / f"Y{number}9.wav", "")
        rows.append((f"Y{number}9.wav", "", "", ""))
        heading = ("filename", "onset", "offset", "event_label")
        write_table(root / "metadata" / table, rows, heading, "\t")


def clotho(root: Path) -> None:
    for split in ("development", "validation", "evaluation"):
        rows = []
        for number in range(3):
            name = f"{split} sound {number}.wav"
            write_tone(root / split / name, name)
            rows.append((name, *(f"Sound {number}, said in way {way}." for way in range(5))))
        heading = ("file_name", *(f"caption_{number}" for number in range(1, 6)))
        write_table(root / f"clotho_captions_{split}.csv", rows, heading)


def audiocaps(root: Path) -> None:
    identifier = 0
    for split, count in (("train", 1), ("val", 5), ("test", 5)):
        rows = []
        for number in range(3):
            video = f"{split}{number}"
            write_tone(root / "clips" / f"{video}_30.wav", video)
            for way in range(count):
                rows.append((identifier, video, 30, f"Sound {number}, said in way {way}"))
                identifier += 1
        write_table(
            root / f"{split}.csv", rows, ("audiocap_id", "youtube_id", "start_time", "caption")
        )


def tuxpaint(root: Path) -> None:
    rows = []
    for number, name in enumerate(("frog", "crow", "train")):
        write_tone(root / "animals" / f"{name}.wav", name)
        Image.new("RGB", (32, 32), (80 * number, 100, 30)).save(root / "animals" / f"{name}.png")
        rows.append((f"animals/{name}.wav", f"animals/{name}.png", f"A {name}."))
    write_table(root / "pairs.csv", rows, ("audio", "image", "caption"))


def folder(root: Path) -> None:
    for split in ("train", "test"):
        for label in ("bell", "whistle"):
            for number in range(3):
                write_tone(root / split / label / f"{number}.wav", label)


def table(root: Path) -> None:
    rows = []
    for number in range(10):
        label = ("bell", "whistle")[number % 2]
        write_tone(root / "sounds" / f"{number}.wav", label)
        rows.append((f"sounds/{number}.wav", label, f"session {number // 2}"))
    write_table(root / "table.csv", rows, ("audio", "label", "group"))


MAKERS: dict[str, Callable[[Path], None]] = {
    "esc50": esc50,
    "esc10": esc50,
    "urbansound8k": urbansound8k,
    "vggsound": vggsound,
    "tau2020": tau2020,
    "fsd50k": fsd50k,
    "desed": desed,
    "clotho": clotho,
    "audiocaps": audiocaps,
    "tuxpaint": tuxpaint,
    "folder": folder,
    "csv": table,
}
"""Name of a sheet to what lays out its tiny copy below a root."""
