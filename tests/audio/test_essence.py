"""What of a file is its sound: the same whatever is written beside it, another for every sample."""

from __future__ import annotations

import hashlib
import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from media import bext, chunk, encode, id3, info, tone, wav_bytes, with_chunks
from wav2clip.audio import essence
from wav2clip.audio import io as audio

pytestmark = pytest.mark.everyday


def sound_of(content: bytes) -> str:
    whole, sound = essence.hash_file(io.BytesIO(content))
    assert whole == hashlib.sha256(content).hexdigest()
    return sound


def stored(samples: np.ndarray, kind: str, subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16_000, format=kind, subtype=subtype)
    return buffer.getvalue()


def id3v1(title: bytes) -> bytes:
    return (b"TAG" + title.ljust(30, b"\0")).ljust(128, b"\0")


def ape(text: bytes, header: bool = True) -> bytes:
    """An APEv2 tag with one text."""
    item = struct.pack("<II", len(text), 0) + b"Title\0" + text
    rest = (2000, len(item) + 32, 1)
    flags = (header << 31) | (1 << 29)
    front = b"APETAGEX" + struct.pack("<IIII8x", *rest, flags) if header else b""
    return front + item + b"APETAGEX" + struct.pack("<IIII8x", *rest, flags & ~(1 << 29))


def with_comment(flac: bytes, text: bytes) -> bytes:
    """FLAC with one block of metadata more, behind STREAMINFO."""
    assert flac[:4] == b"fLaC" and flac[4] & 127 == 0
    return flac[:4] + bytes([flac[4] & 127]) + flac[5:42] + flac_block(4, text) + flac[42:]


def flac_block(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + len(content).to_bytes(3, "big") + content


def aiff_with(aiff: bytes, more: bytes) -> bytes:
    return b"FORM" + struct.pack(">I", len(aiff) - 8 + len(more)) + aiff[8:] + more


@pytest.fixture(scope="module")
def mp3(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = encode(tmp_path_factory.mktemp("mp3") / "a.mp3", tone(0.5, 44_100), 44_100, "mp3")
    content = path.read_bytes()
    assert content.startswith(b"ID3"), "FFmpeg writes a tag"
    return content


WAV = wav_bytes(tone(0.1))
FLAC = stored(tone(0.1), "FLAC")
AIFF = stored(tone(0.1), "AIFF")


@pytest.mark.parametrize(
    ("plain", "told"),
    [
        (WAV, with_chunks(WAV, before=bext(b"gate"))),
        (WAV, with_chunks(WAV, after=info(INAM=b"gate") + bext(b"odd"))),
        (WAV, with_chunks(WAV, before=chunk(b"JUNK", b"\0" * 31))),
        (WAV, WAV + b"\0\0\0"),
        (FLAC, with_comment(FLAC, b"gate")),
        (AIFF, aiff_with(AIFF, chunk(b"NAME", b"gate", ">"))),
    ],
    ids=["bext", "info", "junk", "padding", "flac", "aiff"],
)
def test_words_change_the_content_and_not_the_sound(plain: bytes, told: bytes) -> None:
    assert sound_of(plain) == sound_of(told) != ""
    assert hashlib.sha256(plain).digest() != hashlib.sha256(told).digest()
    both = [audio.load_audio(each).samples for each in (plain, told)]
    np.testing.assert_array_equal(*both)


def test_tags_of_mp3(mp3: bytes) -> None:
    bare = mp3[10 + (mp3[8] << 7 | mp3[9]) :]
    assert bare[0] == 0xFF
    others = [
        mp3,
        id3(TIT2="a gate") + bare,
        bare + id3v1(b"gate"),
        bare + ape(b"gate"),
        bare + ape(b"gate", header=False) + id3v1(b"gate"),
    ]
    assert {sound_of(each) for each in others} == {sound_of(bare)} != {""}
    assert sound_of(bare[:-1] + bytes([bare[-1] ^ 1])) != sound_of(bare)


def test_aac_is_not_taken_for_mpeg() -> None:
    assert sound_of(b"\xff\xf1" + b"\0" * 500) == ""


@pytest.mark.parametrize("kind", ["WAV", "RF64", "AIFF", "FLAC"])
def test_every_sample_counts(kind: str) -> None:
    wave = np.round(tone(0.05) * 2**15).astype(np.int16)
    other = wave.copy()
    other[-1] ^= 1
    first, second = stored(wave, kind), stored(other, kind)
    assert len({sound_of(first), sound_of(second), sound_of(stored(wave, kind)), ""}) == 3


def test_how_samples_are_read_counts() -> None:
    """The same bytes at another rate, or in the other order, are another sound."""
    faster = WAV.replace(struct.pack("<I", 16_000), struct.pack("<I", 32_000))
    assert sound_of(faster) not in ("", sound_of(WAV))
    swapped = b"RIFX" + WAV[4:]
    assert sound_of(swapped) == "", "of these nothing is known"


def rf64(samples: bytes, stated: int) -> bytes:
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 0, stated, 0, 0))
    return b"RF64\xff\xff\xff\xffWAVE" + ds64 + WAV[12:36] + b"data\xff\xff\xff\xff" + samples


def test_the_sizes_of_large_files() -> None:
    samples = WAV[44:]
    assert sound_of(rf64(samples, len(samples))) not in (
        "",
        sound_of(WAV + bext(b"") + b"12345678"),
    )
    assert sound_of(rf64(samples, len(samples))) == sound_of(
        rf64(samples, len(samples)) + bext(b"gate")
    )
    assert sound_of(rf64(samples, len(samples) + 2)) == "", "it is cut"
    assert sound_of(rf64(samples, 0)) == ""
    assert sound_of(rf64(samples, 2**63)) == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"R",
        b"RIFF\0\0\0\0WAVE",
        WAV[:-2],  # cut
        WAV[:36] + chunk(b"data", b"\0\0") + WAV[36:],  # two sounds
        WAV[:12] + WAV[36:],  # no format
        WAV[:36] + chunk(b"LIST", b"INFO"),  # no sound
        WAV + b"garbage that is no chunk",
        WAV[:40] + b"\xff\xff\xff\xff" + WAV[44:],  # no length
        WAV + b"bext\xff\xff\xff\x7f",
        WAV + chunk(b"LIST", b"") * 5000,
        b"RIFF\0\0\0\0WAVE" + b"\0" * 40_000,
        AIFF[:-1],
        b"fLaC",
        FLAC[:20],
        b"fLaC" + flac_block(4, b"") + FLAC[4:],  # STREAMINFO is not the first
        b"fLaC" + flac_block(0, b"0" * 34) + flac_block(0, b"0" * 34) + FLAC[42:],
        b"fLaC\x80\xff\xff\xff" + b"0" * 34,
        b"fLaC" + flac_block(0, b"0" * 34) + flac_block(4, b"") * 5000 + FLAC[42:],
        b"\xff\xfb\x90\0" + ape(b"gate")[:-20] + struct.pack("<III8x", 2**31, 1, 1 << 31),
        id3(TIT2="gate"),
        id3(TIT2="gate") + WAV,
        stored(tone(0.1), "OGG"),
    ],
)  # fmt: skip
def test_what_is_not_as_it_should_be_has_none(content: bytes) -> None:
    assert sound_of(content) == ""


@given(st.binary(max_size=300), st.sampled_from([b"", WAV[:60], FLAC[:60], AIFF[:80], b"\xff\xfb"]))
def test_any_bytes(rest: bytes, front: bytes) -> None:
    found = essence.find_essence(io.BytesIO(front + rest))
    if found is not None:
        borders = [border for part in found.parts for border in part]
        assert borders == sorted(borders)
        assert borders[-1] <= len(front + rest)


@given(st.integers(0, 2**32 - 1), st.sampled_from([4, 16, 40]))
def test_any_size_of_a_chunk(size: int, at: int) -> None:
    """A size that is another than before is another sound, or none, or padding."""
    content = WAV[:at] + struct.pack("<I", size) + WAV[at + 4 :]
    sound = sound_of(content)
    assert at == 4 or size == struct.unpack_from("<I", WAV, at)[0] or sound != sound_of(WAV)


@pytest.mark.parametrize("block", [1, 7, 44, 1000])
def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    content = with_chunks(WAV[:244], bext(b"gate"), info(INAM=b"gate"))
    content = content.replace(WAV[40:44], struct.pack("<I", 200))
    expected = sound_of(content)
    assert expected
    monkeypatch.setattr(essence, "_BLOCK", block)
    assert sound_of(content) == expected
