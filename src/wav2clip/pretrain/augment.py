"""Random changes of sound, on whole batches, so that an encoder learns what matters.

The waveform is mixed, put into a room and given noise; the spectrogram is filtered and masked. Gain
needs no place here: standardisation takes it out again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from wav2clip.models.frontend import Frontend
from wav2clip.pretrain.config import AugmentSettings

LOUDNESS = 0.05
"""Root mean square that waveforms are brought to before they are mixed; speech at -26 dBFS."""

EQUALISER_POINTS = 6
DB_PER_NEPER = 4.342944819
"""10 / ln(10): decibels per unit of the natural logarithm of power."""


@dataclass(frozen=True)
class Batch:
    """Clips and what belongs to them.

    Attributes:
        audio: (n, samples) int16 or float32 in [-1, 1], 16 kHz.
        targets: (n, d) float32, the teacher's embeddings.
        labels: (n, k) int64, -1 where there is none; k is 1, or 2 after mixing.
        shares: (n, k) float32, how much of each label is in the clip; rows sum to 1.
    """

    audio: Tensor
    targets: Tensor
    labels: Tensor
    shares: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(*(t.to(device, non_blocking=True) for t in vars(self).values()))

    def __len__(self) -> int:
        return len(self.audio)


def waveform(audio: Tensor) -> Tensor:
    """int16 sound as float32 in [-1, 1]; float32 is left alone."""
    return audio.float() / 32768 if audio.dtype == torch.int16 else audio


class Augment:
    """The random changes of :class:`AugmentSettings`, drawn from one generator."""

    def __init__(self, settings: AugmentSettings, frontend: Frontend) -> None:
        self.settings, self.frontend = settings, frontend

    def __call__(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Batch]:
        """Standardised spectrograms (n, bins, columns), and the batch with what was mixed.

        ``generator`` lives on the CPU, so that all devices draw the same numbers.
        """
        settings, wave = self.settings, waveform(batch.audio)
        if settings.mix or settings.reverb or settings.noise_db:
            wave = equally_loud(wave)
        if settings.mix:
            wave, batch = self.mix(wave, batch, generator)
        if settings.reverb:
            wave = self.reverberate(wave, generator)
        if settings.noise_db:
            wave = self.add_noise(wave, settings.noise_db, generator)
        spectrogram = self.frontend(wave)
        if settings.equalise_db:
            spectrogram = spectrogram + self.filter(spectrogram, generator)
        spectrogram = self.frontend.standardize(spectrogram, "recording")
        return self.mask(spectrogram, generator), batch

    def mix(self, wave: Tensor, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Batch]:
        """Mix in another clip of the batch; labels, shares and targets follow."""
        n, settings = len(wave), self.settings
        other = torch.randperm(n, generator=generator).to(wave.device)
        share = torch.rand(n, 1, generator=generator) * settings.mix_share
        share *= torch.rand(n, 1, generator=generator) < settings.mix
        share = share.to(wave.device)
        wave = (1 - share) * wave + share * wave[other]
        return wave, replace(
            batch,
            audio=wave,
            targets=(1 - share) * batch.targets + share * batch.targets[other],
            labels=torch.cat([batch.labels, batch.labels[other]], dim=1),
            shares=torch.cat([batch.shares * (1 - share), batch.shares[other] * share], dim=1),
        )

    def reverberate(self, wave: Tensor, generator: torch.Generator) -> Tensor:
        """Convolve with noise that decays by 60 dB in 0.1 to 0.8 s, at random distance."""
        n, samples = wave.shape
        rate = self.frontend.config.sample_rate
        decay = 0.1 + 0.7 * torch.rand(n, 1, generator=generator)
        level = torch.rand(n, 1, generator=generator)
        level *= torch.rand(n, 1, generator=generator) < self.settings.reverb
        seconds = torch.arange(min(samples, int(0.8 * rate))) / rate
        # ln(1000): 60 dB in amplitude.
        room = torch.exp(-6.9078 * seconds / decay)
        room *= torch.randn(n, len(seconds), generator=generator)
        room *= level / room.square().sum(1, keepdim=True).sqrt()
        room[:, 0] = 1
        size = samples + len(seconds)
        spectrum = torch.fft.rfft(wave, size) * torch.fft.rfft(room.to(wave.device), size)
        wet: Tensor = torch.fft.irfft(spectrum, size)
        return wet[:, :samples]

    def add_noise(
        self, wave: Tensor, levels: tuple[float, float], generator: torch.Generator
    ) -> Tensor:
        """White noise on half of the clips, its level in dB relative to the clip's."""
        n = len(wave)
        low, high = levels
        level = low + (high - low) * torch.rand(n, 1, generator=generator)
        gain = 10 ** (level / 20) * (torch.rand(n, 1, generator=generator) < 0.5)
        noise = torch.randn(wave.shape, generator=generator).to(wave.device)
        return wave + gain.to(wave.device) * LOUDNESS * noise

    def filter(self, spectrogram: Tensor, generator: torch.Generator) -> Tensor:
        """A smooth gain over frequency, (n, bins, 1), to add to the log spectrogram."""
        points = torch.randn(len(spectrogram), 1, EQUALISER_POINTS, generator=generator)
        gain = points * (self.settings.equalise_db / DB_PER_NEPER)
        curve = F.interpolate(gain, spectrogram.shape[1], mode="linear", align_corners=True)
        return curve.transpose(1, 2).to(spectrogram.device)

    def mask(self, spectrogram: Tensor, generator: torch.Generator) -> Tensor:
        """Bands of frequencies and spans of time set to 0, the mean."""
        settings = self.settings
        _, bins, columns = spectrogram.shape
        for _ in range(settings.mask_bands):
            covered = _stripes(len(spectrogram), bins, settings.mask_bins, generator)
            spectrogram = spectrogram.masked_fill(covered[:, :, None].to(spectrogram.device), 0)
        for _ in range(settings.mask_spans):
            width = settings.mask_share * columns
            covered = _stripes(len(spectrogram), columns, width, generator)
            spectrogram = spectrogram.masked_fill(covered[:, None, :].to(spectrogram.device), 0)
        return spectrogram


def equally_loud(wave: Tensor) -> Tensor:
    """Waveforms with a root mean square of :data:`LOUDNESS`; silence stays silent."""
    level = wave.square().mean(dim=1, keepdim=True).sqrt()
    return wave * (LOUDNESS / level.clamp(min=1e-4))


def _stripes(n: int, size: int, widest: float, generator: torch.Generator) -> Tensor:
    """(n, size) bool: one stretch per row, of random place and of random width up to ``widest``."""
    start = torch.rand(n, 1, generator=generator) * size
    width = torch.rand(n, 1, generator=generator) * widest
    place = torch.arange(size)
    return (place >= start) & (place < start + width)
