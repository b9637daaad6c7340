"""The built-in text network in the order of oneDNN's kernels."""

from __future__ import annotations

import copy

import pytest
import torch

from wav2clip.models.towers import text_network
from wav2clip.models.towers.text_network import PackedLinear, TextConfig, TextNetwork

SMALL = TextConfig(vocabulary=50, width=48, heads=4, hidden=96, layers=2, head=64, dimension=32)


@pytest.fixture
def network() -> TextNetwork:
    torch.manual_seed(0)
    network = TextNetwork(SMALL).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


@torch.inference_mode()
def test_packing_changes_nothing(network: TextNetwork) -> None:
    packed = copy.deepcopy(network).pack_linears()
    assert isinstance(packed.head[0], PackedLinear), "this build of PyTorch can pack"
    for batch, length in ((1, 1), (1, 9), (8, 3)):
        ids = torch.randint(0, 50, (batch, length))
        torch.testing.assert_close(packed(ids), network(ids), rtol=1e-5, atol=1e-5)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    ids = torch.randint(0, 50, (2, 3))
    torch.testing.assert_close(packed(ids, mask), network(ids, mask), rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_a_build_that_cannot_pack(network: TextNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_network, "_can_pack", lambda: False)
    ids = torch.randint(0, 50, (2, 5))
    expected = network(ids)
    assert torch.equal(network.pack_linears()(ids), expected)
    assert isinstance(network.head[0], torch.nn.Linear)
