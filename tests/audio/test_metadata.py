"""What people wrote into files, in every format, however hostile."""

from __future__ import annotations

import os
import struct
import unicodedata
from pathlib import Path

import av
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from media import bext, chunk, encode, id3, info, tone, wav_bytes, with_chunks
from wav2clip.audio.metadata import LONGEST, MOST_CHARACTERS, MOST_FIELDS, plain, read_metadata
from wav2clip.errors import AudioError
from wav2clip.reading.readers import Readers

pytestmark = pytest.mark.everyday

WAV = wav_bytes(tone(0.1))

IXML = b"""<?xml version="1.0" encoding="UTF-8"?>
<BWFXML><PROJECT>Moorland</PROJECT><NOTE>gate &amp; fence</NOTE><TAKE>12</TAKE>
<TRACK_LIST><TRACK><NAME>Boom</NAME></TRACK></TRACK_LIST>
<STEINBERG><ATTR_LIST><ATTR><TYPE>string</TYPE><NAME>MediaLibrary</NAME><VALUE>Ann's</VALUE></ATTR>
</ATTR_LIST></STEINBERG><USER>\xe9\x9b\xa8</USER></BWFXML>"""

BOMB = b"<!DOCTYPE x [<!ENTITY a 'ha'>" + b"<!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>"
OUTSIDE = b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>'

FIELDS = {
    "title": "Rüttler 雨", "artist": "Ann Lee", "comment": "rusty hinge",
    "genre": "Foley", "description": "slow, then fast",
}  # fmt: skip


def metadata_of(tmp_path: Path, content: bytes, name: str = "a.wav") -> dict[str, str]:
    path = tmp_path / name
    path.write_bytes(content)
    return read_metadata(path)


def test_all_that_a_wav_file_may_hold(tmp_path: Path) -> None:
    names = info(INAM=b"Gate", IART="José".encode("latin-1"), IKEY=b"wood; iron", ISFT=b"Editor")
    content = with_chunks(
        WAV,
        bext(b"Gate creaking in the wind", b"Ann Lee", b"REF-A7") + chunk(b"iXML", IXML),
        names + chunk(b"id3 ", id3(TIT2="Tor 雨", TXXX="CATID\0WOODCreak")),
    )
    assert metadata_of(tmp_path, content) == {
        "description": "Gate creaking in the wind",
        "originator": "Ann Lee",
        "reference": "REF-A7",
        "project": "Moorland",
        "note": "gate & fence",
        "name": "Boom",
        "medialibrary": "Ann's",
        "user": "雨",
        "title": "Gate; Tor 雨",
        "artist": "José",
        "keywords": "wood; iron",
        "catid": "WOODCreak",
    }


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp3", "mp3"), ("a.flac", "flac"), ("a.m4a", "aac"), ("a.mka", "aac"), ("a.wv", "wavpack")],
)
def test_every_format(tmp_path: Path, name: str, codec: str) -> None:
    bare = encode(tmp_path / f"bare-{name}", tone(0.3, 44_100), 44_100, codec)
    path = tmp_path / name
    with av.open(str(bare)) as source, av.open(str(path), "w") as target:
        target.metadata.update(FIELDS)
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    found = read_metadata(path)
    said = "; ".join(found.values())
    assert found["title"] == FIELDS["title"]
    assert all(text in said for text in FIELDS.values()), found
    assert read_metadata(bare) == {}


def test_ogg(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "a.ogg", "w", 16_000, 1, "VORBIS") as file:
        file.title, file.artist, file.comment = "Rüttler", "Ann Lee", "rusty hinge"
        file.write(tone(0.3))
    found = read_metadata(tmp_path / "a.ogg")
    assert (found["title"], found["artist"]) == ("Rüttler", "Ann Lee")
    assert "rusty hinge" in found.values()


def test_aiff(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.aiff", tone(0.3), 16_000)
    content = (tmp_path / "a.aiff").read_bytes()
    own = chunk(b"NAME", b"Gate", ">") + chunk(b"ANNO", b"rusty hinge", ">")
    own += chunk(b"AUTH", b"Ann Lee", ">") + chunk(b"ID3 ", id3(TIT2="Tor"), ">")
    size = struct.pack(">I", len(content) - 8 + len(own))
    found = metadata_of(tmp_path, content[:4] + size + content[8:12] + own + content[12:], "b.aiff")
    assert found == {"title": "Gate; Tor", "comment": "rusty hinge", "artist": "Ann Lee"}


@pytest.mark.parametrize(
    ("document", "kept"),
    [
        (b"<BWFXML><NOTE>gate", "gate"),
        (BOMB + b"<B><NOTE>gate &b;</NOTE></B>", "gate"),
        (OUTSIDE + b"<B><NOTE>gate &f;</NOTE></B>", "gate"),
        (b"<B>" * 50_000 + b"gate", "gate"),
        ("<BWFXML><NOTE>gate</NOTE></BWFXML>".encode("utf-16"), "gate"),
        (b"<BWFXML><NOTE><![CDATA[gate <b>]]></NOTE></BWFXML>", "gate <b>"),
    ],
    ids=["cut", "entities", "outside", "deep", "utf-16", "cdata"],
)  # fmt: skip
def test_hostile_documents_are_text(tmp_path: Path, document: bytes, kept: str) -> None:
    found = metadata_of(tmp_path, with_chunks(WAV, chunk(b"iXML", document)))
    said = "; ".join(found.values())
    assert kept in said
    assert "root:" not in said
    assert len(said) <= MOST_CHARACTERS


def test_what_is_too_long_is_cut(tmp_path: Path) -> None:
    long = chunk(b"bext", b"gate " * 2_000_000)  # ten megabytes
    found = metadata_of(tmp_path, with_chunks(WAV, long, info(INAM=b"x" * 3_000_000)))
    assert found["description"].startswith("gate gate")
    assert len(found["title"]) == LONGEST
    many = info(**{f"A{i:03}": b"word %d" % i for i in range(999)})
    assert len(metadata_of(tmp_path, with_chunks(WAV, many))) <= MOST_FIELDS


def test_signs_that_are_not_seen_are_left_out(tmp_path: Path) -> None:
    title = "ga\u202ete\x07 <script>alert(1)</script>\r\n\tend\u200b"
    found = metadata_of(tmp_path, with_chunks(WAV, info(INAM=title.encode())))
    assert found == {"title": "gate <script>alert(1)</script> end"}


@given(text=st.text(max_size=200))
def test_plain_text_is_one_line_of_what_is_seen(text: str) -> None:
    shown = plain(text)
    assert shown == plain(shown)
    assert all(c == " " or unicodedata.category(c)[0] not in "CZ" for c in shown)
    assert set(shown) - {" "} <= set(text)


@given(before=st.binary(max_size=400), name=st.sampled_from([b"bext", b"iXML", b"LIST", b"id3 "]))
def test_any_bytes_cost_nothing(
    tmp_path_factory: pytest.TempPathFactory, before: bytes, name: bytes
) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    inner = b"INFO" + before if name == b"LIST" else before
    found = metadata_of(folder, with_chunks(WAV, chunk(name, inner) + bext(b"still here")))
    assert "still here" in found["description"]
    found = metadata_of(folder, with_chunks(WAV, bext(b"still here"), before))
    assert "still here" in found["description"]


def test_what_is_no_recording_says_nothing(tmp_path: Path) -> None:
    assert metadata_of(tmp_path, b"words, and no sound", "a.txt") == {}
    with pytest.raises(AudioError, match="No such file"):
        read_metadata(tmp_path / "none.wav")
    with pytest.raises(AudioError, match="empty"):
        metadata_of(tmp_path, b"", "a.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(AudioError, match="pipe"):
        read_metadata(tmp_path / "pipe.wav")


def test_through_a_process(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(with_chunks(WAV, bext(b"Gate creaking")))
    with Readers(1) as readers:
        assert readers.read_metadata(path) == {"description": "Gate creaking"}
