"""Parts of recordings: samples, times, words."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from media import bext, chunk, encode, with_chunks
from wav2clip.audio.excerpt import depth_of, write_excerpt
from wav2clip.audio.io import stream_audio
from wav2clip.audio.metadata import read_metadata
from wav2clip.errors import AudioError, InputError

pytestmark = pytest.mark.everyday


def cut(source: Path, target: Path, start: float, end: float, **options: object) -> float:
    return write_excerpt(stream_audio(source), source, target, start, end, **options)  # type: ignore[arg-type]


def noise(path: Path, subtype: str, rate: int = 48_000, channels: int = 2) -> np.ndarray:
    """Two seconds at full scale, extreme values among them; gives what was stored."""
    rng = np.random.default_rng(3)
    samples = rng.uniform(-1, 1, (2 * rate, channels))
    samples[:2] = [[-1.0] * channels, [1.0] * channels]
    soundfile.write(path, samples, rate, subtype=subtype)
    return soundfile.read(path, dtype="int32" if "PCM" in subtype else "float32", always_2d=True)[0]


@pytest.mark.parametrize(
    ("name", "subtype", "kept"),
    [
        ("a.wav", "PCM_16", "PCM_16"),
        ("a.wav", "PCM_24", "PCM_24"),
        ("a.wav", "FLOAT", "FLOAT"),
        ("a.wav", "PCM_U8", "PCM_16"),
        ("a.flac", "PCM_24", "PCM_24"),
        ("a.aiff", "PCM_16", "PCM_16"),
    ],
)
def test_every_bit_is_kept(name: str, subtype: str, kept: str, tmp_path: Path) -> None:
    source, target = tmp_path / name, tmp_path / "part.wav"
    stored = noise(source, subtype)
    assert cut(source, target, 0.5, 1.25) == 0.75
    info = soundfile.info(target)
    assert (info.samplerate, info.channels, info.subtype) == (48_000, 2, kept)
    part = soundfile.read(target, dtype=stored.dtype.name, always_2d=True)[0]
    np.testing.assert_array_equal(part, stored[24_000:60_000])
    whole = tmp_path / "whole.wav"
    assert cut(source, whole, 0, 99) == 2
    np.testing.assert_array_equal(
        soundfile.read(whole, dtype=stored.dtype.name, always_2d=True)[0], stored
    )


def test_other_depths_and_fades(tmp_path: Path) -> None:
    source, target = tmp_path / "a.wav", tmp_path / "b.wav"
    soundfile.write(source, np.full((48_000, 1), 0.5), 48_000, subtype="PCM_24")
    cut(source, target, 0, 1, fade_seconds=0.1, bits=16)
    part = soundfile.read(target)[0]
    assert soundfile.info(target).subtype == "PCM_16"
    assert len(part) == 48_000
    np.testing.assert_allclose(part[4800:-4800], 0.5, atol=1e-4)
    ramp = 0.5 * np.arange(1, 4801) / 4801
    np.testing.assert_allclose(part[:4800], ramp, atol=1e-4)
    np.testing.assert_allclose(part[-4800:], ramp[::-1], atol=1e-4)
    cut(source, target, 0, 0.01, fade_seconds=5)
    assert soundfile.read(target)[0].max() <= 0.5, "a fade is at most half as long as the part"
    assert (depth_of("vorbis"), depth_of("double"), depth_of("pcm_s16le")) == (24, 32, 16)


def time_reference(path: Path) -> int:
    content = path.read_bytes()
    at = content.index(b"bext") + 8
    return int(struct.unpack_from("<Q", content, at + 338)[0])


def test_words_and_the_time_reference_come_along(tmp_path: Path) -> None:
    source, target = tmp_path / "a.wav", tmp_path / "part.wav"
    noise(source, "PCM_16")
    description = bytearray(bext(b"Harbour at dusk"))
    struct.pack_into("<Q", description, 8 + 338, 10_000)
    xml = b"<BWFXML><NOTE>gulls</NOTE><SPEED><TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>10000"
    xml += b"</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO></SPEED></BWFXML>"
    source.write_bytes(with_chunks(source.read_bytes(), bytes(description), chunk(b"iXML", xml)))
    cut(source, target, 0.5, 1.0)
    assert time_reference(target) == 10_000 + 24_000
    assert read_metadata(target) == read_metadata(source)
    assert b"MIDNIGHT" not in target.read_bytes(), "it would still be that of the whole"
    cut(target, tmp_path / "again.wav", 0.25, 0.5)
    assert time_reference(tmp_path / "again.wav") == 10_000 + 36_000
    plain = tmp_path / "plain.flac"
    noise(plain, "PCM_16")
    cut(plain, target, 1.0, 1.5)
    assert time_reference(target) == 48_000, "from the start of the file where it knew no day"
    assert len(soundfile.read(target)[0]) == 24_000


def test_compressed_and_late_sound(tmp_path: Path) -> None:
    rate = 44_100
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(3 * rate) / rate).astype(np.float32)
    source, target = tmp_path / "a.m4a", tmp_path / "part.wav"
    encode(source, tone, rate, "aac")
    assert cut(source, target, 1.0, 2.0) == 1.0
    assert soundfile.info(target).subtype == "PCM_24"
    part = soundfile.read(target)[0]
    spectrum = np.abs(np.fft.rfft(part.reshape(len(part), -1)[:, 0]))
    assert abs(int(spectrum.argmax()) - 440) <= 1


@pytest.mark.parametrize(("start", "end"), [(1.0, 1.0), (1.5, 1.0), (5.0, 6.0)])
def test_nothing_to_write(start: float, end: float, tmp_path: Path) -> None:
    source, target = tmp_path / "a.wav", tmp_path / "b.wav"
    noise(source, "PCM_16")
    with pytest.raises(InputError, match=r"expected an end|there is no sound"):
        cut(source, target, start, end)
    with pytest.raises(InputError, match="got 12 bits"):
        cut(source, target, 0, 1, bits=12)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav"]


def test_what_cannot_be_read(tmp_path: Path) -> None:
    source, target = tmp_path / "a.wav", tmp_path / "b.wav"
    source.write_bytes(b"RIFF no sound")
    with pytest.raises(AudioError):
        cut(source, target, 0, 1)
    soundfile.write(source, np.array([0.0, np.nan, np.inf, 2.0] * 100), 8_000, subtype="FLOAT")
    cut(source, target, 0, 1)
    assert np.isfinite(soundfile.read(target)[0]).all()
