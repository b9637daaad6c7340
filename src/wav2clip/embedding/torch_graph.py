"""The built-in architecture on PyTorch: other devices, other precisions, compiled."""

from __future__ import annotations

import numpy as np
import torch

from wav2clip.audio.io import Samples
from wav2clip.embedding.engine import Embeddings
from wav2clip.models.config import MelConfig
from wav2clip.models.mel import MelFrontend
from wav2clip.models.network import AudioNetwork


class TorchGraph:
    """Front end and network on PyTorch, batch norms folded into the convolutions.

    The front end computes in float32 whatever the precision of the network.
    """

    def __init__(
        self,
        network: AudioNetwork,
        config: MelConfig,
        device: torch.device,
        dtype: torch.dtype,
        compiled: bool,
    ) -> None:
        self._device, self._dtype = device, dtype
        self._frontend = MelFrontend(config).to(device)
        self._network = network.fold_batch_norm().to(device, dtype)
        if compiled:
            self._network.audio_encoder.compile(dynamic=True)

    @torch.inference_mode()
    def __call__(self, waves: Samples) -> tuple[Embeddings, Embeddings]:
        wave = torch.from_numpy(np.ascontiguousarray(waves)).to(self._device)
        features = self._network.audio_encoder(self._frontend(wave).to(self._dtype))
        both = (features, self._network.project(features))
        on_cpu = [tensor.float().cpu().numpy() for tensor in both]
        return on_cpu[0], on_cpu[1]

    def beside(self, threads: int) -> TorchGraph:
        return self  # a call has as many threads as torch gives to the thread that calls
