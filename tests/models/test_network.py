"""Both architectures: what inference makes of the network is the function that training sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wav2clip.models.chunks import pool_pieces
from wav2clip.models.config import (
    AudioConfig,
    EncoderConfig,
    FrontendConfig,
    MobileNetConfig,
    NetworkConfig,
    round_channels,
)
from wav2clip.models.encoder import ResNet
from wav2clip.models.network import AudioNetwork
from wav2clip.models.onnx_graph import build_onnx
from wav2clip.models.sessions import Session

CONFIGS: dict[str, NetworkConfig] = {
    "resnet18": EncoderConfig(planes=(16, 24, 32, 48)),
    "resnet18 without projection": EncoderConfig(planes=(16, 24, 32, 48), projection=None),
    "mobilenet": MobileNetConfig(width=0.2, hidden=16, classes=9, power=0.5, projection=24),
    "mobilenet without projection": MobileNetConfig(width=0.2, projection=None),
}


@pytest.fixture(params=CONFIGS)
def network(request: pytest.FixtureRequest) -> AudioNetwork:
    """A narrow network whose batch norms are far from the identity."""
    torch.manual_seed(0)
    network = AudioNetwork(CONFIGS[request.param])
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(0, 0.3)
    return network.eval().requires_grad_(False)


SHAPES = [(1, 1), (3, 33), (8, 227)]


@pytest.mark.parametrize(("batch", "frames"), SHAPES)
@torch.inference_mode()
def test_folding_changes_nothing(network: AudioNetwork, batch: int, frames: int) -> None:
    spectrogram = torch.randn(batch, 128, frames)
    kept = spectrogram.clone()
    expected = network(spectrogram)
    assert expected.shape == (batch, network.config.dimension)
    folded = network.fold_batch_norm()
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    torch.testing.assert_close(folded(spectrogram), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(spectrogram, kept), "in-place sums reached the input"


@pytest.mark.parametrize(("batch", "frames"), SHAPES)
@torch.inference_mode()
def test_the_graph_is_the_network(network: AudioNetwork, batch: int, frames: int) -> None:
    config = AudioConfig(FrontendConfig(n_fft=254), network.config)  # 128 bins
    graph = build_onnx(network, config)
    spectrogram = torch.randn(batch, 128, frames)
    outputs = Session(graph.SerializeToString(), threads=1).run(
        ["embedding", "features", "feature_map"], {"spectrogram": spectrogram.numpy()}
    )
    encoder = network.audio_encoder
    for output, expected in zip(
        outputs,
        (network(spectrogram), encoder(spectrogram), encoder.feature_map(spectrogram)),
        strict=True,
    ):
        np.testing.assert_allclose(output, expected.numpy(), rtol=1e-3, atol=1e-4)


@torch.inference_mode()
def test_pieces_of_the_published_architecture() -> None:
    torch.manual_seed(0)
    encoder = ResNet(EncoderConfig(planes=(16, 24, 32, 48))).eval()
    spectrogram = torch.randn(1, 257, 3000)
    pieces = pool_pieces(encoder.feature_map, spectrogram.split(700, dim=-1), frames=512)
    torch.testing.assert_close(pieces, encoder(spectrogram), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("channels", "rounded"), [(6.4, 8), (9.6, 16), (28.8, 32), (25.6, 24), (28, 32), (44.8, 48)]
)
def test_channels_are_rounded_as_mobilenet_does(channels: float, rounded: int) -> None:
    assert round_channels(channels) == rounded
