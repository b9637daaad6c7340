"""An audio network: an encoder of either architecture, and its projection into CLIP's space."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from wav2clip.models.config import EncoderConfig, MobileNetConfig, NetworkConfig
from wav2clip.models.encoder import Projection, ResNet
from wav2clip.models.mobilenet import ClassProjection, MobileNet


class AudioNetwork(nn.Module):
    """Encoder and projection; of the published architecture with the published tensor names.

    Weights are kept channels-last, the layout in which the CPU's and the GPU's convolutions are
    fastest (``benchmarks/embed.py`` shows by how much).

    Attributes:
        config: dimensions, whose type is the architecture.
        audio_encoder: spectrogram (batch, bins, frames) to features (batch, ``config.features``).
        audio_transform: features to embeddings, or None where the features are the embedding.
    """

    audio_encoder: ResNet | MobileNet
    audio_transform: Projection | ClassProjection | None

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        config = config or EncoderConfig()
        self.config = config
        self.audio_transform = None
        if isinstance(config, MobileNetConfig):
            self.audio_encoder = MobileNet(config)
            if config.projection is not None:
                self.audio_transform = ClassProjection(config)
        else:
            self.audio_encoder = ResNet(config)
            if config.projection is not None:
                self.audio_transform = Projection(
                    config.features, config.projection, config.dropout
                )
        self.channels_last()

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Embeddings (batch, dimension) of what the front end gives, (batch, bins, frames)."""
        return self.project(self.audio_encoder(spectrogram))

    def project(self, features: Tensor) -> Tensor:
        """Embeddings (batch, dimension) of pooled features (batch, ``config.features``)."""
        return features if self.audio_transform is None else self.audio_transform(features)

    def fold_batch_norm(self) -> AudioNetwork:
        """A copy for inference whose batch norms are merged into the convolutions before them.

        The same function but for rounding, with fewer passes over memory. It cannot be trained.
        """
        folded = copy.deepcopy(self).eval()
        for module, convolution, norm in folded.audio_encoder.norms():
            merged = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
            setattr(module, convolution, merged)
            setattr(module, norm, nn.Identity())
        return folded.channels_last()

    def channels_last(self) -> AudioNetwork:
        """The same network, its weights laid out channels-last."""
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self


def build_network(config: NetworkConfig, weights: Mapping[str, NDArray[Any]]) -> AudioNetwork:
    """A network for inference (evaluation mode, no gradients) with these weights.

    Args:
        config: dimensions.
        weights: those of :func:`wav2clip.models.checkpoint.load_checkpoint`, by the names of the
            network's state; counters of training steps may be left out.
    """
    with torch.device("meta"):  # the weights are there: initialising others first is waste
        network = AudioNetwork(config)
    state = {name: torch.from_numpy(array.copy()) for name, array in weights.items()}
    for name in network.state_dict():
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, torch.tensor(0))
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False).channels_last()


def expected_shapes(config: NetworkConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a network, without the counters of training steps."""
    with torch.device("meta"):
        state = AudioNetwork(config).state_dict()
    return {n: tuple(v.shape) for n, v in state.items() if not n.endswith("num_batches_tracked")}
