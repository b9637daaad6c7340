"""The published front end: from a waveform at 16 kHz to its standardised log power spectrogram.

Constants are those of the published implementation (Wu et al., ICASSP 2022, arXiv 2110.11499, and
its code release): 16 kHz, a 512-point FFT, hop 353, log(S + 1e-7), division by (std + 1e-9).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wav2clip.models.config import FrontendConfig, FrontendSettings, MelConfig, Standardize
from wav2clip.models.mel import MelFrontend


def make_frontend(config: FrontendSettings) -> Frontend | MelFrontend:
    """The front end with these settings, whose type says which."""
    return MelFrontend(config) if isinstance(config, MelConfig) else Frontend(config)


@dataclass(frozen=True)
class Statistics:
    """Mean and unbiased standard deviation of a recording's log spectrogram (natural logarithm)."""

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

    def power(self, wave: Tensor) -> Tensor:
        """Power spectrogram (batch, bins, columns) of (batch, samples) float32.

        Fewer than ``config.min_samples`` samples are padded with zeros on the right, because
        reflect padding is undefined there.
        """
        missing = self.config.min_samples - wave.shape[-1]
        if missing > 0:
            wave = nn.functional.pad(wave, (0, missing))
        edge = self.config.n_fft // 2
        return self._stft(nn.functional.pad(wave, (edge, edge), mode="reflect"))

    def forward(self, wave: Tensor) -> Tensor:
        """Log of :meth:`power`, not yet standardised, at least ``log(log_offset)``."""
        return self._log(self.power(wave))

    def stream(self, blocks: Iterable[Tensor], columns: int) -> Iterator[Tensor]:
        """The spectrogram of :meth:`forward` in pieces (1, bins, <= columns), from blocks (n,).

        Memory is that of one block and one piece, whatever the length of the recording.
        """
        hop, size = self.config.hop_length, self.config.n_fft
        rest = self.window.new_zeros(0)
        for block in _reflect_padded(blocks, self.config):
            rest = torch.cat((rest, block))
            while len(rest) >= size:
                count = min(columns, 1 + (len(rest) - size) // hop)
                yield self._log(self._stft(rest[None, : (count - 1) * hop + size]))
                rest = rest[count * hop :]

    def statistics(self, spectrograms: Iterable[Tensor]) -> Statistics:
        """Statistics over all pieces of one recording's log spectrogram, or over all its windows.

        Sums are kept in float64 and merged pairwise (Chan, Golub and LeVeque 1979), so a ten-hour
        recording needs one piece of memory and loses no precision.
        """
        count, mean, m2 = 0, 0.0, 0.0
        for spectrogram in spectrograms:
            x = spectrogram.double()
            n, piece_mean = x.numel(), float(x.mean())
            piece_m2 = float((x - piece_mean).square().sum())
            delta, total = piece_mean - mean, count + n
            m2 += piece_m2 + delta * delta * count * n / total
            mean += delta * n / total
            count = total
        return Statistics(mean, (m2 / max(1, count - 1)) ** 0.5)

    def standardize(self, spectrogram: Tensor, scope: Standardize | Statistics) -> Tensor:
        """Subtract the mean, divide by the standard deviation (unbiased) plus ``std_offset``.

        Args:
            spectrogram: (batch, bins, columns) from :meth:`forward`.
            scope: ``"recording"`` takes each row of the batch alone; ``"batch"`` takes the batch as
                one, as the published code does; :class:`Statistics` are used as they are.
        """
        if isinstance(scope, Statistics):
            return (spectrogram - scope.mean) / (scope.std + self.config.std_offset)
        if scope == "batch":
            return self._standardize_one(spectrogram)
        # Row by row, not over two dimensions at once: for silence the result depends on how the sum
        # is rounded, and this is the order of the published code for a batch of one.
        return torch.stack([self._standardize_one(row) for row in spectrogram])

    def _standardize_one(self, x: Tensor) -> Tensor:
        return (x - x.mean()) / (x.std() + self.config.std_offset)

    def _stft(self, padded: Tensor) -> Tensor:
        config = self.config
        spectrum = torch.stft(
            padded,
            config.n_fft,
            hop_length=config.hop_length,
            window=self.window,
            center=False,
            return_complex=True,
        )
        return spectrum.real.square() + spectrum.imag.square()

    def _log(self, power: Tensor) -> Tensor:
        return power.add_(self.config.log_offset).log_()


def _reflect_padded(blocks: Iterable[Tensor], config: FrontendConfig) -> Iterator[Tensor]:
    """A stream with the reflect padding of a centred STFT before its start and after its end."""
    edge = config.n_fft // 2
    held = torch.zeros(0)
    started = False
    for block in blocks:
        held = torch.cat((held, block))
        if len(held) <= config.min_samples + edge:
            continue
        if not started:
            yield held[1 : edge + 1].flip(0)
            started = True
        yield held[: -edge - 1]
        held = held[-edge - 1 :]
    if not started:
        held = nn.functional.pad(held, (0, max(0, config.min_samples - len(held))))
        yield held[1 : edge + 1].flip(0)
    yield held
    yield held[-edge - 1 : -1].flip(0)
