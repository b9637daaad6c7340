"""Engines by name: made, compared, and timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from wav2clip.audio.signals import signals
from wav2clip.embedding import proof
from wav2clip.embedding.engine import Engine
from wav2clip.embedding.waveform import OnnxGraph, WaveformEngine
from wav2clip.errors import EngineError, InputError, MissingExtraError
from wav2clip.models.checkpoint import Checkpoint
from wav2clip.models.config import MelConfig
from wav2clip.models.sessions import PROVIDERS
from wav2clip.runtime import require_torch

PRECISIONS = ("float32", "bfloat16", "float16")
ENGINES = ("torch", "onnx", "onnx-int8")
"""By name, and ``"auto"``."""

ROUNDINGS = {
    "-int8": {"engine": "onnx-int8"},
    "-bfloat16": {"precision": "bfloat16"},
    "-float16": {"precision": "float16"},
}
"""What engines that round more coarsely than float32 add to a fingerprint, and how to load them."""


def split_fingerprint(fingerprint: str) -> tuple[str, dict[str, str]]:
    """A model's fingerprint without its engine's suffix, and the options that gave the suffix."""
    for suffix, options in ROUNDINGS.items():
        if fingerprint.endswith(suffix):
            return fingerprint.removesuffix(suffix), dict(options)
    return fingerprint, {}


def make_engine(
    name: str,
    checkpoint: Checkpoint,
    device: Any = None,
    precision: str = "float32",
    *,
    compiled: bool = False,
) -> Engine:
    """The engine of that name, which has proven itself on this machine.

    Args:
        name: one of :data:`ENGINES`, or ``"auto"``: ONNX Runtime where it is installed and computes
            what PyTorch does, else PyTorch.
        checkpoint: what it runs.
        device: by default the CPU. ``"cuda"`` is PyTorch's unless ONNX Runtime is asked for by
            name; other devices of :data:`wav2clip.models.sessions.PROVIDERS` are its alone.
        precision: of the torch engine: a key of :data:`PRECISIONS`.
        compiled: whether the torch engine compiles the network, which takes a minute at first use.

    Raises:
        InputError: unknown engine or precision, a device that this machine does not have, or a
            combination that does not exist.
        EngineError: it computes other embeddings than float32 PyTorch on this machine.
        MissingExtraError: ONNX Runtime is asked for and not installed.
    """
    if name not in (*ENGINES, "auto"):
        raise InputError(f"engine is {name!r}, expected one of {', '.join(ENGINES)} or auto")
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
    chosen = str(device or "cpu")
    plain = precision == "float32" and not compiled
    if name == "auto":
        if chosen == "cpu" and plain:
            with suppress(EngineError, MissingExtraError):
                return make_engine("onnx", checkpoint)
        name = "onnx" if _of_onnx_runtime(chosen) else "torch"
    if name == "torch":
        engine = _torch(checkpoint, _device_of_torch(chosen), precision, compiled)
    elif plain and (name == "onnx" or chosen == "cpu"):
        engine = _onnx(checkpoint, name, chosen)
    else:
        raise InputError(
            f"engine {name} runs as it is{'' if name == 'onnx' else ', and on the CPU'}; device "
            f"{chosen}, precision {precision} and compiling are for the torch engine"
        )
    if name != "torch" or precision != "float32":
        exact = partial(_torch, checkpoint, "cpu", "float32", False)
        proof.prove(engine, checkpoint, exact)
    return engine


def _torch(checkpoint: Checkpoint, device: str, precision: str, compiled: bool) -> Engine:
    require_torch("engine torch")
    import torch

    from wav2clip.embedding.standardized import StandardizedEngine, TorchNetwork
    from wav2clip.embedding.torch_graph import TorchGraph

    frontend, dtype, where = (
        checkpoint.config.frontend,
        getattr(torch, precision),
        torch.device(device),
    )
    suffix = "" if precision == "float32" else f"-{precision}"
    if isinstance(frontend, MelConfig):
        graph = TorchGraph(checkpoint.network, frontend, where, dtype, compiled)
        return WaveformEngine(graph, frontend.sample_rate, "torch", device, suffix)
    network = TorchNetwork(checkpoint.network, where, dtype, compiled)
    return StandardizedEngine(network, frontend, "torch", device, suffix)


def _of_onnx_runtime(device: str) -> bool:
    """Whether it is a device that PyTorch does not have."""
    return device.partition(":")[0] in {*PROVIDERS} - {"cpu", "cuda"}


def _onnx(checkpoint: Checkpoint, name: str, device: str) -> Engine:
    frontend, int8 = checkpoint.config.frontend, name == "onnx-int8"
    if isinstance(frontend, MelConfig):
        if int8:
            raise InputError(
                "8 bits are for the published architecture: this network is as fast in float32, "
                "engine='onnx'"
            )
        graph = OnnxGraph(checkpoint, device=device)
        return WaveformEngine(graph, frontend.sample_rate, name, device)
    require_torch("the published architecture")
    from wav2clip.embedding.standardized import OnnxNetwork, StandardizedEngine

    suffix = "-int8" if int8 else ""
    network = OnnxNetwork(checkpoint, int8=int8, device=device)
    return StandardizedEngine(network, frontend, name, device, suffix)


def seconds(engine: Engine, sample_rate: int, batch: int = 1, turns: int = 5) -> float:
    """Shortest time of a call with ``batch`` recordings of five seconds of noise."""
    noise = signals(sample_rate, 5.0, batch)
    return min(_timed(lambda: engine.embed(noise)) for _ in range(turns + 1))


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _device_of_torch(name: str) -> str:
    """The device's name, once it is known that it can be used."""
    if name == "cpu":
        return name
    require_torch(f"device {name}")
    import torch

    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} cannot be used here: {error}") from error
    return name
