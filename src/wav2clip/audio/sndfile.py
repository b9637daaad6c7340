"""Decoding with libsndfile, through soundfile."""

from __future__ import annotations

from collections.abc import Iterator
from io import FileIO
from types import SimpleNamespace
from typing import Any, BinaryIO

import soundfile

from wav2clip.audio.headers import SNDFILE, Header
from wav2clip.audio.track import (
    BLOCK_SECONDS,
    NOTICED_SECONDS,
    Decoder,
    Samples,
    Track,
    UnreadableError,
    damage,
    shortage,
)

_BLOCK_NUMBERS = 4_000_000
"""At most so many numbers in a block: files with a thousand channels exist."""

_UNKNOWN_FRAMES = 2**62
"""Where a header does not tell the length, libsndfile reports 2**63 - 1 frames."""


class _OnwardOnly(soundfile.SoundFile):  # type: ignore[misc]  # it has no types
    """A file of which one block is read after the other.

    Where it can, soundfile seeks after each block to where it is anyway, which takes time, decodes
    the first milliseconds of Opus anew, and fails in DWVW.
    """

    def seekable(self) -> bool:
        """Say no, so that nobody seeks unasked."""
        return False


def open_sndfile(file: BinaryIO, header: Header) -> Decoder:
    """Decode a file from its present position.

    Raises:
        UnreadableError: libsndfile does not read it.
    """
    try:
        sound = _OnwardOnly(_handle(file), closefd=False)
    except soundfile.LibsndfileError as error:
        raise UnreadableError(str(error.error_string).rstrip(".")) from error
    container = header.container or sound.format.lower()
    if container == "ogg":
        sound.seek(0)  # else libsndfile leaves Opus some milliseconds off its beginning
    track = Track(sound.samplerate, sound.channels, container, sound.subtype.lower(), SNDFILE)
    decoder = Decoder(track, warnings=[header.warning][: bool(header.warning)], whole=header.whole)
    decoder.blocks = _blocks(sound, header, decoder)
    return decoder


def _handle(file: BinaryIO) -> Any:
    """What soundfile should read from.

    A number of an open file spares calls back into Python, whose errors would be printed. Other
    objects get their name hidden, for soundfile takes formats from names, and errors kept quiet.
    """
    if isinstance(file, FileIO):  # without a buffer: its position is that of the number
        return file.fileno()

    def seek(offset: int, whence: int = 0) -> int:
        try:
            return file.seek(offset, whence)
        except (OSError, ValueError):  # before the start: a damaged header asked for it
            return -1

    return SimpleNamespace(seek=seek, tell=file.tell, read=file.read)


def _blocks(sound: soundfile.SoundFile, header: Header, decoder: Decoder) -> Iterator[Samples]:
    rate, read = sound.samplerate, 0
    size = max(1, min(int(BLOCK_SECONDS * rate), _BLOCK_NUMBERS // sound.channels))
    with sound:
        try:
            while len(block := sound.read(size, dtype="float32", always_2d=True)):
                read += len(block)
                yield block
        except soundfile.LibsndfileError as error:
            decoder.lacks(damage(read / rate, error.error_string))
            return
        seconds = read / rate
        announced = header.announced_seconds(seconds)
        if announced:
            if f"{announced:.2f}" != f"{seconds:.2f}":
                decoder.lacks(shortage(seconds, announced))
        elif sound.frames < _UNKNOWN_FRAMES and sound.frames / rate - seconds > NOTICED_SECONDS:
            decoder.lacks(shortage(seconds, sound.frames / rate))
