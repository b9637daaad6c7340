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

from wav2clip.models.towers import load_towers  # noqa: E402
from wav2clip.models.towers.base import Towers  # noqa: E402
from wav2clip.models.towers.builtin import FOLDER  # noqa: E402
from wav2clip.zeroshot import preset_labels, similarity  # noqa: E402

DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data"))
RESULT = ROOT / "docs" / "results" / "towers.md"
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
    rows = held_out()
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
        "embedding, with their plurals and synonyms. CIFAR-10 is compared with genuine text "
        "embeddings of 'a {class}'. No Tux Paint picture or caption was trained on; the way "
        "pictures are made square was chosen by looking at them.\n"
    )


if __name__ == "__main__":
    main()
