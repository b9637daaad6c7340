"""Losses that make an encoder say, through text, what a tagger hears.

Each is a mean over the clips that the tagger has heard, 0 where there is none. The classes' text
embeddings are centred: the common part that all of CLIP's text embeddings share says nothing.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wav2clip.errors import DataError
from wav2clip.pretrain.batch import Batch, known
from wav2clip.pretrain.config import FitConfig
from wav2clip.pretrain.data import Classes

START_SCALE = 10.0
"""Factor on cosines that learning starts from; SigLIP's."""

LEAST_PRIOR = 1e-4
"""Probability below which a class's prior is not believed, with some ten thousand clips."""


def tagger_losses(config: FitConfig, classes: Classes | None) -> nn.ModuleDict:
    """The losses of a run that compare with a tagger, by their names.

    Raises:
        DataError: there are such losses, but no tagger.
    """
    weights = config.loss.weights()
    losses = nn.ModuleDict()
    if classes is None:
        if asked := [name for name in weights if name.startswith("tagger")]:
            raise DataError(f"loss.{asked[0]} needs shards that a tagger has heard")
        return losses
    bank = torch.from_numpy(classes.centred())
    if "tagger_loss" in weights:
        losses["tagger_loss"] = ThroughText(bank, torch.from_numpy(classes.prior))
    if "tagger_text_loss" in weights:
        losses["tagger_text_loss"] = TowardsText(bank, config.loss.tagger_power)
    if "tagger_features_loss" in weights:
        losses["tagger_features_loss"] = SameFeatures(
            config.network.encoder().features,
            torch.from_numpy(classes.feature_mean),
            torch.from_numpy(classes.feature_std),
        )
    return losses


def mean_over(each: Tensor, present: Tensor) -> Tensor:
    """Mean of (n,) values over the rows that are present; 0, with a gradient of 0, if none is."""
    return (each * present).sum() / present.sum().clamp(min=1)


class ThroughText(nn.Module):
    """``tagger_loss``: the tagger's probabilities, told by the embedding from the classes' names.

    The logit of class c is ``a cos(embedding, text_c) + b_c``, and the loss is the binary
    cross-entropy with the tagger's probability as a soft target (Hinton, Vinyals and Dean 2015,
    arXiv 1503.02531), summed over the classes. Factor and bias are learnt as in SigLIP's sigmoid
    loss (Zhai et al. 2023, arXiv 2303.15343), here with a bias per class, which begins at the logit
    of the class's mean probability: how often a class is heard is then no matter of its text.
    """

    bank: Tensor

    def __init__(self, bank: Tensor, prior: Tensor) -> None:
        """``bank``: (k, d), centred; ``prior``: (k,), mean probability of each class."""
        super().__init__()
        self.register_buffer("bank", F.normalize(bank, dim=-1), persistent=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(START_SCALE)))
        self.bias = nn.Parameter(prior.clamp(LEAST_PRIOR, 1 - LEAST_PRIOR).logit())

    def logits(self, audio: Tensor) -> Tensor:
        """(n, k) of embeddings (n, d) of any length."""
        return self.log_scale.exp() * (F.normalize(audio, dim=-1) @ self.bank.T) + self.bias

    def forward(self, features: Tensor, audio: Tensor, batch: Batch) -> Tensor:
        present = known(batch.probabilities)
        wanted = batch.probabilities.nan_to_num(nan=0.0)
        each = F.binary_cross_entropy_with_logits(self.logits(audio), wanted, reduction="none")
        return mean_over(each.sum(dim=1), present)


class TowardsText(nn.Module):
    """``tagger_text_loss``: 1 - cosine to what the tagger's probabilities are in the space of text.

    That is the sum of the classes' text embeddings, each weighted with its probability to some
    power: the convex combination of label embeddings of ConSE (Norouzi et al. 2014, arXiv
    1312.5650), without its choice of the surest classes.
    """

    bank: Tensor

    def __init__(self, bank: Tensor, power: float) -> None:
        """``bank``: (k, d), centred; ``power``: exponent of the probabilities."""
        super().__init__()
        self.register_buffer("bank", F.normalize(bank, dim=-1), persistent=False)
        self.power = power

    def targets(self, probabilities: Tensor) -> Tensor:
        """(n, d), any length, of probabilities (n, k)."""
        return probabilities.pow(self.power) @ self.bank

    def forward(self, features: Tensor, audio: Tensor, batch: Batch) -> Tensor:
        present = known(batch.probabilities)
        wanted = self.targets(batch.probabilities.nan_to_num(nan=0.0))
        return mean_over(1 - F.cosine_similarity(audio, wanted, dim=-1), present)


class SameFeatures(nn.Module):
    """``tagger_features_loss``: mean squared error to the tagger's own features.

    Features are what hints are in FitNets (Romero et al. 2015, arXiv 1412.6550): each is divided by
    its standard deviation over the training clips, so that all count alike. Where the encoder has
    another number of features, a linear layer that is thrown away after training maps them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int, mean: Tensor, std: Tensor) -> None:
        """``width``: the encoder's features; ``mean``, ``std``: (f,), of the tagger's."""
        super().__init__()
        # A feature that hardly ever moves must not become a loud one.
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std.clamp(min=0.1 * float(std.mean())), persistent=False)
        self.linear: nn.Linear | None = None
        if width != len(mean):
            self.linear = nn.Linear(width, len(mean))

    def standardise(self, features: Tensor) -> Tensor:
        """Features of the tagger's kind, without their mean and in units of their deviation."""
        return (features - self.mean) / self.std

    def forward(self, features: Tensor, audio: Tensor, batch: Batch) -> Tensor:
        present = known(batch.heard)
        wanted = self.standardise(batch.heard.nan_to_num(nan=0.0))
        told = self.standardise(features) if self.linear is None else self.linear(features)
        return mean_over((told - wanted).square().mean(dim=1), present)
