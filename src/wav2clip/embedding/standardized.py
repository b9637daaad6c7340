"""Engines of the published architecture, whose front end takes statistics of a whole recording."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from wav2clip.audio.io import Samples
from wav2clip.embedding.engine import Blocks, Embeddings, Engine
from wav2clip.errors import InputError
from wav2clip.models.checkpoint import Checkpoint
from wav2clip.models.chunks import pool_pieces
from wav2clip.models.config import FrontendConfig, Standardize
from wav2clip.models.encoder import ResNet
from wav2clip.models.frontend import Frontend
from wav2clip.models.network import AudioNetwork
from wav2clip.models.onnx_graph import build_onnx
from wav2clip.models.sessions import EMBEDDING, FEATURE_MAP, FEATURES, SPECTROGRAM, Session

_PIECE_FRAMES = 8 * 227
"""Of a long recording's spectrogram: eight times five seconds."""


class Network(Protocol):
    """Standardised spectrograms (batch, bins, frames) in, float32 tensors out."""

    def embed(self, spectrogram: Tensor) -> Tensor: ...

    def features(self, spectrogram: Tensor) -> Tensor: ...

    def embed_pieces(self, pieces: Iterable[Tensor]) -> Tensor: ...

    def beside(self, threads: int) -> Network: ...


class StandardizedEngine:
    """The published front end before a network; see :class:`wav2clip.embedding.engine.Engine`."""

    def __init__(
        self,
        network: Network,
        config: FrontendConfig,
        name: str,
        device: str = "cpu",
        suffix: str = "",
    ) -> None:
        self.name, self.device, self.suffix = name, device, suffix
        self._network = network
        self._frontend = Frontend(config)

    @torch.inference_mode()
    def embed(self, waves: Samples, scope: Standardize = "recording") -> Embeddings:
        return _array(self._network.embed(self._spectrogram(waves, scope)))

    @torch.inference_mode()
    def features(self, waves: Samples) -> Embeddings:
        return _array(self._network.features(self._spectrogram(waves, "recording")))

    @torch.inference_mode()
    def embed_windows(self, windows: Blocks) -> Embeddings:
        sizes: list[int] = []

        def spectrograms() -> Iterator[Tensor]:
            for batch in windows():
                sizes.append(len(batch))
                # Windows are views of one another; torch wants memory of its own.
                yield self._frontend(torch.from_numpy(batch.copy()))

        statistics = self._frontend.statistics(spectrograms())
        # One array from the start: small ones between large buffers would pin the heap.
        total, embeddings, first = sum(sizes), None, 0
        for spectrogram in spectrograms():
            standardized = self._frontend.standardize(spectrogram, statistics)
            part: Embeddings = _array(self._network.embed(standardized))
            if embeddings is None:
                embeddings = np.empty((total, part.shape[1]), np.float32)
            embeddings[first : first + len(part)] = part
            first += len(part)
        return np.zeros((0, 0), np.float32) if embeddings is None else embeddings

    @torch.inference_mode()
    def embed_stream(self, blocks: Blocks) -> Embeddings:
        def pieces() -> Iterator[Tensor]:
            return self._frontend.stream(map(torch.from_numpy, blocks()), _PIECE_FRAMES)

        statistics = self._frontend.statistics(pieces())
        standardized = (self._frontend.standardize(piece, statistics) for piece in pieces())
        embedding: Embeddings = _array(self._network.embed_pieces(standardized))[0]
        return embedding

    def beside(self, threads: int) -> Engine:
        network = self._network.beside(threads)
        if network is self._network:
            return self
        return StandardizedEngine(
            network, self._frontend.config, self.name, self.device, self.suffix
        )

    def _spectrogram(self, waves: Samples, scope: Standardize) -> Tensor:
        spectrogram = self._frontend(torch.from_numpy(np.ascontiguousarray(waves)))
        return self._frontend.standardize(spectrogram, scope)


class TorchNetwork:
    """PyTorch, channels-last, batch norms folded into the convolutions."""

    def __init__(
        self, network: AudioNetwork, device: torch.device, dtype: torch.dtype, compiled: bool
    ) -> None:
        self._device, self._dtype = device, dtype
        self._network = network.fold_batch_norm().to(device, dtype)
        if compiled:
            # Lengths differ from file to file: one compiled network for all.
            self._network.compile(dynamic=True)

    def embed(self, spectrogram: Tensor) -> Tensor:
        embedding: Tensor = self._network(spectrogram.to(self._device, self._dtype))
        return embedding.float()

    def features(self, spectrogram: Tensor) -> Tensor:
        features: Tensor = self._network.audio_encoder(spectrogram.to(self._device, self._dtype))
        return features.float()

    def embed_pieces(self, pieces: Iterable[Tensor]) -> Tensor:
        encoder = self._network.audio_encoder
        assert isinstance(encoder, ResNet)
        same = (piece.to(self._device, self._dtype) for piece in pieces)
        return self._network.project(pool_pieces(encoder.feature_map, same)).float()

    def beside(self, threads: int) -> TorchNetwork:
        return self  # a call has as many threads as torch gives to the thread that calls


class OnnxNetwork:
    """ONNX Runtime, in float32 or with 8-bit convolutions."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        int8: bool = False,
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        ranges = checkpoint.config.activation_ranges
        if int8 and ranges is None:
            raise InputError(
                "this model has no ranges of activations for 8 bits: make them from sounds like "
                "yours with `wav2clip export MODEL -o FOLDER --calibrate SOUNDS`, then load FOLDER"
            )
        self._network = checkpoint.network  # its projection, for what comes in pieces
        graph = build_onnx(checkpoint.network, checkpoint.config, ranges=ranges if int8 else None)
        self._session = Session(graph.SerializeToString(), threads, device)
        self._beside = functools.cache(
            lambda count: OnnxNetwork(checkpoint, int8=int8, threads=count, device=device)
        )

    def embed(self, spectrogram: Tensor) -> Tensor:
        return self._run(EMBEDDING, spectrogram)

    def features(self, spectrogram: Tensor) -> Tensor:
        return self._run(FEATURES, spectrogram)

    def embed_pieces(self, pieces: Iterable[Tensor]) -> Tensor:
        def feature_map(chunk: Tensor) -> Tensor:
            return self._run(FEATURE_MAP, chunk)

        return self._network.project(pool_pieces(feature_map, pieces))

    def beside(self, threads: int) -> OnnxNetwork:
        network: OnnxNetwork = self._beside(threads)
        return network

    def _run(self, output: str, spectrogram: Tensor) -> Tensor:
        inputs = {SPECTROGRAM: spectrogram.contiguous().numpy()}
        return torch.from_numpy(self._session.run([output], inputs)[0])


def _array(tensor: Tensor) -> Embeddings:
    array: Embeddings = tensor.float().cpu().numpy()
    return array
