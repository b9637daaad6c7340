"""Small media files made on the spot: every container and codec that the tests need."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import numpy as np
import soundfile


def tone(seconds: float = 1.0, rate: int = 16_000, hz: float = 440.0) -> np.ndarray:
    """(n,) float32 sine of amplitude 0.5."""
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype("f4")


def wav_bytes(samples: np.ndarray, rate: int = 16_000, subtype: str = "PCM_16") -> bytes:
    """A WAV file of (n,) or (n, channels) samples."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype=subtype)
    return buffer.getvalue()


def chunk(name: bytes, content: bytes, order: str = "<") -> bytes:
    """A chunk of RIFF, or with ``order`` ``">"`` of AIFF."""
    return name + struct.pack(f"{order}I", len(content)) + content + b"\0" * (len(content) % 2)


def bext(description: bytes, originator: bytes = b"", reference: bytes = b"") -> bytes:
    """A chunk of broadcast WAV (EBU Tech 3285)."""
    texts = [description.ljust(256, b"\0"), originator.ljust(32, b"\0"), reference.ljust(32, b"\0")]
    rest = b"2026-01-0210:11:12" + struct.pack("<QH", 48_000, 1) + b"\0" * 254
    return chunk(b"bext", b"".join(texts) + rest + b"A=PCM,F=48000")


def info(**texts: bytes) -> bytes:
    """A list of texts by their code, such as ``INAM=b"title"``."""
    parts = (chunk(name.encode(), text) for name, text in texts.items())
    return chunk(b"LIST", b"INFO" + b"".join(parts))


def id3(**texts: str) -> bytes:
    """An ID3v2.3 tag of text frames, such as ``TIT2="title"``, in UTF-16."""
    frames = b""
    for name, text in texts.items():
        content = b"\x01" + b"\0\0".join(part.encode("utf-16") for part in text.split("\0"))
        frames += name.encode() + struct.pack(">IH", len(content), 0) + content
    size = bytes(len(frames) >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frames


def with_chunks(wav: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """A WAV file with chunks before its sound and behind it."""
    at = wav.index(b"data")
    body = wav[8:at] + before + wav[at:] + after
    return b"RIFF" + struct.pack("<I", len(body)) + body


def encode(
    path: Path,
    samples: np.ndarray | None,
    rate: int,
    codec: str,
    pictures: list[np.ndarray] | None = None,
    fps: int = 5,
    **texts: str,
) -> Path:
    """A file with an audio track of (n,) samples and a video track of (h, w, 3) uint8 pictures,
    and texts, such as ``title``.

    FFmpeg writes it, but for Vorbis, whose encoder is libsndfile's.
    """
    if codec == "libvorbis":
        assert samples is not None and pictures is None
        soundfile.write(path, samples, rate, format="OGG", subtype="VORBIS")
        return path
    with av.open(str(path), "w") as container:
        container.metadata.update(texts)
        video = audio = None
        if pictures is not None:
            video = container.add_stream("mpeg4", rate=fps)
            video.height, video.width = pictures[0].shape[:2]
            video.pix_fmt = "yuv420p"
        if samples is not None:
            audio = container.add_stream(codec, rate=rate, layout="mono")
            audio.bit_rate = 128_000
        if video is not None:
            for picture in pictures or []:
                container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(video.encode())
        if audio is not None and samples is not None:
            frame = av.AudioFrame.from_ndarray(samples[None].astype("f4"), "fltp", "mono")
            frame.sample_rate = rate
            convert = av.AudioResampler(audio.format, "mono", rate, audio.frame_size or None)
            for converted in [*convert.resample(frame), *convert.resample(None)]:
                container.mux(audio.encode(converted))
            container.mux(audio.encode())
    return path
