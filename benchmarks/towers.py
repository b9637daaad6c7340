"""How well the built-in towers stand in for CLIP: held-out measures, speed, load time.

    python benchmarks/towers.py            # prints the table and writes docs/results/towers.md

The held-out rows are written by ``tools/train_text_tower.py measure`` and
``tools/train_image_tower.py measure``, which train on what is not held out; run those first. The
other rows are measured here on the towers that ship.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from wav2clip.models.space import unit  # noqa: E402
from wav2clip.models.towers import load_towers  # noqa: E402
from wav2clip.models.towers.base import Towers  # noqa: E402
from wav2clip.models.towers.builtin import FOLDER  # noqa: E402
from wav2clip.zeroshot import preset_labels, similarity  # noqa: E402

DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data"))
RESULT = ROOT / "docs" / "results" / "towers.md"
TABLES = Path(__file__).parent
TEST = "# test"
"""Begins the part of ``sound_phrases.txt`` that nothing was chosen by."""

UNSEEN = {
    "menus1098": "dishes as menus name them",
    "moodboard296": "looks and moods",
}
"""Genuine text embeddings whose source states no licence: tests alone, never for training."""

LOADING = """
import time, torch
from wav2clip.models.towers import load_towers
begin = time.process_time()
load_towers("builtin").embed_text(["a dog"])
print(time.process_time() - begin)
"""


def held_out() -> list[tuple[str, str]]:
    """Rows that the training tools measured."""
    text = json.loads((ROOT / "runs" / "text_tower" / "measured.json").read_text())
    rows = [
        (f"text, {name}: R@1 / R@5 / R@10", " / ".join(f"{m[f'R@{k}']:.3f}" for k in (1, 5, 10)))
        for name, m in text.items()
    ]
    image = json.loads((ROOT / "runs" / "image_tower" / "image_measured.json").read_text())
    return rows + [(f"image, {name}", f"{value:.3f}") for name, value in image.items()]


def picture_to_caption(towers: Towers, center: bool) -> dict[int, float]:
    """Share of Tux Paint pictures whose caption is among the k nearest of all 102."""
    with (DATA / "tuxpaint" / "pairs.csv").open(encoding="utf-8") as file:
        pairs = list(csv.DictReader(file))
    pictures = towers.embed_image([DATA / "tuxpaint" / pair["image"] for pair in pairs])
    captions = [pair["caption"] for pair in pairs]
    means = (towers.means["image"], towers.means["text"]) if center else (None, None)
    scores = similarity(pictures, towers.embed_text(captions), *means)
    same = np.array([[a == b for a in captions] for b in captions])
    own = np.where(same, scores, -np.inf).max(1, keepdims=True)
    ranks = (np.where(same, -np.inf, scores) > own).sum(1)
    return {k: float((ranks < k).mean()) for k in (1, 5, 10)}


def recalls(ranks: np.ndarray) -> str:
    """R@1 / R@5 / R@10 of ranks that begin at 0."""
    return " / ".join(f"{(ranks < k).mean():.3f}" for k in (1, 5, 10))


def genuine(name: str) -> tuple[list[str], np.ndarray]:
    """Names of a list or files of pictures, and their genuine embeddings around their mean."""
    arrays = np.load(DATA / "clip_vit_b32" / f"{name}.npz")
    names = arrays["names"] if "names" in arrays else arrays["files"]
    embeddings = unit(arrays["embeddings"].astype(np.float32))
    return [str(one) for one in names], unit(embeddings - embeddings.mean(0))


def read_pairs(file: str) -> list[tuple[str, str]]:
    """Lines ``left = right`` of a table beside this script; comments have an empty right side."""
    lines = (TABLES / file).read_text(encoding="utf-8").splitlines()
    parts = ((line, "", "") if line.startswith("#") else line.partition(" = ") for line in lines)
    return [(left, right) for left, _, right in parts]


def phrase_to_class(towers: Towers, tested: bool) -> str:
    """A phrase looks for the best of the AudioSet classes it means among all 527."""
    pairs = read_pairs("sound_phrases.txt")
    start = next(i for i, (left, _) in enumerate(pairs) if left.startswith(TEST))
    part = [pair for pair in (pairs[start:] if tested else pairs[:start]) if pair[1]]
    names, classes = genuine("text_audioset527")
    queries = unit(towers.embed_text([phrase for phrase, _ in part]) - towers.means["text"])
    scores = queries @ classes.T
    meant = np.array([[name in right.split(" | ") for name in names] for _, right in part])
    own = np.where(meant, scores, -np.inf).max(1, keepdims=True)
    return recalls(((scores > own) & ~meant).sum(1))


def sentence_to_photograph(towers: Towers) -> str:
    """A sentence looks for the genuine embedding of its photograph among all 130."""
    pairs = [pair for pair in read_pairs("photo_captions.txt") if pair[1]]
    files, pictures = genuine("image_photos")
    own = np.array([[Path(file).stem for file in files].index(stem) for stem, _ in pairs])
    queries = unit(towers.embed_text([text for _, text in pairs]) - towers.means["text"])
    scores = queries @ pictures.T
    return recalls((scores > scores[np.arange(len(own)), own][:, None]).sum(1))


def name_to_name(towers: Towers, table: str) -> str:
    """A bare name looks for its genuine embedding among all of its list, each side centred."""
    names, wanted = genuine(f"text_{table}")
    found = towers.embed_text(names)
    scores = unit(found - found.mean(0)) @ wanted.T
    return recalls((scores > np.diag(scores)[:, None]).sum(1))


def understood(towers: Towers) -> list[tuple[str, str]]:
    """Rows about phrases and about lists that nothing was trained on."""
    k = "R@1 / R@5 / R@10"
    rows = [
        (f"phrase to AudioSet class, {kind}: {k}", phrase_to_class(towers, tested))
        for kind, tested in (("172 looked at while choosing", False), ("62 looked at once", True))
    ]
    rows.append((f"sentence to genuine photograph among 130: {k}", sentence_to_photograph(towers)))
    return rows + [
        (f"{what}, never trained on: {k}", name_to_name(towers, table))
        for table, what in UNSEEN.items()
    ]


def phrases_per_second(towers: Towers) -> float:
    """By CPU time, best of three, one thread: AudioSet's and VGGSound's labels in two prompts."""
    torch.set_num_threads(1)
    labels = preset_labels("audioset") + preset_labels("vggsound")
    phrases = [prompt.format(label) for label in labels for prompt in ("{}", "the sound of {}")]
    towers.embed_text(phrases[:10])
    times = []
    for _ in range(3):
        begin = time.process_time()
        towers.embed_text(phrases)
        times.append(time.process_time() - begin)
    return len(phrases) / min(times)


def load_seconds() -> float:
    """CPU time to the first embedding, best of three fresh processes that have torch imported."""
    runs = [
        subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    return min(float(run.stdout) for run in runs)


def main() -> None:
    towers = load_towers("builtin")
    rows = held_out() + understood(towers)
    for center in (True, False):
        found = picture_to_caption(towers, center)
        rows.append(
            (
                f"picture to caption, 102 of Tux Paint, centred {center}: R@1 / R@5 / R@10",
                " / ".join(f"{found[k]:.3f}" for k in (1, 5, 10)),
            )
        )
    rows.append(("phrases per second of CPU time, one thread", f"{phrases_per_second(towers):.0f}"))
    rows.append(
        (
            "CPU seconds to load the text tower and embed a phrase, torch imported",
            f"{load_seconds():.2f}",
        )
    )
    for part in ("text", "image"):
        size = sum(file.stat().st_size for file in (FOLDER / part).iterdir()) / 1e6
        rows.append((f"{part} tower, MB", f"{size:.1f}"))
    lines = ["| measure | value |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]
    table = "\n".join(lines)
    print(table)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(
        "# Built-in towers\n\n"
        "Written by `python benchmarks/towers.py` (after `tools/train_text_tower.py measure` and "
        "`tools/train_image_tower.py measure`).\n\n"
        f"{table}\n\n"
        "Text retrieval: each predicted embedding looks for its genuine one among all of its list, "
        "both sides centred on their own mean. The names are held out of all that saw a CLIP "
        "embedding, with their plurals and synonyms. Phrases (`benchmarks/sound_phrases.txt`) were "
        "written for this table with the classes that answer each; the text side is centred on the "
        "stored mean, the genuine class names and photographs on their own. None of them was "
        "trained on, but other everyday phrases of the same kind were "
        "(`tools/sound_phrases_train.txt`). Two rows ask for those by heads that had not seen "
        "them: one that learnt from no phrase and no embedding of AudioSet's, and five that saw no "
        "phrase of a fifth of its classes. Sentences "
        "(`benchmarks/photo_captions.txt`) were written by looking at the photographs: flowers, "
        "bicycles, parked cars, cats, dogs and riders, many of them alike. CIFAR-10 is compared "
        "with genuine text embeddings of 'a {class}'. No Tux Paint picture or caption was trained "
        "on; the way pictures are made square was chosen by looking at them.\n"
    )


if __name__ == "__main__":
    main()
