"""How near estimates of what a tagger hears in a crop are to asking it again about that crop.

    python benchmarks/crop_tags.py --tagger mn04_as_mAP_432.pt

Clips of four seconds and more from the folder of free sounds, six at most of each source, in random
order. Per estimate: mean cosine between the probability-weighted text embeddings, and mean
divergence (nats, summed over the classes) of the estimate from what is heard in the crop itself.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from wav2clip.models.tagger import Tagger, load_tagger
from wav2clip.pretrain.hearing import heard_between, listen
from wav2clip.pretrain.media import read_audio
from wav2clip.pretrain.shards import Tags

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data"))
LENGTHS = (1.0, 2.0, 3.0)
Row = NDArray[np.float64]


def centred_names(path: Path) -> Row:
    """Genuine text embeddings (classes, d), centred, unit length."""
    with np.load(path) as table:
        rows = table["embeddings"].astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows -= rows.mean(axis=0)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def clips(folder: Path, tagger: Tagger, count: int, seed: int) -> Iterator[NDArray[np.int16]]:
    """So many clips of at least four seconds."""
    paths = [p for source in sorted(folder.iterdir()) for p in sorted(source.glob("*.ogg"))[:6]]
    np.random.default_rng(seed).shuffle(paths)  # type: ignore[arg-type]
    for path in paths:
        audio, _ = read_audio(path, 10, tagger.sample_rate)
        if len(audio) >= 4 * tagger.sample_rate:
            yield audio
            count -= 1
        if count == 0:
            return


def estimates(tags: Tags, start: float, stop: float, whole: float) -> dict[str, Row]:
    """Probabilities (classes,) by the name of the estimate."""
    rows = tags.probabilities.astype(np.float64)
    begin = np.minimum(np.arange(len(rows) - 1), whole - 1)
    overlap = np.clip(np.minimum(begin + 1, stop) - np.maximum(begin, start), 0, None)
    held = overlap >= 0.5 * overlap.max()
    return {
        "the whole clip": rows[0],
        "surest second": rows[1:][held].max(axis=0),
        "mean of the seconds": np.average(rows[1:], axis=0, weights=overlap),
        "as training takes it": heard_between(tags, start, stop, whole)
        .probabilities[0]
        .astype(np.float64),
    }


def distance(estimate: Row, heard: Row, names: Row) -> tuple[float, float]:
    """Cosine in the space of text, and divergence in nats."""
    a, b = estimate @ names, heard @ names
    p, q = (np.clip(x, 1e-4, 1 - 1e-4) for x in (estimate, heard))
    divergence = q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)), float(divergence.sum())


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = DATA / "teachers/efficientat_mn04/mn04_as_mAP_432.pt"
    parser.add_argument("--tagger", type=Path, default=default)
    parser.add_argument("--sounds", type=Path, default=DATA / "sounds_free/audio")
    parser.add_argument("--names", type=Path, default=DATA / "clip_vit_b32/text_audioset527.npz")
    parser.add_argument("--clips", type=int, default=70)
    arguments = parser.parse_args()
    tagger, names = load_tagger(arguments.tagger), centred_names(arguments.names)
    rng, rate = np.random.default_rng(0), tagger.sample_rate
    found: dict[tuple[float, str], list[tuple[float, float]]] = {}
    for audio in clips(arguments.sounds, tagger, arguments.clips, 0):
        tags, whole = listen(tagger, audio), len(audio) / rate
        for seconds in LENGTHS:
            start = rng.uniform(0, whole - seconds)
            part = audio[int(start * rate) : int((start + seconds) * rate)]
            heard = tagger(torch.from_numpy(part)[None].float() / 32768)[0][0].double().numpy()
            for name, estimate in estimates(tags, start, start + seconds, whole).items():
                found.setdefault((seconds, name), []).append(distance(estimate, heard, names))
    print("| crop | estimate | cosine | divergence, nats |\n|---|---|---|---|")
    for (seconds, name), values in found.items():
        cosine, divergence = np.mean(values, axis=0)
        print(f"| {seconds:g} s | {name} | {cosine:.3f} | {divergence:.2f} |")


if __name__ == "__main__":
    main()
