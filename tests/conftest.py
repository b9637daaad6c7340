"""Shared fixtures: the data folder, a checkpoint of the published layout, small models."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

# Some processors compute bfloat16 wrong beyond this (see wav2clip.embedding.proof). What happens
# then is tested with engines that are made to; all else is to be the same on all processors.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
# Each test has a cache of its own; to rewrite graphs for each would take longer than the tests.
os.environ.setdefault("WAV2CLIP_GRAPHS", str(Path(tempfile.gettempdir(), "wav2clip-test-graphs")))

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from patience import HANGS
from wav2clip.embedding.embedder import Wav2CLIP, load
from wav2clip.models import registry
from wav2clip.models.checkpoint import load_checkpoint, save_checkpoint
from wav2clip.models.config import (
    AudioConfig,
    EncoderConfig,
    MelConfig,
    MobileNetConfig,
)

HAS_TORCH = importlib.util.find_spec("torch") is not None
"""Tests of the everyday path also run where it is not installed: `make light`."""

# Shells let what runs in their background ignore Ctrl-C, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data"))

# How long an example takes says something about the machine alone.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Without PyTorch, modules and folders that may import it are not even opened."""
    modules = list(collection_path.rglob("test_*.py")) or [collection_path]
    if HAS_TORCH or not modules[0].name.startswith("test_"):
        return None
    return not any("pytest.mark.everyday" in module.read_text("utf-8") for module in modules)


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


@pytest.fixture(scope="session")
def published_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .pt file in the layout of the published one."""
    torch = pytest.importorskip("torch")
    from published_layout import published_state

    path = tmp_path_factory.mktemp("published") / "Wav2CLIP.pt"
    torch.save(published_state(), path)
    return path


@pytest.fixture(scope="session")
def published(published_checkpoint: Path) -> Wav2CLIP:
    """A model of the published size with known weights."""
    return load(published_checkpoint)


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the project's own format: the same network, eight times narrower, fast.

    Without PyTorch, which has to make it, the built-in model.
    """
    if not HAS_TORCH:
        return registry.locate("builtin")
    config = AudioConfig(
        encoder=EncoderConfig(planes=(8, 16, 32, 64)),
        licence="MIT",
        provenance={"data": "none, random weights for tests"},
    )
    return random_checkpoint(tmp_path_factory.mktemp("small") / "model", config)


def random_checkpoint(folder: Path, config: AudioConfig) -> Path:
    import torch

    from wav2clip.models.network import AudioNetwork

    torch.manual_seed(0)
    mean = np.random.default_rng(0).normal(size=512).astype(np.float32) / 50
    return save_checkpoint(folder, AudioNetwork(config.encoder), config, mean)


@pytest.fixture(scope="session")
def small(small_checkpoint: Path) -> Wav2CLIP:
    """A loaded model of :func:`small_checkpoint`."""
    return Wav2CLIP(load_checkpoint(small_checkpoint), name="small")


@pytest.fixture(scope="session")
def small_mobilenet_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built-in model's architecture at 32 kHz, narrower, with random weights."""
    if not HAS_TORCH:
        return registry.locate("builtin")
    encoder = MobileNetConfig(width=0.2, hidden=64, classes=50)
    config = AudioConfig(MelConfig(), encoder, licence="MIT", provenance={"data": "none"})
    return random_checkpoint(tmp_path_factory.mktemp("small-mobilenet") / "model", config)


@pytest.fixture(scope="session")
def small_mobilenet(small_mobilenet_checkpoint: Path) -> Wav2CLIP:
    """A loaded model of :func:`small_mobilenet_checkpoint`."""
    return Wav2CLIP(load_checkpoint(small_mobilenet_checkpoint), name="small-mobilenet")


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[None]:
    """Run the test as a user whom permissions stop, also where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    nobody = 65_534
    outside = {Path(tempfile.gettempdir()), *Path(tempfile.gettempdir()).parents}
    for folder in {tmp_path, *tmp_path.parents} - outside:  # pytest makes them 0700
        folder.chmod(0o755)
    os.chown(tmp_path, nobody, nobody)
    os.seteuid(nobody)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def s3_server() -> Iterator[str]:
    """Host and port of an empty server of the S3 protocol; any keys are right."""
    python = ROOT / ".venv-s3" / "bin" / "python"
    if not python.exists():
        assert "CI" not in os.environ, f"CI must have {python}: make .venv-s3/.installed"
        pytest.skip(f"no server of the S3 protocol in {python.parents[1]}; `make test` makes it")
    command = [python, Path(__file__).with_name("s3_server.py")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.stdin.close()
        assert server.wait(HANGS) == 0


@pytest.fixture
def run_command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the shipped command as a user does, in a process of its own, with an empty cache."""

    def run(
        *arguments: str | Path, env: dict[str, str] | None = None, timeout: float = HANGS
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
