"""Which engines work on this machine, how fast each is, and how exact."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from wav2clip.embedding.engines import Engine, fastest, has_onnx, make_engine, seconds
from wav2clip.errors import Wav2ClipError
from wav2clip.models.checkpoint import Checkpoint

_BATCH = 8
_COLUMNS = 227  # five seconds


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
    """Try every engine with every precision on every device; PyTorch in float32 comes first."""
    devices = ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
    tries = [(d, "torch", p) for d in devices for p in ("float32", "bfloat16")]
    tries += [("cuda:0", "torch", "float16")] if len(devices) > 1 else []
    tries += [("cpu", "onnx", "float32"), ("cpu", "onnx-int8", "float32")]
    automatic = fastest(checkpoint) if has_onnx() else "torch"
    clips = _noises(checkpoint)
    with torch.inference_mode():
        exact = make_engine("torch", checkpoint).embed(clips)
        return [
            _report(checkpoint, engine, device, precision, clips, exact, automatic)
            for device, engine, precision in tries
        ]


def _report(
    checkpoint: Checkpoint,
    name: str,
    device: str,
    precision: str,
    clips: torch.Tensor,
    exact: torch.Tensor,
    automatic: str,
) -> EngineReport:
    title = f"{name}, {device}, {precision}" if name == "torch" else f"{name}, {device}"
    try:
        engine: Engine = make_engine(name, checkpoint, device, precision)
        embeddings = engine.embed(clips.to(engine.device)).cpu()
        one, eight = (seconds(engine, batch) / batch for batch in (1, _BATCH))
    except (Wav2ClipError, RuntimeError) as error:
        return EngineReport(title, problem=str(error))
    cosine = torch.nn.functional.cosine_similarity(embeddings, exact).min()
    chosen = name == automatic and precision == "float32" and device == "cpu"
    return EngineReport(title, one * 1e3, eight * 1e3, float(cosine), chosen)


def _noises(checkpoint: Checkpoint) -> torch.Tensor:
    """Standardised spectrograms (8, bins, columns) of noise in bands: no silence, no two alike."""
    generator = torch.Generator().manual_seed(0)
    bins = checkpoint.config.frontend.bins
    noise = torch.randn(_BATCH, bins, _COLUMNS, generator=generator)
    tilt = torch.randn(_BATCH, bins // 16 + 1, 1, generator=generator).repeat_interleave(16, 1)
    swell = torch.randn(_BATCH, 1, _COLUMNS // 16 + 1, generator=generator).repeat_interleave(16, 2)
    clips = noise + 2 * tilt[:, :bins] + 2 * swell[..., :_COLUMNS]
    return (clips - clips.mean((1, 2), keepdim=True)) / clips.std((1, 2), keepdim=True)
