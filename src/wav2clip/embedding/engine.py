"""What an engine is: a front end and a network, waveforms in and embeddings out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wav2clip.audio.io import Samples
from wav2clip.models.config import Standardize

Embeddings = NDArray[np.float32]

Blocks = Callable[[], Iterable[Samples]]
"""A recording from its start, anew at each call."""


class Engine(Protocol):
    """Runs one checkpoint. Safe to share between threads.

    Waveforms are float32 at the model's rate, (batch, n) of one length; embeddings are float32.

    Attributes:
        name: one of :data:`wav2clip.embedding.engines.ENGINES`.
        device: what the network runs on, as PyTorch or ONNX Runtime names it.
        suffix: what a model's fingerprint gets where the engine rounds more coarsely than float32,
            so that its embeddings are told from the exact ones; else empty.
    """

    name: str
    device: str
    suffix: str

    def embed(self, waves: Samples, scope: Standardize = "recording") -> Embeddings:
        """Embeddings (batch, dimension) of recordings; ``scope`` is what shares statistics."""

    def features(self, waves: Samples) -> Embeddings:
        """Features (batch, features) of recordings: the encoder's output before the projection."""

    def embed_windows(self, windows: Blocks) -> Embeddings:
        """Embeddings (t, dimension) of windows (b, n) of one recording.

        Statistics, where the front end takes any, are those of all windows together.
        """

    def embed_stream(self, blocks: Blocks) -> Embeddings:
        """The embedding (dimension,) of a recording in blocks (n,), in bounded memory."""

    def beside(self, threads: int) -> Engine:
        """The same engine for callers that share the cores, with so many threads for each call."""
