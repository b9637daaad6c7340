"""The Wav2CLIP network: an 18-layer residual network over the spectrogram, and its projection.

Residual network: He et al. 2016 (arXiv 1512.03385), basic blocks 2-2-2-2, one input channel.
Module names are those of the published checkpoint, so its tensors load without renaming.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


@dataclass(frozen=True)
class EncoderConfig:
    """Dimensions of the network.

    Attributes:
        planes: channels of the four stages; the last is the size of the encoder's output.
        blocks: basic blocks of each stage.
        projection: width of the hidden and of the output layer of the projection, or None for an
            encoder without one, whose output is the embedding.
        dropout: probability inside the projection while training (0.1 in the published code).
    """

    planes: tuple[int, int, int, int] = (64, 128, 256, 512)
    blocks: tuple[int, int, int, int] = (2, 2, 2, 2)
    projection: int | None = 512
    dropout: float = 0.1

    @property
    def dimension(self) -> int:
        """Size of an embedding."""
        return self.projection or self.planes[-1]


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
    """Standardised spectrogram (batch, bins, columns) to features (batch, planes[-1])."""

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
        self.together: int | None = None  # spectrograms in the first two stages at a time
        for module in self.modules():
            # On the meta device there is nothing to fill, and trying imports half of torch.
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, spectrogram: Tensor) -> Tensor:
        pooled: Tensor = self.feature_map(spectrogram).mean(dim=(2, 3))
        return pooled

    def feature_map(self, spectrogram: Tensor) -> Tensor:
        """Features before pooling: (batch, planes[-1], ceil(bins / 32), ceil(columns / 32))."""
        x = spectrogram.unsqueeze(1).contiguous(memory_format=torch.channels_last)
        if self.together is None or len(x) <= self.together:
            return self._late(self._early(x))
        return self._late(torch.cat([self._early(part) for part in torch.split(x, self.together)]))

    def _early(self, x: Tensor) -> Tensor:
        # The published order is ReLU, then pooling; they commute, and this way it has less to do.
        x = torch.relu_(self.maxpool(self.bn1(self.conv1(x))))
        early: Tensor = self.layer2(self.layer1(x))
        return early

    def _late(self, x: Tensor) -> Tensor:
        late: Tensor = self.layer4(self.layer3(x))
        return late


STRIDE = 32
"""Columns of the spectrogram between the centres of neighbouring cells of the feature map."""

MARGIN = 7 * STRIDE
"""Columns that a chunk needs on either side: the reach of a cell, 217, rounded up to cells."""


def pool_pieces(
    feature_map: Callable[[Tensor], Tensor], pieces: Iterable[Tensor], columns: int = 2048
) -> Tensor:
    """Features (1, planes[-1]) of a spectrogram in pieces (1, bins, any), in bounded memory.

    Equal to those of the whole but for rounding. A cell of the feature map sees 217 columns to
    either side of its centre, and centres are 32 columns apart. So the spectrogram is taken in
    chunks of ``columns`` (a multiple of 32) with a margin of :data:`MARGIN` columns on either side,
    whose own cells are left out of the average.

    Args:
        feature_map: as :meth:`ResNet.feature_map`.
        pieces: the spectrogram from its start.
        columns: of a chunk.
    """
    total, cells, dtype = torch.zeros(()), 0, torch.float32
    for chunk, first, last in _chunks(pieces, columns):
        kept = feature_map(chunk)[..., first:last]
        total = total + kept.double().sum(dim=(2, 3))
        cells += kept.shape[2] * kept.shape[3]
        dtype = kept.dtype
    return (total / cells).to(dtype)


def _chunks(pieces: Iterable[Tensor], columns: int) -> Iterator[tuple[Tensor, int, int | None]]:
    """Overlapping chunks of a spectrogram, and the range of cells to keep of each."""
    held: Tensor | None = None
    start = 0  # columns of margin at the front of what is held
    for piece in pieces:
        held = piece if held is None else torch.cat((held, piece), dim=-1)
        while held.shape[-1] > start + columns + MARGIN:
            end = start + columns
            yield held[..., : end + MARGIN], start // STRIDE, end // STRIDE
            held, start = held[..., end - MARGIN :], MARGIN
    if held is not None:
        yield held, start // STRIDE, None


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


class AudioNetwork(nn.Module):
    """Residual network and projection, with the tensor names of the published checkpoint.

    Weights are kept channels-last, the layout in which the CPU's and the GPU's convolutions are
    fastest (``benchmarks/embed.py`` shows by how much).
    """

    def __init__(self, config: EncoderConfig | None = None) -> None:
        super().__init__()
        self.config = config or EncoderConfig()
        self.audio_encoder = ResNet(self.config)
        self.audio_transform: Projection | None = None
        if self.config.projection is not None:
            self.audio_transform = Projection(
                self.config.planes[-1], self.config.projection, self.config.dropout
            )
        self.channels_last()

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Embeddings (batch, dimension) of standardised spectrograms (batch, bins, columns)."""
        return self.project(self.audio_encoder(spectrogram))

    def project(self, features: Tensor) -> Tensor:
        """Embeddings (batch, dimension) of pooled features (batch, planes[-1])."""
        return features if self.audio_transform is None else self.audio_transform(features)

    def fold_batch_norm(self) -> AudioNetwork:
        """A copy for inference whose batch norms are merged into the convolutions before them.

        The same function but for rounding, with fewer passes over memory. It cannot be trained.
        """
        folded = copy.deepcopy(self).eval()
        encoder = folded.audio_encoder
        _fold(encoder, "conv1", "bn1")
        for block in encoder.modules():
            if isinstance(block, BasicBlock):
                _fold(block, "conv1", "bn1")
                _fold(block, "conv2", "bn2")
                if block.downsample is not None:
                    _fold(block.downsample, "0", "1")
        return folded.channels_last()

    def pack_convolutions(self, pack: Pack | None = None) -> AudioNetwork:
        """The same network, its convolutions' weights in oneDNN's order once and for all.

        For inference on the CPU. At every call PyTorch copies eleven million weights into the order
        of its kernels, a quarter of the time of one clip. Where this build of PyTorch cannot keep
        them so, nothing changes.

        Args:
            pack: makes the 3x3 convolutions of the blocks; by default :class:`PackedConv2d`.
        """
        encoder = self.audio_encoder
        if _can_pack(encoder.conv1.weight.dtype):
            encoder.conv1 = PackedConv2d(encoder.conv1)  # type: ignore[assignment]
            encoder.maxpool = SlicedMaxPool()  # type: ignore[assignment]
            # What early stages pass on is large and leaves the cache when many recordings share a
            # batch; late stages have large weights, which a batch reads once.
            encoder.together = 2
            for name, module in list(encoder.named_modules()):
                if isinstance(module, BasicBlock):
                    encoder.set_submodule(name, PackedBlock(module, pack or PackedConv2d))
        return self

    def channels_last(self) -> AudioNetwork:
        """The same network, its weights laid out channels-last."""
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    merged = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
    setattr(module, convolution, merged)
    setattr(module, norm, nn.Identity())


class Packed(Protocol):
    """A convolution for inference that can add its result to a sum in the same pass over memory."""

    def __call__(self, x: Tensor, then: str = "none") -> Tensor: ...

    def onto_(self, total: Tensor, x: Tensor) -> Tensor: ...


Pack = Callable[[nn.Conv2d], Packed]


class PackedConv2d(nn.Module):
    """A convolution for inference whose weights stay in the order of oneDNN's kernels.

    Built on the operators to which PyTorch's own compiler lowers convolutions on the CPU.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        shape = (convolution.padding, convolution.stride, convolution.dilation, convolution.groups)
        weight = torch.ops.mkldnn._reorder_convolution_weight(convolution.weight.detach(), *shape)
        bias = None if convolution.bias is None else convolution.bias.detach()
        self._arguments = (weight, bias, *shape)

    def forward(self, x: Tensor, then: str = "none") -> Tensor:
        """The convolution of x, and ``then`` "relu" in the same pass over memory."""
        convolve = torch.ops.mkldnn._convolution_pointwise
        y: Tensor = convolve(x, *self._arguments, then, [], "")
        return y

    def onto_(self, total: Tensor, x: Tensor) -> Tensor:
        """ReLU of ``total`` and the convolution of x, written over ``total``."""
        convolve = torch.ops.mkldnn._convolution_pointwise_
        y: Tensor = convolve(total, x, *self._arguments, "add", 1.0, "relu", [], "")
        return y


class PackedBlock(nn.Module):
    """A basic block whose batch norms are folded, on packed convolutions. It may overwrite x."""

    def __init__(self, block: BasicBlock, pack: Pack) -> None:
        super().__init__()
        self.conv1, self.conv2 = pack(block.conv1), pack(block.conv2)
        shortcut = block.downsample
        self.downsample = shortcut and PackedConv2d(cast(nn.Conv2d, shortcut[0]))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(x, "relu")
        return self.conv2.onto_(x if self.downsample is None else self.downsample(x), y)


class SlicedMaxPool(nn.Module):
    """Largest of 3x3 pixels at every second, for inference: exactly ``nn.MaxPool2d(3, 2, 1)``.

    PyTorch's own also says where each maximum was, which takes most of its time.
    """

    def forward(self, x: Tensor) -> Tensor:
        rows = self._halve(x.permute(0, 2, 3, 1), 1)
        return self._halve(rows, 2).permute(0, 3, 1, 2)

    @staticmethod
    def _halve(x: Tensor, dim: int) -> Tensor:
        """Largest of each even place and its two neighbours along ``dim``."""
        before = (slice(None),) * dim
        largest = x[(*before, slice(0, None, 2))].clone(memory_format=torch.contiguous_format)
        odd = x[(*before, slice(1, None, 2))]
        right, left = largest.narrow(dim, 0, odd.shape[dim]), largest[(*before, slice(1, None))]
        torch.maximum(right, odd, out=right)
        torch.maximum(left, odd.narrow(dim, 0, left.shape[dim]), out=left)
        return largest


@functools.cache
def _can_pack(dtype: torch.dtype) -> bool:
    """Whether PyTorch has the operators here for that type, as :class:`PackedConv2d` calls them."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    try:
        with torch.inference_mode():
            pixel = torch.zeros(1, 1, 1, 1, dtype=dtype)
            convolution = PackedConv2d(nn.Conv2d(1, 1, 1, dtype=dtype))
            convolution.onto_(pixel.clone(), convolution(pixel))
    except (AttributeError, RuntimeError, TypeError):
        return False
    return True
