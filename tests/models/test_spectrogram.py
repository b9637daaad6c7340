"""The front end in NumPy against that in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wav2clip.models.config import MelConfig
from wav2clip.models.mel import MelFrontend
from wav2clip.models.spectrogram import log_mel

CONFIGS = [
    MelConfig(),
    MelConfig(peak=0.7),
    MelConfig(sample_rate=16_000, n_fft=512, window_length=401, hop_length=160, bands=64, peak=1.0),
]


@pytest.mark.parametrize("config", CONFIGS, ids=["plain", "peak", "other"])
@pytest.mark.parametrize("samples", [1, 2, 300, 513, 514, 800, 7_001, 33_333])
def test_equal(config: MelConfig, samples: int) -> None:
    rng = np.random.default_rng(samples)
    waves = rng.normal(size=(3, samples)).astype(np.float32) * np.float32([[0.5], [1e-3], [0]])
    expected = MelFrontend(config)(torch.from_numpy(waves)).numpy()
    got = log_mel(waves, config)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-4)
    silence = (np.log(config.log_offset) + config.shift) / config.scale
    np.testing.assert_allclose(got[2], silence, rtol=1e-5)
