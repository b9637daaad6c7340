"""Is a probability a probability? Reliability of zero-shot classification on ESC-50.

    python benchmarks/calibration.py       # prints a table, draws docs/results/calibration.png

Clips are put into 15 bins of equal width by the probability of their likeliest label; a calibrated
model is right as often as it says. The expected calibration error is the mean distance of the two,
weighted by the bins' clips (Guo et al. 2017, arXiv 1706.04599, section 2). Labels and prompts are
those of ``--preset esc50``; nothing was fitted on ESC-50.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np

from builtin_audio import embed, esc50
from wav2clip.embedding.embedder import load
from wav2clip.zeroshot import centred_scale, class_weights, classify_embeddings, preset_labels

mpl.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data"))
CACHE = Path(tempfile.gettempdir()) / "wav2clip-benchmarks"
PICTURE = ROOT / "docs" / "results" / "calibration.png"
BINS = 15


def esc50_embeddings(model: str) -> tuple[np.ndarray, np.ndarray]:
    """Unit embeddings (2000, d) and class numbers of ESC-50, kept for the next benchmark."""
    loaded = load(model)
    stored = CACHE / f"esc50-{loaded.fingerprint}.npz"
    if not stored.exists():
        clips = esc50(DATA, CACHE, loaded.sample_rate)
        temporary = stored.with_suffix(f".{os.getpid()}.npz")
        np.savez(temporary, embeddings=embed(loaded, clips), targets=clips.targets)
        temporary.replace(stored)
    with np.load(stored) as content:
        return content["embeddings"], content["targets"]


def reliability(shares: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, float]:
    """Rows (said, right, clips) of the bins that hold a clip, and the expected error."""
    said, right = shares.max(axis=1), shares.argmax(axis=1) == targets
    bins = np.minimum((said * BINS).astype(int), BINS - 1)
    chosen = [bins == number for number in np.unique(bins)]
    rows = np.array([(said[one].mean(), right[one].mean(), one.sum()) for one in chosen])
    return rows, float((np.abs(rows[:, 0] - rows[:, 1]) * rows[:, 2]).sum() / len(said))


def draw(found: dict[str, tuple[np.ndarray, float]], path: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
    axes[0].plot([0, 1], [0, 1], color="grey", linestyle="--", label="calibrated")
    for number, (name, (rows, error)) in enumerate(found.items()):
        line, marker = f"C{number}", "os^"[number]
        axes[0].plot(rows[:, 0], rows[:, 1], color=line, marker=marker, label=name)
        axes[1].plot(rows[:, 0], rows[:, 2], color=line, marker=marker, label=f"error {error:.3f}")
    axes[0].set(ylabel="share of clips that are right", title="Reliability on ESC-50, zero-shot")
    axes[1].set(ylabel="clips in the bin", title="How sure it says it is")
    for axis in axes:
        axis.set(xlabel="probability of the likeliest label", xlim=(0, 1))
        axis.grid(alpha=0.3)
        axis.legend()
    axes[0].set_ylim(0, 1)
    axes[1].set_ylim(bottom=0)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="builtin", help="name or path of an audio checkpoint")
    options = parser.parse_args()
    model = load(options.model)
    sounds, targets = esc50_embeddings(options.model)
    weights = class_weights(model.towers, preset_labels("esc50"))
    means = model.mean, model.towers.means["text"]
    derived = centred_scale(model.towers.logit_scale, *means)
    cases = {
        f"plain, CLIP's factor {model.towers.logit_scale:.0f}": (
            model.logit_scale(center=False),
            (None, None),
        ),
        f"centred, derived factor {derived:.1f}": (derived, means),
        f"centred, the model's factor {model.logit_scale():.1f}": (model.logit_scale(), means),
    }
    found = {}
    print("| scores | accuracy | mean probability of the likeliest | expected calibration error |")
    print("|---|---|---|---|")
    for name, (scale, centre) in cases.items():
        shares = classify_embeddings(sounds, weights, scale, *centre)
        found[name] = reliability(shares, targets)
        accuracy = (shares.argmax(axis=1) == targets).mean()
        print(
            f"| {name} | {accuracy:.3f} | {shares.max(axis=1).mean():.3f} | {found[name][1]:.3f} |"
        )
    draw(found, PICTURE)


if __name__ == "__main__":
    main()
