"""Read one item: its sound as 16-bit integers, and the frames of a video at a chosen rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wav2clip.audio.ffmpeg import clock_zero, open_container
from wav2clip.audio.io import open_source, stream_audio
from wav2clip.audio.track import UnreadableError
from wav2clip.errors import DataError, Wav2ClipError
from wav2clip.files import display
from wav2clip.models.towers.images import open_image
from wav2clip.pretrain.sources import Item


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


def read_media(item: Item, seconds: float, sample_rate: int, frame_rate: float) -> Media:
    """Decode an item. Whatever is wrong with its files becomes :attr:`Media.failure`."""
    try:
        audio, start = read_audio(item.audio, seconds, sample_rate)
        if item.picture is None:
            pictures = []
        elif item.video:
            begin = start if item.picture == item.audio else 0.0
            pictures = read_frames(item.picture, frame_rate, len(audio) / sample_rate, begin)
        else:
            pictures = [open_image(item.picture)]
        return Media(audio, pictures)
    except Wav2ClipError as error:
        return Media(np.zeros(0, np.int16), failure=str(error))


def read_audio(path: Path, seconds: float, sample_rate: int) -> tuple[NDArray[np.int16], float]:
    """The first ``seconds`` of sound in a file, one channel, 16 bit, and when it begins.

    Raises:
        AudioError: what :func:`wav2clip.audio.io.load_audio` raises.
    """
    wanted, blocks, have = round(seconds * sample_rate), [], 0
    stream = stream_audio(path, sample_rate)
    for block in stream:
        blocks.append(block)
        have += len(block)
        if have >= wanted:
            break
    return as_int16(np.concatenate(blocks)[:wanted]), stream.start


def as_int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Sound in [-1, 1] as 16-bit integers; what is louder is clipped."""
    return np.rint(samples * 32768).clip(-32768, 32767).astype(np.int16)


def read_frames(path: Path, rate: float, seconds: float, begin: float = 0.0) -> list[Image.Image]:
    """The frames that are on the screen at 0, 1/rate, 2/rate ... below ``seconds``; at least one.

    Each time gets the last frame that started by then (the first frame, if none has), whatever the
    rate of the video, constant or not. Times count from ``begin`` on the file's clock: from where
    its sound begins.

    Raises:
        AudioError: there is no such file.
        DataError: it cannot be read, or has no video track or no frames.
    """
    name = display(path)
    count = max(1, int(np.ceil(seconds * rate - 1e-9)))
    try:
        with open_source(path, name) as file, open_container(file) as container:
            if not container.streams.video:
                raise DataError(f"{name}: has no video track, so there is no picture to learn from")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            start = clock_zero(container) + begin
            frames = _on_screen(container.decode(stream), start, rate, count)
            pictures = [_upright(frame) for frame in frames]
    except (av.FFmpegError, UnreadableError, OSError, ValueError) as error:
        raise DataError(f"{name}: its video cannot be decoded ({error})") from error
    if not pictures:
        raise DataError(f"{name}: its video track holds no frames")
    return pictures


def _upright(frame: av.VideoFrame) -> Image.Image:
    """The picture as a player shows it: phones store films on their side, with a mark."""
    picture = Image.fromarray(frame.to_ndarray(format="rgb24"))
    return picture.rotate(frame.rotation, expand=True) if frame.rotation else picture


def _on_screen(
    frames: Iterator[av.VideoFrame], start: float, rate: float, count: int
) -> Iterator[av.VideoFrame]:
    """For each of ``count`` times k / rate within the video, the frame that is shown then."""
    shown: av.VideoFrame | None = None
    end, k = 0.0, 0
    for frame in _until_damage(frames):
        time = (frame.time or 0.0) - start
        while shown is not None and k < count and time > k / rate + 1e-6:
            yield shown
            k += 1
        if k == count:
            return
        shown = frame
        end = time + float((frame.duration or 0) * (frame.time_base or 0))
    while shown is not None and k < count and (k == 0 or k / rate < end - 1e-6):
        yield shown
        k += 1


def _until_damage(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """Frames up to the first damage: a video that is cut still has its beginning."""
    found = False
    try:
        for frame in frames:
            found = True
            yield frame
    except av.FFmpegError:
        if not found:
            raise
