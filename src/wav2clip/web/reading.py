"""What an upload is, and what is in it: read by a process apart, of which it may be the end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import soundfile

from wav2clip.errors import AudioError, ImageError
from wav2clip.models.towers.images import MAX_PIXELS
from wav2clip.reading.readers import Readers
from wav2clip.web.problems import Refusal
from wav2clip.web.waveform import peaks

POINTS = 200
"""Peaks of an uploaded sound's waveform."""

_BLOCK = 2**16


@dataclass(frozen=True)
class Read:
    """What an upload turned out to be.

    Attributes:
        kind: "sound" or "picture".
        path: a WAV file of one channel at the rate asked for, or a bitmap.
        seconds: of a sound.
        peaks: of a sound, :data:`POINTS` of them.
    """

    kind: str
    path: Path
    seconds: float | None = None
    peaks: list[float] | None = None


def read(
    readers: Readers, upload: Path, sample_rate: int, seconds: float, decode_seconds: float
) -> Read:
    """Find out by content what a file is, and store what is in it plainly beside it.

    Args:
        readers: read it.
        upload: a file alone in its folder.
        sample_rate: Hz wanted of a sound.
        seconds: the longest sound that is decoded.
        decode_seconds: how long that may take.

    Raises:
        Refusal: 413 where it is too long, too large or takes too long, 415 where it is neither
            sound nor picture.
    """
    deadline = time.monotonic() + decode_seconds
    try:
        read = _picture(readers, upload) or _sound(readers, upload, sample_rate, seconds, deadline)
    except (AudioError, ImageError) as error:
        _in_time(deadline, decode_seconds)
        reason = str(error).removeprefix(f"{upload}: ")
        raise Refusal(415, reason, "a sound, a video with sound, or a picture") from None
    except TimeoutError:
        read = None
    _in_time(deadline, decode_seconds)
    assert read is not None
    return read


def _in_time(deadline: float, decode_seconds: float) -> None:
    if time.monotonic() > deadline:
        raise Refusal(
            413, f"decoding takes longer than {decode_seconds:g} s", do="send a shorter part of it"
        )


def _picture(readers: Readers, upload: Path) -> Read | None:
    """A picture as a bitmap, read as the towers read it; None if it is none."""
    size = readers.image_size(upload)
    if size is None:
        return None
    if size[0] * size[1] > MAX_PIXELS:
        raise Refusal(413, "the picture has too many pixels", f"at most {MAX_PIXELS:,}")
    path = upload.parent / "picture.ppm"
    try:
        readers.open_image(upload).save(path)
    except ImageError:
        raise Refusal(415, "the picture is damaged") from None
    return Read("picture", path)


def _sound(
    readers: Readers, upload: Path, sample_rate: int, seconds: float, deadline: float
) -> Read:
    """A sound as WAV; decoding ends at the limit, whatever the file announces."""
    path = upload.parent / "sound.wav"
    stream = readers.stream_audio(upload, sample_rate, most=int(seconds * sample_rate))
    with soundfile.SoundFile(path, "w", sample_rate, 1, subtype="FLOAT") as file:
        for block in stream:
            file.write(block)
            if time.monotonic() > deadline:
                raise TimeoutError
    if stream.seconds > seconds:
        raise Refusal(413, "the sound is too long", f"at most {seconds:g} s when it is decoded")
    with soundfile.SoundFile(path) as file:
        blocks = file.blocks(_BLOCK, dtype="float32")
        outline = [round(float(peak), 4) for peak in peaks(blocks, file.frames, POINTS)]
    return Read("sound", path, round(stream.seconds, 3), outline)
