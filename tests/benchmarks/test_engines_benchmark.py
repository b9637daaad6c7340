"""The whole path of any model against the published way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from wav2clip.models.checkpoint import load_checkpoint, save_checkpoint
from wav2clip.models.config import AudioConfig, MelConfig, MobileNetConfig
from wav2clip.models.network import AudioNetwork

Script = Callable[[str], ModuleType]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Noise of several lengths at 44.1 kHz."""
    found = []
    for number in range(5):
        noise = np.random.default_rng(number).uniform(-0.5, 0.5, 4_410 * (1 + number % 3))
        found.append(tmp_path / f"{number}.wav")
        soundfile.write(found[-1], noise, 44_100)
    return found


def test_another_architecture_and_rate_take_part(
    script: Script, paths: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = AudioConfig(frontend=MelConfig(), encoder=MobileNetConfig())
    folder = save_checkpoint(tmp_path / "mobile", AudioNetwork(config.encoder).eval(), config)
    engines = script("engines")
    ways = engines.ways(str(folder))
    assert list(ways)[:3] == [engines.PUBLISHED, engines.DECODING, "torch, float32"]
    assert "onnx-int8" not in ways
    assert "onnx-int8 is left out: " in capsys.readouterr().err
    times = engines.file_seconds(ways, paths, 1)
    assert times.keys() == ways.keys() and min(times.values()) > 0
    waves = ways[engines.DECODING](paths)
    assert [len(wave) for wave in waves] == [3_200, 6_400, 9_600, 3_200, 6_400]
    checkpoint = load_checkpoint(folder)
    one, two = (engines.multiply_adds(checkpoint, np.zeros((n, 32_000))) for n in (1, 2))
    assert two == 2 * one > 1e6


def test_the_published_way_stays_the_published_one(script: Script, paths: list[Path]) -> None:
    published = script("published").Published()
    again = script("published").Published()
    found = published(paths)
    assert [vector.shape for vector in found] == [(512,)] * 5
    assert all(np.isfinite(vector).all() for vector in found)
    assert np.array_equal(np.stack(found), np.stack(again(paths)))  # seeded
    assert sum(each.numel() for each in published.network.parameters()) > 11_000_000
