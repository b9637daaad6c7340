"""The published network: an 18-layer residual network over the spectrogram, and its projection.

Residual network: He et al. 2016 (arXiv 1512.03385), basic blocks 2-2-2-2, one input channel.
Module names are those of the published checkpoint, so its tensors load without renaming.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from wav2clip.models.config import EncoderConfig


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut; ReLU after the sum."""

    def __init__(self, width: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or width != planes:
            self.downsample = nn.Sequential(
                nn.Conv2d(width, planes, 1, stride, bias=False), nn.BatchNorm2d(planes)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = torch.relu_(self.bn1(self.conv1(x)))
        return torch.relu_(self.bn2(self.conv2(y)) + shortcut)


class ResNet(nn.Module):
    """Standardised spectrogram (batch, bins, frames) to features (batch, planes[-1])."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        stem = config.planes[0]
        self.conv1 = nn.Conv2d(1, stem, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        width = stem
        stages: list[nn.Sequential] = []
        for stage, (planes, blocks) in enumerate(
            zip(config.planes, config.blocks, strict=True), start=1
        ):
            stride = 1 if stage == 1 else 2
            layers = [BasicBlock(width, planes, stride)]
            layers += [BasicBlock(planes, planes, 1) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(*layers))
            width = planes
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        for module in self.modules():
            # On the meta device there is nothing to fill, and trying imports half of torch.
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, spectrogram: Tensor) -> Tensor:
        pooled: Tensor = self.feature_map(spectrogram).mean(dim=(2, 3))
        return pooled

    def feature_map(self, spectrogram: Tensor) -> Tensor:
        """Features before pooling: (batch, planes[-1], ceil(bins / 32), ceil(frames / 32))."""
        x = spectrogram.unsqueeze(1).contiguous(memory_format=torch.channels_last)
        # The published order is ReLU, then pooling; they commute, and this way it has less to do.
        x = torch.relu_(self.maxpool(self.bn1(self.conv1(x))))
        cells: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return cells

    def norms(self) -> Iterator[tuple[nn.Module, str, str]]:
        """Each module with the names of a convolution in it and of the batch norm behind it."""
        yield self, "conv1", "bn1"
        for block in self.modules():
            if isinstance(block, BasicBlock):
                yield block, "conv1", "bn1"
                yield block, "conv2", "bn2"
                if block.downsample is not None:
                    yield block.downsample, "0", "1"


class Projection(nn.Module):
    """The two-layer perceptron that maps the encoder's features into the space of CLIP."""

    def __init__(self, features: int, dimension: int, dropout: float) -> None:
        super().__init__()
        self.sequential = nn.Sequential(
            nn.Linear(features, dimension),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(dimension, dimension),
        )

    def forward(self, features: Tensor) -> Tensor:
        projected: Tensor = self.sequential(features)
        return projected
