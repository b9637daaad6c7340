"""The multilayer perceptron on frozen embeddings, for one label per clip and for several.

Sizes and training are those of HEAR 2021 (Turian et al. 2022, arXiv 2203.03022; its evaluation kit,
heareval/predictions/task_predictions.py): one point of its grid, fixed beforehand in place of a
search. Two hidden layers of 1,024, each batch norm, dropout 0.1 and ReLU; Xavier's uniform
initialisation; Adam at 1e-3 in batches of 1,024; stop after 20 epochs without a better score on
validation, at most 500. The Wav2CLIP paper speaks of an MLP too; HEAR's measured the published
weights with this one, so figures can be compared.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from wav2clip.embedding.engine import Embeddings
from wav2clip.evaluation.metrics import average_precisions

HIDDEN = (1024, 1024)
DROPOUT = 0.1
RATE = 1e-3
BATCH = 1024
PATIENCE = 20
EPOCHS = 500
EPOCHS_UNWATCHED = 100
"""Where there are too few labels to hold any out for validation."""

Scores = NDArray[np.float64]


def build(inputs: int, classes: int, hidden: Sequence[int] = HIDDEN) -> nn.Sequential:
    """The network (batch, inputs) to logits (batch, classes); without hidden layers, linear."""
    layers: list[nn.Module] = []
    width = inputs
    for units in hidden:
        layers += [nn.Linear(width, units), nn.BatchNorm1d(units), nn.Dropout(DROPOUT), nn.ReLU()]
        width = units
    layers.append(nn.Linear(width, classes))
    gain = 1.0  # what comes in may be anything; what comes after is a ReLU
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, gain=gain)
            gain = nn.init.calculate_gain("relu")
    return nn.Sequential(*layers)


def fit_mlp(
    train: Embeddings,
    train_targets: NDArray[np.float32],
    held: Embeddings,
    held_targets: NDArray[np.float32],
    *,
    multilabel: bool = False,
    hidden: Sequence[int] = HIDDEN,
    seed: int = 0,
) -> Callable[[Embeddings], Scores]:
    """Train the network; the state with the best validation score is kept.

    Args:
        train: (n, d) embeddings.
        train_targets: (n, classes) of 0 and 1.
        held: (m, d) for validation, of which there may be none.
        held_targets: (m, classes).
        multilabel: sigmoid and mAP in place of softmax and accuracy.
        hidden: units of the hidden layers; none for a linear classifier.
        seed: of weights, dropout and order.

    Returns:
        Embeddings (k, d) to probabilities (k, classes).
    """
    scaler = StandardScaler().fit(train)
    inputs, targets = _tensor(scaler.transform(train)), _tensor(train_targets)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(inputs.shape[1], targets.shape[1], hidden)
        loss: Callable[[Tensor, Tensor], Tensor] = (
            nn.BCEWithLogitsLoss() if multilabel else nn.CrossEntropyLoss()
        )

        def scores(rows: Embeddings) -> Scores:
            network.eval()
            with torch.inference_mode():
                logits = network(_tensor(scaler.transform(rows)))
                shares = logits.sigmoid() if multilabel else logits.softmax(dim=1)
            return np.asarray(shares.double().numpy())

        def validate() -> float:
            found = scores(held)
            if multilabel:
                return float(np.nanmean(average_precisions(found, held_targets > 0)))
            return float((found.argmax(axis=1) == held_targets.argmax(axis=1)).mean())

        _train(network, inputs, targets, loss, validate if len(held) else None)
    return scores


def _train(
    network: nn.Sequential,
    inputs: Tensor,
    targets: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    validate: Callable[[], float] | None,
) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    best, best_state, since = -np.inf, network.state_dict(), 0
    for _ in range(EPOCHS if validate else EPOCHS_UNWATCHED):
        network.train()
        for rows in torch.split(torch.randperm(len(inputs)), BATCH):
            if len(rows) < 2:  # batch norm has no variance of one
                continue
            optimizer.zero_grad()
            torch.autograd.backward(loss(network(inputs[rows]), targets[rows]))
            optimizer.step()
        if validate is None:
            continue
        score, since = validate(), since + 1
        if score > best:
            best, best_state, since = score, copy.deepcopy(network.state_dict()), 0
        if since >= PATIENCE:
            break
    if validate is not None:
        network.load_state_dict(best_state)


def _tensor(array: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
