"""A long recording's features in bounded memory, exact for the published network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

STRIDE = 32
"""Frames of the spectrogram between the centres of neighbouring cells of the feature map."""

MARGIN = 7 * STRIDE
"""Frames that a chunk needs on either side: the reach of a cell, 217, rounded up to cells."""


def pool_pieces(
    feature_map: Callable[[Tensor], Tensor], pieces: Iterable[Tensor], frames: int = 2048
) -> Tensor:
    """Features (1, planes[-1]) of a spectrogram in pieces (1, bins, any), in bounded memory.

    Equal to those of the whole but for rounding. A cell of the feature map sees 217 frames to
    either side of its centre, and centres are 32 frames apart. So the spectrogram is taken in
    chunks of ``frames`` (a multiple of 32) with a margin of :data:`MARGIN` frames on either side,
    whose own cells are left out of the average.

    Args:
        feature_map: as :meth:`ResNet.feature_map`.
        pieces: the spectrogram from its start.
        frames: of a chunk.
    """
    total, cells, dtype = torch.zeros(()), 0, torch.float32
    for chunk, first, last in _chunks(pieces, frames):
        kept = feature_map(chunk)[..., first:last]
        total = total + kept.double().sum(dim=(2, 3))
        cells += kept.shape[2] * kept.shape[3]
        dtype = kept.dtype
    return (total / cells).to(dtype)


def _chunks(pieces: Iterable[Tensor], frames: int) -> Iterator[tuple[Tensor, int, int | None]]:
    """Overlapping chunks of a spectrogram, and the range of cells to keep of each."""
    held: Tensor | None = None
    start = 0  # frames of margin at the front of what is held
    for piece in pieces:
        held = piece if held is None else torch.cat((held, piece), dim=-1)
        while held.shape[-1] > start + frames + MARGIN:
            end = start + frames
            yield held[..., : end + MARGIN], start // STRIDE, end // STRIDE
            held, start = held[..., end - MARGIN :], MARGIN
    if held is not None:
        yield held, start // STRIDE, None
