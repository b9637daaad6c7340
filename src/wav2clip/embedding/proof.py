"""An engine proves itself before it is used: its embeddings against those of float32 PyTorch.

Processors and libraries compute wrong now and then, and only in some shapes: on processors with
AMX, oneDNN's bfloat16 convolutions of stride 2 are garbage where the input is at most two wide, so
that sounds under 0.7 s become noise. So each engine is tried on signals of several lengths. What
held is remembered per machine, versions and weights: it costs a second, once.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from wav2clip.audio.io import Samples
from wav2clip.downloads import cache_folder
from wav2clip.embedding.engine import Engine
from wav2clip.errors import EngineError
from wav2clip.files import atomic_path
from wav2clip.models.space import unit

SECONDS = (0.05, 0.3, 0.6, 1.0, 2.5, 5.0, 12.0)
"""Lengths of the signals: some shorter than the reach of the network, one of several pieces."""

LEAST = {"": 0.99999, "-float16": 0.999, "-bfloat16": 0.98, "-int8": 0.95}
"""Smallest cosine with float32 that is accepted, by what the engine adds to a fingerprint."""


def prove(engine: Engine, exact: Callable[[], Engine], sample_rate: int, fingerprint: str) -> None:
    """Do nothing if the engine computes what float32 PyTorch computes.

    Args:
        engine: what is to be used.
        exact: makes the engine to compare with.
        sample_rate: Hz.
        fingerprint: of the checkpoint.

    Raises:
        EngineError: it does not; the message has the figures.
    """
    record = _record(engine, fingerprint)
    try:
        cosines = json.loads(record.read_text("utf-8"))["cosines"]
        if len(cosines) != len(SECONDS):
            raise ValueError("other lengths")
    except (OSError, ValueError, KeyError, TypeError):
        cosines = compare(engine, exact(), sample_rate)
        _remember(record, cosines)
    least = LEAST[engine.suffix]
    if not min(cosines) >= least:  # NaN is wrong, too
        figures = ", ".join(f"{s} s: {c:.4f}" for s, c in zip(SECONDS, cosines, strict=True))
        raise EngineError(
            f"engine {engine.name}{engine.suffix} on {engine.device} computes other embeddings "
            f"than float32 on this machine (cosines {figures}; expected at least {least}); "
            "use engine='torch', precision='float32'"
        )


def compare(engine: Engine, exact: Engine, sample_rate: int) -> list[float]:
    """Smallest cosine of two engines' embeddings, for each of :data:`SECONDS`."""
    return [
        float((unit(engine.embed(waves)) * unit(exact.embed(waves))).sum(axis=1).min())
        for waves in (signals(sample_rate, seconds) for seconds in SECONDS)
    ]


def signals(sample_rate: int, seconds: float, count: int = 4) -> Samples:
    """Noise (count, n) of different colours that swells at different rates, always the same."""
    rng = np.random.default_rng(0)
    n = max(1, round(seconds * sample_rate))
    time = np.arange(n) / sample_rate
    clips = []
    for _ in range(count):
        tilt, rate, phase = rng.uniform(-1, 1), rng.uniform(0.2, 8), rng.uniform(0, 2 * np.pi)
        spectrum = np.fft.rfft(rng.standard_normal(n))
        spectrum *= np.linspace(1e-3, 1, len(spectrum)) ** tilt
        wave = np.fft.irfft(spectrum, n) * (1.1 + np.sin(2 * np.pi * rate * time + phase))
        clips.append(0.5 * wave / np.abs(wave).max())
    return np.array(clips, np.float32)


def _record(engine: Engine, fingerprint: str) -> Path:
    """Where the outcome for this engine, these weights, this machine and these versions is kept."""
    versions = {name: _version(name) for name in ("wav2clip", "torch", "onnxruntime", "numpy")}
    machine = [platform.machine(), platform.processor(), torch.backends.cpu.get_cpu_capability()]
    facts = [engine.name, engine.suffix, engine.device, fingerprint, versions, machine, _flags()]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    return cache_folder() / "engines" / f"{digest}.json"


def _flags() -> str:
    """What tells processors apart: on Linux their feature flags and what limits their use."""
    import os

    limits = [os.environ.get(name, "") for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")]
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    return "\n".join([*limits, *sorted({line for line in lines if line.startswith("flags")})])


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _remember(record: Path, cosines: list[float]) -> None:
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(record) as temporary:
            temporary.write_text(json.dumps({"cosines": cosines}), "utf-8")
    except OSError:
        pass  # a cache that cannot be written costs a second each time
