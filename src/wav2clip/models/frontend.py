"""From a waveform to the picture that the encoder sees: a standardised log power spectrogram.

Constants are those of the published implementation (Wu et al., ICASSP 2022, arXiv 2110.11499, and
its code release): 16 kHz, a 512-point FFT, hop 353, log(S + 1e-7), division by (std + 1e-9).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Standardize = Literal["recording", "batch"]


@dataclass(frozen=True)
class FrontendConfig:
    """Preprocessing that a checkpoint was trained with.

    Attributes:
        sample_rate: Hz of the waveform that the network expects.
        n_fft: points of the FFT and samples of the periodic Hann window.
        hop_length: samples between neighbouring spectrogram columns.
        log_offset: added to the power before the logarithm.
        std_offset: added to the standard deviation before the division.
    """

    sample_rate: int = 16_000
    n_fft: int = 512
    hop_length: int = 353
    log_offset: float = 1e-7
    std_offset: float = 1e-9

    @property
    def bins(self) -> int:
        """Rows of the one-sided spectrogram: ``n_fft // 2 + 1``."""
        return self.n_fft // 2 + 1

    @property
    def min_samples(self) -> int:
        """Reflect padding needs one sample more than half a window; shorter input is zero-padded."""
        return self.n_fft // 2 + 1

    def columns(self, samples: int) -> int:
        """Columns of the spectrogram of ``samples`` samples: ``1 + n // hop_length``."""
        return 1 + max(samples, self.min_samples) // self.hop_length


@dataclass(frozen=True)
class Statistics:
    """Mean and unbiased standard deviation of a recording's log spectrogram (natural log of power)."""

    mean: float
    std: float


class Frontend(nn.Module):
    """Waveform (batch, samples) in [-1, 1] to log power spectrogram (batch, bins, columns)."""

    window: Tensor

    def __init__(self, config: FrontendConfig | None = None) -> None:
        super().__init__()
        self.config = config or FrontendConfig()
        # The window is derived, not learnt: it is not part of the project's checkpoints.
        self.register_buffer("window", torch.hann_window(self.config.n_fft), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """Log power spectrogram, not yet standardised.

        Args:
            wave: (batch, samples) float32. Fewer than ``config.min_samples`` samples are padded with
                zeros on the right, because reflect padding is undefined there.

        Returns:
            (batch, bins, columns) float32, at least ``log(log_offset)``.
        """
        config = self.config
        missing = config.min_samples - wave.shape[-1]
        if missing > 0:
            wave = nn.functional.pad(wave, (0, missing))
        spectrum = torch.stft(
            wave,
            config.n_fft,
            hop_length=config.hop_length,
            window=self.window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        return power.add_(config.log_offset).log_()

    def statistics(self, batches: Iterable[Tensor]) -> Statistics:
        """Statistics over all windows of one recording, given as batches of waveforms.

        Sums are kept in float64 and merged pairwise (Chan, Golub and LeVeque 1979), so a ten-hour
        recording needs one batch of memory and loses no precision.
        """
        count, mean, m2 = 0, 0.0, 0.0
        for batch in batches:
            x = self(batch).double()
            n, batch_mean = x.numel(), float(x.mean())
            batch_m2 = float((x - batch_mean).square().sum())
            delta, total = batch_mean - mean, count + n
            m2 += batch_m2 + delta * delta * count * n / total
            mean += delta * n / total
            count = total
        return Statistics(mean, (m2 / (count - 1)) ** 0.5)

    def standardize(self, spectrogram: Tensor, scope: Standardize | Statistics) -> Tensor:
        """Subtract the mean, divide by the standard deviation (unbiased) plus ``std_offset``.

        Args:
            spectrogram: (batch, bins, columns) from :meth:`forward`.
            scope: ``"recording"`` takes each row of the batch alone; ``"batch"`` takes the batch as
                one, as the published code does; :class:`Statistics` are used as they are.
        """
        if isinstance(scope, Statistics):
            return (spectrogram - scope.mean) / (scope.std + self.config.std_offset)
        dims = (1, 2) if scope == "recording" else (0, 1, 2)
        std, mean = torch.std_mean(spectrogram, dim=dims, keepdim=True)
        return (spectrogram - mean) / (std + self.config.std_offset)
