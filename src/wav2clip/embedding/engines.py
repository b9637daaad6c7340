"""What runs the network: an engine turns standardised spectrograms into embeddings."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from wav2clip.errors import InputError
from wav2clip.models.encoder import AudioNetwork

ENGINES = ("torch",)


class TorchEngine:
    """PyTorch on one device, float32, channels-last, batch norms folded into the convolutions.

    On the CPU the convolutions' weights are packed as well.
    """

    def __init__(self, network: AudioNetwork, device: torch.device) -> None:
        self.device = device
        self._network = network.fold_batch_norm().to(device)
        if device.type == "cpu":
            self._network.pack_convolutions()

    def embed(self, spectrogram: Tensor) -> Tensor:
        """(batch, bins, columns) to (batch, dimension)."""
        embedding: Tensor = self._network(spectrogram)
        return embedding

    def embed_pieces(self, pieces: Iterable[Tensor]) -> Tensor:
        """One spectrogram in pieces (1, bins, any) to (1, dimension), in bounded memory."""
        return self._network.project(self._network.audio_encoder.forward_pieces(pieces))

    def features(self, spectrogram: Tensor) -> Tensor:
        """(batch, bins, columns) to (batch, features), the output before the projection."""
        features: Tensor = self._network.audio_encoder(spectrogram)
        return features


def make_engine(name: str, network: AudioNetwork, device: str | torch.device | None) -> TorchEngine:
    """The engine of that name, on ``device`` or on the CPU.

    Raises:
        InputError: unknown engine, or a device that this machine does not have.
    """
    if name not in ENGINES:
        raise InputError(f"engine is {name!r}, expected one of {', '.join(ENGINES)}")
    try:
        chosen = torch.device(device or "cpu")
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r} cannot be used here: {error}") from error
    return TorchEngine(network, chosen)
