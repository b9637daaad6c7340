"""A teacher that can be checked by hand, and films made of a picture and a sound."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wav2clip.errors import ImageError
from wav2clip.models.space import Space
from wav2clip.models.towers.base import Towers

DIMENSION = 16
SIDE = 96


class ToyTowers(Towers):
    """Text: a vector drawn from the phrase's hash. Pictures: mean colours of a 5 x 1 grid."""

    name = "toy"
    differentiable = False
    logit_scale = 100.0
    means: dict[str, NDArray[np.float32]] = {}  # noqa: RUF012

    def __init__(self, dimension: int = DIMENSION) -> None:
        self.space = Space("toy", dimension)
        self.seen: list[int] = []  # pictures of each call
        self.read: list[str] = []

    @property
    def fingerprint(self) -> str:
        return f"toy-{self.dimension}"

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        raise NotImplementedError

    def _texts(self, phrases: list[str]) -> NDArray[np.float32]:
        self.read += phrases
        seeds = [int(hashlib.sha256(p.encode()).hexdigest()[:8], 16) for p in phrases]
        return np.stack(
            [np.random.default_rng(s).normal(size=self.dimension) for s in seeds]
        ).astype(np.float32)

    def _images(self, pictures: list[Any]) -> NDArray[np.float32]:
        self.seen.append(len(pictures))
        if any(picture.size == (13, 13) for picture in pictures):
            raise ImageError("the towers do not like 13 x 13")
        rows = [np.asarray(p.resize((1, 5), box=(0, 0, *p.size))).ravel() / 255 for p in pictures]
        vectors = np.zeros((len(rows), self.dimension), np.float32)
        vectors[:, :15] = rows
        vectors[:, 15] = 0.1
        return vectors


class ToyTagger:
    """Features: six statistics of a waveform. Probabilities: a fixed mixture of them."""

    name, licence, labels = "toy-tagger", "MIT", ("dog", "rain, heavy", "bell", "wind")
    feature_dimension = 6

    def __init__(self, sample_rate: int = 32_000, fingerprint: str = "toy-1") -> None:
        self.sample_rate, self.fingerprint = sample_rate, fingerprint
        self.heard: list[tuple[int, int]] = []  # shape of each call

    def __call__(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        self.heard.append((len(wave), wave.shape[1]))
        statistics = [wave.mean(1), wave.std(1, unbiased=False), wave.amax(1), wave.amin(1)]
        statistics += [wave.abs().mean(1), wave.square().mean(1)]
        features = torch.stack(statistics, 1)
        mixture = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
        return (5 * features @ mixture).sigmoid(), features


def film(
    path: Path,
    pictures: NDArray[np.uint8] | None,
    times: NDArray[np.float64] | None = None,
    audio: NDArray[np.float32] | None = None,
    rate: int = 16_000,
) -> Path:
    """Mux mono sound, then pictures (n, SIDE, SIDE, 3) shown from ``times`` (seconds).

    Matroska keeps any time stamps, FFV1 and PCM keep every value.
    """
    with av.open(str(path), "w") as container:
        packets = []
        if pictures is not None:
            video = container.add_stream("ffv1", rate=1000)
            video.width = video.height = SIDE
            video.pix_fmt = "bgr0"
            video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        if audio is not None:
            sound = container.add_stream("pcm_s16le", rate=rate, layout="mono")
            packets += _sound_packets(sound, audio, rate)
        if pictures is not None:
            times = np.arange(len(pictures)) / 25 if times is None else times
            for picture, time in zip(pictures, times, strict=True):
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
                packets += [(time, packet) for packet in video.encode(frame)]
            packets += [(np.inf, packet) for packet in video.encode(None)]
        for _, packet in sorted(packets, key=lambda entry: entry[0]):
            container.mux(packet)
    return path


def _sound_packets(stream: Any, audio: NDArray[np.float32], rate: int) -> list[tuple[float, Any]]:
    """Packets of a twentieth of a second, with their times."""
    values = np.rint(audio * 32767).astype(np.int16)
    packets = []
    for start in range(0, len(values), rate // 20):
        block = av.AudioFrame.from_ndarray(values[None, start : start + rate // 20], "s16", "mono")
        block.sample_rate, block.pts = rate, start
        packets += [(start / rate, packet) for packet in stream.encode(block)]
    return packets
