"""Training the audio network itself on a dataset: from a checkpoint's weights, or from none.

It is the comparison to probes on frozen embeddings: the same network and spectrogram with a linear
layer on top, trained with Adam on random crops and tested on whole recordings. The epoch with the
best accuracy on the validation clips is kept.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wav2clip.audio.io import Samples
from wav2clip.datasets.core import Clip, Dataset
from wav2clip.embedding.bulk import ahead
from wav2clip.errors import InputError
from wav2clip.evaluation.encoders import Encoder, Wav2ClipEncoder
from wav2clip.evaluation.probes import Outcome, over_folds, targets_of
from wav2clip.evaluation.splits import Fold, Indices, hold_out
from wav2clip.models.checkpoint import load_checkpoint
from wav2clip.models.frontend import Frontend, make_frontend
from wav2clip.models.mel import MelFrontend
from wav2clip.models.network import AudioNetwork
from wav2clip.models.registry import locate
from wav2clip.reading.readers import Readers

_WORKERS = 2
_AHEAD = 64


@dataclass(frozen=True)
class Settings:
    """How the network is trained.

    Attributes:
        start: "finetune" (the checkpoint's weights) or "scratch" (random ones).
        epochs: at most.
        patience: epochs without a better validation accuracy after which it ends.
        batch: clips per step.
        crop_seconds: of a training example; shorter recordings are repeated to that length.
        rate: of Adam, for layers with random weights (that of the published training).
        tuned_rate: of Adam, for layers with a checkpoint's weights.
    """

    start: str = "finetune"
    epochs: int = 50
    patience: int = 10
    batch: int = 32
    crop_seconds: float = 4.0
    rate: float = 1e-3
    tuned_rate: float = 1e-4


class Classifier(nn.Module):
    """Spectrogram, network and a linear layer: waveforms (batch, n) to logits (batch, classes)."""

    def __init__(
        self, frontend: Frontend | MelFrontend, network: AudioNetwork, classes: int
    ) -> None:
        super().__init__()
        self.frontend = frontend
        self.network = network
        self.head = nn.Linear(network.config.features, classes)

    @property
    def sample_rate(self) -> int:
        """Hz of the waveforms."""
        return self.frontend.config.sample_rate

    def forward(self, waves: Tensor) -> Tensor:
        with torch.no_grad():
            spectrogram = self.frontend.standardize(self.frontend(waves), "recording")
        features = self.network.audio_encoder(spectrogram.to(self.head.weight.device))
        logits: Tensor = self.head(features)
        return logits


def train_network(
    encoder: Encoder,
    dataset: Dataset,
    settings: Settings,
    *,
    fraction: float = 1.0,
    seed: int = 0,
    folds: Sequence[str] = (),
    device: str = "cpu",
    advance: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Train and test the network on every fold, or on those that are named.

    Args:
        encoder: a Wav2CLIP model; its network's dimensions are kept from scratch too.
        dataset: one label per clip.
        settings: see :class:`Settings`.
        fraction: share of the training labels, see
            :func:`~wav2clip.evaluation.splits.fraction_of`; a fifth of it is for validation.
        seed: of weights, order, crops and the draw.
        folds: names of folds, or none for all.
        device: of the network.
        advance: called with 1 after each epoch.

    Raises:
        InputError: an encoder of another kind, or an unknown start.
        DataError: no folds can be made, or a recording is on both sides of one.
    """
    if not isinstance(encoder, Wav2ClipEncoder):
        raise InputError(f"{encoder.name} cannot be trained here: expected a Wav2CLIP model")
    if settings.start not in ("finetune", "scratch"):
        raise InputError(f"got {settings.start!r}, expected frozen, finetune or scratch")
    checkpoint = load_checkpoint(locate(encoder.model.name))
    targets = torch.from_numpy(targets_of(dataset))
    frontend = make_frontend(checkpoint.config.frontend)

    def classify(fold: Fold, seen: Indices, seed: int) -> NDArray[np.int64]:
        if len(seen) == len(fold.pool):
            train, held = fold.train, fold.validation
        else:
            train, held = hold_out(dataset, seen)
        torch.manual_seed(seed)
        network = (
            copy.deepcopy(checkpoint.network).requires_grad_(True)
            if settings.start == "finetune"
            else AudioNetwork(checkpoint.config.encoder)
        )
        model = Classifier(frontend, network, len(dataset.labels)).to(device)
        rng = np.random.default_rng(seed)
        _fit(model, dataset, targets, train, held, settings, rng, advance)
        return _predict(model, dataset, fold.test)

    return over_folds(
        dataset, classify, fraction=fraction, seed=seed, advance=lambda _: None, folds=folds
    )


def _fit(
    model: Classifier,
    dataset: Dataset,
    targets: Tensor,
    train: Indices,
    held: Indices,
    settings: Settings,
    rng: np.random.Generator,
    advance: Callable[[int], None],
) -> None:
    tuned = settings.tuned_rate if settings.start == "finetune" else settings.rate
    network = {"params": model.network.audio_encoder.parameters(), "lr": tuned}
    head = {"params": model.head.parameters(), "lr": settings.rate}
    optimizer = torch.optim.Adam([network, head])
    best, best_state, since = -1.0, model.state_dict(), 0
    for _ in range(settings.epochs):
        model.train()
        order = rng.permutation(train)
        for rows, waves in _crops(dataset, order, settings, model.sample_rate, rng):
            optimizer.zero_grad()
            logits = model(waves)
            loss = nn.functional.cross_entropy(logits, targets[rows].to(logits.device))
            torch.autograd.backward(loss)
            optimizer.step()
        score = float((_predict(model, dataset, held) == targets[held].numpy()).mean())
        since += 1
        if score > best:
            best, best_state, since = score, copy.deepcopy(model.state_dict()), 0
        advance(1)
        if since >= settings.patience:
            break
    model.load_state_dict(best_state)


def _waves(dataset: Dataset, rows: Indices, sample_rate: int) -> Iterator[Samples]:
    """Waveforms in the order of the rows, decoded ahead of their turn."""
    with Readers(_WORKERS) as readers:

        def decode(clip: Clip) -> Samples:
            return readers.load_audio(clip.path, sample_rate).samples

        yield from ahead((partial(decode, dataset.clips[row]) for row in rows), _WORKERS, _AHEAD)


def _crops(
    dataset: Dataset,
    order: Indices,
    settings: Settings,
    sample_rate: int,
    rng: np.random.Generator,
) -> Iterator[tuple[Indices, Tensor]]:
    """Batches of rows and their crops (batch, n)."""
    length = round(settings.crop_seconds * sample_rate)
    batch: list[Samples] = []
    first = 0
    for wave in _waves(dataset, order, sample_rate):
        repeated = np.resize(wave, max(length, len(wave)))  # np.resize repeats what is too short
        start = int(rng.integers(len(repeated) - length + 1))
        batch.append(repeated[start : start + length])
        if len(batch) == settings.batch or first + len(batch) == len(order):
            if len(batch) > 1:  # batch norm has no variance of one
                yield order[first : first + len(batch)], torch.from_numpy(np.stack(batch))
            first += len(batch)
            batch = []


def _predict(model: Classifier, dataset: Dataset, rows: Indices) -> NDArray[np.int64]:
    """Classes of whole recordings, each by itself: no padding, no batch mates."""
    model.eval()
    with torch.inference_mode():
        waves = _waves(dataset, rows, model.sample_rate)
        logits = [model(torch.from_numpy(wave[None])) for wave in waves]
    return np.array([int(one.argmax()) for one in logits], np.int64)
