"""The graphs of this project's networks: what goes in, what comes out, and what they carry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wav2clip.audio.signals import SECONDS, signals
from wav2clip.files import digest
from wav2clip.models import registry
from wav2clip.models.checkpoint import GRAPH_FILE, WEIGHTS_FILE, Checkpoint, load_checkpoint
from wav2clip.models.config import MelConfig
from wav2clip.models.network import AudioNetwork
from wav2clip.models.onnx_export import Signature, proof_of, write_graph
from wav2clip.models.sessions import EMBEDDING, FEATURES, IDS, PIXELS, SPECTROGRAM, proof_in
from wav2clip.models.spectrogram import log_mel
from wav2clip.models.towers.builtin import FOLDER, IMAGE_WEIGHTS, SIDE, TEXT_WEIGHTS
from wav2clip.models.towers.image_network import load_image_network
from wav2clip.models.towers.text_network import load_text_network

if TYPE_CHECKING:
    from onnx import ModelProto

BUILTIN_GRAPHS = tuple(
    FOLDER / kind / GRAPH_FILE for kind in ("audio", TEXT_WEIGHTS.parent, IMAGE_WEIGHTS.parent)
)


class _Both(nn.Module):
    """Features and embeddings of an audio network."""

    def __init__(self, network: AudioNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, spectrogram: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network.audio_encoder(spectrogram)
        return features, self.network.project(features)


def write_audio_graph(checkpoint: Checkpoint, weights: Path, graph: Path) -> Path:
    """The graph of an encoder of the built-in architecture.

    From ``spectrogram`` (batch, bands, frames) to ``features`` and ``embedding``. Its metadata has
    the checkpoint's ``fingerprint`` and, as ``proof``, the embeddings of
    :func:`wav2clip.audio.signals.signals` in the lengths of :data:`wav2clip.audio.signals.SECONDS`.

    Args:
        checkpoint: as it was read.
        weights: its file.
        graph: to write, beside the weights.
    """
    config = checkpoint.config.frontend
    assert isinstance(config, MelConfig)
    network = checkpoint.network
    with torch.inference_mode():
        proof = [
            network(torch.from_numpy(log_mel(signals(config.sample_rate, s), config))).numpy()
            for s in SECONDS
        ]
    signature = Signature(
        {SPECTROGRAM: torch.zeros(2, config.bands, 100)},
        (FEATURES, EMBEDDING),
        {SPECTROGRAM: {0: "batch", 2: "frames"}},
    )
    metadata = {"fingerprint": checkpoint.fingerprint, "proof": proof_of(proof)}
    plain = _Both(network).to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    write_graph(plain, signature, weights, graph, metadata)
    return graph


def same_graph(a: Path, b: Path) -> bool:
    """Whether two graphs compute the same from the same weights.

    Their proofs may differ in the last digits, as processors do.
    """
    import onnx

    models = [onnx.load(path, load_external_data=False) for path in (a, b)]
    first, second = (_take_proof(model) for model in models)
    return models[0] == models[1] and np.allclose(first, second, rtol=0, atol=2e-3)


def _take_proof(model: ModelProto) -> NDArray[np.float32]:
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    stored = proof_in(metadata, 1, 1) if "proof" in metadata else None
    kept = [entry for entry in model.metadata_props if entry.key != "proof"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    return np.zeros(0, np.float32) if stored is None else stored[0]


def write_builtin_graphs(folder: Path = FOLDER) -> list[Path]:
    """Write the graphs of the three built-in networks; see :data:`BUILTIN_GRAPHS`.

    Args:
        folder: by default the package's own.
    """
    for path in BUILTIN_GRAPHS:
        (folder / path.relative_to(FOLDER)).parent.mkdir(parents=True, exist_ok=True)
    audio = registry.MODELS["builtin"].path
    ids = {IDS: torch.arange(14).reshape(2, 7)}
    pixels = {PIXELS: torch.zeros(2, 3, SIDE, SIDE)}
    words = Signature(ids, (EMBEDDING,), {IDS: {0: "batch", 1: "length"}})
    pictures = Signature(pixels, (EMBEDDING,), {PIXELS: {0: "batch"}})
    graphs = [folder / path.relative_to(FOLDER) for path in BUILTIN_GRAPHS]
    write_audio_graph(load_checkpoint(audio), audio / WEIGHTS_FILE, graphs[0])
    text, image = FOLDER / TEXT_WEIGHTS, FOLDER / IMAGE_WEIGHTS
    write_graph(load_text_network(text), words, text, graphs[1], {"weights": digest(text)})
    write_graph(load_image_network(image), pictures, image, graphs[2], {"weights": digest(image)})
    return graphs
