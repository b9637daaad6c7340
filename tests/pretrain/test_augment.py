"""Changes of sound at any sample rate: what is drawn, what is heard afterwards, what stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wav2clip.models.config import FrontendConfig, MelConfig
from wav2clip.models.frontend import make_frontend
from wav2clip.pretrain.augment import Augment, either, loudness, normal_like
from wav2clip.pretrain.batch import Batch, waveform
from wav2clip.pretrain.config import AugmentSettings

RATE = 32_000


def make_batch(n: int = 8, samples: int = RATE) -> Batch:
    """Noise of different loudness, with six classes and three features."""
    rng = np.random.default_rng(0)
    gain = 10 ** rng.uniform(-2, 0, (n, 1))
    audio = (gain * rng.uniform(-20000, 20000, (n, samples))).astype(np.int16)
    return Batch(
        torch.from_numpy(audio),
        torch.from_numpy(rng.normal(size=(n, 4)).astype(np.float32)),
        torch.arange(n)[:, None],
        torch.ones(n, 1),
        torch.from_numpy(rng.uniform(0, 1, (n, 6)).astype(np.float32)),
        torch.from_numpy(rng.normal(size=(n, 3)).astype(np.float32)),
    )


def mel(**settings: Any) -> Augment:
    return Augment(AugmentSettings(**settings), make_frontend(MelConfig()))


def changed(batch: Batch, seed: int = 0, **settings: Any) -> tuple[torch.Tensor, Batch]:
    generator = torch.Generator().manual_seed(seed)
    return mel(**settings).change(waveform(batch.audio), batch, generator)


def slow_either(p: list[float], q: list[float]) -> list[float]:
    """Over all four cases of two coins: the sum of those in which one at least is a head."""
    result = []
    for a, b in zip(p, q, strict=True):
        cases = [
            (x * a + (1 - x) * (1 - a)) * (y * b + (1 - y) * (1 - b))
            for x, y in ((1, 1), (1, 0), (0, 1))
        ]
        result.append(sum(cases))
    return result


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.floats(0, 1, width=32), st.floats(0, 1, width=32)), min_size=1),
    audible=st.booleans(),
)
def test_a_mixture_holds_what_either_holds(rows: list[tuple[float, float]], audible: bool) -> None:
    p, q = (torch.tensor([column]) for column in zip(*rows, strict=True))
    mixed = either(p, q, torch.tensor([[audible]]))
    if not audible:
        assert torch.equal(mixed, p)
        return
    torch.testing.assert_close(
        mixed[0].tolist(), slow_either(p[0].tolist(), q[0].tolist()), atol=1e-6, rtol=0
    )
    assert (mixed >= torch.maximum(p, q) - 1e-6).all() and (mixed <= 1).all()
    torch.testing.assert_close(mixed, either(q, p, torch.tensor([[True]])))


def test_what_is_not_known_of_the_other_adds_nothing() -> None:
    p, nan = torch.tensor([[0.2, 0.9]]), torch.full((1, 2), torch.nan)
    heard = torch.tensor([[True]])
    torch.testing.assert_close(either(p, nan, heard), p)
    assert either(nan, p, heard).isnan().all()


def test_mixing_mixes_all_that_is_known_of_two_clips() -> None:
    batch = make_batch()
    batch.targets[2], batch.heard[3], batch.probabilities[4] = torch.nan, torch.nan, torch.nan
    _, mixed = changed(batch, 1, mix=1.0, mix_share=0.5, mix_audible_db=-12.0)
    quiet = 0
    for i in range(len(batch)):
        j, share = int(mixed.labels[i, 1]), float(mixed.shares[i, 1])
        audible = 20 * np.log10(share / (1 - share)) >= -12
        quiet += not audible
        p, q = batch.probabilities[i], batch.probabilities[j]
        expected = 1 - (1 - p) * (1 - q) if audible and j != 4 else p
        torch.testing.assert_close(mixed.probabilities[i], expected, equal_nan=True)
        for name, unknown in (("targets", 2), ("heard", 3)):
            own, other = getattr(batch, name)[i], getattr(batch, name)[j]
            expected = own if j == unknown else (1 - share) * own + share * other
            torch.testing.assert_close(getattr(mixed, name)[i], expected, equal_nan=True)
    assert 0 < quiet < len(batch)


def test_loudness_stays_unless_it_is_to_change() -> None:
    batch = make_batch()
    wave = waveform(batch.audio)
    mixed, _ = changed(batch, mix=1.0)
    ratio = loudness(mixed) / loudness(wave)
    assert ((ratio > 0.6) & (ratio < 1.1)).all()
    louder, _ = changed(batch, level_db=(-40.0, -10.0))
    peaks = 20 * louder.abs().amax(1).log10()
    assert (peaks >= -40.01).all() and (peaks <= -9.99).all() and peaks.std() > 3
    scale = louder.abs().amax(1) / wave.abs().amax(1)
    torch.testing.assert_close(louder, wave * scale[:, None])


def test_silence_is_nothing_after_standardising() -> None:
    batch = make_batch(4)
    batch.audio[1] = 0
    augment = Augment(AugmentSettings(), make_frontend(FrontendConfig(sample_rate=RATE)))
    spectrogram, _ = augment(batch, torch.Generator().manual_seed(0))
    assert (spectrogram[1] == 0).all()
    assert torch.allclose(spectrogram[[0, 2, 3]].std(dim=(1, 2)), torch.ones(3), atol=1e-3)


def test_noise_is_drawn_again_from_the_same_seed() -> None:
    like = torch.zeros(3, 100)
    first, second, other = (
        normal_like(like, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert abs(float(first.std()) - 1) < 0.2


def test_silence_stays_finite_and_quiet() -> None:
    batch = replace(make_batch(4), audio=torch.zeros(4, RATE, dtype=torch.int16))
    wave, _ = changed(
        batch,
        mix=1.0,
        reverb=1.0,
        equalise_db=6.0,
        band_limit=1.0,
        codec=1.0,
        level_db=(-40.0, 0.0),
    )
    assert torch.equal(wave, torch.zeros_like(wave))


def power_above(wave: torch.Tensor, hertz: float) -> torch.Tensor:
    """Share (n,) of the power above a frequency."""
    power = torch.fft.rfft(wave).abs().square()
    above = torch.fft.rfftfreq(wave.shape[1], 1 / RATE) > hertz
    return power[:, above].sum(1) / power.sum(1)


@pytest.mark.parametrize("cut_off", [4000.0, 11_000.0])
def test_a_band_limit_leaves_nothing_above_and_all_below(cut_off: float) -> None:
    batch = make_batch()
    wave, _ = changed(batch, band_limit=1.0, cut_offs=(cut_off,))
    assert power_above(wave, cut_off + 1).max() < 1e-9
    spectra = [torch.fft.rfft(x)[:, : int(cut_off) - 1] for x in (wave, waveform(batch.audio))]
    torch.testing.assert_close(*spectra, atol=1e-2, rtol=1e-4)
    some, _ = changed(batch, band_limit=0.5, cut_offs=(cut_off,))
    limited = power_above(some, cut_off + 1) < 1e-9
    assert limited.any() and not limited.all()


def test_codec_noise_follows_the_signal_and_drops_what_is_masked() -> None:
    time = torch.arange(RATE) / RATE
    tone = 0.3 * torch.sin(2 * torch.pi * 1000 * time) + 1e-5 * torch.sin(
        2 * torch.pi * 9000 * time
    )
    batch = replace(make_batch(6), audio=tone.repeat(6, 1))
    wave, _ = changed(batch, 2, codec=1.0)
    noise = wave - tone
    decibels = 10 * (noise.square().sum(1) / tone.square().sum()).log10()
    assert (decibels < -3).all() and (decibels > -40).all()
    middle = slice(RATE // 4, RATE // 4 * 3)  # at both ends the tone begins and ends
    window = torch.hann_window(RATE // 2)
    lines = [(x[..., middle] * window).numpy() for x in (wave, tone)]
    coded, faint = (np.abs(np.fft.rfft(x))[..., 4490:4511].max(axis=-1) for x in lines)
    assert (coded < 0.1 * faint).all(), "the faint tone is masked by the loud one"
    untouched, _ = changed(batch, 2, codec=0.0)
    assert torch.equal(untouched, tone.repeat(6, 1))


@pytest.mark.parametrize("samples", [400, 3200])
def test_short_crops_pass_through_everything(samples: int) -> None:
    settings = {"mix": 1.0, "reverb": 1.0, "noise_db": (-30.0, -10.0), "equalise_db": 3.0}
    settings |= {"band_limit": 1.0, "codec": 1.0, "level_db": (-40.0, 0.0)}
    settings |= {"mask_bands": 1, "mask_spans": 1}
    batch = make_batch(4, samples)
    spectrogram, _ = mel(**settings)(batch, torch.Generator().manual_seed(0))
    assert spectrogram.shape == (4, 128, MelConfig().columns(samples))
    assert spectrogram.isfinite().all()


def test_masks_hold_the_mean_of_a_spectrogram_that_is_not_standardised() -> None:
    batch = make_batch()
    plain = mel().frontend(waveform(batch.audio))
    masked, _ = mel(mask_bands=1, mask_bins=40)(batch, torch.Generator().manual_seed(1))
    mean = plain.mean(dim=(1, 2), keepdim=True).expand_as(plain)
    hidden = masked == mean
    assert 0 < hidden.all(dim=2).sum(dim=1).max() <= 41
    torch.testing.assert_close(masked[~hidden], plain[~hidden])
    assert abs(float(mean[0, 0, 0])) > 0.1
