"""A part of a recording as a file of its own: WAV at the recording's rate and depth.

Samples of uncompressed and lossless recordings of up to 24 bits are kept bit by bit. Where the part
was taken from is kept, too: the time reference of broadcast WAV (bext) moves with its beginning,
and the other chunks that hold words come along.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from wav2clip.audio import io
from wav2clip.audio.headers import chunks, open_view
from wav2clip.audio.io import AudioStream
from wav2clip.errors import InputError
from wav2clip.files import atomic_path, display

_WORDS = (b"bext", b"iXML", b"LIST")
_LARGEST_CHUNK = 2**20
_LARGEST_FILE = 2**32 - 2**24
"""Bytes that a WAV file may have; more is written as RF64, which has no room for words here."""

_BEXT_SIZE, _TIME_REFERENCE = 602, 338
"""Bytes of a bext chunk without coding history, and where its time reference is: 64 bits, samples
since midnight (EBU Tech 3285, version 2, section 2.3)."""

_IXML_TIME = re.compile(
    rb"<(BWF_TIME_REFERENCE_|TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_)(LO|LOW|HI|HIGH)>[^<]*</\1\2>"
)
"""Elements of iXML that repeat the time reference, and would be wrong in a part."""


@dataclass(frozen=True)
class Depth:
    """How samples are written: bits, and the type that keeps them exactly."""

    subtype: str
    dtype: Any
    full: float


_DEPTHS = {
    16: Depth("PCM_16", np.int16, 2.0**15),
    24: Depth("PCM_24", np.int32, 2.0**31),
    32: Depth("FLOAT", np.float32, 1.0),
}
_BITS_OF = {"pcm_s8": 16, "pcm_u8": 16, "pcm_16": 16, "pcm_24": 24, "alac": 24}
"""Bits that hold all of a codec's samples; 24 for what is rounded anyway, 32 for floats."""


def excerpt_name(source: str | os.PathLike[str], start: float) -> Path:
    """The recording's own name, and where the part begins, such as ``dusk 41m07.5s.wav``."""
    minutes, seconds = divmod(round(start, 1), 60)
    return Path(f"{Path(source).stem} {int(minutes)}m{seconds:04.1f}s.wav")


def depth_of(codec: str) -> int:
    """16, 24 or 32 bits: what keeps all that a codec gives, as far as float32 does."""
    codec = codec.lower()
    if codec in _BITS_OF:
        return _BITS_OF[codec]
    if codec.startswith("pcm_s16"):
        return 16
    return 32 if codec in ("float", "double", "pcm_32") or codec.startswith("pcm_f") else 24


def write_excerpt(
    stream: AudioStream,
    source: str | os.PathLike[str],
    target: Path,
    start: float,
    end: float,
    *,
    fade_seconds: float = 0.0,
    bits: int | None = None,
) -> float:
    """Write a part of a recording as WAV, with all of its channels.

    Args:
        stream: of the recording, not yet iterated.
        source: the file, whose chunks with words are kept.
        target: written when whole; one that is there is replaced.
        start, end: seconds on the container's clock; what lies outside of the sound is left out,
            but silence before a sound that begins late is kept.
        fade_seconds: length of a linear fade at both ends; 0 for none.
        bits: 16, 24 or 32 (float); by default what keeps all that the recording has.

    Returns:
        Seconds that were written.

    Raises:
        InputError: an empty part, or one that holds no sound, or another depth.
        AudioError: the recording cannot be read.
    """
    bits = depth_of(stream.track.codec) if bits is None else bits
    if bits not in _DEPTHS:
        raise InputError(f"got {bits} bits, expected one of {', '.join(map(str, _DEPTHS))}")
    rate, depth = stream.source_rate, _DEPTHS[bits]
    first, last = round(max(start, 0) * rate), round(end * rate)
    if last <= first or fade_seconds < 0:
        raise InputError(
            f"{display(source)}: got {start} to {end} s with a fade of {fade_seconds} s, expected "
            "an end after the start, and no negative fade"
        )
    large = (last - first) * stream.channels * bits // 8 > _LARGEST_FILE
    ramp = round(min(fade_seconds, (last - first) / rate / 2) * rate)
    written = 0
    with atomic_path(target) as temporary:
        with soundfile.SoundFile(
            temporary, "w", rate, stream.channels, depth.subtype, format="RF64" if large else "WAV"
        ) as out:
            for block in _part(stream, first, last):
                out.write(_encoded(_faded(block, written, last - first, ramp), depth))
                written += len(block)
        if not written:
            raise InputError(f"{display(source)}: there is no sound from {start} to {end} s")
        if not large:
            _append(temporary, _words_of(source, first))
    return written / rate


def _part(stream: AudioStream, first: int, last: int) -> Iterator[NDArray[np.float32]]:
    """Blocks (n, channels) of the samples ``first`` up to ``last`` on the container's clock."""
    position = 0
    for block in stream.frames(on_clock=True):
        part = block[max(0, first - position) : max(0, last - position)]
        position += len(block)
        if len(part):
            if part.shape[1] != stream.channels:  # it changed inside the stream
                part = np.repeat(io.downmix(part)[:, None], stream.channels, axis=1)
            yield part
        if position >= last:
            return


def _faded(block: NDArray[np.float32], position: int, total: int, ramp: int) -> NDArray[np.float32]:
    """A block that begins at ``position`` of ``total`` samples, with ramps at both ends."""
    if not ramp or ramp <= position <= position + len(block) <= total - ramp:
        return block
    place = np.arange(position, position + len(block))
    gain = np.minimum(1, np.minimum(place + 1, total - place) / (ramp + 1))
    return (block * gain[:, None]).astype(np.float32)


def _encoded(block: NDArray[np.float32], depth: Depth) -> NDArray[Any]:
    """Samples as they are stored: whole numbers as they were decoded from, not NaN or infinite."""
    finite = np.nan_to_num(block, posinf=1, neginf=-1)
    if depth.full == 1:
        return finite
    scaled = np.rint(finite.astype(np.float64) * depth.full)
    return scaled.clip(-depth.full, depth.full - 1).astype(depth.dtype)


# Words ------------------------------------------------------------------------------------------


def _words_of(source: str | os.PathLike[str], first: int) -> list[tuple[bytes, bytes]]:
    """Chunks for a part that begins at a sample: those of a WAV file, moved, or a new bext."""
    found = dict(_chunks_of(source))
    bext = bytearray(found.get(b"bext", bytes(_BEXT_SIZE)).ljust(_BEXT_SIZE, b"\0"))
    (reference,) = struct.unpack_from("<Q", bext, _TIME_REFERENCE)
    struct.pack_into("<Q", bext, _TIME_REFERENCE, (reference + first) % 2**64)
    found[b"bext"] = bytes(bext)
    if b"iXML" in found:
        found[b"iXML"] = _IXML_TIME.sub(b"", found[b"iXML"])
    return sorted(found.items())


def _chunks_of(source: str | os.PathLike[str]) -> Iterator[tuple[bytes, bytes]]:
    with io.open_source(source, io.source_name(source)) as file:
        view = open_view(file)
        if view.read(0, 4) not in (b"RIFF", b"RF64", b"BW64") or view.read(8, 4) != b"WAVE":
            return
        for chunk in chunks(view, 12, "<4sI", 2):
            is_list = chunk.id == b"LIST"
            if chunk.id in _WORDS and chunk.size <= _LARGEST_CHUNK:
                content = view.read(chunk.at, chunk.size)
                if not is_list or content[:4] == b"INFO":
                    yield chunk.id, content


def _append(path: Path, words: list[tuple[bytes, bytes]]) -> None:
    """Add chunks to the end of a WAV file."""
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        for id, content in words:
            file.write(struct.pack("<4sI", id, len(content)) + content + b"\0" * (len(content) % 2))
        size = file.tell()
        file.seek(4)
        file.write(struct.pack("<I", size - 8))
