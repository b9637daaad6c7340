"""Which prompt templates serve zero-shot classification of sounds best: the choice of the default.

    python benchmarks/prompts.py SHARDS

Measured on the validation clips of SHARDS (``wav2clip pretrain prepare``), never on ESC-50 or
another collection that results are reported on. Every label that occurs among the clips is a
class; scores are centred, as ``Wav2CLIP.classify`` does by default.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from calibrate_audio import embed, held_out  # noqa: E402
from wav2clip.embedding.embedder import load  # noqa: E402
from wav2clip.zeroshot import DEFAULT_TEMPLATES, TEMPLATES, class_weights, similarity  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path, help="folder of shards with validation clips")
    parser.add_argument("--model", default="builtin", help="name or path of an audio checkpoint")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each clip to listen to")
    options = parser.parse_args()
    model, samples = load(options.model), held_out(options.shards)
    labels = sorted({str(sample.label) for sample in samples})
    own = np.array([labels.index(str(sample.label)) for sample in samples])
    sounds = embed(model, samples, options.seconds)
    print(f"{len(samples)} clips, {len(labels)} labels\n")
    print("| templates | accuracy | mean of the labels' accuracies | in the first five |")
    print("|---|---|---|---|")
    for name, templates in TEMPLATES.items():
        weights = class_weights(model.towers, labels, templates)
        scores = similarity(sounds, weights, model.mean, model.towers.means["text"])
        rank = (scores > scores[np.arange(len(own)), own][:, None]).sum(axis=1)
        by_label = np.mean([(rank[own == label] == 0).mean() for label in range(len(labels))])
        default = " (default)" if name == DEFAULT_TEMPLATES else ""
        print(
            f"| {name}{default}: {', '.join(templates)} | {(rank == 0).mean():.3f} "
            f"| {by_label:.3f} | {(rank < 5).mean():.3f} |"
        )


if __name__ == "__main__":
    main()
