"""The outline of a recording: its largest sample in each of equally long stretches."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from wav2clip.audio.io import Samples


def peaks(blocks: Iterable[Samples], total: int, points: int) -> NDArray[np.float32]:
    """Largest absolute samples (min(points, total),), clipped to [0, 1], in one pass.

    Args:
        blocks: (n,) or (n, channels) of one recording; of several channels the loudest counts. What
            is not finite counts as silence.
        total: samples per channel that are expected. Further ones are of the last stretch.
        points: stretches.
    """
    count = max(1, min(points, total))
    begins = np.arange(count) * total // count
    found = np.zeros(count, np.float32)
    position = 0
    for block in blocks:
        loud = np.nan_to_num(np.abs(block), posinf=0.0)
        loud = loud if loud.ndim == 1 else loud.max(axis=1)
        end = position + len(loud)
        first = int(np.searchsorted(begins, position, side="right")) - 1
        last = int(np.searchsorted(begins, end, side="left"))
        if len(loud):
            starts = np.maximum(begins[first:last] - position, 0)
            part = np.maximum.reduceat(loud, starts)
            found[first:last] = np.maximum(found[first:last], part)
        position = end
    return found.clip(0, 1)
