"""Recordings to a browser: as they are, or as WAV, whole or by ranges of bytes (RFC 9110)."""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import quote

import numpy as np
from starlette.datastructures import Headers
from starlette.responses import Response

from wav2clip.files import display
from wav2clip.reading.readers import Readers
from wav2clip.web.catalogue import File
from wav2clip.web.gates import Gate, GatedStream
from wav2clip.web.problems import Refusal

PLAYABLE = {
    ".wav": "audio/wav",
    ".wave": "audio/wav",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".mp4": "video/mp4",
    ".aac": "audio/aac",
    ".webm": "video/webm",
}
"""Suffixes of what browsers play, and the types that they are sent as. Everything else is converted
to be played, and sent as bytes without a type to be kept."""

_RANGE = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.IGNORECASE | re.ASCII)
_CHUNK = 256 * 1024
_HEADER = 44
_LARGEST = 2**32 - 1


class Body(Protocol):
    """Bytes that can be sent from anywhere."""

    size: int
    media_type: str

    def read(self, first: int, last: int) -> Iterator[bytes]:
        """The bytes from ``first`` up to ``last``, without that; closes what was opened."""

    def close(self) -> None:
        """Close what was opened, where nothing is to be read."""


class FileBody:
    """A file as it is."""

    def __init__(self, file: BinaryIO, media_type: str) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size
        self.media_type = media_type

    def read(self, first: int, last: int) -> Iterator[bytes]:
        with self._file as file:
            file.seek(first)
            while first < last and (block := file.read(min(_CHUNK, last - first))):
                first += len(block)
                yield block

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class WavFormat:
    """What a WAV file of 16 bits holds.

    Attributes:
        frames: samples per channel.
        sample_rate: Hz.
        channels: 1 or 2.
    """

    frames: int
    sample_rate: int
    channels: int

    @property
    def size(self) -> int:
        """Bytes of the file, header included."""
        return _HEADER + 2 * self.channels * self.frames

    def header(self) -> bytes:
        """RIFF, ``fmt`` and ``data`` of PCM; sizes that 32 bits cannot hold are all ones."""
        data = min(self.size - _HEADER, _LARGEST)
        width = 2 * self.channels
        return struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            b"RIFF", min(data + _HEADER - 8, _LARGEST), b"WAVE", b"fmt ", 16, 1, self.channels,
            self.sample_rate, self.sample_rate * width, width, 16, b"data", data,
        )  # fmt: skip


class WavBody:
    """Any recording as WAV of 16 bits, decoded while it is sent.

    The size is known before from the duration: what is missing in the end is silence. More than two
    channels become one.
    """

    media_type = "audio/wav"

    def __init__(self, readers: Readers, file: File, opened: BinaryIO) -> None:
        self._readers, self._path, self._opened = readers, file.path, opened
        self._format = WavFormat(
            round(file.duration * file.sample_rate),
            file.sample_rate,
            file.channels if file.channels <= 2 else 1,
        )
        self.size = self._format.size

    def read(self, first: int, last: int) -> Iterator[bytes]:
        with self._opened, closing(self._blocks()) as blocks:
            position = 0
            for block in blocks:
                wanted = block[max(first - position, 0) : max(last - position, 0)]
                position += len(block)
                if wanted:
                    yield wanted
                if position >= last:
                    return
        for missing in range(max(first, position), last, _CHUNK):
            yield bytes(min(_CHUNK, last - missing))

    def close(self) -> None:
        self._opened.close()

    def _blocks(self) -> Generator[bytes]:
        yield self._format.header()
        same = os.fstat(self._opened.fileno())
        stream = self._readers.stream_audio(self._path, raw=True, same=same)
        for frames in stream.frames(on_clock=True):
            if frames.shape[1] != self._format.channels:
                frames = frames.mean(axis=1, keepdims=True)
                frames = np.repeat(frames, self._format.channels, axis=1)
            finite = np.nan_to_num(frames, posinf=1, neginf=-1)
            yield (finite.clip(-1, 1) * 32767).astype("<i2").tobytes()


def media_response(
    body: Body, headers: Headers, modified_ns: int, gate: Gate, download: Path | None = None
) -> Response:
    """The whole of a recording, the range that was asked for, or 304 if the browser has it.

    Args:
        body: what to send; closed when it was sent, or where it is not.
        headers: of the request: Range, If-Range, If-None-Match.
        modified_ns: when the recording was changed, nanoseconds since 1970.
        gate: where it takes a place while it is sent.
        download: name under which a browser is to keep it.

    Raises:
        Refusal: 416 for a range outside of the recording.
    """
    etag = f'"{hashlib.blake2b(f"{modified_ns}-{body.size}".encode(), digest_size=16).hexdigest()}"'
    modified = format_datetime(datetime.fromtimestamp(modified_ns // 10**9, UTC), usegmt=True)
    common = {
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Last-Modified": modified,
        "Cache-Control": "private, max-age=0, must-revalidate",
    }
    if download is not None:
        name = display(download.name)
        common["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    if etag in re.split(r"\s*,\s*", headers.get("if-none-match", "")):
        body.close()
        return Response(status_code=304, headers=common)
    first, last, status = 0, body.size, 200
    if headers.get("if-range", etag) in (etag, modified):
        try:
            wanted = parse_range(headers.get("range", ""), body.size)
        except Refusal:
            body.close()
            raise
        if wanted is not None:
            (first, last), status = wanted, 206
            common["Content-Range"] = f"bytes {first}-{last - 1}/{body.size}"
    common["Content-Length"] = str(last - first)
    return GatedStream(
        gate,
        body.read(first, last),
        status_code=status,
        headers=common,
        media_type=body.media_type,
    )


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """The first byte, and the one after the last, that a Range header asks for.

    None, and so the whole, where it asks for nothing, for other units than bytes, for several
    ranges, or for something that is no range: a server may pass over it in all of these cases.

    Raises:
        Refusal: 416 where nothing of the range is there.
    """
    match = re.fullmatch(
        r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", header, re.IGNORECASE | re.ASCII
    )
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        first, last = max(size - int(match[2]), 0), size
    else:
        first, last = int(match[1]), min(int(match[2] or size) + 1, size)
        if match[2] and int(match[2]) < first:
            return None
    if first >= last:
        raise Refusal(
            416,
            f"the recording has {size} bytes, and none of that range",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return first, last
