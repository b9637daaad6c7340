"""What each part of the recipe is worth: short equal runs that differ in one setting.

    python benchmarks/pretrain_ablations.py --data shards

``shards`` are the training sounds, prepared with ``wav2clip pretrain prepare``. Runs are short and
the network is narrow, so the numbers rank settings and say nothing about what a full run reaches.
Each row changes the row named in it; every run is repeated with several seeds, which tells how much
is chance.
"""

from __future__ import annotations

import argparse
import gc
import logging
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from wav2clip.pretrain.config import check_config, merge
from wav2clip.pretrain.fit import fit

BASE: dict[str, Any] = {
    "network": {"planes": [32, 64, 128, 256]},
    "data": {"batch_size": 64, "pad": "either", "validation_seconds": 2.0},
    "loss": {"clip_loss_x": 1.0, "class_aware": False},
    "optimiser": {"schedule": "cosine", "warmup": 0.05},
    "run": {"stop_after": None, "ship": "last", "precision": "bf16-mixed"},
}
AWARE = {"loss": {"class_aware": True}}
CENTRED = merge(AWARE, {"loss": {"centre": True}})
LABELS = merge(CENTRED, {"loss": {"clip_loss_x": 0.0, "labels_loss": 1.0}})
FIXED = merge(LABELS, {"loss": {"temperature": 0.06, "learn_scale": False}})
VARIANTS: dict[str, dict[str, Any]] = {
    "A: clip_loss_x, batch negatives": {},
    "B: A, class-aware": AWARE,
    "C: B, centred targets": CENTRED,
    "D: labels_loss in place of clip_loss_x": LABELS,
    "E: D, temperature fixed at 0.06": FIXED,
    "F: E and 0.3 clip_loss": merge(FIXED, {"loss": {"clip_loss": 0.3}}),
    "G: E, mixing": merge(FIXED, {"augment": {"mix": 0.6}}),
    "H: E, masks": merge(FIXED, {"augment": {"mask_bands": 2, "mask_bins": 30, "mask_spans": 1}}),
    "I: E, filter, noise, room": merge(
        FIXED, {"augment": {"equalise_db": 4.0, "noise_db": [-45.0, -10.0], "reverb": 0.2}}
    ),
    "J: E, labels balanced by 0.5": merge(FIXED, {"data": {"balance": 0.5}}),
}


def measure(settings: dict[str, Any], data: Path, args: argparse.Namespace) -> list[list[float]]:
    """Accuracy (%), R@10 (%) and median rank on the validation clips, one row per seed."""
    rows = []
    for seed in range(args.seeds):
        length = {
            "seed": seed,
            "data": {
                "stages": [{"epochs": args.epochs, "seconds": args.seconds}],
                "epoch_clips": args.clips,
            },
            "run": {"epochs": args.epochs},
        }
        config = check_config(merge(merge(BASE, settings), length), "ablation")
        with tempfile.TemporaryDirectory() as out:
            metrics = fit(config, data, out).metrics
        gc.collect()  # the trainer and its cached clips hold each other, a gigabyte per run
        found = (100, "accuracy"), (100, "R@10"), (1, "median_rank")
        rows.append([factor * metrics[f"validation/{key}"] for factor, key in found])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--clips", type=int, default=2048, help="clips per epoch")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", default="", help="letters of the rows to run")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    print(f"{args.epochs} epochs of {args.clips} crops of {args.seconds:g} s, {args.seeds} seeds\n")
    print("| setting | accuracy % | R@10 % | median rank | time |\n|---|---|---|---|---|")
    for name, settings in VARIANTS.items():
        if args.only and name[0] not in args.only:
            continue
        start = time.perf_counter()
        rows = np.array(measure(settings, args.data, args))
        cells = [f"{m:.1f} ± {s:.1f}" for m, s in zip(rows.mean(0), rows.std(0), strict=True)]
        seconds = (time.perf_counter() - start) / len(rows)
        print(f"| {name} | {' | '.join(cells)} | {seconds:.0f} s |", flush=True)


if __name__ == "__main__":
    main()
