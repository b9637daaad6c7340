"""Shared fixtures: the data folder, a checkpoint of the published layout, small models."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from wav2clip.embedding.embedder import Wav2CLIP, load
from wav2clip.models.checkpoint import AudioConfig, load_checkpoint, save_checkpoint
from wav2clip.models.encoder import AudioNetwork, EncoderConfig

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """CI has the data: there a test that needs it may not be skipped."""
    if os.environ.get("CI") and not DATA.is_dir():
        raise pytest.UsageError(f"CI must have the test data, none at {DATA}")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real sounds and genuine CLIP embeddings."""
    if not DATA.is_dir():
        pytest.skip(f"no test data at {DATA}; set WAV2CLIP_DATA")
    return DATA


@pytest.fixture(scope="session")
def oracle(data: Path) -> np.lib.npyio.NpzFile:
    """What the published implementation computes with the weights of :func:`published_state`."""
    folder = data.parent / "oracle"
    if not folder.is_dir():
        pytest.skip(f"no parity test bed at {folder}")
    return np.load(folder / "expected.npz")


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published checkpoint, worked out from its description."""
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, planes: int) -> None:
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{leaf}"] = (planes,)
        shapes[f"{name}.num_batches_tracked"] = ()

    encoder = "audio_encoder."
    shapes[f"{encoder}spectrogram.window"] = (512,)
    shapes[f"{encoder}conv1.weight"] = (64, 1, 7, 7)
    norm(f"{encoder}bn1", 64)
    width = 64
    for stage, planes in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            name = f"{encoder}layer{stage}.{block}."
            shapes[f"{name}conv1.weight"] = (planes, width, 3, 3)
            norm(f"{name}bn1", planes)
            shapes[f"{name}conv2.weight"] = (planes, planes, 3, 3)
            norm(f"{name}bn2", planes)
            if width != planes:
                shapes[f"{name}downsample.0.weight"] = (planes, width, 1, 1)
                norm(f"{name}downsample.1", planes)
            width = planes
    for layer in (0, 3):
        shapes[f"audio_transform.sequential.{layer}.weight"] = (512, 512)
        shapes[f"audio_transform.sequential.{layer}.bias"] = (512,)
    return shapes


def published_state(salt: str = "") -> dict[str, torch.Tensor]:
    """Weights that depend only on each tensor's name and the salt, at a trained network's scale."""

    def tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name.endswith("num_batches_tracked"):
            return np.array(1)
        if name.endswith("window"):
            return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(shape[0]) / shape[0])
        noise = np.random.default_rng(zlib.crc32((salt + name).encode())).standard_normal(shape)
        leaf = name.rsplit(".", 1)[1]
        match leaf, len(shape):
            case "running_var", _:
                return 1 + 0.2 * np.abs(noise)
            case "running_mean", _:
                return 0.1 * noise
            case "bias", _:
                return 0.05 * noise
            case "weight", 1:
                return 1 + 0.1 * noise
            case "weight", 4:
                return noise * np.sqrt(2 / (shape[0] * shape[2] * shape[3]))
        return noise / np.sqrt(shape[1])

    return {
        name: torch.as_tensor(tensor(name, shape)).to(torch.float32 if shape else torch.int64)
        for name, shape in published_shapes().items()
    }


@pytest.fixture(scope="session")
def published_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .pt file in the layout of the published one."""
    path = tmp_path_factory.mktemp("published") / "Wav2CLIP.pt"
    torch.save(published_state(), path)
    return path


@pytest.fixture(scope="session")
def published(published_checkpoint: Path) -> Wav2CLIP:
    """A model of the published size with known weights."""
    return load(published_checkpoint)


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the project's own format: the same network, eight times narrower, fast."""
    torch.manual_seed(0)
    config = AudioConfig(
        encoder=EncoderConfig(planes=(8, 16, 32, 64)),
        licence="MIT",
        provenance={"data": "none, random weights for tests"},
    )
    network = AudioNetwork(config.encoder)
    mean = np.random.default_rng(0).normal(size=512).astype(np.float32) / 50
    return save_checkpoint(tmp_path_factory.mktemp("small") / "model", network, config, mean)


@pytest.fixture(scope="session")
def small(small_checkpoint: Path) -> Wav2CLIP:
    """A loaded model of :func:`small_checkpoint`."""
    return Wav2CLIP(load_checkpoint(small_checkpoint), name="small")


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[None]:
    """Run the test as a user whom permissions stop, also where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    nobody = 65_534
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):  # pytest makes them 0700
        folder.chmod(0o755)
    os.chown(tmp_path, nobody, nobody)
    os.seteuid(nobody)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def run_command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the shipped command as a user does, in a process of its own, with an empty cache."""

    def run(
        *arguments: str | Path, env: dict[str, str] | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "WAV2CLIP_CACHE": str(tmp_path / "cache"),
            "WAV2CLIP_OFFLINE": "1",
            "COLUMNS": "200",
            **(env or {}),
        }
        return subprocess.run(
            [sys.executable, "-m", "wav2clip", *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=timeout,
            cwd=tmp_path,
        )

    return run
