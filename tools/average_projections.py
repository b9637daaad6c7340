"""Average the projection of a run with projections fitted on what its encoder hears in the shards.

    python tools/average_projections.py RUN/model SHARDS TAGGER.pt OUT

The run's encoder hears every training clip twice, as it is and with a band limit, in minutes; a
projection is then fitted on these features in a quarter of a minute. Such a fit knows clean and
band-limited sounds better, the run knows what else happens to recordings. All of them start from
the tagger's own head, so the average of their weights is a network again, better than each
(Wortsman et al. 2022, arXiv 2203.05482).

OUT is a checkpoint like the run's. Its ``logit_scale`` is fitted by ``tools/calibrate_audio.py``.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor, nn

from wav2clip.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from wav2clip.models.config import MobileNetConfig
from wav2clip.models.frontend import make_frontend
from wav2clip.models.mobilenet import ClassProjection
from wav2clip.models.tagger import load_tagger
from wav2clip.models.towers import load_towers
from wav2clip.pretrain.classes import read_classes
from wav2clip.pretrain.shards import iterate, read_manifest

BATCH, EPOCHS, RATE, TEMPERATURE = 256, 15, 1e-3, 0.07
HEARD_SECONDS = 10.0
"""Of a clip, from its beginning."""

CUT_OFFS = (4e3, 4e3, 5.5e3, 8e3)
"""Hz, of which one is drawn for each clip: half of common sample rates. Narrow ones cost most."""

LIMITED = 0.5
"""Probability that a fit is shown the copy of a clip with a band limit."""


@dataclass(frozen=True)
class Recipe:
    """Weights of the losses of a fit, and its share of the average.

    Attributes:
        captions: contrastive loss against the captions' embeddings (InfoNCE, both ways).
        tagger: binary cross-entropy of the tagger's probabilities, through text.
        text: cosine to the sum of the classes' text embeddings, weighted with probabilities.
        power: exponent of these probabilities.
        seed: of the order of clips and of dropout.
    """

    captions: float
    tagger: float
    text: float
    power: float
    seed: int


RECIPES = (
    *(Recipe(0.5, tagger=0.5, text=2.0, power=0.3, seed=seed) for seed in (7, 11, 12)),
    *(Recipe(0.3, tagger=0.5, text=2.0, power=0.3, seed=seed) for seed in (13, 14)),
    Recipe(0.5, tagger=0.3, text=3.0, power=0.3, seed=15),
    Recipe(0.5, tagger=0.2, text=2.0, power=0.3, seed=3),
    Recipe(0.3, tagger=0.2, text=2.0, power=0.3, seed=6),
    Recipe(0.5, tagger=0.2, text=2.0, power=0.5, seed=8),
    Recipe(1.0, tagger=0.2, text=1.0, power=0.5, seed=0),
)
"""Chosen on held-out clips of the training sources; see docs/results/builtin_audio.md."""

RUN_SHARE = 0.4
"""Of the average; the fits share the rest evenly."""


@dataclass(frozen=True)
class Clips:
    """The training clips: features (n, f), those of their copies with a band limit,
    probabilities (n, k), and captions.

    ``captions`` are (m, d) of unit length, centred; those of clip i lie between ``first[i]`` and
    ``first[i + 1]``. ``labels`` are (n,), empty where there is none.
    """

    features: Tensor
    limited: Tensor
    probabilities: Tensor
    captions: Tensor
    first: np.ndarray
    labels: np.ndarray


def read_clips(shards: Path, checkpoint: Checkpoint, text_mean: np.ndarray) -> Clips:
    """What the shards hold of the training clips, and what the run's encoder hears in them."""
    rng = np.random.default_rng(0)
    hears = listener(checkpoint)
    count = read_manifest(shards).samples("train")
    heard, limited, probabilities, targets, labels = [], [], [], [], []
    for sample in track(iterate(shards, "train"), "listening", count):
        if sample.tags is None:
            continue
        wave = torch.from_numpy(sample.audio).float()[: int(HEARD_SECONDS * sample.sample_rate)]
        narrow = below(wave, sample.sample_rate, float(rng.choice(CUT_OFFS)))
        heard.append(hears(wave / 32768))
        limited.append(hears(narrow / 32768))
        probabilities.append(sample.tags.probabilities[0])
        targets.append(sample.targets)
        labels.append(sample.label or "")
    captions = torch.from_numpy(np.concatenate(targets)) - torch.from_numpy(text_mean)
    return Clips(
        torch.cat(heard),
        torch.cat(limited),
        torch.from_numpy(np.array(probabilities, np.float32)),
        F.normalize(captions, dim=-1),
        np.concatenate([[0], np.cumsum([len(target) for target in targets])]),
        np.array(labels),
    )


def below(wave: Tensor, rate: int, cut_off: float) -> Tensor:
    """A waveform without what is above so many hertz."""
    hertz = torch.fft.rfftfreq(len(wave), 1 / rate)
    return torch.fft.irfft(torch.fft.rfft(wave) * (hertz < cut_off), len(wave))


def listener(checkpoint: Checkpoint) -> Callable[[Tensor], Tensor]:
    """From a waveform (n,) to features (1, f), those before the projection."""
    frontend = make_frontend(checkpoint.config.frontend)
    encoder = checkpoint.network.audio_encoder

    @torch.inference_mode()
    def hears(wave: Tensor) -> Tensor:
        features: Tensor = encoder(frontend.standardize(frontend(wave[None]), "recording"))
        return features

    return hears


def fit(projection: ClassProjection, clips: Clips, bank: Tensor, recipe: Recipe) -> ClassProjection:
    """Train a projection on stored features."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    scale = nn.Parameter(torch.tensor(math.log(10.0)))
    bias = nn.Parameter(clips.probabilities.mean(0).clamp(1e-4, 1 - 1e-4).logit())
    steps = len(clips.features) // BATCH
    groups = [
        {"params": list(projection.parameters())},
        {"params": [scale, bias], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, RATE, total_steps=EPOCHS * steps, pct_start=0.1
    )
    for _ in track(range(EPOCHS), description=f"fitting {recipe}"):
        projection.train()
        order = rng.permutation(len(clips.features))
        for step in range(steps):
            rows = torch.from_numpy(order[step * BATCH : (step + 1) * BATCH])
            narrow = torch.from_numpy(rng.random((BATCH, 1)) < LIMITED)
            heard = torch.where(narrow, clips.limited[rows], clips.features[rows])
            audio = F.normalize(projection(heard), dim=-1)
            wanted = clips.probabilities[rows]
            logits = scale.exp() * (audio @ bank.T) + bias
            classes = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
            towards = 1 - F.cosine_similarity(audio, wanted.pow(recipe.power) @ bank)
            loss = recipe.tagger * classes.sum(1).mean() + recipe.text * towards.mean()
            loss = loss + recipe.captions * captions_loss(audio, rows.numpy(), clips, rng)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return projection.eval()


def captions_loss(
    audio: Tensor, rows: np.ndarray, clips: Clips, rng: np.random.Generator
) -> Tensor:
    """InfoNCE against one caption of each clip that has any; clips of one label share it."""
    worded = np.flatnonzero(clips.first[rows + 1] > clips.first[rows])
    begins, ends = clips.first[rows[worded]], clips.first[rows[worded] + 1]
    texts = clips.captions[torch.from_numpy(rng.integers(begins, ends))]
    logits = audio[torch.from_numpy(worded)] @ texts.T / TEMPERATURE
    labels = clips.labels[rows[worded]]
    same = torch.from_numpy(labels[:, None] == labels[None]).float()
    same = same / same.sum(1, keepdim=True)
    both = (F.log_softmax(logits, 1), F.log_softmax(logits.T, 1))
    return -sum((same * logs).sum(1).mean() for logs in both) / 2


def average(projections: Sequence[ClassProjection], shares: Sequence[float]) -> dict[str, Tensor]:
    """The weighted mean of their weights."""
    states = [projection.state_dict() for projection in projections]
    weighted = {
        name: [share * state[name] for share, state in zip(shares, states, strict=True)]
        for name in states[0]
    }
    return {name: torch.stack(parts).sum(0) for name, parts in weighted.items()}


def read_bank(shards: Path) -> Tensor:
    """(k, d) unit rows: the embeddings of the tagger's classes, without what all of them share."""
    tagger = read_manifest(shards).tagger
    assert tagger is not None, "a tagger must have heard the shards"
    bank = F.normalize(torch.from_numpy(read_classes(shards, tagger, 512)), dim=-1)
    return F.normalize(bank - bank.mean(0), dim=-1)


def start(tagger: Path, bank: Tensor, config: MobileNetConfig) -> ClassProjection:
    """The tagger's head times the embeddings of its classes' names."""
    projection = ClassProjection(config)
    projection.load_state_dict(load_tagger(tagger).network(bank).audio_transform.state_dict())
    return projection


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("run", "shards", "tagger", "out"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    checkpoint, bank = load_checkpoint(options.run), read_bank(options.shards)
    clips = read_clips(options.shards, checkpoint, load_towers().means["text"])
    fitted = [
        fit(start(options.tagger, bank, checkpoint.config.encoder), clips, bank, recipe)
        for recipe in RECIPES
    ]
    projection = checkpoint.network.audio_transform
    shares = [RUN_SHARE] + [(1 - RUN_SHARE) / len(fitted)] * len(fitted)
    with torch.no_grad():
        state = average([projection, *fitted], shares)
        projection.load_state_dict(state)
        mean = F.normalize(projection(clips.features), dim=-1).mean(0).numpy()
    averaged = {"run": RUN_SHARE, "fits": [vars(recipe) for recipe in RECIPES]}
    provenance = {**checkpoint.config.provenance, "averaged": averaged}
    config = replace(checkpoint.config, provenance=provenance)
    print(save_checkpoint(options.out, checkpoint.network, config, mean))


if __name__ == "__main__":
    main()
