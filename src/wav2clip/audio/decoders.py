"""Who decodes what: libsndfile what is stored plainly, FFmpeg all that it reads more truly.

``docs/formats.md`` has the table, with what was measured.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, BinaryIO

import numpy as np

from wav2clip.audio.ffmpeg import open_ffmpeg
from wav2clip.audio.headers import SNDFILE, Header, list_of_files, read_header
from wav2clip.audio.payload import EXACT, coded_in
from wav2clip.audio.sndfile import open_sndfile
from wav2clip.audio.track import Decoder, Samples, Track, UnreadableError, at_one_rate
from wav2clip.errors import AudioError, Wav2ClipError

Owned = AbstractContextManager[Any]
"""Closes what was opened here, and nothing else."""

_HEAD = 64
_LOOKED_AT = 20
"""Blocks in which the beginning of the sound is looked for, to see whether it is sound."""

_PROBED = 16_384
"""Frames that are looked at: bursts of coded sound come at least every 6,144 frames."""


def open_decoder(file: BinaryIO, owned: Owned, name: str) -> Decoder:
    """Open a file with the library that decodes it truly, from its present position.

    Args:
        file: binary and seekable.
        owned: closes ``file`` when its blocks have ended; does nothing for a file of the caller.
        name: of the file, for messages.

    Raises:
        NoSoundError: it has no audio track.
        AudioError: nobody can decode it; the message names the file and the reason.
    """
    with _named_errors(name):
        start = file.tell()
        others = list_of_files(file.read(_HEAD))
        file.seek(start)
        header = read_header(file)
    if others:
        raise AudioError(f"{name}: is {others}; expected the recording itself, not where it is")

    links = [*header.links, file.seek(0, 2)]
    parts = [_Part(file, begin, end) for begin, end in itertools.pairwise(links)]
    decoder = _open_parts(parts, name) if parts else _open_one(file, start, header, name)
    decoder.blocks = _guarded(owned, decoder.blocks, name)
    return decoder


def _open_one(file: BinaryIO, start: int, header: Header, name: str) -> Decoder:
    def sndfile() -> Decoder:
        file.seek(start)
        return open_sndfile(file, header)

    def ffmpeg() -> Decoder:
        file.seek(start)
        return open_ffmpeg(file, name, header)

    order = (sndfile, ffmpeg) if header.decoder == SNDFILE else (ffmpeg, sndfile)
    return _screened(_first_that_reads(order, name), ffmpeg, name)


# Chains -------------------------------------------------------------------------------------------


class _Part(io.RawIOBase):
    """A part of a file, as a file."""

    def __init__(self, file: BinaryIO, begin: int, end: int) -> None:
        self._file, self._begin, self._size, self._at = file, begin, end - begin, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        at = offset + (0, self._at, self._size)[whence]
        if at < 0:
            raise ValueError(f"cannot seek to {at}")
        self._at = at
        return at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._begin + self._at)
        read = self._file.read(max(0, min(len(buffer), self._size - self._at)))
        buffer[: len(read)] = read
        self._at += len(read)
        return len(read)


def _open_parts(parts: list[_Part], name: str) -> Decoder:
    """The links of a chain one after the other, at the rate of the first."""
    first = _open_part(parts[0], name)
    decoder = Decoder(first.track)

    def pieces() -> Iterator[tuple[int, Samples]]:
        for number, part in enumerate(parts, start=1):
            try:
                link = first if number == 1 else _open_part(part, name)
            except AudioError as error:
                decoder.lacks(f"part {number}: {str(error).removeprefix(name + ': ')}")
                continue
            yield from ((link.track.source_rate, block) for block in link.blocks)
            decoder.warnings += [f"part {number}: {warning}" for warning in link.warnings]
            decoder.whole &= link.whole

    decoder.blocks = at_one_rate(first.track.source_rate, pieces())
    return decoder


def _open_part(part: _Part, name: str) -> Decoder:
    file = io.BufferedReader(part)
    return _open_one(file, 0, read_header(file), name)


# Choosing -----------------------------------------------------------------------------------------


def _first_that_reads(libraries: tuple[Callable[[], Decoder], ...], name: str) -> Decoder:
    reasons = {}
    for library in libraries:
        try:
            with _named_errors(name):
                return library()
        except UnreadableError as error:
            reasons[library.__name__] = error
    raise AudioError(
        f"{name}: neither libsndfile ({reasons['sndfile']}) nor FFmpeg ({reasons['ffmpeg']}) can "
        "read it; is it a sound or video file?"
    )


def _screened(decoder: Decoder, ffmpeg: Callable[[], Decoder], name: str) -> Decoder:
    """The same, unless its samples are coded sound: that is decoded in WAV, else refused by name.

    FFmpeg looks for it in WAV alone, and only where the sound begins.
    """
    if not _may_carry(decoder.track):
        return decoder
    begin = list(_to_second_sounding(decoder.blocks))
    found = _coded_after_silence(begin)
    decoder.blocks = itertools.chain(begin, decoder.blocks)
    if found and decoder.track.container == "wav" and decoder.track.decoder == SNDFILE:
        decoder = ffmpeg()
    if found and _may_carry(decoder.track):
        raise AudioError(
            f"{name}: its samples are no sound but {found} for a receiver; decode it before"
        )
    return decoder


def _may_carry(track: Track) -> bool:
    return track.channels == 2 and (track.codec.startswith("pcm") or track.codec in EXACT)


def _to_second_sounding(blocks: Iterator[Samples]) -> Iterator[Samples]:
    """Blocks up to the second one that is not silent, or so many."""
    sounding = 0
    for block in itertools.islice(blocks, _LOOKED_AT):
        yield block
        sounding += bool(block.any())
        if sounding == 2:
            return


def _coded_after_silence(begin: list[Samples]) -> str:
    sounding = begin[-2:]
    if not sounding or any(block.shape[1] != 2 for block in sounding):
        return ""
    first = int(np.argmax(sounding[0].ravel() != 0)) // 2
    sounding[0] = sounding[0][first:]
    return coded_in(np.concatenate([block[:_PROBED] for block in sounding])[:_PROBED])


def _guarded(owned: Owned, blocks: Iterator[Samples], name: str) -> Iterator[Samples]:
    with owned, _named_errors(name):
        yield from blocks


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    """Turn whatever goes wrong in a decoder into an error that names the file.

    Raises:
        AudioError: in place of any other exception but want of memory.
    """
    try:
        yield
    except (Wav2ClipError, UnreadableError, MemoryError):
        raise
    except Exception as error:
        what = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise AudioError(f"{name}: cannot be decoded ({what})") from error
