"""The VQGAN against the published architecture, written out here and as diffusers has it."""

from __future__ import annotations

import math
import os
import pickle
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from tiny_vqgan import TINY, tiny_network, write_checkpoint
from wav2clip.errors import CheckpointError
from wav2clip.generation.taming import IMAGENET_F16_16384, VQGAN, load_vqgan, read_config

# A second, slow implementation, from appendix A of the paper and the released configuration -----


class Plain:
    """The decoder and encoder over a dict of tensors in float64, one formula per line."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = {name: tensor.double() for name, tensor in tensors.items()}

    def conv(self, x: Tensor, name: str, padding: int = 1, stride: int = 1) -> Tensor:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return F.conv2d(x, weight, bias, stride=stride, padding=padding)

    def norm(self, x: Tensor, name: str) -> Tensor:
        groups = x.reshape(len(x), 32, -1)
        mean, variance = groups.mean(2, keepdim=True), groups.var(2, unbiased=False, keepdim=True)
        y = ((groups - mean) / torch.sqrt(variance + 1e-6)).reshape(x.shape)
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return y * weight[:, None, None] + bias[:, None, None]

    def swish(self, x: Tensor) -> Tensor:
        return x / (1 + torch.exp(-x))

    def block(self, x: Tensor, name: str) -> Tensor:
        y = self.conv(self.swish(self.norm(x, f"{name}.norm1")), f"{name}.conv1")
        y = self.conv(self.swish(self.norm(y, f"{name}.norm2")), f"{name}.conv2")
        if f"{name}.nin_shortcut.weight" in self.tensors:
            x = self.conv(x, f"{name}.nin_shortcut", padding=0)
        return x + y

    def attention(self, x: Tensor, name: str) -> Tensor:
        batch, channels = x.shape[:2]
        y = self.norm(x, f"{name}.norm")
        q, k, v = (
            self.conv(y, f"{name}.{part}", padding=0).reshape(batch, channels, -1) for part in "qkv"
        )
        shares = torch.softmax(torch.einsum("bci,bcj->bij", q, k) / math.sqrt(channels), dim=2)
        y = torch.einsum("bij,bcj->bci", shares, v).reshape(x.shape)
        return x + self.conv(y, f"{name}.proj_out", padding=0)

    def middle(self, x: Tensor, name: str) -> Tensor:
        x = self.attention(self.block(x, f"{name}.block_1"), f"{name}.attn_1")
        return self.block(x, f"{name}.block_2")

    def level(self, x: Tensor, name: str, blocks: int, attention: bool) -> Tensor:
        for place in range(blocks):
            x = self.block(x, f"{name}.block.{place}")
            if attention:
                x = self.attention(x, f"{name}.attn.{place}")
        return x

    def decode(self, codes: Tensor) -> Tensor:
        """Pictures of codes (batch, h, w)."""
        x = self.tensors["quantize.embedding.weight"][codes].permute(0, 3, 1, 2)
        x = self.conv(x, "post_quant_conv", padding=0)
        x = self.middle(self.conv(x, "decoder.conv_in"), "decoder.mid")
        for level in (2, 1, 0):
            x = self.level(x, f"decoder.up.{level}", 3, level == 2)
            if level:
                x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
                x = self.conv(x, f"decoder.up.{level}.upsample.conv")
        return self.conv(self.swish(self.norm(x, "decoder.norm_out")), "decoder.conv_out")

    def encode(self, x: Tensor) -> Tensor:
        x = self.conv(x.double(), "encoder.conv_in")
        for level in (0, 1, 2):
            x = self.level(x, f"encoder.down.{level}", 2, level == 2)
            if level < 2:
                padded = F.pad(x, (0, 1, 0, 1))
                name = f"encoder.down.{level}.downsample.conv"
                x = self.conv(padded, name, padding=0, stride=2)
        x = self.swish(self.norm(self.middle(x, "encoder.mid"), "encoder.norm_out"))
        return self.conv(self.conv(x, "encoder.conv_out"), "quant_conv", padding=0)


@pytest.fixture(scope="module")
def network() -> VQGAN:
    return tiny_network()


@pytest.fixture(scope="module")
def picture() -> Tensor:
    return torch.rand(2, 3, 20, 28, generator=torch.Generator().manual_seed(1)) * 2 - 1


def nearest_codes(network: VQGAN, latents: Tensor) -> Tensor:
    """By trying all of them."""
    entries = network.quantize.embedding.weight
    distances = (latents.movedim(1, -1)[..., None, :] - entries).square().sum(-1)
    return distances.argmin(-1)


def test_encoder_and_decoder_equal_the_formulas(network: VQGAN, picture: Tensor) -> None:
    plain = Plain(network.state_dict())
    latents = network.encode(picture)
    assert latents.shape == (2, TINY.code_size, 5, 7)
    torch.testing.assert_close(latents.double(), plain.encode(picture), atol=1e-4, rtol=1e-4)
    expected = plain.decode(nearest_codes(network, latents))
    torch.testing.assert_close(network.decode(latents).double(), expected, atol=1e-4, rtol=1e-4)


def diffusers_name(name: str) -> str:
    """A published name as diffusers calls it."""
    coarsest = len(TINY.multipliers) - 1
    name = re.sub(r"decoder\.up\.(\d)", lambda m: f"decoder.up_blocks.{coarsest - int(m[1])}", name)
    for pattern, replacement in (
        (r"encoder\.down\.(\d)", r"encoder.down_blocks.\1"),
        (r"\.mid\.block_1", ".mid_block.resnets.0"),
        (r"\.mid\.block_2", ".mid_block.resnets.1"),
        (r"\.mid\.attn_1", ".mid_block.attentions.0"),
        (r"\.block\.(\d)", r".resnets.\1"),
        (r"\.attn\.(\d)", r".attentions.\1"),
        (r"(attentions\.\d)\.norm", r"\1.group_norm"),
        (r"(attentions\.\d)\.([qkv])\.", r"\1.to_\2."),
        (r"(attentions\.\d)\.proj_out", r"\1.to_out.0"),
        (r"nin_shortcut", "conv_shortcut"),
        (r"\.upsample\.", ".upsamplers.0."),
        (r"\.downsample\.", ".downsamplers.0."),
        (r"norm_out", "conv_norm_out"),
    ):
        name = re.sub(pattern, replacement, name)
    return name


def test_equals_the_model_of_diffusers(network: VQGAN, picture: Tensor) -> None:
    diffusers = pytest.importorskip("diffusers")
    other = diffusers.VQModel(
        down_block_types=["DownEncoderBlock2D"] * 2 + ["AttnDownEncoderBlock2D"],
        up_block_types=["AttnUpDecoderBlock2D"] + ["UpDecoderBlock2D"] * 2,
        block_out_channels=[TINY.channels * m for m in TINY.multipliers],
        layers_per_block=TINY.blocks,
        latent_channels=TINY.latent,
        num_vq_embeddings=TINY.codes,
        vq_embed_dim=TINY.code_size,
    ).eval()
    shapes = {name: tensor.shape for name, tensor in other.state_dict().items()}
    # Its attention keeps the 1 x 1 convolutions as linear layers.
    converted = {
        diffusers_name(name): tensor.reshape(shapes[diffusers_name(name)])
        for name, tensor in network.state_dict().items()
    }
    other.load_state_dict(converted)
    with torch.no_grad():
        latents = other.encode(picture).latents
        torch.testing.assert_close(network.encode(picture), latents, atol=1e-5, rtol=1e-4)
        decoded = other.decode(latents).sample
    torch.testing.assert_close(network.decode(latents), decoded, atol=1e-5, rtol=1e-4)


def test_the_published_dimensions() -> None:
    """Names and shapes of vqgan_imagenet_f16_16384 that its configuration fixes."""
    with torch.device("meta"):
        tensors = VQGAN(IMAGENET_F16_16384).state_dict()
    expected = {
        "encoder.conv_in.weight": (128, 3, 3, 3),
        "encoder.down.2.block.0.nin_shortcut.weight": (256, 128, 1, 1),
        "encoder.down.4.attn.1.proj_out.weight": (512, 512, 1, 1),
        "encoder.conv_out.weight": (256, 512, 3, 3),
        "decoder.conv_in.weight": (512, 256, 3, 3),
        "decoder.up.4.attn.2.q.weight": (512, 512, 1, 1),
        "decoder.up.3.block.0.nin_shortcut.weight": (256, 512, 1, 1),
        "decoder.up.1.upsample.conv.weight": (128, 128, 3, 3),
        "decoder.conv_out.weight": (3, 128, 3, 3),
        "quantize.embedding.weight": (16_384, 256),
        "quant_conv.weight": (256, 256, 1, 1),
    }
    assert {name: tuple(tensors[name].shape) for name in expected} == expected
    assert "decoder.up.0.upsample.conv.weight" not in tensors
    assert "encoder.down.4.downsample.conv.weight" not in tensors
    assert read_config(tensors) == IMAGENET_F16_16384
    assert IMAGENET_F16_16384.factor == 16


def test_gradients_pass_straight_through(network: VQGAN) -> None:
    latents = torch.randn(1, TINY.code_size, 3, 3, requires_grad=True)
    quantised = network.quantize(latents)
    entries = network.quantize.embedding.weight
    chosen = entries[nearest_codes(network, latents)].movedim(-1, 1)
    torch.testing.assert_close(quantised, chosen)
    (quantised * torch.arange(9.0).view(3, 3)).sum().backward()
    expected = torch.arange(9.0).view(3, 3).expand(1, TINY.code_size, 3, 3)
    torch.testing.assert_close(latents.grad, expected)


# Files ------------------------------------------------------------------------------------------


def test_loads_lightning_checkpoints_and_plain_tensors(tmp_path: Path, network: VQGAN) -> None:
    state = network.state_dict()
    torch.save(state, tmp_path / "plain.pt")
    save_file({name: tensor.half() for name, tensor in state.items()}, tmp_path / "m.safetensors")
    for file in ("published.ckpt", "plain.pt", "m.safetensors"):
        if file == "published.ckpt":
            write_checkpoint(tmp_path / file)
        loaded = load_vqgan(tmp_path / file)
        assert loaded.config == TINY
        for name, tensor in loaded.state_dict().items():
            assert tensor.dtype == torch.float32
            torch.testing.assert_close(tensor, state[name], atol=2e-3, rtol=1e-3)


class Command:
    """Runs a command when it is unpickled by a loader that executes."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (self.command,)


class Constructor:
    """The same through a class of some package, which only an inert stand-in may replace."""

    def __init__(self, file: str) -> None:
        Path(file).touch()

    def __reduce__(self) -> tuple[object, ...]:
        return Constructor, (self.file,) if hasattr(self, "file") else ("x",)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    torch.save({"state_dict": {}, "x": Command(f"touch {marker}")}, tmp_path / "command.ckpt")
    with pytest.raises(CheckpointError, match="could execute code"):
        load_vqgan(tmp_path / "command.ckpt")
    trap = Constructor.__new__(Constructor)
    trap.file = str(marker)  # type: ignore[attr-defined]
    state = tiny_network().state_dict()
    torch.save({"state_dict": state, "x": trap}, tmp_path / "class.ckpt")
    assert load_vqgan(tmp_path / "class.ckpt").config == TINY
    assert not marker.exists()


def test_files_that_are_no_vqgan(tmp_path: Path) -> None:
    state = tiny_network().state_dict()
    gumbel = {"quantize.embed.weight": torch.zeros(8, 4)}
    without = {name: tensor for name, tensor in state.items() if "up.1.block.0" not in name}
    bent = {**state, "encoder.conv_in.weight": torch.zeros(32, 4, 3, 3)}
    for content, message in (
        (gumbel, "Gumbel"),
        ({"a": torch.zeros(1)}, "it holds a"),
        ({}, "no tensor"),
        (without, "missing"),
        (bent, r"encoder.conv_in.weight is \(32, 4, 3, 3\), expected \(32, 3, 3, 3\)"),
        ({**state, "decoder.norm_out.weight": torch.zeros(7)}, "32"),
    ):
        torch.save(content, tmp_path / "file.ckpt")
        with pytest.raises(CheckpointError, match=message):
            load_vqgan(tmp_path / "file.ckpt")
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    (tmp_path / "pickle.ckpt").write_bytes(pickle.dumps({"a": 1}))
    whole = write_checkpoint(tmp_path / "whole.ckpt").read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    for name in ("text.ckpt", "pickle.ckpt", "cut.ckpt", "none.ckpt"):
        with pytest.raises(CheckpointError, match=name):
            load_vqgan(tmp_path / name)
