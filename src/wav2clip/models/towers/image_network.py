"""The built-in image network: two small EfficientNets and a head into the space of CLIP.

EfficientNet-Lite0 and -Lite2: Tan and Le 2019 (arXiv 1905.11946) in their "lite" form, without
squeeze and excitation and with ReLU6 instead of swish. The weights are made by
``tools/train_image_tower.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wav2clip.models.towers.packed import load_packed

PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's pixels, with which the weights were trained."""

STEM = 32
TOP = 1280
CLASSES = 1000
DIMENSION = 512


@dataclass(frozen=True)
class Stage:
    """Blocks of one resolution: how many, kernel, stride of the first, widening, channels out."""

    blocks: int
    kernel: int
    stride: int
    expand: int
    channels: int


LITE0 = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
"""EfficientNet-B0's table (arXiv 1905.11946, table 1), whose width and depth Lite0 keeps."""

LITE2 = (
    Stage(1, 3, 1, 1, 16),
    Stage(3, 3, 2, 6, 24),
    Stage(3, 5, 2, 6, 48),
    Stage(4, 3, 2, 6, 88),
    Stage(4, 5, 1, 6, 120),
    Stage(5, 5, 2, 6, 208),
    Stage(1, 3, 1, 6, 352),
)
"""The same, 1.1 times as wide and 1.2 times as deep."""

TRUNKS = ((LITE0, 224), (LITE2, 260))
"""The two trunks, each with the width of the pictures it was trained on."""


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME": the extra row and column go to the end."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        totals = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[2:]]
        padding = [total // 2 for total in totals]
        if any(total % 2 for total in totals):  # only then a padded copy is needed
            down, right = (total % 2 for total in totals)
            x = F.pad(x, [padding[1], padding[1] + right, padding[0], padding[0] + down])
            padding = [0, 0]
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, groups=self.groups)


def _conv(width: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    return SameConv(width, channels, kernel, stride, groups=groups, bias=True)


class Bottleneck(nn.Module):
    """Widen, filter each channel, narrow; plus the input where the shape stays.

    Batch norms are folded into the convolutions before it (see ``tools/train_image_tower.py``).
    """

    def __init__(self, width: int, stage: Stage, stride: int) -> None:
        super().__init__()
        inner = width * stage.expand
        self.widen = _conv(width, inner, 1) if stage.expand > 1 else None
        self.filter = _conv(inner, inner, stage.kernel, stride, groups=inner)
        self.narrow = _conv(inner, stage.channels, 1)
        self.shortcut = stride == 1 and width == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.widen is None else F.relu6(self.widen(x), inplace=True)
        y = torch.as_tensor(self.narrow(F.relu6(self.filter(y), inplace=True)))
        return x + y if self.shortcut else y


class Trunk(nn.Module):
    """An EfficientNet-Lite: pictures to features and to the logits of ImageNet's 1,000 classes."""

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        super().__init__()
        self.stem = _conv(3, STEM, 3, 2)
        self.blocks = nn.ModuleList()
        width = STEM
        for stage in stages:
            for block in range(stage.blocks):
                self.blocks.append(Bottleneck(width, stage, stage.stride if block == 0 else 1))
                width = stage.channels
        self.top = _conv(width, TOP, 1)
        self.classes = nn.Linear(TOP, CLASSES)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Features (batch, 1280) and logits (batch, 1000).

        Args:
            pixels: RGB (batch, 3, height, width), standardised.
        """
        x = F.relu6(self.stem(pixels.contiguous(memory_format=torch.channels_last)), inplace=True)
        for block in self.blocks:
            x = block(x)
        features = F.relu6(self.top(x), inplace=True).mean(dim=(2, 3))
        return features, self.classes(features)


@cache
@torch.inference_mode(False)  # gradients will flow through it, whoever asks first
def _resizing(source: int, target: int) -> Tensor:
    """(target, source): bicubic resizing of one axis as a matrix, which any runtime multiplies."""
    identity = torch.eye(source)[None, None]
    return F.interpolate(identity, (target, source), mode="bicubic", antialias=True)[0, 0]


class ImageNetwork(nn.Module):
    """Pictures to embeddings.

    Two linear readers look at the trunks: ``look`` at their features, ``name`` at the
    probabilities of ImageNet's classes, as in ConSE (Norouzi et al. 2014, arXiv 1312.5650). Each
    gives a direction around the mean of CLIP's picture embeddings, ``middle``; ``trust`` weighs
    the second.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunks = nn.ModuleList(Trunk(stages) for stages, _ in TRUNKS)
        self.look = nn.Linear(TOP * len(TRUNKS), DIMENSION)
        self.name = nn.Linear(CLASSES, DIMENSION, bias=False)
        self.middle = nn.Parameter(torch.zeros(DIMENSION))
        self.trust = nn.Parameter(torch.zeros(()))

    def see(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Joined features (batch, 2560) and class probabilities (batch, 1000).

        Both are averaged over the picture and its mirror image.

        Args:
            pixels: RGB (batch, 3, 260, 260) in [0, 1].
        """
        mean, std = (pixels.new_tensor(v).view(3, 1, 1) for v in (PIXEL_MEAN, PIXEL_STD))
        features, shares = [], []
        for trunk, (_, side) in zip(self.trunks, TRUNKS, strict=True):
            x = pixels
            if pixels.shape[-1] != side:
                rows = _resizing(int(pixels.shape[-1]), side).to(pixels)
                x = (rows @ x @ rows.T).clamp(0, 1)
            x = (x - mean) / std
            seen, logits = trunk(torch.cat([x, x.flip(3)]))
            features.append(seen.unflatten(0, (2, -1)).mean(dim=0))
            shares.append(F.softmax(logits.unflatten(0, (2, -1)).mean(dim=0), dim=-1))
        return torch.cat(features, dim=1), torch.stack(shares).mean(0)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embeddings (batch, 512) of pictures as for :meth:`see`."""
        features, shares = self.see(pixels)
        looked = F.normalize(self.look(features), dim=-1)
        named = F.normalize(self.name(shares), dim=-1)
        direction = F.normalize(looked + self.trust * named, dim=-1)
        # The length that leaves the sum a unit vector where the direction is level with the mean.
        spread = torch.sqrt(1 - self.middle.square().sum())
        return torch.as_tensor(self.middle + spread * direction)


def load_image_network(weights: Path) -> ImageNetwork:
    """The network for inference, with the weights of a packed file.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    with torch.device("meta"):
        network = ImageNetwork()
    network.load_state_dict(load_packed(weights), assign=True)
    return network.eval().requires_grad_(False)
