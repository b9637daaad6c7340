"""The frames of a video at a chosen rate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from PIL import Image

from wav2clip.audio.ffmpeg import clock_zero, open_container
from wav2clip.audio.io import open_source
from wav2clip.audio.track import UnreadableError
from wav2clip.errors import DataError
from wav2clip.files import display


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
