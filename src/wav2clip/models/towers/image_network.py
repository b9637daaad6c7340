"""The built-in image network: EfficientNet-Lite0 and a head into the space of CLIP.

EfficientNet-Lite0: Tan and Le 2019 (arXiv 1905.11946) in its "lite" form, without squeeze and
excitation and with ReLU6 instead of swish. ``tools/train_image_tower.py`` makes the weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 224
"""Width and height of the pictures that the network reads, as in CLIP ViT-B/32."""

PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's pixels, with which the weights were trained."""

STEM = 32
TOP = 1280
CLASSES = 1000


@dataclass(frozen=True)
class Stage:
    """Blocks of one resolution: how many, kernel, stride of the first, widening, channels out."""

    blocks: int
    kernel: int
    stride: int
    expand: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
"""EfficientNet-B0's table (arXiv 1905.11946, table 1), whose width and depth Lite0 keeps."""


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME": the extra row and column go to the end."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        pads: list[int] = []
        for size in (x.shape[3], x.shape[2]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, groups=self.groups)


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
        y = x if self.widen is None else F.relu6(self.widen(x))
        y = torch.as_tensor(self.narrow(F.relu6(self.filter(y))))
        return x + y if self.shortcut else y


class Trunk(nn.Module):
    """EfficientNet-Lite0: pictures to features and to the logits of ImageNet's 1,000 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, STEM, 3, 2)
        self.blocks = nn.ModuleList()
        width = STEM
        for stage in STAGES:
            for block in range(stage.blocks):
                self.blocks.append(Bottleneck(width, stage, stage.stride if block == 0 else 1))
                width = stage.channels
        self.top = _conv(width, TOP, 1)
        self.classes = nn.Linear(TOP, CLASSES)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Of RGB pictures (batch, 3, height, width) in [0, 1].

        Returns:
            Features (batch, 1280), logits (batch, 1000), and the average of each block's output
            over the picture, one tensor (batch, channels) per block.
        """
        x = (pixels - pixels.new_tensor(PIXEL_MEAN).view(3, 1, 1)) / pixels.new_tensor(
            PIXEL_STD
        ).view(3, 1, 1)
        x = F.relu6(self.stem(x.contiguous(memory_format=torch.channels_last)))
        pooled: list[Tensor] = []
        for block in self.blocks:
            x = block(x)
            pooled.append(x.mean(dim=(2, 3)))
        features = F.relu6(self.top(x)).mean(dim=(2, 3))
        return features, self.classes(features), pooled


class ImageNetwork(nn.Module):
    """Pictures to embeddings (not normalised).

    The head reads the trunk's features and what it believes to see: the probabilities of
    ImageNet's classes, softened.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.from_features = nn.Linear(TOP, 512)
        self.from_classes = nn.Linear(CLASSES, 512, bias=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embeddings (batch, 512) of RGB pictures (batch, 3, 224, 224) in [0, 1]."""
        features, logits, _ = self.trunk(pixels)
        return torch.as_tensor(
            self.from_features(features) + self.from_classes(F.softmax(logits, dim=-1))
        )
