"""What a file says about itself, read without a decoder: who should decode it, and what it lacks.

libsndfile is quick and exact for sound that is stored plainly, but it believes neither more nor
less than the header, and of what can be joined it reads the first part only. So the header is
looked at here first: the chunks of WAV, AIFF, AU, CAF and Wave64, and the pages of Ogg.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

SNDFILE, FFMPEG = "libsndfile", "FFmpeg"

_NO_LENGTH = 0x7FFFF000
"""Lengths from here on are what programs write that do not know the length yet (0x7FFFFFFF,
0x80000000, 0xFFFFFFFF and what is a little less); real ones are met by a file of that size."""

_MOST_CHUNKS = 4096
_PLAIN_TAGS = frozenset({1, 2, 3, 6, 7, 0x11, 0x31, 0x38, 0x40})
"""PCM, Microsoft ADPCM, float, A-law, mu-law, IMA ADPCM, GSM, NMS ADPCM (which FFmpeg takes for
AMR) and G.721: what libsndfile decodes in WAV."""

_EXTENSIBLE = 0xFFFE
_FIRST_PAGE = 2  # flag of an Ogg page that begins a stream (RFC 3533, section 6)
_FIRST_FRAME = 256
_XING = re.compile(rb"\xff[\xe0-\xff].{2,40}?(Xing|Info|VBRI)", re.DOTALL)
_OGG_PAGE = struct.Struct("<4sBBqIIIB")


@dataclass(frozen=True)
class Header:
    """What was seen.

    Attributes:
        container: short name of the container, "" if it is none of those looked at.
        decoder: :data:`SNDFILE` or :data:`FFMPEG`: who gets the file first.
        announced: bytes of sound that the header states; None if it states none or was not read.
        present: bytes that there are from where the sound begins.
        warning: what is odd about it, "" for nothing.
        whole: whether all of the sound is decoded, as far as the header tells.
        states_length: whether MP3 begins with a frame that tells how long it is.
        links: where the parts of a chained Ogg file begin, if there are several.
    """

    container: str = ""
    decoder: str = FFMPEG
    announced: int | None = None
    present: int = 0
    warning: str = ""
    whole: bool = True
    states_length: bool = False
    links: tuple[int, ...] = ()

    def announced_seconds(self, decoded: float) -> float:
        """How long the sound is by its header, where so many seconds are what there is of it.

        0.0 if nothing is missing, or all.
        """
        if not self.announced or not 0 < self.present < self.announced:
            return 0.0
        return decoded * self.announced / self.present


def read_header(file: BinaryIO) -> Header:
    """Look at a file from its present position, which is restored.

    Raises:
        OSError: it cannot be read.
    """
    start = file.tell()
    try:
        view = open_view(file)
        magic = view.read(0, 16)
        for known, read in _READERS.items():
            if magic.startswith(known):
                return read(view)
        if magic.startswith(_ONLY_SNDFILE):
            return Header(decoder=SNDFILE)
        return Header(states_length=_XING.search(view.read(0, _FIRST_FRAME)) is not None)
    finally:
        file.seek(start)


def list_of_files(head: bytes) -> str:
    """What kind of list of other files begins so, in words; "" if none that is known."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((name for start, name in _LISTS.items() if text.startswith(start)), "")


_LISTS = {
    b"#extm3u": "an M3U or HLS playlist",
    b"ffconcat": "a list of files for FFmpeg",
    b"v=0": "a description of a network stream (SDP)",
    b"[playlist]": "a PLS playlist",
    b"<asx": "an ASX playlist",
    b"<mpd": "a DASH manifest",
    b"[reference]": "an ASF reference",
}

_ONLY_SNDFILE = (
    b"NIST_1A", b" paf", b"fap ", b"PVF1", b"MATLAB", b"2BIT", b"Extended Inst", b"ALawSoundFile",
)  # fmt: skip
"""Starts of further formats that libsndfile reads better than FFmpeg, or that it alone reads."""


class View(NamedTuple):
    """A file from where its magic number stands."""

    file: BinaryIO
    start: int

    def read(self, at: int, count: int) -> bytes:
        self.file.seek(self.start + at)
        return self.file.read(count)

    @property
    def size(self) -> int:
        return self.file.seek(0, 2) - self.start


def open_view(file: BinaryIO) -> View:
    """A file from its present position, or from behind an ID3 tag that stands there."""
    start = file.tell()
    return View(file, start + _tag_size(file.read(10)))


class Chunk(NamedTuple):
    """A chunk: what follows its own header begins at ``at`` and has ``size`` bytes."""

    id: bytes
    at: int
    size: int


def _tag_size(head: bytes) -> int:
    """Bytes of an ID3v2 tag in front (id3.org, ID3v2.4, section 3.1), 0 if there is none."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    a, b, c, d = head[6:10]
    return 10 + ((a & 127) << 21 | (b & 127) << 14 | (c & 127) << 7 | d & 127)


def chunks(view: View, at: int, layout: str, aligned: int, own: int = 0) -> Iterator[Chunk]:
    """Chunks one after the other.

    Args:
        view: the file.
        at: where the first one begins.
        layout: of identifier and size, for :mod:`struct`.
        aligned: chunks begin at multiples of so many bytes.
        own: bytes of the chunk's own header that its size counts.
    """
    head = struct.Struct(layout)
    for _ in range(_MOST_CHUNKS):
        read = view.read(at, head.size)
        if len(read) < head.size:
            return
        id, size = head.unpack(read)
        at += head.size
        size = max(size - own, 0) if size >= 0 else _NO_LENGTH
        yield Chunk(id, at, size)
        at += size + -size % aligned


def _plain(container: str, view: View, at: int, announced: int, decoder: str = SNDFILE) -> Header:
    """The header of a file whose sound begins at ``at``."""
    present = max(view.size - at, 0)
    if announced >= _NO_LENGTH and announced > present:
        return Header(container, decoder, None, present, NO_LENGTH)
    return Header(container, decoder, announced, present)


NO_LENGTH = (
    "its header states no length, as when a recorder lost power; all that follows is taken as sound"
)


# WAV ----------------------------------------------------------------------------------------------


def _wav(view: View) -> Header:
    """RIFF, RIFX, RF64 and BW64 (EBU Tech 3306)."""
    order = ">" if view.read(0, 4) == b"RIFX" else "<"
    if view.read(8, 4) != b"WAVE":
        return Header()
    tag, real_size = 0, None
    for chunk in chunks(view, 12, f"{order}4sI", 2):
        if chunk.id == b"ds64":
            (real_size,) = struct.unpack("<Q", view.read(chunk.at + 8, 8).ljust(8, b"\0"))
        elif chunk.id == b"fmt ":
            tag = _format_tag(view.read(chunk.at, 26), order)
        elif chunk.id == b"data":
            if chunk.size == 0xFFFFFFFF and real_size is not None:
                chunk = chunk._replace(size=real_size)
            return _wav_sound(view, chunk, tag, order)
    return Header("wav", FFMPEG)


def _format_tag(fmt: bytes, order: str) -> int:
    """The codec's number (Microsoft, mmreg.h); that of the sub-format in WAVE_FORMAT_EXTENSIBLE."""
    tags = [int(struct.unpack_from(f"{order}H", fmt.ljust(26, b"\0"), at)[0]) for at in (0, 24)]
    return tags[1] if tags[0] == _EXTENSIBLE else tags[0]


def _wav_sound(view: View, data: Chunk, tag: int, order: str) -> Header:
    decoder = SNDFILE if tag in _PLAIN_TAGS else FFMPEG
    header = _plain("wav", view, data.at, data.size, decoder)
    end = data.at + data.size
    rest = header.present - data.size
    if rest <= 8 or _are_chunks(view, end + end % 2, order):
        return header
    if data.size == 0:  # libsndfile believes it, FFmpeg reads to the end
        return Header("wav", FFMPEG, None, header.present, NO_LENGTH)
    joined = view.read(end, 4) in (b"RIFF", b"RF64")
    what = "another WAV file" if joined else "bytes of no known kind"
    warning = f"after its sound {rest:,} bytes follow ({what}) that are not used"
    return Header("wav", decoder, data.size, header.present, warning, whole=False)


def _are_chunks(view: View, at: int, order: str) -> bool:
    """Whether what begins here are chunks to the end of the file, and not sound or garbage."""
    size, end = view.size, at
    for chunk in chunks(view, at, f"{order}4sI", 2):
        if not all(32 <= byte < 127 for byte in chunk.id) or chunk.id in (b"RIFF", b"RF64"):
            return False
        end = chunk.at + chunk.size
        if end > size:
            return False
    return size - end < 8


# Others that are stored plainly -------------------------------------------------------------------


def _aiff(view: View) -> Header:
    """AIFF and AIFF-C (Apple, 1989 and 1991)."""
    if view.read(8, 4) not in (b"AIFF", b"AIFC"):
        return Header(decoder=SNDFILE)  # 8SVX and 16SV
    for chunk in chunks(view, 12, ">4sI", 2):
        if chunk.id == b"SSND":  # begins with an offset and a block size, which are 0
            return _plain("aiff", view, chunk.at + 8, max(chunk.size - 8, 0))
    return Header("aiff", SNDFILE)


def _au(view: View) -> Header:
    offset, size = struct.unpack(">II", view.read(4, 8).ljust(8, b"\0"))
    header = _plain("au", view, offset, size)
    # An unknown length is as the format wants it (0xFFFFFFFF): nothing is wrong with it.
    return Header("au", SNDFILE, None, header.present) if size == 0xFFFFFFFF else header


def _caf(view: View) -> Header:
    """Core Audio Format (Apple, 2005)."""
    for chunk in chunks(view, 8, ">4sq", 1):
        if chunk.id == b"data":  # begins with four bytes that count its changes
            if chunk.size == _NO_LENGTH:  # -1: to the end, as the format wants it
                return Header("caf", SNDFILE, None, max(view.size - chunk.at - 4, 0))
            return _plain("caf", view, chunk.at + 4, chunk.size - 4)
    return Header("caf", SNDFILE)


def _w64(view: View) -> Header:
    """Sony Wave64."""
    for chunk in chunks(view, 40, "<16sq", 8, own=24):
        if chunk.id.startswith(b"data"):
            return _plain("w64", view, chunk.at, chunk.size)
    return Header("w64", SNDFILE)


# Ogg ----------------------------------------------------------------------------------------------


def _ogg(view: View) -> Header:
    """One stream of Vorbis or Opus goes to libsndfile, several side by side to FFmpeg.

    What is chained, as recordings of radio are, is decoded link by link: either library stops
    where rate or channels change.
    """
    streams, links = _streams(view)
    known = any(codec in view.read(0, 64) for codec in (b"\x01vorbis", b"OpusHead"))
    alone = known and streams == 1
    chain = tuple(view.start + at for at in links) if len(links) > 1 else ()
    return Header("ogg", SNDFILE if alone else FFMPEG, links=chain)


def _streams(view: View) -> tuple[int, list[int]]:
    """Streams that begin in an Ogg file, and where its links begin; damaged pages end the search.

    Streams side by side begin with one page each before anything else; a later first page begins
    another link (RFC 3533, section 4).
    """
    at, found, beginning = 0, 0, False
    links: list[int] = []
    while len(head := view.read(at, _OGG_PAGE.size)) == _OGG_PAGE.size:
        magic, _, flags, _, _, _, _, pieces = _OGG_PAGE.unpack(head)
        if magic != b"OggS":
            return max(found, 2), links
        first = bool(flags & _FIRST_PAGE)
        if first and not beginning:
            links.append(at)
        found, beginning = found + first, first
        at += _OGG_PAGE.size + pieces + sum(view.file.read(pieces))
    return found, links


_READERS: dict[bytes, Callable[[View], Header]] = {
    b"RIFF": _wav,
    b"RIFX": _wav,
    b"RF64": _wav,
    b"BW64": _wav,
    b"FORM": _aiff,
    b".snd": _au,
    b"caff": _caf,
    b"riff\x2e\x91\xcf\x11": _w64,
    b"OggS": _ogg,
}
