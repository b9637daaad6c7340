"""What of a file is its sound, and what are words about it: two hashes, read once.

Broadcasters call the one essence and the other metadata (EBU and SMPTE, Task Force for Harmonized
Standards, 1998). Who writes tags changes a file's bytes and not its sound; a hash of the essence
alone tells so without decoding.

The hash may only be the same where the decoded sound is. So all that is not known to be words
belongs to the essence, and where a file is not wholly as its format wants it there is none.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple

from wav2clip.audio.headers import Chunk, View, chunks, open_view

_BLOCK = 2**20

_WAV = {b"fmt ": True, b"fact": False, b"data": True}
_AIFF = {b"COMM": True, b"SSND": True}
"""Chunks from which sound is decoded, and whether a file must have them; each stands there once."""

_CHUNK_HEAD = 8

_MOST_BLOCKS = 4096
"""Of metadata in FLAC."""

_ID3_V1 = 128
_APE = struct.Struct("<8sIIII8x")
"""Footer: mark, version, bytes without the header, items, flags (APEv2; wiki.hydrogenaud.io)."""

_APE_HAS_HEADER = 1 << 31


class Part(NamedTuple):
    """Bytes of a file from ``begin`` up to ``end``."""

    begin: int
    end: int


class Essence(NamedTuple):
    """Where the sound of a file is.

    Attributes:
        kind: of its coding; equal parts are equal sound only if this is, too.
        parts: one behind the other.
    """

    kind: str
    parts: list[Part]


def find_essence(file: BinaryIO) -> Essence | None:
    """Where the sound is in WAV, RF64, BW64, AIFF, FLAC and MP3.

    Args:
        file: binary and seekable, at the beginning of the recording.

    Returns:
        None for other formats, and where chunks are cut off, doubled or not where they should be.

    Raises:
        OSError: it cannot be read.
    """
    view = open_view(file)
    kind, form = view.read(0, 4), view.read(8, 4)
    found: Essence | None
    if _is_mpeg(kind):
        found = Essence("mpeg", [Part(0, _before_tags(view))])
    elif view.start:  # libsndfile loses the end of what stands behind a tag
        return None
    elif kind in (b"RIFF", b"RF64", b"BW64") and form == b"WAVE":
        found = _of_chunks(view, "<4sI", _WAV, "wav")
    elif kind == b"FORM" and form in (b"AIFF", b"AIFC"):
        found = _of_chunks(view, ">4sI", _AIFF, form.decode())
    elif kind == b"fLaC":
        found = _of_flac(view)
    else:
        return None
    if found is None or any(part.end <= part.begin for part in found.parts):
        return None
    parts = [Part(view.start + part.begin, view.start + part.end) for part in found.parts]
    return Essence(found.kind, parts)


def hash_file(file: BinaryIO) -> tuple[str, str]:
    """SHA-256 of a whole file, and of its essence, in hexadecimal digits.

    The second is "" where :func:`find_essence` gives none. The content is read once, in blocks.

    Args:
        file: binary and seekable, at its beginning.

    Raises:
        OSError: it cannot be read.
    """
    essence = find_essence(file)
    content, sound = hashlib.sha256(), hashlib.sha256()
    parts = essence.parts if essence else []
    if essence:  # lengths too, so that what moves from one part to the next is another sound
        sound.update(repr((essence.kind, [end - begin for begin, end in parts])).encode())
    file.seek(0)
    buffer, at = memoryview(bytearray(_BLOCK)), 0
    while count := file.readinto(buffer):  # type: ignore[attr-defined]
        content.update(buffer[:count])
        for begin, end in parts:
            if begin < at + count and end > at:
                sound.update(buffer[max(begin - at, 0) : min(end - at, count)])
        at += count
    return content.hexdigest(), sound.hexdigest() if essence else ""


# Formats ------------------------------------------------------------------------------------------


def _of_chunks(view: View, layout: str, wanted: Mapping[bytes, bool], kind: str) -> Essence | None:
    """Of a file of chunks, which have to be whole and to reach its end."""
    size, end = view.size, 12
    found: dict[bytes, Part] = {}
    for chunk in _real_chunks(view, layout):
        end = chunk.at + chunk.size
        if end > size or chunk.id in found:
            return None
        if chunk.id in wanted:
            found[chunk.id] = Part(chunk.at, end)
    lacking = any(needed and id not in found for id, needed in wanted.items())
    if lacking or size - end >= _CHUNK_HEAD:
        return None
    order = sorted(found, key=lambda id: found[id])
    return Essence(f"{kind} {b''.join(order).decode()}", [found[id] for id in order])


def _real_chunks(view: View, layout: str) -> Iterator[Chunk]:
    """The chunks; that of the sound with the size that ``ds64`` has for it (EBU Tech 3306)."""
    large = 0
    for chunk in chunks(view, 12, layout, 2):
        if chunk.id == b"ds64":
            (large,) = struct.unpack("<Q", view.read(chunk.at + 8, 8).ljust(8, b"\0"))
        if chunk.id == b"data" and chunk.size == 0xFFFFFFFF and large:
            end = chunk.at + large
            yield chunk._replace(size=large)
            yield from chunks(view, end + end % 2, layout, 2)
            return
        yield chunk


def _of_flac(view: View) -> Essence | None:
    """STREAMINFO, and what follows the blocks of metadata (RFC 9639, section 8)."""
    at = 4
    for number in range(_MOST_BLOCKS):
        head = view.read(at, 4)
        if len(head) < 4 or (head[0] & 127 == 0) != (number == 0):
            return None
        size = int.from_bytes(head[1:], "big")
        if number == 0:
            info = Part(at + 4, at + 4 + size)
        at += 4 + size
        if head[0] & 128:  # the last one
            return Essence("flac", [info, Part(at, view.size)])
    return None


def _is_mpeg(head: bytes) -> bool:
    """Whether a frame of MPEG audio begins here: eleven ones, and a layer (ISO 11172-3, 2.4.2.3).

    In AAC, whose frames begin alike, the bits of the layer are 0.
    """
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 6 != 0


def _before_tags(view: View) -> int:
    """Where ID3v1 and APE tags begin that end a file, or its end."""
    end = view.size
    if view.read(max(end - _ID3_V1, 0), 3) == b"TAG":
        end -= _ID3_V1
    footer = view.read(max(end - _APE.size, 0), _APE.size)
    if len(footer) == _APE.size:
        mark, _, size, _, flags = _APE.unpack(footer)
        if mark == b"APETAGEX":
            end -= size + (_APE.size if flags & _APE_HAS_HEADER else 0)
    return end
