"""What inference makes of the network is the same function as what training sees."""

from __future__ import annotations

import pytest
import torch

from wav2clip.models import encoder
from wav2clip.models.encoder import AudioNetwork, EncoderConfig, pool_pieces


@pytest.fixture(params=[512, None], ids=["projection", "no projection"])
def network(request: pytest.FixtureRequest) -> AudioNetwork:
    """A narrow network whose batch norms are far from the identity."""
    torch.manual_seed(0)
    network = AudioNetwork(EncoderConfig(planes=(16, 24, 32, 48), projection=request.param))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(0, 0.3)
    return network.eval()


@pytest.mark.parametrize("shape", [(1, 257, 1), (3, 257, 33), (8, 257, 227)])
@torch.inference_mode()
def test_folding_and_packing_change_nothing(
    network: AudioNetwork, shape: tuple[int, int, int]
) -> None:
    spectrogram = torch.randn(shape)
    kept = spectrogram.clone()
    expected = network(spectrogram)
    folded = network.fold_batch_norm()
    torch.testing.assert_close(folded(spectrogram), expected, rtol=1e-4, atol=1e-5)
    packed = folded.pack_convolutions()
    torch.testing.assert_close(packed(spectrogram), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(packed(spectrogram), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(spectrogram, kept), "in-place sums reached the input"


@torch.inference_mode()
def test_packed_in_pieces(network: AudioNetwork) -> None:
    packed = network.fold_batch_norm().pack_convolutions()
    spectrogram = torch.randn(1, 257, 3000)
    pieces = pool_pieces(
        packed.audio_encoder.feature_map, spectrogram.split(700, dim=-1), columns=512
    )
    torch.testing.assert_close(pieces, network.audio_encoder(spectrogram), rtol=1e-4, atol=1e-5)


def test_this_build_can_pack() -> None:
    """Else the comparisons above compare a network with itself."""
    assert encoder._can_pack(torch.float32)


@torch.inference_mode()
def test_a_build_that_cannot_pack(network: AudioNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no such attribute")

    monkeypatch.setattr(encoder, "PackedConv2d", missing)
    encoder._can_pack.cache_clear()
    try:
        folded = network.fold_batch_norm()
        assert folded.pack_convolutions() is folded
        spectrogram = torch.randn(1, 257, 20)
        torch.testing.assert_close(folded(spectrogram), network(spectrogram), rtol=1e-4, atol=1e-5)
    finally:
        encoder._can_pack.cache_clear()
