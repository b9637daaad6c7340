"""The two transforms of Winograd's convolution, compiled by Numba when this module is imported.

B and A of F(4x4, 3x3) in Lavin and Gray 2016 (arXiv 1509.09308), section 4.3. There is one loop
over channels for each output because such loops are what LLVM turns into vector instructions.
Compiled code is kept in Numba's cache for the next start.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_Pixels = NDArray[np.float32]

_compile = njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
_TWO, _FOUR, _FIVE, _EIGHT = (np.float32(value) for value in (2, 4, 5, 8))


@_compile
def read(pixels: _Pixels, down: int, across: int, first: int, out: _Pixels) -> None:
    """Transform tiles of 6x6 pixels, which overlap by two and are zero outside of the picture.

    Args:
        pixels: (batch, height, width, channels) float32.
        down, across: tiles along height and width.
        first: number of the first tile, row by row and picture by picture.
        out: (tiles, 6, 6, channels), filled.
    """
    _, height, width, channels = pixels.shape
    tile = np.empty((6, 6, channels), np.float32)
    half = np.empty((6, 6, channels), np.float32)
    for k in range(len(out)):
        n, place = divmod(first + k, down * across)
        top, left = 4 * (place // across) - 1, 4 * (place % across) - 1
        for i in range(6):
            for j in range(6):
                y, x = top + i, left + j
                if 0 <= y < height and 0 <= x < width:
                    for c in range(channels):
                        tile[i, j, c] = pixels[n, y, x, c]
                else:
                    for c in range(channels):
                        tile[i, j, c] = 0
        _forward(tile.reshape(6, 6 * channels), half.reshape(6, 6 * channels))
        for i in range(6):
            _forward(half[i], out[k, i])


@_compile
def write(
    products: _Pixels,
    down: int,
    across: int,
    first: int,
    bias: _Pixels,
    out: _Pixels,
    add: bool,
    relu: bool,
) -> None:
    """Transform products back into tiles of 4x4 pixels.

    Args:
        products: (tiles, 6, 6, channels) float32.
        down, across, first: as of :func:`read`.
        bias: (channels,).
        out: (batch, height, width, channels), written where the tiles are.
        add: whether to add to what is in ``out``.
        relu: whether negative results become zero.
    """
    _, height, width, channels = out.shape
    least = np.float32(0) if relu else np.float32(-np.inf)
    half = np.empty((4, 6, channels), np.float32)
    tile = np.empty((4, channels), np.float32)
    for k in range(len(products)):
        n, place = divmod(first + k, down * across)
        top, left = 4 * (place // across), 4 * (place % across)
        _back(products[k].reshape(6, 6 * channels), half.reshape(4, 6 * channels))
        for i in range(min(4, height - top)):
            _back(half[i], tile)
            for j in range(min(4, width - left)):
                pixel = out[n, top + i, left + j]
                if add:
                    for c in range(channels):
                        pixel[c] = max(pixel[c] + (tile[j, c] + bias[c]), least)
                else:
                    for c in range(channels):
                        pixel[c] = max(tile[j, c] + bias[c], least)


@_compile
def _forward(d: _Pixels, out: _Pixels) -> None:
    """Six rows from six: the transpose of B."""
    size = d.shape[1]
    for c in range(size):
        out[0, c] = _FOUR * d[0, c] - _FIVE * d[2, c] + d[4, c]
    for c in range(size):
        out[1, c] = (d[4, c] - _FOUR * d[2, c]) + (d[3, c] - _FOUR * d[1, c])
    for c in range(size):
        out[2, c] = (d[4, c] - _FOUR * d[2, c]) - (d[3, c] - _FOUR * d[1, c])
    for c in range(size):
        out[3, c] = (d[4, c] - d[2, c]) + _TWO * (d[3, c] - d[1, c])
    for c in range(size):
        out[4, c] = (d[4, c] - d[2, c]) - _TWO * (d[3, c] - d[1, c])
    for c in range(size):
        out[5, c] = _FOUR * d[1, c] - _FIVE * d[3, c] + d[5, c]


@_compile
def _back(m: _Pixels, out: _Pixels) -> None:
    """Four rows from six: the transpose of A."""
    size = m.shape[1]
    for c in range(size):
        out[0, c] = (m[0, c] + m[1, c]) + (m[2, c] + m[3, c]) + m[4, c]
    for c in range(size):
        out[1, c] = (m[1, c] - m[2, c]) + _TWO * (m[3, c] - m[4, c])
    for c in range(size):
        out[2, c] = (m[1, c] + m[2, c]) + _FOUR * (m[3, c] + m[4, c])
    for c in range(size):
        out[3, c] = (m[1, c] - m[2, c]) + _EIGHT * (m[3, c] - m[4, c]) + m[5, c]
