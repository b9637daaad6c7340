"""The built-in encoder's front end: from a waveform at 32 kHz to its log-mel spectrogram.

Constants are those of EfficientAT (Schmid, Koutini and Widmer 2023, arXiv 2211.04772), whose mel
filters are Kaldi's (Povey et al. 2011): the scale 1127 ln(1 + f / 700), triangles in mels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

QUIETEST = 1e-5
"""Peaks below this (-100 dB) are not worth making louder: they are rounding noise."""


@dataclass(frozen=True)
class MelConfig:
    """Preprocessing that a checkpoint was trained with.

    Attributes:
        sample_rate: Hz of the waveform that the network expects.
        n_fft: points of the FFT.
        window_length: samples of the symmetric Hann window, in the middle of the FFT's points.
        hop_length: samples between neighbouring frames.
        bands: mel bands.
        highest: Hz of the upper edge of the highest band; the lowest begins at 0 Hz.
        pre_emphasis: share of a sample that is taken off the next one.
        log_offset: added to the energy before the logarithm.
        shift, scale: added to the logarithm, and what the sum is then divided by.
        peak: largest magnitude that each waveform is scaled to, or None, which leaves its level:
            then a recording 30 dB lower is heard as another sound.
    """

    sample_rate: int = 32_000
    n_fft: int = 1024
    window_length: int = 800
    hop_length: int = 320
    bands: int = 128
    highest: float = 15_000.0
    pre_emphasis: float = 0.97
    log_offset: float = 1e-5
    shift: float = 4.5
    scale: float = 5.0
    peak: float | None = None

    @property
    def bins(self) -> int:
        """Rows of the spectrogram."""
        return self.bands

    @property
    def min_samples(self) -> int:
        """Pre-emphasis takes one sample, reflect padding half an FFT and one; less is padded."""
        return self.n_fft // 2 + 2

    def columns(self, samples: int) -> int:
        """Frames of the spectrogram of ``samples`` samples."""
        return 1 + (max(samples, self.min_samples) - 1) // self.hop_length


class MelFrontend(nn.Module):
    """Waveform (batch, samples) in [-1, 1] to log-mel spectrogram (batch, bands, frames)."""

    window: Tensor
    filters: Tensor

    def __init__(self, config: MelConfig | None = None) -> None:
        super().__init__()
        self.config = config or MelConfig()
        window = torch.hann_window(self.config.window_length, periodic=False)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", mel_filters(self.config), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """The log-mel spectrogram; silence gives ``(ln(log_offset) + shift) / scale`` everywhere.

        Fewer than ``config.min_samples`` samples are padded with zeros on the right, because
        reflect padding is undefined there.
        """
        config = self.config
        if config.peak is not None:
            loudest = wave.abs().amax(dim=-1, keepdim=True)
            wave = wave * (config.peak / (loudest + QUIETEST))
        missing = config.min_samples - wave.shape[-1]
        if missing > 0:
            wave = nn.functional.pad(wave, (0, missing))
        emphasised = wave[:, 1:] - config.pre_emphasis * wave[:, :-1]
        spectrum = torch.stft(
            emphasised,
            config.n_fft,
            hop_length=config.hop_length,
            win_length=config.window_length,
            window=self.window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        energy = torch.matmul(self.filters, power)
        return (energy.add_(config.log_offset).log_() + config.shift) / config.scale

    def standardize(self, spectrogram: Tensor, scope: object = None) -> Tensor:
        """The spectrogram as it is: this network takes levels as they are recorded."""
        return spectrogram


def mel_filters(config: MelConfig) -> Tensor:
    """Triangular filters (bands, n_fft // 2 + 1), evenly spaced on Kaldi's mel scale.

    The bin at half the sample rate takes no part, as in Kaldi.
    """

    def mel(hertz: Tensor | float) -> Tensor:
        return 1127.0 * torch.log1p(torch.as_tensor(hertz, dtype=torch.float64) / 700.0)

    half = config.n_fft // 2
    bins = mel(torch.arange(half, dtype=torch.float64) * config.sample_rate / config.n_fft)
    step = mel(config.highest) / (config.bands + 1)
    left = torch.arange(config.bands, dtype=torch.float64)[:, None] * step
    rising, falling = (bins - left) / step, (left + 2 * step - bins) / step
    filters = torch.minimum(rising, falling).clamp(min=0)
    return nn.functional.pad(filters, (0, 1)).float()
