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
from collections.abc import Callable
from pathlib import Path

from wav2clip import runtime
from wav2clip.audio.signals import SECONDS, signals
from wav2clip.downloads import cache_folder
from wav2clip.embedding.engine import Embeddings, Engine
from wav2clip.errors import EngineError
from wav2clip.files import atomic_path, display
from wav2clip.models.checkpoint import Checkpoint
from wav2clip.models.sessions import Session, proof_in
from wav2clip.models.space import unit

LEAST = {"": 0.99999, "-float16": 0.999, "-bfloat16": 0.98, "-int8": 0.95}
"""Smallest cosine with float32 that is accepted, by what the engine adds to a fingerprint."""


def prove(engine: Engine, checkpoint: Checkpoint, exact: Callable[[], Engine]) -> None:
    """Do nothing if the engine computes what float32 PyTorch computes.

    A graph that came with its checkpoint carries what PyTorch computed when it was made; otherwise
    PyTorch computes it here.

    Args:
        engine: what is to be used.
        checkpoint: what it runs.
        exact: makes the engine to compare with where the checkpoint has no graph.

    Raises:
        EngineError: it does not; the message has the figures.
    """
    record = _record(engine, checkpoint.fingerprint)
    try:
        cosines = json.loads(record.read_text("utf-8"))["cosines"]
        if len(cosines) != len(SECONDS):
            raise ValueError("other lengths")
    except (OSError, ValueError, KeyError, TypeError):
        cosines = compare(engine, expected(engine, checkpoint, exact), checkpoint)
        _remember(record, cosines)
    least = LEAST[engine.suffix]
    if not min(cosines) >= least:  # NaN is wrong, too
        figures = ", ".join(f"{s} s: {c:.4f}" for s, c in zip(SECONDS, cosines, strict=True))
        raise EngineError(
            f"engine {engine.name}{engine.suffix} on {engine.device} computes other embeddings "
            f"than float32 on this machine (cosines {figures}; expected at least {least}); "
            "use engine='torch', precision='float32'"
        )


def expected(
    engine: Engine, checkpoint: Checkpoint, exact: Callable[[], Engine]
) -> list[Embeddings]:
    """Embeddings of the signals, (4, dimension) for each of :data:`SECONDS`, as PyTorch has them.

    Raises:
        EngineError: the graph beside the weights was made of others.
    """
    if checkpoint.graph is not None and engine.name == "onnx":
        metadata = Session(checkpoint.graph, threads=1).metadata
        stored = proof_in(metadata, checkpoint.config.encoder.dimension, len(SECONDS))
        if metadata.get("fingerprint") != checkpoint.fingerprint or stored is None:
            raise EngineError(
                f"{display(checkpoint.graph)} belongs to other weights than those beside it; "
                "delete it, or write it anew with `wav2clip export`"
            )
        return stored
    rate, reference = checkpoint.config.frontend.sample_rate, exact()
    return [reference.embed(signals(rate, seconds)) for seconds in SECONDS]


def compare(engine: Engine, wanted: list[Embeddings], checkpoint: Checkpoint) -> list[float]:
    """Smallest cosine with the embeddings that are wanted, for each of :data:`SECONDS`."""
    rate = checkpoint.config.frontend.sample_rate
    own = (engine.embed(signals(rate, seconds)) for seconds in SECONDS)
    return [float((unit(a) * unit(b)).sum(axis=1).min()) for a, b in zip(own, wanted, strict=True)]


def _record(engine: Engine, fingerprint: str) -> Path:
    """Where the outcome for this engine, these weights, this machine and these versions is kept."""
    versions = {name: _version(name) for name in ("wav2clip", "torch", "onnxruntime", "numpy")}
    processor = runtime.processor()
    facts = [engine.name, engine.suffix, engine.device, fingerprint, versions, processor]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    return cache_folder() / "engines" / f"{digest}.json"


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
