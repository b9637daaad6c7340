"""What centring changes: sounds, words and pictures lie around different means.

    python benchmarks/modality_gap.py      # prints the tables of docs/results/modality_gap.md

Pictures: zero-shot accuracy on 500 CIFAR-10 pictures with "a {class}", once with genuine CLIP
ViT-B/32 embeddings on both sides and once with the built-in towers (whose image tower learned from
these pictures; its held-out accuracy is in docs/results/towers.md). Sounds: zero-shot accuracy on
ESC-50 with the default prompts, and captions looking for their sound among those of Tux Paint.
"""

from __future__ import annotations

import csv

import numpy as np
from PIL import Image

from calibration import DATA, esc50_embeddings
from wav2clip.embedding.embedder import load
from wav2clip.models.towers import load_towers
from wav2clip.zeroshot import class_weights, preset_labels, similarity

CLASSES = ("airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""CIFAR-10's classes in the words of the table of genuine nouns."""


def gap(names: tuple[str, str], a: np.ndarray, b: np.ndarray) -> str:
    """Lengths of the means of unit vectors, and the cosine between the two means."""
    means = [(x / np.linalg.norm(x, axis=1, keepdims=True)).mean(axis=0) for x in (a, b)]
    lengths = [float(np.linalg.norm(mean)) for mean in means]
    cosine = float(means[0] @ means[1]) / np.prod(lengths)
    return f"| {names[0]}, {names[1]} | {lengths[0]:.2f} | {lengths[1]:.2f} | {cosine:.2f} |"


def main() -> None:
    model = load("builtin")
    towers, words = load_towers("builtin"), model.towers.means["text"]
    cifar = np.load(DATA / "clip_vit_b32" / "image_cifar10_500.npz")
    nouns = np.load(DATA / "clip_vit_b32" / "text_nouns.npz")
    names = [str(name) for name in nouns["names"]]
    genuine_nouns = nouns["embeddings"].astype(np.float32)
    genuine = genuine_nouns[[names.index(name) for name in CLASSES]]
    genuine_pictures = cifar["embeddings"].astype(np.float32)
    own_pictures = towers.embed_image([Image.fromarray(image) for image in cifar["images"]])
    sounds, targets = esc50_embeddings("builtin")
    weights = class_weights(towers, preset_labels("esc50"))
    pictures_mean = towers.means["image"]

    def accuracy(a: np.ndarray, b: np.ndarray, own: np.ndarray, *means: np.ndarray) -> str:
        return f"{(similarity(a, b, *means).argmax(axis=1) == own).mean():.3f}"

    rows = []
    for title, pictures, text in (
        ("CIFAR-10, genuine embeddings: accuracy", genuine_pictures, genuine),
        (
            "CIFAR-10, built-in towers: accuracy",
            own_pictures,
            towers.embed_text([f"a {name}" for name in CLASSES]),
        ),
    ):
        args = pictures, text, cifar["labels"]
        rows.append((title, accuracy(*args), accuracy(*args, pictures_mean, words)))
    args = sounds, weights, targets
    assert model.mean is not None
    rows.append(("ESC-50: accuracy", accuracy(*args), accuracy(*args, model.mean, words)))

    with (DATA / "tuxpaint" / "pairs.csv").open(encoding="utf-8") as file:
        pairs = list(csv.DictReader(file))
    captions = [pair["caption"] for pair in pairs]
    stamps = np.stack([model.embed_file(DATA / "tuxpaint" / pair["audio"]) for pair in pairs])
    text = towers.embed_text(captions)
    same = np.array([[a == b for a in captions] for b in captions])
    recalls = []
    for means in ((), (words, model.mean)):
        scores = similarity(text, stamps, *means)
        own = np.where(same, scores, -np.inf).max(axis=1, keepdims=True)
        rank = (np.where(same, -np.inf, scores) > own).sum(axis=1)
        recalls.append(" / ".join(f"{(rank < k).mean():.3f}" for k in (1, 5, 10)))
    rows.append((f"{len(pairs)} captions to sounds: R@1 / R@5 / R@10", *recalls))

    print("| measure | plain cosine | centred |\n|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print("\n| of unit vectors | length of the first's mean | of the second's | their cosine |")
    print("|---|---|---|---|")
    print(
        gap(
            ("genuine pictures (CIFAR-10)", "genuine words (nouns)"),
            genuine_pictures,
            genuine_nouns,
        )
    )
    print(gap(("built-in sounds (ESC-50)", "built-in words (its classes)"), sounds, weights))


if __name__ == "__main__":
    main()
