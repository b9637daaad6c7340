"""Encoders that nobody trained: what any embedding must beat.

Statistics of spectral features are the baselines of the field's first benchmarks (Piczak 2015,
"ESC: Dataset for Environmental Sound Classification", ACM Multimedia); random weights show what
the architecture gives by itself.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from wav2clip.audio import windows
from wav2clip.audio.io import Samples
from wav2clip.embedding.embedder import Frames, Wav2CLIP
from wav2clip.embedding.engine import Embeddings
from wav2clip.models.checkpoint import Checkpoint
from wav2clip.models.config import AudioConfig, FrontendConfig
from wav2clip.models.frontend import Frontend
from wav2clip.models.network import AudioNetwork

RANDOM_SEED = 2021
"""The published code's seed."""


class WindowEncoder(ABC):
    """An encoder whose frame level is its clip level on each window, nothing shared between them.

    Attributes:
        name: what it is called in tables.
        fingerprint: 16 hexadecimal digits, another for other parameters or weights.
        dimension: numbers per embedding.
        sample_rate: Hz of the waveforms that it takes.
    """

    name: str
    fingerprint: str
    dimension: int
    sample_rate: int

    @abstractmethod
    def embed(self, waves: Sequence[Samples]) -> Embeddings:
        """(n, dimension) float32 of n waveforms (samples,), each as it would be alone."""

    def embed_frames(self, wave: Samples, frame_seconds: float, hop_seconds: float) -> Frames:
        """(t, dimension) float32 of whole windows of one waveform, and their starts in seconds.

        Raises:
            InputError: the waveform is shorter than one window.
        """
        length, hop = (round(s * self.sample_rate) for s in (frame_seconds, hop_seconds))
        embeddings = self.embed(list(windows.frame(wave, length, hop)))
        return Frames(embeddings, windows.frame_starts(len(embeddings), hop, self.sample_rate))


@dataclass(frozen=True)
class MelConfig:
    """Parameters of a log-mel spectrogram.

    Rate, hop, bands and their range are those of VGGish (Hershey et al. 2017, arXiv 1609.09430);
    the Hann window is 32 ms instead of 25 ms, so that it fills the FFT. Levels are in dB and end 80
    dB below the loudest cell of the recording, as librosa's ``power_to_db`` has them.

    Attributes:
        sample_rate: Hz.
        n_fft: points of the FFT and samples of the periodic Hann window.
        hop_length: samples between columns.
        bands: triangular filters, equally spaced in mel (HTK: 2595 log10(1 + f / 700)), peak 1.
        low: Hz at which the first filter begins.
        high: Hz at which the last filter ends.
        range_db: dB below the loudest cell to which quieter ones are lifted.
    """

    sample_rate: int = 16_000
    n_fft: int = 512
    hop_length: int = 160
    bands: int = 64
    low: float = 125.0
    high: float = 7500.0
    range_db: float = 80.0


def mel_filters(config: MelConfig) -> NDArray[np.float64]:
    """Weights (bands, n_fft // 2 + 1) of triangular filters on a power spectrum."""

    def mel(hertz: float) -> float:
        return float(2595.0 * np.log10(1.0 + hertz / 700.0))

    edges = np.linspace(mel(config.low), mel(config.high), config.bands + 2)
    edges = 700.0 * (10.0 ** (edges / 2595.0) - 1.0)
    bins = np.linspace(0.0, config.sample_rate / 2, config.n_fft // 2 + 1)
    left, centre, right = (edges[i : i + config.bands, None] for i in range(3))
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)))


class LogMel(WindowEncoder):
    """Mean and standard deviation over time of each band of a log-mel spectrogram."""

    name = "logmel"

    def __init__(self, config: MelConfig | None = None) -> None:
        self.config = config or MelConfig()
        self.sample_rate = self.config.sample_rate
        self.dimension = 2 * self._features
        parameters = repr((self.name, sorted(asdict(self.config).items())))
        self.fingerprint = hashlib.sha256(parameters.encode()).hexdigest()[:16]
        self._frontend = Frontend(
            FrontendConfig(
                sample_rate=self.config.sample_rate,
                n_fft=self.config.n_fft,
                hop_length=self.config.hop_length,
            )
        )
        self._filters = mel_filters(self.config)

    @property
    def _features(self) -> int:
        return self.config.bands

    def embed(self, waves: Sequence[Samples]) -> Embeddings:
        rows = [self.features(wave) for wave in waves]
        statistics = [np.concatenate((row.mean(axis=1), row.std(axis=1))) for row in rows]
        return np.array(statistics, np.float32).reshape(len(waves), self.dimension)

    def features(self, wave: Samples) -> NDArray[np.float64]:
        """(features, columns) of one waveform, before the statistics."""
        return self.spectrogram(wave)

    def spectrogram(self, wave: Samples) -> NDArray[np.float64]:
        """(bands, columns) in dB."""
        power = self._frontend.power(torch.from_numpy(np.array(wave, np.float32))[None])[0]
        bands = self._filters @ power.double().numpy()
        decibels = 10.0 * np.log10(np.maximum(bands, 1e-10))
        return np.asarray(np.maximum(decibels, decibels.max() - self.config.range_db))


class Mfcc(LogMel):
    """Mean and standard deviation over time of MFCC 1 to 12 and of the zero-crossing rate.

    The features of Piczak 2015, section 4: the 0th coefficient (loudness) is left out.
    """

    name = "mfcc"
    coefficients = 12

    @property
    def _features(self) -> int:
        return self.coefficients + 1

    def features(self, wave: Samples) -> NDArray[np.float64]:
        from scipy.fft import dct

        cepstrum = dct(self.spectrogram(wave), axis=0, norm="ortho")[1 : self.coefficients + 1]
        crossings = self._zero_crossing_rate(wave)
        return np.vstack((cepstrum, crossings[None, : cepstrum.shape[1]]))

    def _zero_crossing_rate(self, wave: Samples) -> NDArray[np.float64]:
        """Changes of sign per sample, (columns,), in windows where the spectrogram's are."""
        size, hop = self.config.n_fft, self.config.hop_length
        missing = max(0, self._frontend.config.min_samples - len(wave))
        padded = np.pad(np.pad(wave, (0, missing)), size // 2, mode="edge")
        negative = windows.frame(padded, size, hop) < 0
        return np.asarray((negative[:, 1:] != negative[:, :-1]).sum(axis=1) / size, np.float64)


class RandomEncoder:
    """The published architecture with random weights.

    Attributes: as :class:`WindowEncoder`; frames share the statistics of their recording, as those
    of a trained model do.
    """

    def __init__(self, seed: int = RANDOM_SEED, device: str | None = None) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = AudioNetwork().eval()
        config = AudioConfig(space="random", licence="MIT", provenance={"seed": seed})
        self.name = "random" if seed == RANDOM_SEED else f"random:{seed}"
        self._model = Wav2CLIP(Checkpoint.of(network, config), name=self.name, device=device)
        self.fingerprint = self._model.fingerprint
        self.dimension = self._model.dimension
        self.sample_rate = self._model.sample_rate

    def embed(self, waves: Sequence[Samples]) -> Embeddings:
        """(n, dimension) float32 of n waveforms (samples,)."""
        if not len(waves):
            return np.zeros((0, self.dimension), np.float32)
        return self._model.embed_audio(list(waves), self.sample_rate)

    def embed_frames(self, wave: Samples, frame_seconds: float, hop_seconds: float) -> Frames:
        """(t, dimension) float32 of windows of one waveform, and their starts in seconds."""
        return self._model.embed_frames(wave, self.sample_rate, frame_seconds, hop_seconds)
