"""The losses of a run: between sounds and what frozen teachers say about them.

The contrastive ones are InfoNCE (van den Oord et al. 2018, arXiv 1807.03748) in the symmetric form
of CLIP (Radford et al. 2021, arXiv 2103.00020), and the three uses of it in Wav2CLIP (Wu et al.
2022, arXiv 2110.11499).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from wav2clip.models.encoder import Projection
from wav2clip.pretrain.batch import Batch, known
from wav2clip.pretrain.config import FitConfig
from wav2clip.pretrain.data import Labels
from wav2clip.pretrain.tagger_losses import tagger_losses

MAX_SCALE = math.log(100)
"""The scale's logarithm is held below this, as CLIP does, or training may diverge."""


class _Gather(torch.autograd.Function):
    """All processes' rows; backwards, each gets the sum of all gradients of its own rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous()
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def gather(x: Tensor) -> Tensor:
    """Rows of all processes, in order of their ranks; gradients flow back to each.

    In one process ``x`` itself. The backward pass sums over processes; with the averaging that
    DistributedDataParallel does, gradients equal those of one process with the whole batch. Every
    process must have the same number of rows.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x
    gathered: Tensor = _Gather.apply(x)  # type: ignore[no-untyped-call]
    return gathered


def same_label(labels: Tensor) -> Tensor:
    """Pairs that must not be negatives: two different clips that have a label in common.

    Args:
        labels: (n, k) int64, the labels of each clip; -1 is no label and equals nothing.

    Returns:
        (n, n) bool, false on the diagonal.
    """
    left, right = labels[:, None, :, None], labels[None, :, None, :]
    common = ((left == right) & (left >= 0)).flatten(2).any(dim=2)
    common.fill_diagonal_(False)
    return common


class Scale(nn.Module):
    """A positive factor for cosines, learnt as its logarithm."""

    def __init__(self, temperature: float = 0.07, learn: bool = True) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)), learn)

    def forward(self, cosines: Tensor) -> Tensor:
        """Logits: cosines times ``exp(logit_scale)``, which stays at or below 100."""
        return cosines * self.logit_scale.clamp(max=MAX_SCALE).exp()


class InfoNCE(nn.Module):
    """Symmetric cross-entropy: row i of one side belongs to row i of the other."""

    def __init__(self, temperature: float = 0.07, learn: bool = True) -> None:
        super().__init__()
        self.scale = Scale(temperature, learn)

    def forward(
        self, a: Tensor, b: Tensor, excluded: Tensor | None = None, present: Tensor | None = None
    ) -> Tensor:
        """Mean over both directions and all rows that are present; 0 where none is.

        Args:
            a, b: (n, d), any length; they are L2-normalised here.
            excluded: (n, n) bool, pairs that take no part as negatives.
            present: (n,) bool, rows that take part at all; by default every one.
        """
        logits = self.scale(F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T)
        rows = torch.arange(len(a), device=a.device)
        weights = torch.ones_like(logits[0]) if present is None else present.to(logits.dtype)
        if present is not None:
            apart = ~(present[:, None] & present[None, :])
            excluded = apart if excluded is None else excluded | apart
            excluded = excluded & ~torch.eye(len(a), dtype=torch.bool, device=a.device)
        if excluded is not None:
            logits = logits.masked_fill(excluded, -torch.inf)
        each = F.cross_entropy(logits, rows, reduction="none")
        each = each + F.cross_entropy(logits.T, rows, reduction="none")
        return (each * weights).sum() / (2 * weights.sum().clamp(min=1))


class LabelsLoss(nn.Module):
    """Cross-entropy of a sound against the text embeddings of all labels of the corpus.

    Where clips have one label out of a few hundred, this sees every negative at every step,
    whatever the batch.
    """

    def __init__(
        self, bank: Tensor, temperature: float = 0.07, learn: bool = True, smoothing: float = 0.0
    ) -> None:
        """``bank``: (labels, d), the embedding of each label."""
        super().__init__()
        self.register_buffer("bank", F.normalize(bank, dim=-1), persistent=False)
        self.scale = Scale(temperature, learn)
        self.smoothing = smoothing

    bank: Tensor

    def forward(self, audio: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
        """Mean over the clips that have a label; 0 where none has.

        Args:
            audio: (n, d), any length.
            labels: (n, k) int64 into the bank; -1 is no label.
            shares: (n, k), how much of each label is in the clip; rows sum to 1.
        """
        if not len(self.bank):  # a corpus without labels
            return 0 * audio.sum()
        logits = self.scale(F.normalize(audio, dim=-1) @ self.bank.T)
        shares = shares * (labels >= 0)
        target = torch.zeros_like(logits).scatter_add_(1, labels.clamp(min=0), shares)
        target = target + self.smoothing * (shares.sum(1, keepdim=True) / len(self.bank) - target)
        loss = -(target * F.log_softmax(logits, dim=-1)).sum()
        return loss / shares.sum().clamp(min=1e-9)


class Losses(nn.Module):
    """The weighted losses of a run.

    Names are those of the published code; ``audio`` is the embedding that is used at inference:

    - ``clip_loss``: audio against the teacher's embedding;
    - ``clip_loss_i``: audio against a perceptron of the teacher's embedding;
    - ``clip_loss_x``: cross projection, the mean of encoder features against the perceptron of the
      teacher's embedding, and of audio (their projection) against the embedding itself;
    - ``labels_loss``: audio against the embeddings of all labels, see :class:`LabelsLoss`;
    - ``tagger_loss``, ``tagger_text_loss``, ``tagger_features_loss``: see
      :mod:`wav2clip.pretrain.tagger_losses`.

    Clips take part in the losses whose teacher has said something about them.
    """

    mean: Tensor

    def __init__(self, config: FitConfig, labels: Labels) -> None:
        """``labels``: of the corpus; their mean is subtracted with ``loss.centre``."""
        super().__init__()
        settings, encoder = config.loss, config.network.encoder()
        self.weights, self.class_aware = settings.weights(), settings.class_aware
        mean, bank = torch.from_numpy(labels.mean), torch.from_numpy(labels.bank)
        centre = mean if settings.centre else torch.zeros_like(mean)
        self.register_buffer("mean", centre, persistent=False)
        shared = (settings.temperature, settings.learn_scale)
        self.contrast = nn.ModuleDict()
        self.image_transform: Projection | None = None
        if "clip_loss" in self.weights:
            self.contrast["clip_loss"] = InfoNCE(*shared)
        if "clip_loss_i" in self.weights:
            self.contrast["clip_loss_i"] = InfoNCE(*shared)
            self.image_transform = Projection(len(mean), encoder.dimension, encoder.dropout)
        if "clip_loss_x" in self.weights:
            self.contrast["clip_loss_x_features"] = InfoNCE(*shared)
            self.contrast["clip_loss_x_audio"] = InfoNCE(*shared)
            self.image_transform = Projection(len(mean), encoder.features, encoder.dropout)
        self.labels_loss: LabelsLoss | None = None
        if "labels_loss" in self.weights:
            self.labels_loss = LabelsLoss(bank - centre, *shared, settings.smoothing)
        self.tagger = tagger_losses(config, labels.classes)

    def forward(self, features: Tensor, audio: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Each loss by its name, and their weighted sum as ``loss``.

        Args:
            features: (n, f) output of the encoder.
            audio: (n, d) embeddings.
            batch: what belongs to the n clips.
        """
        targets = (batch.targets - self.mean).nan_to_num(nan=0.0)
        perceived = None if self.image_transform is None else self.image_transform(targets)
        if self.training:  # every process validates on all clips, so there is nothing to gather
            features, audio, targets = gather(features), gather(audio), gather(targets)
            perceived = None if perceived is None else gather(perceived)
            batch = _gathered(batch)
        losses = {name: loss(features, audio, batch) for name, loss in self.tagger.items()}
        if self.labels_loss is not None:
            losses["labels_loss"] = self.labels_loss(audio, batch.labels, batch.shares)
        if self.contrast:
            excluded = same_label(batch.labels) if self.class_aware else None
            pairs = _Pairs(features, audio, targets, perceived, excluded, known(batch.targets))
            losses |= self._contrast(pairs)
        total = sum(self.weights[name] * value for name, value in losses.items())
        return {**losses, "loss": torch.as_tensor(total)}

    def _contrast(self, pairs: _Pairs) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}

        def compare(name: str, sounds: Tensor, others: Tensor | None) -> Tensor:
            loss: Tensor = self.contrast[name](sounds, others, pairs.excluded, pairs.present)
            return loss

        if "clip_loss" in self.weights:
            losses["clip_loss"] = compare("clip_loss", pairs.audio, pairs.targets)
        if "clip_loss_i" in self.weights:
            losses["clip_loss_i"] = compare("clip_loss_i", pairs.audio, pairs.perceived)
        if "clip_loss_x" in self.weights:
            encoder = compare("clip_loss_x_features", pairs.features, pairs.perceived)
            projection = compare("clip_loss_x_audio", pairs.audio, pairs.targets)
            losses["clip_loss_x"] = (encoder + projection) / 2
        return losses


@dataclass(frozen=True)
class _Pairs:
    """Both sides of the contrastive losses, of the clips of all processes."""

    features: Tensor
    audio: Tensor
    targets: Tensor
    perceived: Tensor | None
    excluded: Tensor | None
    present: Tensor


def _gathered(batch: Batch) -> Batch:
    """What belongs to the clips of all processes; the sound stays where it is."""
    rest = {name: gather(part) for name, part in vars(batch).items() if name != "audio"}
    return replace(batch, **rest)
