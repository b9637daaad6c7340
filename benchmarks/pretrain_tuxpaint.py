"""Train on a hundred pairs of sound and picture by the real commands: does the machinery learn?

    python benchmarks/pretrain_tuxpaint.py

Prepares the pairs in ``$WAV2CLIP_DATA/tuxpaint`` with the built-in teacher, trains with
``conf/tuxpaint.yaml`` as it stands, and prints how well each training sound finds its own picture.
Nothing of it ships: these pairs are for tests.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from wav2clip.embedding.embedder import load
from wav2clip.pretrain.shards import iterate
from wav2clip.ranking import chance, retrieval

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data"))


def command(*arguments: str | Path) -> float:
    """Run `wav2clip pretrain ...`; seconds that it took."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "wav2clip", "pretrain", *arguments], check=True)
    return time.perf_counter() - start


def write_table(path: Path) -> Path:
    """The pairs, pictures as targets, by absolute paths."""
    with (DATA / "tuxpaint/pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["audio", "image"])
        for row in rows:
            writer.writerow([(DATA / "tuxpaint" / row[k]).resolve() for k in ("audio", "image")])
    return path


def train_retrieval(checkpoint: Path, shards: Path, held_out: int) -> tuple[int, dict[str, float]]:
    """Retrieval of pictures by sounds among the clips that were trained on."""
    model = load(checkpoint)
    kept = list(iterate(shards, "train"))[:-held_out]
    sounds = np.stack([model.embed_audio(s.audio.astype(np.float32) / 32768, 16_000) for s in kept])
    pictures = np.stack([sample.targets[0] for sample in kept])
    sounds, pictures = (x - x.mean(axis=0) for x in (sounds, pictures))
    cosines = (sounds / np.linalg.norm(sounds, axis=1, keepdims=True)) @ (
        pictures / np.linalg.norm(pictures, axis=1, keepdims=True)
    ).T
    return len(kept), retrieval(torch.from_numpy(cosines), torch.eye(len(kept), dtype=torch.bool))


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, shards, run = write_table(folder / "pairs.csv"), folder / "shards", folder / "run"
        prepared = command("prepare", table, "--out", shards, "--validation", "0")
        config = ROOT / "conf" / "tuxpaint.yaml"
        trained = command("fit", "--config", config, "--data", shards, "--out", run)
        count, found = train_retrieval(run / "model", shards, held_out=12)
    print(f"prepare {prepared:.0f} s, fit {trained:.0f} s, {count} training clips")
    expected = chance(count)
    for key, value in found.items():
        print(f"{key:12s} {value:6.2f}   chance {expected[key]:.2f}")


if __name__ == "__main__":
    main()
