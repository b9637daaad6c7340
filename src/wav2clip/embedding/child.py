"""What runs in a process that reads files and embeds what it reads, so that no sample travels.

Where a network takes as little as the built-in one, handing samples from process to process cost a
tenth of the time. Graphs of ONNX Runtime work like this. What needs PyTorch or a graphics card is
fed by processes that only read (:mod:`wav2clip.reading.child`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import cache

from wav2clip.audio import io, windows
from wav2clip.audio.io import Samples
from wav2clip.embedding.bulk import Plan, metadata_of
from wav2clip.embedding.embedder import too_short
from wav2clip.embedding.engine import Embeddings
from wav2clip.embedding.waveform import OnnxGraph, WaveformEngine, mean
from wav2clip.errors import AudioError, CheckpointError
from wav2clip.files import display
from wav2clip.models.checkpoint import load_checkpoint
from wav2clip.reading import wire
from wav2clip.reading.child import READERS, Frame, Request, floats, serve
from wav2clip.reading.readers import InProcess

_Rows = Iterator[tuple[list[int], int, Embeddings]]
"""First samples, samples of each, and a row for each; no rows where there is more to wait for."""


def main() -> None:
    """Serve standard input until it ends."""
    serve({**READERS, wire.EMBED: _embed})


def _embed(request: Request) -> Iterator[Frame]:
    plan, path = Plan(**request["plan"]), request["path"]
    engine = _engine(plan.folder, plan.fingerprint, plan.threads)
    texts, note = metadata_of(InProcess(), path) if plan.metadata else ({}, "")
    stream = io.stream_audio(path, plan.rate)
    yield wire.TOLD, {"track": asdict(stream.track), "metadata": dict(texts), "note": note}, 0
    starts: list[int] = []
    lengths: list[int] = []
    for some, length, rows in _rows(engine, plan, stream):
        starts += some
        lengths += [length] * len(some)
        # Whoever waits for a long recording takes silence for a hanging decoder.
        yield wire.SAMPLES, floats(rows), rows.shape[1]
    if plan.frames is not None and not starts:
        raise AudioError(too_short(display(path), plan.frames[0] / plan.rate))
    told = {"seconds": stream.seconds, "warnings": stream.warnings}
    yield wire.END, told | {"starts": starts, "lengths": lengths}, 0


def _rows(engine: WaveformEngine, plan: Plan, blocks: Iterable[Samples]) -> _Rows:
    if plan.segments is not None:
        for start, samples in windows.segments(blocks, *plan.segments):
            yield [start], len(samples), engine.embed(samples[None])
    elif plan.frames is not None:
        length, hop = plan.frames
        first = 0
        for batch in windows.frame_blocks(blocks, length, hop, plan.batch):
            last = first + hop * len(batch)
            yield list(range(first, last, hop)), length, engine.embed(batch.copy())
            first = last
    else:
        parts = []
        for part in engine.pieces(blocks):
            parts.append(part)
            yield [], 0, part[0][:0]
        yield [0], sum(length for _, length in parts), mean(parts)


@cache
def _engine(folder: str, fingerprint: str, threads: int) -> WaveformEngine:
    """The engine of whoever asks, which has proven itself there.

    Raises:
        CheckpointError: the weights have changed meanwhile.
    """
    checkpoint = load_checkpoint(folder)
    if checkpoint.fingerprint != fingerprint or checkpoint.graph is None:
        raise CheckpointError(f"{display(folder)}: holds another model than when it was loaded")
    return WaveformEngine(
        OnnxGraph(checkpoint, threads), checkpoint.config.frontend.sample_rate, "onnx"
    )
