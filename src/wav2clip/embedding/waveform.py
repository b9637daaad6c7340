"""Engines of the built-in architecture: each stretch of sound stands for itself.

Its network weighs channels by their means over all it is given, so a long recording cannot be cut
without changing them. What is longer than :data:`PIECE_SECONDS`, the length that the network learnt
from, is therefore defined by its pieces: the average of their embeddings, weighted by their length.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np

from wav2clip.audio.io import Samples
from wav2clip.embedding.engine import Blocks, Embeddings, Engine
from wav2clip.models.checkpoint import Checkpoint
from wav2clip.models.config import MelConfig, Standardize
from wav2clip.models.sessions import EMBEDDING, FEATURES, SPECTROGRAM, Session
from wav2clip.models.spectrogram import log_mel

PIECE_SECONDS = 10.0
"""A recording of up to here is embedded in one piece; AudioSet's clips are so long."""

_BATCH_SECONDS = 10.0
"""Sound in one call of the network: more at once leaves the caches and slows a CPU down."""


class Graph(Protocol):
    """Waveforms (batch, n) in, (features, embeddings) out."""

    def __call__(self, waves: Samples) -> tuple[Embeddings, Embeddings]: ...

    def beside(self, threads: int) -> Graph: ...


class WaveformEngine:
    """See :class:`wav2clip.embedding.engine.Engine`; there are no statistics to share."""

    def __init__(
        self, graph: Graph, sample_rate: int, name: str, device: str = "cpu", suffix: str = ""
    ) -> None:
        self.name, self.device, self.suffix = name, device, suffix
        self._graph, self._rate = graph, sample_rate
        self._piece = int(PIECE_SECONDS * sample_rate)

    def embed(self, waves: Samples, scope: Standardize = "recording") -> Embeddings:
        return self._pooled(waves, lambda part: self._graph(part)[1])

    def features(self, waves: Samples) -> Embeddings:
        return self._pooled(waves, lambda part: self._graph(part)[0])

    def embed_windows(self, windows: Blocks) -> Embeddings:
        # Windows are read-only views of one another; a network wants memory of its own.
        parts = [self.embed(batch.copy()) for batch in windows()]
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    def embed_stream(self, blocks: Blocks) -> Embeddings:
        embedding: Embeddings = mean(self.pieces(blocks()))[0]
        return embedding

    def pieces(self, blocks: Iterable[Samples]) -> Iterator[tuple[Embeddings, int]]:
        """(1, dimension) of each piece of a recording, and its samples; :func:`mean` joins them."""
        for piece in _pieces(blocks, self._piece):
            yield self._graph(piece[None])[1], len(piece)

    def beside(self, threads: int) -> Engine:
        graph = self._graph.beside(threads)
        if graph is self._graph:
            return self
        return WaveformEngine(graph, self._rate, self.name, self.device, self.suffix)

    def _pooled(self, waves: Samples, run: Callable[[Samples], Embeddings]) -> Embeddings:
        """One row for each of (batch, n), in as many calls as keep them small."""
        length = waves.shape[1]
        size = max(1, int(_BATCH_SECONDS * self._rate) // max(1, min(length, self._piece)))
        rows = []
        for first in range(0, len(waves), size):
            batch = np.ascontiguousarray(waves[first : first + size])
            starts = range(0, length, self._piece)
            pieces = (batch[:, start : start + self._piece] for start in starts)
            rows.append(mean((run(piece), piece.shape[1]) for piece in pieces))
        return np.concatenate(rows)


class OnnxGraph:
    """ONNX Runtime behind the front end in NumPy.

    A checkpoint without a graph of its own is made into one here, which needs PyTorch.
    """

    def __init__(
        self, checkpoint: Checkpoint, threads: int | None = None, device: str = "cpu"
    ) -> None:
        config = checkpoint.config.frontend
        assert isinstance(config, MelConfig)
        self._config = config
        self._session = Session(checkpoint.graph or _built(checkpoint), threads, device)
        self._for_threads = functools.cache(lambda count: OnnxGraph(checkpoint, count, device))

    def __call__(self, waves: Samples) -> tuple[Embeddings, Embeddings]:
        spectrogram = log_mel(waves, self._config)
        features, embeddings = self._session.run([FEATURES, EMBEDDING], {SPECTROGRAM: spectrogram})
        return features, embeddings

    def beside(self, threads: int) -> OnnxGraph:
        graph: OnnxGraph = self._for_threads(threads)
        return graph


def _built(checkpoint: Checkpoint) -> bytes:
    from wav2clip.models.onnx_graph import build_onnx

    graph: bytes = build_onnx(checkpoint.network, checkpoint.config).SerializeToString()
    return graph


def _pieces(blocks: Iterable[Samples], length: int) -> Iterator[Samples]:
    """A stream cut into pieces of ``length`` samples, the last one shorter or as long."""
    held: list[Samples] = []
    there = 0
    for block in blocks:
        held.append(block)
        there += len(block)
        while there > length:
            joined = np.concatenate(held)
            yield joined[:length]
            held, there = [joined[length:]], there - length
    yield np.concatenate(held)


def mean(parts: Iterable[tuple[Embeddings, int]]) -> Embeddings:
    """The average of arrays weighted by lengths; a single one as it is."""
    first, weight = next(iterator := iter(parts))
    rest = list(iterator)
    if not rest:
        return first
    total = weight + sum(length for _, length in rest)
    mean = first.astype(np.float64) * (weight / total)
    for part, length in rest:
        mean += part * (length / total)
    return mean.astype(np.float32)
