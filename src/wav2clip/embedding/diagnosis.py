"""Which engines work on this machine, how fast each is, and how exact."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

from wav2clip.audio.io import Samples
from wav2clip.audio.signals import signals
from wav2clip.embedding.engine import Embeddings, Engine
from wav2clip.embedding.engines import make_engine, seconds
from wav2clip.errors import Wav2ClipError
from wav2clip.models.checkpoint import Checkpoint
from wav2clip.models.config import MelConfig
from wav2clip.models.sessions import devices_here
from wav2clip.models.space import unit

_BATCH = 8
_SECONDS = 5.0


@dataclass(frozen=True)
class EngineReport:
    """What became of one engine.

    Attributes:
        name: engine, device and precision.
        milliseconds: of one clip of five seconds, or None.
        milliseconds_batched: the same in batches of eight, or None.
        cosine: smallest cosine with the float32 embedding of PyTorch, over eight clips of noise.
        automatic: whether ``engine="auto"`` takes it.
        problem: why it does not work, or None.
    """

    name: str
    milliseconds: float | None = None
    milliseconds_batched: float | None = None
    cosine: float | None = None
    automatic: bool = False
    problem: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def cells(self, reference: EngineReport) -> list[str]:
        """A row of a table; speed is that in batches against the reference."""
        if self.milliseconds is None or self.milliseconds_batched is None:
            return [self.name, "", "", "", "", self.problem or ""]
        ratio = (reference.milliseconds_batched or self.milliseconds_batched) / (
            self.milliseconds_batched
        )
        return [
            self.name,
            f"{self.milliseconds:.1f} ms",
            f"{self.milliseconds_batched:.1f} ms",
            f"{ratio:.2f} x",
            f"{self.cosine:.6f}",
            "auto" if self.automatic else "",
        ]


def examine(checkpoint: Checkpoint) -> list[EngineReport]:
    """Try every engine with every precision on every device.

    The first is PyTorch in float32, which the others are compared with, or ONNX Runtime where
    PyTorch is not installed.
    """
    tries = [(device, "onnx", "float32") for device in devices_here() or ["cpu"]]
    if not isinstance(checkpoint.config.frontend, MelConfig):
        tries.append(("cpu", "onnx-int8", "float32"))
    if find_spec("torch") is not None:
        tries = [*_on_torch(), *tries]
    automatic = make_engine("auto", checkpoint).name
    rate = checkpoint.config.frontend.sample_rate
    clips = signals(rate, _SECONDS, _BATCH)
    exact = make_engine(tries[0][1], checkpoint).embed(clips)
    return [
        _report(checkpoint, engine, device, precision, clips, exact, automatic)
        for device, engine, precision in tries
    ]


def _on_torch() -> list[tuple[str, str, str]]:
    import torch

    devices = ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
    half = [("cuda:0", "torch", "float16")] if len(devices) > 1 else []
    return [(d, "torch", p) for d in devices for p in ("float32", "bfloat16")] + half


def _report(
    checkpoint: Checkpoint,
    name: str,
    device: str,
    precision: str,
    clips: Samples,
    exact: Embeddings,
    automatic: str,
) -> EngineReport:
    title = f"{name}, {device}, {precision}" if name == "torch" else f"{name}, {device}"
    try:
        engine: Engine = make_engine(name, checkpoint, device, precision)
        embeddings = engine.embed(clips)
        rate = checkpoint.config.frontend.sample_rate
        one, eight = (seconds(engine, rate, batch) / batch for batch in (1, _BATCH))
    except (Wav2ClipError, RuntimeError) as error:
        return EngineReport(title, problem=str(error))
    cosine = (unit(embeddings) * unit(exact)).sum(axis=1).min()
    chosen = name == automatic and precision == "float32" and device == "cpu"
    return EngineReport(title, one * 1e3, eight * 1e3, float(cosine), chosen)
