"""The built-in encoder's network: MobileNetV3 over the log-mel spectrogram, and its projection.

MobileNetV3-Large (Howard et al. 2019, arXiv 1905.02244) as EfficientAT uses it for sound (Schmid,
Koutini and Widmer 2023, arXiv 2211.04772): one input channel, squeeze-and-excitation over channels
with a plain sigmoid. Module names are those of EfficientAT's checkpoints, so its tensors load
without renaming.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from wav2clip.models.config import MobileNetConfig, round_channels


class _Row(NamedTuple):
    """One inverted residual block, in channels before the factor of the width."""

    kernel: int
    expanded: int
    out: int
    excite: bool
    hard: bool
    stride: int


# Howard et al., table 1.
_ROWS = (
    _Row(3, 16, 16, False, False, 1),
    _Row(3, 64, 24, False, False, 2),
    _Row(3, 72, 24, False, False, 1),
    _Row(5, 72, 40, True, False, 2),
    _Row(5, 120, 40, True, False, 1),
    _Row(5, 120, 40, True, False, 1),
    _Row(3, 240, 80, False, True, 2),
    _Row(3, 200, 80, False, True, 1),
    _Row(3, 184, 80, False, True, 1),
    _Row(3, 184, 80, False, True, 1),
    _Row(3, 480, 112, True, True, 1),
    _Row(3, 672, 112, True, True, 1),
    _Row(5, 672, 160, True, True, 2),
    _Row(5, 960, 160, True, True, 1),
    _Row(5, 960, 160, True, True, 1),
)
_STEM = 16
_EPSILON = 1e-3
"""Of batch norms. Their momentum is torch's 0.1 and not EfficientAT's 0.01, with which running
statistics lag behind the weights for hundreds of steps: a short training from random weights ends
at chance, for what it has learnt is not seen in evaluation mode."""


class ConvNorm(nn.Sequential):
    """A convolution without bias, batch norm, activation (if any)."""

    def __init__(
        self,
        width: int,
        planes: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: type[nn.Module] | None = None,
    ) -> None:
        super().__init__(
            nn.Conv2d(width, planes, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(planes, eps=_EPSILON),
            *([] if activation is None else [activation()]),
        )


class Excitation(nn.Module):
    """Scales channels by what a small perceptron makes of their means (arXiv 1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = round_channels(channels // 4)
        layers = {"fc1": nn.Linear(channels, squeezed), "fc2": nn.Linear(squeezed, channels)}
        self.conc_se_layers = nn.ModuleList([nn.ModuleDict(layers)])

    @property
    def layers(self) -> nn.ModuleDict:
        """``fc1`` and ``fc2``, below the name that checkpoints give them."""
        return cast(nn.ModuleDict, self.conc_se_layers[0])

    def forward(self, x: Tensor) -> Tensor:
        squeezed = torch.relu(self.layers["fc1"](x.mean(dim=(2, 3))))
        scaled: Tensor = x * self.layers["fc2"](squeezed).sigmoid()[:, :, None, None]
        return scaled


class InvertedResidual(nn.Module):
    """Expand, convolve each channel by itself, excite, project; a shortcut where shapes agree."""

    def __init__(self, row: _Row, width: int, expanded: int, planes: int) -> None:
        super().__init__()
        activation = nn.Hardswish if row.hard else nn.ReLU
        layers: list[nn.Module] = []
        if expanded != width:
            layers.append(ConvNorm(width, expanded, activation=activation))
        layers.append(
            ConvNorm(expanded, expanded, row.kernel, row.stride, expanded, activation=activation)
        )
        if row.excite:
            layers.append(Excitation(expanded))
        layers.append(ConvNorm(expanded, planes))
        self.block = nn.Sequential(*layers)
        self.shortcut = row.stride == 1 and width == planes

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return x + y if self.shortcut else y


class MobileNet(nn.Module):
    """Log-mel spectrogram (batch, bins, frames) to features (batch, ``config.features``)."""

    def __init__(self, config: MobileNetConfig) -> None:
        super().__init__()

        def scaled(channels: int) -> int:
            return round_channels(channels * config.width)

        width = scaled(_STEM)
        layers: list[nn.Module] = [ConvNorm(1, width, 3, 2, activation=nn.Hardswish)]
        for row in _ROWS:
            planes = scaled(row.out)
            layers.append(InvertedResidual(row, width, scaled(row.expanded), planes))
            width = planes
        layers.append(ConvNorm(width, config.features, activation=nn.Hardswish))
        self.features = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, spectrogram: Tensor) -> Tensor:
        pooled: Tensor = self.feature_map(spectrogram).mean(dim=(2, 3))
        return pooled

    def feature_map(self, spectrogram: Tensor) -> Tensor:
        """Features before pooling: (batch, features, ceil(bins / 32), ceil(frames / 32))."""
        x = spectrogram.unsqueeze(1).contiguous(memory_format=torch.channels_last)
        cells: Tensor = self.features(x)
        return cells

    def norms(self) -> Iterator[tuple[nn.Module, str, str]]:
        """Each module with the names of a convolution in it and of the batch norm behind it."""
        for module in self.modules():
            if isinstance(module, ConvNorm):
                yield module, "0", "1"


def classifier(config: MobileNetConfig) -> nn.Sequential:
    """Features (batch, ``config.features``) to logits (batch, ``config.classes``)."""
    return nn.Sequential(
        nn.Linear(config.features, config.hidden),
        nn.Hardswish(),
        nn.Dropout(config.dropout),
        nn.Linear(config.hidden, config.classes),
    )


class ClassProjection(nn.Module):
    """Features to powers of class probabilities, and these to a weighted sum of embeddings.

    With the head of a tagger and the text embeddings of its classes' names it is the mapping of a
    tagger into the space of text, from which training starts
    (:meth:`wav2clip.models.tagger.Tagger.network`).
    """

    def __init__(self, config: MobileNetConfig) -> None:
        super().__init__()
        self.classifier = classifier(config)
        self.names = nn.Linear(config.classes, config.dimension, bias=False)
        self.power = config.power

    def logits(self, features: Tensor) -> Tensor:
        """Class logits (batch, classes); their sigmoid is a probability for each class."""
        logits: Tensor = self.classifier(features)
        return logits

    def forward(self, features: Tensor) -> Tensor:
        # As a power of the logarithm, so that gradients are finite where a probability is 0.
        powers = (self.power * nn.functional.logsigmoid(self.logits(features))).exp()
        embedding: Tensor = self.names(powers)
        return embedding
