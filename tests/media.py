"""Small media files made on the spot: every container and codec that the tests need."""

from __future__ import annotations

import io
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


def encode(
    path: Path,
    samples: np.ndarray | None,
    rate: int,
    codec: str,
    pictures: list[np.ndarray] | None = None,
    fps: int = 5,
) -> Path:
    """A file with an audio track of (n,) samples and a video track of (h, w, 3) uint8 pictures.

    FFmpeg writes it, but for Vorbis, whose encoder is libsndfile's.
    """
    if codec == "libvorbis":
        assert samples is not None and pictures is None
        soundfile.write(path, samples, rate, format="OGG", subtype="VORBIS")
        return path
    with av.open(str(path), "w") as container:
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
