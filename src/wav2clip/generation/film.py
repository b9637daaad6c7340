"""Films: one picture per moment of a sound, each grown from the last, with the sound under them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from numpy.typing import NDArray

from wav2clip.audio import io
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import InputError
from wav2clip.files import display
from wav2clip.generation.pictures import Pixels
from wav2clip.generation.rhythm import Rhythm

if TYPE_CHECKING:
    from wav2clip.generation.guide import Guide
    from wav2clip.generation.prompts import Prompt

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""Suffixes of films, and what FFmpeg calls them."""

FPS = 25

STRONG = 0.4
"""Strength of an onset from which a key comes with it."""

_BEAT = 0.2  # seconds in which such a key comes, at most

_VIDEO = {"preset": "veryfast", "crf": "20"}
# Of x264: 40 % of the work of its own choice, medium and 23, and as close to moving photographs.

_AAC_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_FALLBACK_RATE = 48_000
_AUDIO_BITS = 192_000
_AAC_PACKET = 1024  # samples; what is heard is as long as what is seen, but for one of these
_LAYOUTS = {"mono": 1, "stereo": 2}


@dataclass(frozen=True)
class Moments:
    """What is heard when.

    Attributes:
        embeddings: (t, dimension) float32, t >= 1.
        seconds: (t,) float64, the middle of each frame, rising.
    """

    embeddings: NDArray[np.float32]
    seconds: NDArray[np.float64]


def listen(
    model: Wav2CLIP, sound: str | os.PathLike[str], frame_seconds: float, hop_seconds: float
) -> Moments:
    """The frame-level embeddings of a recording; one that is shorter than a frame is one moment.

    Raises:
        InputError: a frame or a hop that is not positive.
        AudioError: it cannot be read.
    """
    for name, value in (("frame", frame_seconds), ("hop", hop_seconds)):
        if not 0 < value < float("inf"):
            raise InputError(f"the {name} is {value} s, expected more than 0")
    stream = io.stream_audio(sound, model.sample_rate)
    if sum(map(len, stream)) < round(frame_seconds * model.sample_rate):
        return Moments(model.embed_file(sound)[None], np.array([stream.seconds / 2]))
    frames = model.embed_file_frames(sound, frame_seconds, hop_seconds)
    return Moments(frames.embeddings, frames.starts + frame_seconds / 2)


def grow(
    guide: Guide,
    moments: Iterable[list[Prompt]],
    first_steps: int,
    steps: int,
    on_step: Callable[[float], None] = lambda _: None,
) -> Iterator[Pixels]:
    """Key pictures, each started from the last.

    Args:
        guide: its canvas is where the first one starts.
        moments: prompts of each key picture.
        first_steps: steps for the first.
        steps: steps for each other.
        on_step: called with the loss at each step.
    """
    for number, prompts in enumerate(moments):
        for loss in guide.run(prompts, steps if number else first_steps):
            on_step(loss)
        yield guide.canvas.pixels()


@dataclass(frozen=True)
class Keys:
    """When key pictures come.

    Attributes:
        seconds: (t,) float64, when each is reached, rising.
        fades: (t,) float64, the seconds before in which it comes; at most since the last one.
    """

    seconds: NDArray[np.float64]
    fades: NDArray[np.float64]


def key_times(moments: Moments, rhythm: Rhythm | None = None) -> Keys:
    """One key per moment: in the middle of each, coming since the one before.

    Where the rhythm has strong onsets (:data:`STRONG`) nearer to the moment than to its neighbours,
    the key comes with the strongest of them, within a fifth of a second.
    """
    seconds, fades = moments.seconds.copy(), np.full(len(moments.seconds), np.inf)
    if rhythm is not None:
        borders = (seconds[:-1] + seconds[1:]) / 2
        of_moment = np.searchsorted(borders, rhythm.onsets, side="right")
        for row in np.argsort(rhythm.strengths, kind="stable").tolist():  # the strongest last
            key, onset = int(of_moment[row]), float(rhythm.onsets[row])
            gap = moments.seconds[key] - moments.seconds[key - 1] if key else 0.0
            if rhythm.strengths[row] >= STRONG and abs(onset - moments.seconds[key]) <= gap / 2:
                fades[key] = min(_BEAT, 0.4 * gap)
                seconds[key] = onset + fades[key]
    return Keys(seconds, fades)


def blend(keys: Iterable[Pixels], times: Keys, fps: int, count: int) -> Iterator[Pixels]:
    """Video frames between key pictures, which are asked for one at a time as they are needed.

    Before the first key its picture stands, after the last the last; while one comes the two are
    mixed, with shares that start and end gently (3 x^2 - 2 x^3).

    Args:
        keys: one picture (h, w, 3) for each of the times.
        times: when they come.
        fps: frames per second.
        count: frames in all.
    """
    pictures = iter(keys)
    coming = iter(zip(times.seconds.tolist(), times.fades.tolist(), strict=True))
    last = following = next(pictures)
    begin = end = next(coming)[0]
    for number in range(count):
        now = number / fps
        while now >= end and (reached := next(coming, None)) is not None:
            last, following = following, next(pictures)
            begin, end = max(end, reached[0] - reached[1]), reached[0]
        if begin == end or now >= end:
            yield following
            continue
        if now <= begin:
            yield last
            continue
        share = (now - begin) / (end - begin)
        share = share * share * (3 - 2 * share)
        mixed = (1 - share) * last.astype(np.float32) + share * following
        yield mixed.round().astype(np.uint8)


def sound_seconds(sound: str | os.PathLike[str]) -> float:
    """Length of a recording as it will be under the film, from decoding it.

    Raises:
        AudioError: it cannot be read.
    """
    stream = io.stream_audio(sound)
    return sum(map(len, stream.frames())) / stream.source_rate


def frame_count(seconds: float, fps: int) -> int:
    """Frames of a film of a sound: the nearest number, at least one."""
    if not 1 <= fps <= 120:
        raise InputError(f"got {fps} frames per second, expected 1 to 120")
    return max(1, round(seconds * fps))


def check_film(path: Path, height: int, width: int) -> None:
    """Nothing, if a film of that name and size can be written.

    Raises:
        InputError: another suffix than those of :data:`CONTAINERS`, or an odd size.
    """
    if path.suffix.lower() not in CONTAINERS:
        raise InputError(
            f"{display(path)}: a film ends in {', '.join(CONTAINERS)}, this in {path.suffix!r}"
        )
    if height % 2 or width % 2:
        raise InputError(f"got {width} x {height} pixels, expected even numbers for a film")


def write_film(
    target: Path,
    frames: Iterable[Pixels],
    size: tuple[int, int],
    fps: int,
    sound: str | os.PathLike[str],
    container: str = "mp4",
) -> None:
    """Encode pictures (H.264) and a recording (AAC) side by side, in bounded memory.

    The sound ends with the last picture. Where the pictures end in an exception, the file is closed
    as a whole film of those that came, and the exception goes on.

    Args:
        target: file to write.
        frames: pictures (height, width, 3).
        size: their height and width, even numbers.
        fps: pictures per second.
        sound: any recording; more than two channels are averaged.
        container: FFmpeg's name of the format.

    Raises:
        AudioError: it cannot be read.
    """
    stream = io.stream_audio(sound)
    layout = "mono" if stream.channels == 1 else "stereo"
    with av.open(str(target), "w", format=container) as film:
        codec = _video_codec()
        video: Any = film.add_stream(codec, rate=fps, options=_VIDEO if codec == "libx264" else {})
        video.height, video.width = size
        video.pix_fmt = "yuv420p"
        audio = _audio_stream(film, stream.source_rate, layout)
        blocks = _sound_frames(stream, layout)
        heard = 0.0
        try:
            for number, picture in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, fps)
                film.mux(video.encode(frame))
                while heard < (number + 1) / fps and (block := next(blocks, None)) is not None:
                    heard += block.samples / block.rate
                    film.mux(audio.encode(block))
        finally:
            film.mux(video.encode())
            film.mux(audio.encode())


def _sound_frames(stream: io.AudioStream, layout: str) -> Iterator[Any]:
    """The sound as the embeddings hear it, but with its two channels where it has two."""
    channels, samples = _LAYOUTS[layout], 0
    for block in stream.frames():
        if block.shape[1] != channels:
            block = np.repeat(io.downmix(block)[:, None], channels, axis=1)
        finite = np.nan_to_num(np.ascontiguousarray(block), posinf=1, neginf=-1)
        for first in range(0, len(finite), _AAC_PACKET):
            part = finite[first : first + _AAC_PACKET]
            frame = av.AudioFrame.from_ndarray(part.reshape(1, -1), "flt", layout)
            frame.sample_rate = stream.source_rate
            frame.pts, frame.time_base = samples, Fraction(1, stream.source_rate)
            samples += len(part)
            yield frame


def _video_codec() -> str:
    """H.264, or MPEG-4 where FFmpeg was built without x264."""
    return "libx264" if "libx264" in av.codecs_available else "mpeg4"


def _audio_stream(film: Any, source_rate: int, layout: str) -> Any:
    """AAC at the recording's rate where AAC has it; it resamples itself."""
    rate = source_rate if source_rate in _AAC_RATES else _FALLBACK_RATE
    audio = film.add_stream("aac", rate=rate, layout=layout)
    audio.bit_rate = _AUDIO_BITS
    return audio
