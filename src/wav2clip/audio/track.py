"""What is known of a track while it is decoded, and what a decoder gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float32]

BLOCK_SECONDS = 0.5
"""Of the blocks that decoders give. libsndfile loses a block in which a file turns out to be
damaged as a whole, so they are short."""

NOTICED_SECONDS = 0.25
"""What may be missing at the end of coded sound and is not worth a warning: encoders pad, decoders
drop what was padded, and headers round."""


@dataclass(frozen=True)
class Track:
    """The track that is decoded; plain values alone.

    Attributes:
        source_rate: Hz of the track; where it changes, that of its beginning.
        channels: the same of its channels.
        container: kind of file, such as "wav", "mp3" or "matroska".
        codec: how the sound is coded, such as "pcm_16", "mp3" or "vorbis".
        decoder: the library that decodes it.
        number: its place among the audio tracks of the file, from 1.
        tracks: audio tracks in the file.
        start: seconds on the container's clock at which its sound begins.
    """

    source_rate: int
    channels: int
    container: str = ""
    codec: str = ""
    decoder: str = ""
    number: int = 1
    tracks: int = 1
    start: float = 0.0


@dataclass
class Decoder:
    """An opened file.

    Attributes:
        track: what is decoded.
        blocks: frames (n, channels) float32 at the track's rate; the number of channels may change.
        warnings: what the user should know; complete when ``blocks`` has ended.
        whole: whether all of the sound is there, as far as can be told; the same.
    """

    track: Track
    blocks: Iterator[Samples] = field(default_factory=lambda: iter(()))
    warnings: list[str] = field(default_factory=list)
    whole: bool = True

    def lacks(self, warning: str) -> None:
        """Note that sound is missing."""
        self.warnings.append(warning)
        self.whole = False


class UnreadableError(Exception):
    """A library does not know the format, and says why; the other one may."""


def damage(seconds: float, reason: object) -> str:
    """The warning for a file that is damaged at some place."""
    return f"damaged after {seconds:.2f} s ({str(reason).rstrip('.')}); what could be read is used"


def shortage(seconds: float, announced: float) -> str:
    """The warning for a file of which a part is missing."""
    return f"holds {seconds:.2f} s of the {announced:.2f} s that its header announces"


def at_one_rate(rate: int, pieces: Iterator[tuple[int, Samples]]) -> Iterator[Samples]:
    """Blocks (n, channels) all at one rate, of pieces with the rate of each."""
    convert, kind = None, (rate, 0)
    for own_rate, block in pieces:
        if kind != (own_rate, block.shape[1]):
            if convert is not None:
                yield from _tail(convert, kind[1])
            kind = own_rate, block.shape[1]
            convert = None
            if own_rate != rate:
                convert = soxr.ResampleStream(own_rate, rate, kind[1], "float32", "HQ")
        yield block if convert is None else convert.resample_chunk(block).reshape(-1, kind[1])
    if convert is not None:
        yield from _tail(convert, kind[1])


def _tail(convert: soxr.ResampleStream, channels: int) -> Iterator[Samples]:
    yield convert.resample_chunk(np.zeros((0, channels), np.float32), last=True)
