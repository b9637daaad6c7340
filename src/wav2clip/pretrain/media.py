"""Read one item: its sound as 16-bit integers, and the frames of a video at a chosen rate."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wav2clip.errors import Wav2ClipError
from wav2clip.pretrain.sources import Item
from wav2clip.reading.readers import Readers


@dataclass(frozen=True)
class Media:
    """What a file held, or the reason why it cannot be used.

    Attributes:
        audio: (n,) int16 at the rate asked for, empty where there is a failure.
        pictures: RGB; empty for items without.
        failure: the reason, or "".
    """

    audio: NDArray[np.int16]
    pictures: list[Image.Image] = field(default_factory=list)
    failure: str = ""


def read_media(
    readers: Readers, item: Item, seconds: float, sample_rate: int, frame_rate: float
) -> Media:
    """Decode an item. Whatever is wrong with its files becomes :attr:`Media.failure`."""
    try:
        audio, start = read_audio(readers, item.audio, seconds, sample_rate)
        if item.picture is None:
            pictures = []
        elif item.video:
            begin = start if item.picture == item.audio else 0.0
            length = len(audio) / sample_rate
            pictures = readers.read_frames(item.picture, frame_rate, length, begin)
        else:
            pictures = [readers.open_image(item.picture)]
        return Media(audio, pictures)
    except Wav2ClipError as error:
        return Media(np.zeros(0, np.int16), failure=str(error))


def read_audio(
    readers: Readers, path: Path, seconds: float, sample_rate: int
) -> tuple[NDArray[np.int16], float]:
    """The first ``seconds`` of sound in a file, one channel, 16 bit, and when it begins.

    Raises:
        AudioError: what :func:`wav2clip.audio.io.load_audio` raises.
    """
    wanted = round(seconds * sample_rate)
    stream = readers.stream_audio(path, sample_rate, most=wanted - 1)
    return as_int16(stream.read().samples[:wanted]), stream.start


def as_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Sound in [-1, 1] as 16-bit integers; what is louder is clipped."""
    return np.rint(samples * 32768).clip(-32768, 32767).astype(np.int16)
