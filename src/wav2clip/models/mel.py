"""The built-in encoder's front end: from a waveform at 32 kHz to its log-mel spectrogram.

Constants are those of EfficientAT (Schmid, Koutini and Widmer 2023, arXiv 2211.04772), whose mel
filters are Kaldi's (Povey et al. 2011): the scale 1127 ln(1 + f / 700), triangles in mels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wav2clip.models.config import MelConfig
from wav2clip.models.spectrogram import QUIETEST, mel_filters


class MelFrontend(nn.Module):
    """Waveform (batch, samples) in [-1, 1] to log-mel spectrogram (batch, bands, frames)."""

    window: Tensor
    filters: Tensor

    def __init__(self, config: MelConfig | None = None) -> None:
        super().__init__()
        self.config = config or MelConfig()
        window = torch.hann_window(self.config.window_length, periodic=False)
        self.register_buffer("window", window, persistent=False)
        self.register_buffer(
            "filters", torch.from_numpy(mel_filters(self.config)), persistent=False
        )

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
