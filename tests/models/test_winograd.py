"""Winograd's convolution and the sliced pooling against PyTorch's own, in double precision."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from wav2clip.embedding.engines import TorchEngine
from wav2clip.models import winograd
from wav2clip.models.encoder import AudioNetwork, PackedBlock, PackedConv2d, SlicedMaxPool

SIDES = st.integers(1, 19)
CPU = torch.device("cpu")


def convolution(inputs: int, outputs: int, bias: bool = True) -> nn.Conv2d:
    torch.manual_seed(inputs + outputs)
    return nn.Conv2d(inputs, outputs, 3, 1, 1, bias=bias)


def pixels(*shape: int) -> Tensor:
    return torch.randn(shape).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
@settings(max_examples=40)
@given(
    st.integers(1, 5), SIDES, SIDES, st.sampled_from([32, 40, 65]), st.sampled_from([32, 33, 64])
)
def test_equals_a_direct_convolution(
    batch: int, height: int, width: int, inputs: int, outputs: int
) -> None:
    direct = convolution(inputs, outputs)
    packed = winograd.pack(direct)
    assert isinstance(packed, winograd.WinogradConv2d)
    x, total = pixels(batch, inputs, height, width), pixels(batch, outputs, height, width)
    expected = direct.double()(x.double())
    close = {"rtol": 0, "atol": 3e-5}
    torch.testing.assert_close(packed(x).double(), expected, **close)
    torch.testing.assert_close(packed(x, "relu").double(), expected.relu(), **close)
    summed = (total.double() + expected).relu()
    torch.testing.assert_close(packed.onto_(total, x).double(), summed, **close)


@torch.inference_mode()
def test_many_blocks_of_tiles_and_no_bias() -> None:
    direct = convolution(32, 32, bias=False)
    x = pixels(3, 32, 57, 65)  # 765 tiles, three blocks
    found = winograd.pack(direct)(x)
    torch.testing.assert_close(found.double(), direct.double()(x.double()), rtol=0, atol=3e-5)


@torch.inference_mode()
def test_each_picture_is_what_it_is_alone() -> None:
    packed = winograd.pack(convolution(64, 64))
    x = pixels(7, 64, 33, 29)
    together = packed(x)
    for n in range(len(x)):
        torch.testing.assert_close(packed(x[n : n + 1])[0], together[n], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(64, 64, 3, 2, 1),
        nn.Conv2d(64, 64, 1),
        nn.Conv2d(8, 64, 3, 1, 1),
        nn.Conv2d(64, 64, 3, 1, 1, dtype=torch.bfloat16),
    ],
)
def test_others_are_packed_as_they_were(other: nn.Conv2d) -> None:
    assert isinstance(winograd.pack(other), PackedConv2d)


@torch.inference_mode()
@given(st.integers(1, 3), SIDES, SIDES)
def test_pooling_is_exact(batch: int, height: int, width: int) -> None:
    x = pixels(batch, 8, height, width)
    assert torch.equal(SlicedMaxPool()(x), nn.MaxPool2d(3, 2, 1)(x))


@torch.inference_mode()
def test_a_network_on_a_core_of_its_own() -> None:
    network = AudioNetwork().eval()
    engine = TorchEngine(network, CPU)
    alone = engine.beside(1, many=True)
    assert alone is engine.beside(1, many=True) is alone.beside(1, many=True)
    assert alone is not engine
    assert engine.beside(1, many=False) is engine, "preparing would take longer than it saves"
    assert engine.beside(2, many=True) is engine
    block = cast(TorchEngine, alone)._network.audio_encoder.layer3[0]
    assert isinstance(block, PackedBlock) and isinstance(block.conv1, PackedConv2d)
    assert isinstance(block.conv2, winograd.WinogradConv2d)
    assert alone.suffix == ""
    spectrogram = torch.randn(5, 257, 226)
    exact, found = engine.embed(spectrogram), alone.embed(spectrogram)
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-5)
    torch.testing.assert_close(alone.embed(spectrogram[2:3])[0], found[2], rtol=0, atol=1e-6)


def test_only_where_it_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    network = AudioNetwork().eval()
    for coarser in ("bfloat16", "float16"):
        engine = TorchEngine(network, CPU, coarser)
        assert engine.beside(1, many=True) is engine
    monkeypatch.setattr(winograd, "available", lambda: False)
    engine = TorchEngine(network, CPU)
    assert engine.beside(1, many=True) is engine
