"""The built-in text network on phrases that are padded to one length."""

from __future__ import annotations

import pytest
import torch

from wav2clip.models.config import TextConfig
from wav2clip.models.towers.text_network import TextNetwork

SMALL = TextConfig(vocabulary=50, width=48, heads=4, hidden=96, layers=2, head=64, dimension=32)


@pytest.fixture
def network() -> TextNetwork:
    torch.manual_seed(0)
    network = TextNetwork(SMALL).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


@torch.inference_mode()
def test_padding_changes_nothing(network: TextNetwork) -> None:
    ids = torch.randint(0, 50, (2, 5))
    ids[0, 3:] = 0
    mask = torch.tensor([[True] * 3 + [False] * 2, [True] * 5])
    alone = torch.cat([network(ids[:1, :3]), network(ids[1:])])
    torch.testing.assert_close(network(ids, mask), alone, rtol=1e-4, atol=1e-4)
