"""The words that people left in a file: tags of any format, broadcast WAV's chunks, and iXML.

FFmpeg knows the tags of all formats, but keeps one text for each name: where a WAV or AIFF file has
several, as sound libraries do, the chunks are read here. Nothing is executed or looked up, and all
is bounded, whatever a file claims.
"""

from __future__ import annotations

import os
import re
import struct
import unicodedata
from collections.abc import Iterable, Iterator
from typing import BinaryIO
from xml.etree import ElementTree as ET

from wav2clip.audio import io
from wav2clip.audio.ffmpeg import open_container
from wav2clip.audio.headers import Chunk, View, chunks, open_view
from wav2clip.audio.track import UnreadableError
from wav2clip.files import decode_text

LONGEST = 4_000
"""Characters of one field that are kept."""

MOST_FIELDS = 100

MOST_CHARACTERS = 16_000
"""Of all fields of a file."""

_LARGEST_CHUNK = 2**20

_ONLY_TAGS = {"max_probe_packets": "1"}
"""FFmpeg would look for coded sound among the samples of WAV, which takes longer than all the rest:
26 ms for ten seconds of stereo."""

_TECHNICAL = frozenset(
    {"coding_history", "compatible_brands", "creation_time", "date", "duration", "encoder"}
    | {"handler_name", "isft", "idit", "itoc", "language", "major_brand", "minor_version"}
    | {"time_reference", "timecode", "track", "umid", "vendor_id"}
)
"""Fields that describe the file and not the sound."""

_INFO = {
    "iart": "artist", "icmt": "comment", "icop": "copyright", "ieng": "engineer", "ignr": "genre",
    "ikey": "keywords", "inam": "title", "iprd": "album", "isbj": "subject", "isrc": "source",
}  # fmt: skip
"""Names of RIFF's INFO chunks (Microsoft and IBM, Multimedia Programming Interface 1.0, 1991)."""

_ALIASES = {
    **_INFO, "author": "artist", "encoded_by": "originator", "originator_reference": "reference"
}  # fmt: skip
"""One name for what several formats, or FFmpeg, call differently."""

_AIFF = {b"NAME": "title", b"AUTH": "artist", b"ANNO": "comment", b"(c) ": "copyright"}
"""Text chunks of AIFF (Apple, Audio Interchange File Format 1.3, 1989)."""

_BEXT = (("description", 0, 256), ("originator", 256, 32), ("reference", 288, 32))
"""Fields of a bext chunk, offset and bytes (EBU Tech 3285, version 2, section 2.3)."""

_XML_TAG = re.compile(r"<[^>]*>")


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The texts in a file by the name of their field, in lower case, such as ``"title"``.

    Several of one field are joined by semicolons. Control characters are left out, those that turn
    the direction of writing too; what is too long is cut.

    Args:
        path: of a file of any format.

    Returns:
        Texts that hold a letter; nothing where there are none, or the file is no recording.

    Raises:
        AudioError: no such file, an empty one, a folder, or a pipe, which could wait for ever.
    """
    with io.open_source(path, io.source_name(path)) as file:
        own = list(_of_chunks(file))
        said = {text for _, text in own}  # FFmpeg has some of it under other names
        others = (pair for pair in _of_container(file) if pair[1] not in said)
        return bounded([*own, *others])


def bounded(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Texts by their field, as :func:`read_metadata` gives them: each once, until there are too
    many, without what is technical or not to be seen."""
    fields: dict[str, list[str]] = {}
    left = MOST_CHARACTERS
    for name, text in pairs:
        name, text = plain(name)[:64].lower(), plain(text)[: min(LONGEST, left)]
        name = _ALIASES.get(name, name)
        if name in _TECHNICAL or not any(c.isalpha() for c in text):
            continue
        known = fields.setdefault(name, [])
        if len(fields) > MOST_FIELDS:
            del fields[name]
            break
        if text not in known:
            known.append(text)
            left -= len(text)
    return {name: "; ".join(texts) for name, texts in fields.items() if texts}


def plain(text: str) -> str:
    """Text on one line, without what is not to be seen."""
    kept = ("\n" if unicodedata.category(c).startswith("Z") or c in "\t\r\n" else c for c in text)
    seen = (c for c in kept if c == "\n" or not unicodedata.category(c).startswith("C"))
    return " ".join("".join(seen).split())


# FFmpeg -------------------------------------------------------------------------------------------


def _of_container(file: BinaryIO) -> Iterator[tuple[str, str]]:
    file.seek(0)
    try:
        container = open_container(file, "latin-1", **_ONLY_TAGS)
    except UnreadableError:
        return
    with container:
        streams = (stream.metadata for stream in container.streams)
        for metadata in (container.metadata, *streams):
            for name, value in metadata.items():
                yield name, decode_text(value.encode("latin-1", "replace"))


# Chunks -------------------------------------------------------------------------------------------


def _of_chunks(file: BinaryIO) -> Iterator[tuple[str, str]]:
    view = open_view(file)
    kind, form = view.read(0, 4), view.read(8, 4)
    if kind in (b"RIFF", b"RF64", b"BW64") and form == b"WAVE":
        for chunk in chunks(view, 12, "<4sI", 2):
            yield from _of_wav(view, chunk)
    elif kind == b"FORM" and form in (b"AIFF", b"AIFC"):
        for chunk in chunks(view, 12, ">4sI", 2):
            if chunk.id in _AIFF:
                yield _AIFF[chunk.id], _text(_content(view, chunk))


def _of_wav(view: View, chunk: Chunk) -> Iterator[tuple[str, str]]:
    if chunk.id == b"bext":
        content = _content(view, chunk)
        yield from ((name, _text(content[at : at + size])) for name, at, size in _BEXT)
    elif chunk.id == b"iXML":
        yield from _of_xml(decode_text(_content(view, chunk)).strip("\0 \r\n\t\ufeff"))
    elif chunk.id == b"LIST" and view.read(chunk.at, 4) == b"INFO":
        end = chunk.at + chunk.size
        for part in chunks(view, chunk.at + 4, "<4sI", 2):
            if part.at > end:
                return
            yield part.id.decode("latin-1"), _text(_content(view, part))


def _content(view: View, chunk: Chunk) -> bytes:
    return view.read(chunk.at, min(chunk.size, _LARGEST_CHUNK))


def _text(content: bytes) -> str:
    """What stands before the first zero byte."""
    return decode_text(struct.unpack(f"{len(content)}s", content)[0].split(b"\0", 1)[0])


def _of_xml(text: str) -> Iterator[tuple[str, str]]:
    """Texts of an iXML document (gallery.co.uk/ixml, version 3), by the name of their element.

    A document that declares entities could grow without end, and one that is broken has no
    elements: of these the text between the tags is taken.
    """
    try:
        if "<!" in text.replace("<![CDATA[", "").replace("<!--", ""):
            raise ET.ParseError
        root = ET.fromstring(text)  # noqa: S314
    except (ET.ParseError, ValueError, RecursionError):
        yield "ixml", _XML_TAG.sub(" ", text)
        return
    told: set[ET.Element] = set()
    for element in root.iter():
        name, value = element.find("NAME"), element.find("VALUE")
        if name is not None and value is not None:  # an attribute of Steinberg's
            yield name.text or "", value.text or ""
            told.update(element)
        elif element not in told:
            yield str(element.tag).rpartition("}")[2], element.text or ""
