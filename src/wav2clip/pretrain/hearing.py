"""Asking a tagger what it hears in a clip, as a whole and second by second."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wav2clip.errors import DataError
from wav2clip.pretrain.shards import TaggerRecord, Tags


class Tagger(Protocol):
    """What is asked of a tagger; :class:`wav2clip.models.tagger.Tagger` is one."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def licence(self) -> str: ...

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def sample_rate(self) -> int: ...

    @property
    def feature_dimension(self) -> int: ...

    def __call__(self, wave: Tensor, /) -> tuple[Tensor, Tensor]: ...


def record_of(tagger: Tagger) -> TaggerRecord:
    """What the manifest says about a tagger."""
    return TaggerRecord(
        tagger.name, tagger.fingerprint, tagger.licence, tagger.feature_dimension, tagger.labels
    )


def listen(tagger: Tagger, audio: NDArray[np.int16]) -> Tags:
    """What the tagger hears in a clip and in each of its seconds.

    The last second of a clip ends where the clip ends, so that all windows are of one length.

    Args:
        tagger: see :class:`Tagger`.
        audio: (n,) at the tagger's sample rate, n >= 1.

    Raises:
        DataError: the tagger gave NaN, or another number of classes or features than it states.
    """
    wave, rate = torch.from_numpy(audio).float() / 32768, tagger.sample_rate
    parts = [tagger(wave[None])]
    if len(wave) > rate:
        starts = [min(start, len(wave) - rate) for start in range(0, len(wave), rate)]
        parts.append(tagger(torch.stack([wave[start : start + rate] for start in starts])))
    rows = [torch.cat(part).numpy().astype(np.float16) for part in zip(*parts, strict=True)]
    widths = (len(tagger.labels), tagger.feature_dimension)
    if tuple(row.shape[1] for row in rows) != widths or not all(np.isfinite(r).all() for r in rows):
        raise DataError(
            f"the tagger {tagger.name} gave {rows[0].shape[1]} probabilities and "
            f"{rows[1].shape[1]} features, or NaN; expected finite ones, {widths[0]} and "
            f"{widths[1]} of them"
        )
    return Tags(*rows)


def heard_between(tags: Tags, start: float, stop: float, whole: float) -> Tags:
    """What is heard in a part of a clip, as one row.

    It lies between the mean of the seconds that the part overlaps, each by its overlap, and what is
    heard in the whole: the more of the clip the part is, the more the whole counts, because a
    tagger is surer of what it hears for longer. Of a part of a second the seconds alone count, of
    the whole the whole. ``benchmarks/crop_tags.py`` measures how near that is to asking the tagger
    again, and how far the surest second or the whole alone are.

    Args:
        tags: of the clip.
        start, stop: of the part, seconds from the clip's beginning.
        whole: seconds of the clip.
    """
    seconds = len(tags.features) - 1
    if seconds < 1 or (start <= 0 and stop >= whole):
        return Tags(tags.probabilities[:1], tags.features[:1])
    begin = np.minimum(np.arange(seconds), whole - 1)
    overlap = np.minimum(begin + 1, stop) - np.maximum(begin, start)
    share = min(max((stop - start - 1) / (whole - 1), 0), 1) ** 0.5
    weights = np.maximum(overlap, 1e-9)
    weights = np.append(share, (1 - share) * weights / weights.sum())
    probabilities, features = (
        (weights @ rows.astype(np.float64))[None].astype(np.float16)
        for rows in (tags.probabilities, tags.features)
    )
    return Tags(probabilities, features)
