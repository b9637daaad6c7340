"""Random changes of sound, on whole batches, so that an encoder learns what matters.

The waveform is mixed, put into a room, given noise, filtered and made louder or softer; the
spectrogram is masked. All of it goes by the front end's own sample rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from wav2clip.models.frontend import Frontend
from wav2clip.models.mel import MelFrontend
from wav2clip.pretrain.batch import Batch, known, waveform
from wav2clip.pretrain.config import AugmentSettings

LOUDNESS = 0.05
"""Root mean square that waveforms are brought to before they are mixed; speech at -26 dBFS."""

SILENCE = 1e-3
"""Root mean square, -60 dBFS: what is softer is taken for silence, whose level says nothing."""

NOISE = 0.5
"""Probability of noise, where there is any."""

EQUALISER_POINTS = 6

CODEC_BANDS = 21
"""Bands of :meth:`Augment.quantise`, as many as MP3's long blocks have scale factors."""

CODEC_FRAME = 0.036
"""Seconds of its blocks: 1152 samples at 32 kHz, a frame of MPEG-1 layer III."""


class Augment:
    """The random changes of :class:`AugmentSettings`, drawn from one generator."""

    def __init__(self, settings: AugmentSettings, frontend: Frontend | MelFrontend) -> None:
        self.settings, self.frontend = settings, frontend
        self.rate = frontend.config.sample_rate

    def __call__(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Batch]:
        """Standardised spectrograms (n, bins, columns), and the batch with what was mixed.

        ``generator`` lives on the CPU, so that all devices draw the same numbers; only noise is
        drawn where the sound lies, see :func:`normal_like`.
        """
        wave, batch = self.change(waveform(batch.audio), batch, generator)
        spectrogram = self.frontend.standardize(self.frontend(wave), "recording")
        if isinstance(self.frontend, Frontend):
            # Of silence only rounding errors are left, and a division by next to nothing may make
            # thousands of them, which a batch norm remembers for hundreds of steps.
            silent = wave.abs().amax(dim=1) == 0
            spectrogram = torch.where(silent[:, None, None], 0.0, spectrogram)
        return self.mask(spectrogram, generator), batch

    def change(
        self, wave: Tensor, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, Batch]:
        """What happens to waveforms (n, samples), which keep their loudness but for the last."""
        settings, level = self.settings, loudness(wave).clamp(min=SILENCE)
        if settings.mix or settings.reverb or settings.noise_db:
            wave = equally_loud(wave)
            if settings.mix:
                wave, batch = self.mix(wave, batch, generator)
            wave = on_some(settings.reverb, wave, generator, self.reverberate)
            if settings.noise_db:
                noise = partial(self.add_noise, settings.noise_db)
                wave = on_some(NOISE, wave, generator, noise)
            wave = wave * (level / LOUDNESS)
        if settings.equalise_db or settings.band_limit:
            wave = self.filter(wave, generator)
        wave = on_some(settings.codec, wave, generator, self.quantise)
        if settings.level_db:
            wave = self.set_level(settings.level_db, wave, generator)
        return wave, batch

    def mix(self, wave: Tensor, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Batch]:
        """Mix in another clip of the batch; all that is known of the two follows.

        Embeddings, the tagger's features and shares of labels mix as the sounds do; where one of
        the two is not known, the louder clip's counts. Probabilities mix as "or", see
        :func:`either`: a dog and rain are both in the mixture, each as surely as before.
        """
        n, settings = len(wave), self.settings
        other = torch.randperm(n, generator=generator).to(wave.device)
        share = torch.rand(n, 1, generator=generator) * settings.mix_share
        share *= torch.rand(n, 1, generator=generator) < settings.mix
        share = share.to(wave.device)
        wave = (1 - share) * wave + share * wave[other]
        audible = share / (1 - share) >= 10 ** (settings.mix_audible_db / 20)
        return wave, replace(
            batch,
            audio=wave,
            targets=_blend(batch.targets, batch.targets[other], share),
            labels=torch.cat([batch.labels, batch.labels[other]], dim=1),
            shares=torch.cat([batch.shares * (1 - share), batch.shares[other] * share], dim=1),
            probabilities=either(batch.probabilities, batch.probabilities[other], audible),
            heard=_blend(batch.heard, batch.heard[other], share),
        )

    def reverberate(self, wave: Tensor, generator: torch.Generator) -> Tensor:
        """Convolve with noise that decays by 60 dB in 0.1 to 0.8 s, at random distance."""
        n, samples = wave.shape
        rate = self.rate
        decay = 0.1 + 0.7 * torch.rand(n, 1, generator=generator)
        level = torch.rand(n, 1, generator=generator)
        decay, level = decay.to(wave.device), level.to(wave.device)
        seconds = torch.arange(min(samples, int(0.8 * rate)), device=wave.device) / rate
        # ln(1000): 60 dB in amplitude.
        room = torch.exp(-6.9078 * seconds / decay)
        room *= normal_like(room, generator)
        room *= level / room.square().sum(1, keepdim=True).sqrt()
        room[:, 0] = 1
        size = samples + len(seconds)
        spectrum = torch.fft.rfft(wave, size) * torch.fft.rfft(room, size)
        wet: Tensor = torch.fft.irfft(spectrum, size)
        return wet[:, :samples]

    def add_noise(
        self, levels: tuple[float, float], wave: Tensor, generator: torch.Generator
    ) -> Tensor:
        """White noise, its level in dB relative to the clip's, which is :data:`LOUDNESS`."""
        low, high = levels
        level = low + (high - low) * torch.rand(len(wave), 1, generator=generator)
        gain = 10 ** (level / 20)
        return wave + gain.to(wave.device) * LOUDNESS * normal_like(wave, generator)

    def filter(self, wave: Tensor, generator: torch.Generator) -> Tensor:
        """A smooth random gain over frequency, and on some clips nothing above a cut-off."""
        n, samples = wave.shape
        settings, spectrum = self.settings, torch.fft.rfft(wave)
        if settings.equalise_db:
            points = torch.randn(n, 1, EQUALISER_POINTS, generator=generator)
            decibels = F.interpolate(
                points * settings.equalise_db, spectrum.shape[1], mode="linear", align_corners=True
            )
            spectrum = spectrum * (10 ** (decibels[:, 0] / 20)).to(wave.device)
        if settings.band_limit:
            chosen = torch.randint(len(settings.cut_offs), (n, 1), generator=generator)
            cut_off = torch.tensor(settings.cut_offs)[chosen]
            cut_off[torch.rand(n, 1, generator=generator) >= settings.band_limit] = torch.inf
            hertz = torch.fft.rfftfreq(samples, 1 / self.rate)
            spectrum = spectrum * (hertz < cut_off).to(wave.device)
        filtered: Tensor = torch.fft.irfft(spectrum, samples)
        return filtered

    def quantise(self, wave: Tensor, generator: torch.Generator) -> Tensor:
        """Noise such as a lossy codec of few bits leaves. It is not a codec.

        The spectrum of each block is divided into :data:`CODEC_BANDS` bands, narrow below and wide
        above. Each band gets noise at a level below its own energy in that block (drawn per clip
        from 6 to 24 dB: quantisation noise follows the signal), and bands that are far below the
        loudest of the block (40 to 70 dB) are dropped, as masked ones are.
        """
        samples = wave.shape[1]
        size = round(CODEC_FRAME * self.rate) // 2 * 2
        padded = F.pad(wave, (0, max(0, size - samples)))
        window = torch.hann_window(size, device=wave.device)
        hop = size // 2
        spectrum = torch.stft(
            padded, size, hop, window=window, pad_mode="constant", return_complex=True
        )
        below = 10 ** (-(6 + 18 * torch.rand(len(padded), 1, 1, generator=generator)) / 20)
        dropped = 10 ** (-(40 + 30 * torch.rand(len(padded), 1, 1, generator=generator)) / 20)
        places = torch.linspace(0, CODEC_BANDS**2, spectrum.shape[1]).sqrt()
        band = places.long().clamp(max=CODEC_BANDS - 1).to(wave.device)
        members = F.one_hot(band, CODEC_BANDS).float().T
        power = members @ spectrum.abs().square() / members.sum(1)[:, None].clamp(min=1)
        level = power.sqrt()
        kept = level >= dropped.to(wave.device) * level.amax(dim=1, keepdim=True)
        noisy = (
            spectrum + normal_like(spectrum, generator) * (level * below.to(wave.device))[:, band]
        )
        coded: Tensor = torch.istft(
            noisy * kept[:, band], size, hop, window=window, length=padded.shape[1]
        )
        return coded[:, :samples]

    def set_level(
        self, levels: tuple[float, float], wave: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Clips whose peak lies at a level drawn evenly from a range of dB below full scale."""
        low, high = levels
        level = low + (high - low) * torch.rand(len(wave), 1, generator=generator)
        peak = wave.abs().amax(dim=1, keepdim=True).clamp(min=SILENCE)
        return wave * (10 ** (level.to(wave.device) / 20) / peak)

    def mask(self, spectrogram: Tensor, generator: torch.Generator) -> Tensor:
        """Bands of frequencies and spans of time set to the mean of their recording."""
        settings = self.settings
        _, bins, columns = spectrogram.shape
        mean = spectrogram.mean(dim=(1, 2), keepdim=True)
        for _ in range(settings.mask_bands):
            covered = _stripes(len(spectrogram), bins, settings.mask_bins, generator)
            covered = covered[:, :, None].to(spectrogram.device)
            spectrogram = torch.where(covered, mean, spectrogram)
        for _ in range(settings.mask_spans):
            width = settings.mask_share * columns
            covered = _stripes(len(spectrogram), columns, width, generator)
            covered = covered[:, None, :].to(spectrogram.device)
            spectrogram = torch.where(covered, mean, spectrogram)
        return spectrogram


def on_some(
    share: float,
    wave: Tensor,
    generator: torch.Generator,
    change: Callable[[Tensor, torch.Generator], Tensor],
) -> Tensor:
    """Waveforms (n, samples) of which a random ``share`` is changed."""
    chosen = (torch.rand(len(wave), generator=generator) < share).to(wave.device)
    if not chosen.any():
        return wave
    changed = wave.clone()
    changed[chosen] = change(wave[chosen], generator)
    return changed


def normal_like(like: Tensor, generator: torch.Generator) -> Tensor:
    """Normal numbers of a tensor's shape and type, drawn on its device.

    A batch of sound takes millions, and a GPU would wait for the CPU to draw them. ``generator``
    gives the seed: the numbers are the same whenever the device is of the same kind.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    own = torch.Generator(like.device).manual_seed(seed)
    return torch.randn(like.shape, generator=own, dtype=like.dtype, device=like.device)


def either(p: Tensor, q: Tensor, audible: Tensor) -> Tensor:
    """Probability of a class in a mixture: that it is in the one sound or the other.

    ``1 - (1 - p)(1 - q)``, as if the two were independent, which two clips drawn by chance are.

    Args:
        p, q: (n, k) of the clip and of the one mixed in; NaN where it is not known, which adds
            nothing in ``q``.
        audible: (n, 1) bool, whether the clip mixed in can be heard; if not, ``p`` stays.
    """
    both = 1 - (1 - p) * (1 - q.nan_to_num(nan=0.0))
    return torch.where(audible, both, p)


def _blend(own: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Rows mixed in proportion; own rows where the others are not known."""
    mixed = (1 - share) * own + share * other
    return torch.where(known(other)[:, None], mixed, own)


def loudness(wave: Tensor) -> Tensor:
    """Root mean square (n, 1) of waveforms."""
    return wave.square().mean(dim=1, keepdim=True).sqrt()


def equally_loud(wave: Tensor) -> Tensor:
    """Waveforms with a root mean square of :data:`LOUDNESS`; silence stays silent."""
    return wave * (LOUDNESS / loudness(wave).clamp(min=1e-4))


def _stripes(n: int, size: int, widest: float, generator: torch.Generator) -> Tensor:
    """(n, size) bool: one stretch per row, of random place and of random width up to ``widest``."""
    start = torch.rand(n, 1, generator=generator) * size
    width = torch.rand(n, 1, generator=generator) * widest
    place = torch.arange(size)
    return (place >= start) & (place < start + width)
