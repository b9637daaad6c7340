"""3x3 convolutions with a quarter of the multiplications, for many recordings on the CPU.

Winograd's F(4x4, 3x3) as in Lavin and Gray 2016 (arXiv 1509.09308), section 4.3: kernels and tiles
of 6x6 pixels are transformed, multiplied element by element and summed over channels, and
transformed back to 4x4 pixels: 36 multiplications in place of 144. The sums over channels are one
grouped 1x1 convolution of oneDNN, which PyTorch calls; the transforms are compiled by Numba
(:mod:`wav2clip.models.winograd_tiles`, loaded when first used).

Rounding errors are some ten times those of a direct convolution: 1e-5 of the largest output.
"""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor, nn

from wav2clip.models.encoder import PackedConv2d

KERNEL_TRANSFORM = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
"""G of Lavin and Gray: (6, 3)."""

TILE, OUTPUT = 6, 4
"""Pixels along a side of what a tile reads and of what it gives."""

_BLOCK = 256
"""Tiles transformed and multiplied at a time, so that what they fill stays in the cache."""

_LEAST_CHANNELS = 32
"""Below, the transforms cost more than the multiplications that they save."""


def available() -> bool:
    """Whether Numba, of the extra ``fast``, is installed."""
    return importlib.util.find_spec("numba") is not None


def pack(convolution: nn.Conv2d) -> PackedConv2d | WinogradConv2d:
    """The convolution for inference, by Winograd's method where that is of use."""
    plain = (
        convolution.kernel_size == (3, 3)
        and convolution.stride == convolution.padding == convolution.dilation == (1, 1)
        and convolution.groups == 1
        and min(convolution.in_channels, convolution.out_channels) >= _LEAST_CHANNELS
        and convolution.weight.dtype == torch.float32
    )
    return WinogradConv2d(convolution) if plain else PackedConv2d(convolution)


class WinogradConv2d(nn.Module):
    """A 3x3 convolution of stride 1 and padding 1 for inference; called as PackedConv2d is."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        weight = convolution.weight.detach().double()
        outputs, inputs = weight.shape[:2]
        transform = torch.tensor(KERNEL_TRANSFORM, dtype=torch.float64)
        kernels = torch.einsum("ia,ocab,jb->ijoc", transform, weight, transform).float()
        self._shape = ([0, 0], [1, 1], [1, 1], TILE * TILE)
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(
            kernels.reshape(TILE * TILE * outputs, inputs, 1, 1).contiguous(), *self._shape
        )
        bias = convolution.bias
        self._bias = (torch.zeros(outputs) if bias is None else bias.detach().clone()).numpy()

    def forward(self, x: Tensor, then: str = "none") -> Tensor:
        """The convolution of x, and ``then`` "relu" in the same pass over memory."""
        batch, _, height, width = x.shape
        total = torch.empty(batch, height, width, len(self._bias))
        return self._add(x, total, add=False, relu=then == "relu").permute(0, 3, 1, 2)

    def onto_(self, total: Tensor, x: Tensor) -> Tensor:
        """ReLU of ``total`` and the convolution of x, written over ``total``."""
        pixels = total.permute(0, 2, 3, 1).contiguous()
        return self._add(x, pixels, add=True, relu=True).permute(0, 3, 1, 2)

    def _add(self, x: Tensor, total: Tensor, *, add: bool, relu: bool) -> Tensor:
        """Write the convolution of x (batch, channels, height, width) into or onto ``total``."""
        from wav2clip.models import winograd_tiles

        pixels, out = x.permute(0, 2, 3, 1).contiguous().numpy(), total.numpy()
        batch, height, width, channels = pixels.shape
        down, across = -(-height // OUTPUT), -(-width // OUTPUT)
        tiles = batch * down * across
        size = -(-tiles // -(-tiles // _BLOCK))
        buffer = torch.empty(size, TILE * TILE * channels)
        for first in range(0, tiles, size):
            count = min(size, tiles - first)
            read = buffer[:count].numpy().reshape(count, TILE, TILE, channels)
            winograd_tiles.read(pixels, down, across, first, read)
            products = torch.ops.mkldnn._convolution_pointwise(
                buffer[:count, :, None, None].permute(2, 1, 3, 0),
                *(self._weight, None, *self._shape, "none", [], ""),
            )
            found = products.permute(0, 2, 3, 1).reshape(count, TILE, TILE, -1).numpy()
            winograd_tiles.write(found, down, across, first, self._bias, out, add, relu)
        return total
