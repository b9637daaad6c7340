"""What the page draws of a recording and plays it by: its outline and its level."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from wav2clip.audio.io import Samples
from wav2clip.audio.levels import HeardMeter
from wav2clip.web.schemas import Waveform
from wav2clip.web.waveform import peaks


def measured(blocks: Iterable[Samples], total: int, rate: int, points: int) -> Waveform:
    """The outline and the level of a recording, in one pass.

    Args:
        blocks: of :func:`peaks`.
        total: samples per channel that are expected.
        rate: of them per second.
        points: stretches.
    """
    meter = HeardMeter(rate)

    def metered() -> Iterator[Samples]:
        for block in blocks:
            meter.add(block)
            yield block

    outline = peaks(metered(), total, points)
    level = meter.level()
    return Waveform(
        duration=round(total / rate, 3),
        peaks=[round(float(value), 4) for value in outline],
        level=round(level, 2) if math.isfinite(level) else None,
        peak=math.ceil(meter.peak * 1e5) / 1e5,  # up: it must not pass full scale
    )
