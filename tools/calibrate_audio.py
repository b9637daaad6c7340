"""Fit what an audio checkpoint's config.json says of its scores and of its activations.

    python tools/calibrate_audio.py CHECKPOINT SHARDS

``logit_scale``: the validation clips of SHARDS are compared with the class weights of all labels
that occur among them, from the built-in text tower in the default prompts, both sides centred as
zero-shot classification does; see ``wav2clip.pretrain.metrics.fitted_scale`` for the fit. A run of
``wav2clip pretrain fit`` does the same with its teacher's embeddings; this tool is for a checkpoint
whose text tower is another one.

``activation_ranges``, for 8-bit convolutions of the published architecture: the smallest and
largest values over the same clips.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from wav2clip.embedding.embedder import Wav2CLIP, load
from wav2clip.files import atomic_path
from wav2clip.models.checkpoint import CONFIG_FILE, Checkpoint, load_checkpoint
from wav2clip.models.config import FrontendConfig
from wav2clip.models.frontend import Frontend
from wav2clip.models.onnx_graph import activation_ranges
from wav2clip.pretrain.metrics import fitted_scale
from wav2clip.pretrain.shards import Sample, iterate
from wav2clip.zeroshot import class_weights, similarity


def held_out(shards: Path) -> list[Sample]:
    """The validation clips that have a label."""
    return [sample for sample in iterate(shards, "validation") if sample.label is not None]


def embed(model: Wav2CLIP, samples: Sequence[Sample], seconds: float) -> np.ndarray:
    """(n, d) embeddings of the clips' beginnings."""
    return np.stack(
        [
            model.embed_audio(sample.audio[: int(seconds * sample.sample_rate)], sample.sample_rate)
            for sample in track(samples, "embedding", transient=True)
        ]
    )


def fit(model: Wav2CLIP, samples: Sequence[Sample], seconds: float) -> tuple[float, float]:
    """The factor, and the share of clips whose own label scores highest."""
    labels = sorted({sample.label for sample in samples if sample.label is not None})
    own = torch.tensor([labels.index(str(sample.label)) for sample in samples])
    cosines = torch.from_numpy(
        similarity(
            embed(model, samples, seconds),
            class_weights(model.towers, labels),
            model.mean,
            model.towers.means["text"],
        )
    )
    factor = fitted_scale(cosines, own)
    if factor is None:
        raise SystemExit("the validation clips have fewer than two labels: nothing can be fitted")
    return factor, float((cosines.argmax(dim=1) == own).float().mean())


def activations(checkpoint: Checkpoint, samples: Sequence[Sample]) -> dict[str, list[float]]:
    """Ranges of the activations, to four decimals."""
    frontend = Frontend(checkpoint.config.frontend)

    def spectrograms() -> Iterator[torch.Tensor]:
        for sample in track(samples, "activations", transient=True):
            wave = torch.from_numpy(sample.audio.astype(np.float32) / 32768)[None]
            yield frontend.standardize(frontend(wave), "recording")

    with torch.inference_mode():
        ranges = activation_ranges(checkpoint.network, checkpoint.config, spectrograms())
    return {name: [round(low, 4), round(high, 4)] for name, (low, high) in ranges.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="folder with config.json")
    parser.add_argument("shards", type=Path, help="folder of shards with validation clips")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each clip to listen to")
    options = parser.parse_args()
    samples = held_out(options.shards)
    factor, accuracy = fit(load(options.checkpoint), samples, options.seconds)
    path = options.checkpoint / CONFIG_FILE
    document = json.loads(path.read_text("utf-8"))
    document["logit_scale"] = round(factor, 3)
    checkpoint = load_checkpoint(options.checkpoint)
    if isinstance(checkpoint.config.frontend, FrontendConfig):
        document["activation_ranges"] = activations(checkpoint, samples)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(f"{len(samples)} clips, accuracy {accuracy:.3f}: logit_scale {factor:.3f} in {path}")


if __name__ == "__main__":
    main()
