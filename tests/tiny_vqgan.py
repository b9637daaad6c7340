"""A VQGAN small enough for tests, in the layout of the published checkpoints."""

from __future__ import annotations

from pathlib import Path

import torch

from wav2clip.generation.taming import VQGAN, VQGANConfig

TINY = VQGANConfig(
    channels=32,
    multipliers=(1, 1, 2),
    blocks=2,
    attention=(2,),
    latent=16,
    codes=32,
    code_size=8,
)


class ModelCheckpoint:
    """As Lightning's callback, which the published files hold beside the weights."""

    def __init__(self, monitor: str) -> None:
        self.monitor = monitor


def tiny_network() -> VQGAN:
    """Random weights, the same each time, large enough that every block matters."""
    torch.manual_seed(0)
    network = VQGAN(TINY)
    for name, parameter in network.named_parameters():
        if "norm" in name:
            parameter.data += 0.3 * torch.randn_like(parameter)
    return network.eval().requires_grad_(False)


def write_checkpoint(path: Path) -> Path:
    """A Lightning checkpoint: weights, those of the training loss, a callback, the epoch."""
    state = {**tiny_network().state_dict(), "loss.discriminator.main.0.weight": torch.zeros(4)}
    callback = ModelCheckpoint("val/rec_loss")
    content = {"state_dict": state, "callbacks": {ModelCheckpoint: callback}, "epoch": 12}
    torch.save(content, path)
    return path
