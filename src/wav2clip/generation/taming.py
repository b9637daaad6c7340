"""VQGAN as published: the network, and its checkpoints.

Esser, Rombach and Ommer 2021, "Taming Transformers for High-Resolution Image Synthesis"
(arXiv 2012.09841), appendix A. The modules carry the names of the published checkpoints, so those
load as they are; dimensions are read from the shapes of the tensors.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from wav2clip.errors import CheckpointError
from wav2clip.files import display

GROUPS = 32
EPSILON = 1e-6
"""Of all group norms."""


@dataclass(frozen=True)
class VQGANConfig:
    """Dimensions of a VQGAN.

    Attributes:
        channels: of the finest level.
        multipliers: channels of each level, finest first, in units of ``channels``. Each level but
            the last halves the picture.
        blocks: residual blocks per level of the encoder; the decoder has one more.
        attention: levels with attention after each block, counted from the finest.
        latent: channels between encoder and quantisation.
        codes: entries of the codebook.
        code_size: numbers per entry.
    """

    channels: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    latent: int
    codes: int
    code_size: int

    @property
    def factor(self) -> int:
        """Pixels along a side per code."""
        return int(2 ** (len(self.multipliers) - 1))


IMAGENET_F16_16384 = VQGANConfig(
    channels=128,
    multipliers=(1, 1, 2, 2, 4),
    blocks=2,
    attention=(4,),
    latent=256,
    codes=16_384,
    code_size=256,
)
"""The published ``vqgan_imagenet_f16_16384``: 256-pixel pictures as 16 x 16 of 16,384 codes."""


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(GROUPS, channels, eps=EPSILON)


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    padding = kernel // 2 if stride == 1 else 0
    return nn.Conv2d(inputs, outputs, kernel, stride, padding)


class ResidualBlock(nn.Module):
    """Twice: norm, swish, 3 x 3 convolution; plus the input, through 1 x 1 where widths differ."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = _norm(inputs), _conv(inputs, outputs)
        self.norm2, self.conv2 = _norm(outputs), _conv(outputs, outputs)
        if inputs != outputs:
            self.nin_shortcut = _conv(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.conv2(F.silu(self.norm2(y)))
        if hasattr(self, "nin_shortcut"):
            x = self.nin_shortcut(x)
        return x + torch.as_tensor(y)


class AttentionBlock(nn.Module):
    """Self-attention of one head over all positions; plus the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.q, self.k, self.v, self.proj_out = (_conv(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        q, k, v = (layer(y).flatten(2).transpose(1, 2) for layer in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return x + torch.as_tensor(self.proj_out(y.transpose(1, 2).reshape(x.shape)))


class Downsample(nn.Module):
    """Half the size: a 3 x 3 convolution of stride 2, padded below and to the right alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _conv(channels, channels, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.conv(F.pad(x, (0, 1, 0, 1))))


class Upsample(nn.Module):
    """Twice the size: the nearest neighbour, then a 3 x 3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest")))


class Level(nn.Module):
    """The blocks of one resolution, and the step to the next."""

    def __init__(
        self, inputs: int, outputs: int, blocks: int, attention: bool, step: type[nn.Module] | None
    ) -> None:
        super().__init__()
        widths = [inputs] + [outputs] * blocks
        self.block = nn.ModuleList(ResidualBlock(a, b) for a, b in pairwise(widths))
        self.attn = nn.ModuleList(AttentionBlock(outputs) for _ in range(blocks * attention))
        if step is not None:
            setattr(self, "upsample" if step is Upsample else "downsample", step(outputs))

    def forward(self, x: Tensor) -> Tensor:
        for place, block in enumerate(self.block):
            x = block(x)
            if self.attn:
                x = self.attn[place](x)
        for name in ("upsample", "downsample"):
            x = getattr(self, name, nn.Identity())(x)
        return x


class Middle(nn.Module):
    """Block, attention, block, at the coarsest resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels)
        self.attn_1 = AttentionBlock(channels)
        self.block_2 = ResidualBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.block_2(self.attn_1(self.block_1(x))))


class Encoder(nn.Module):
    """Pictures (batch, 3, h, w) in [-1, 1] to (batch, latent, h / factor, w / factor)."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        widths = [config.channels * m for m in (1, *config.multipliers)]
        last = len(config.multipliers) - 1
        self.conv_in = _conv(3, config.channels)
        self.down = nn.ModuleList(
            Level(
                widths[level],
                widths[level + 1],
                config.blocks,
                level in config.attention,
                Downsample if level < last else None,
            )
            for level in range(last + 1)
        )
        self.mid = Middle(widths[-1])
        self.norm_out, self.conv_out = _norm(widths[-1]), _conv(widths[-1], config.latent)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return torch.as_tensor(self.conv_out(F.silu(self.norm_out(self.mid(x)))))


class Decoder(nn.Module):
    """(batch, latent, h, w) to pictures (batch, 3, h * factor, w * factor), about [-1, 1]."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        widths = [config.channels * m for m in config.multipliers]
        self.conv_in = _conv(config.latent, widths[-1])
        self.mid = Middle(widths[-1])
        self.up = nn.ModuleList(
            Level(
                widths[min(level + 1, len(widths) - 1)],
                widths[level],
                config.blocks + 1,
                level in config.attention,
                Upsample if level > 0 else None,
            )
            for level in range(len(widths))
        )
        self.norm_out, self.conv_out = _norm(widths[0]), _conv(widths[0], 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid(self.conv_in(x))
        for level in reversed(self.up):
            x = level(x)
        return torch.as_tensor(self.conv_out(F.silu(self.norm_out(x))))


class Codebook(nn.Module):
    """The entries that latents are replaced by."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.codes, config.code_size)

    def forward(self, latents: Tensor) -> Tensor:
        """Latents (batch, code_size, h, w), each position replaced by its nearest entry.

        The gradient passes straight through to the latents (section 3.1 of the paper).
        """
        rows = latents.movedim(1, -1)
        with torch.no_grad():
            flat, entries = rows.reshape(-1, rows.shape[-1]), self.embedding.weight
            # |z - e|^2 without |z|^2, which is the same for all entries.
            nearest = (entries.square().sum(1) - 2 * flat @ entries.T).argmin(1)
        chosen = self.embedding(nearest).view(rows.shape)
        straight_through: Tensor = rows + (chosen - rows).detach()
        return straight_through.movedim(-1, 1)


class VQGAN(nn.Module):
    """Encoder, codebook and decoder of a picture."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.quantize = Codebook(config)
        self.quant_conv = _conv(config.latent, config.code_size, 1)
        self.post_quant_conv = _conv(config.code_size, config.latent, 1)

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (batch, 3, h, w) in [-1, 1] to latents, not quantised."""
        return torch.as_tensor(self.quant_conv(self.encoder(pictures)))

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (batch, code_size, h, w), quantised first, to pictures, about [-1, 1]."""
        return torch.as_tensor(self.decoder(self.post_quant_conv(self.quantize(latents))))


def load_vqgan(path: Path) -> VQGAN:
    """A VQGAN in evaluation mode, float32, from a published ``.ckpt`` or its tensors alone.

    Args:
        path: ``.ckpt`` or ``.pt`` of torch, or ``.safetensors``. The tensors may lie under
            ``state_dict``, as Lightning saves them; names of the training loss are left alone.

    Raises:
        CheckpointError: missing or damaged, or not a VQGAN of the published layout. Nothing in the
            file is ever executed.
    """
    tensors = _read(path)
    config = read_config(tensors, display(path))
    with torch.device("meta"):  # the weights come from the file
        network = VQGAN(config)
    expected = network.state_dict()
    problems = [f"{name} is missing" for name in expected if name not in tensors]
    problems += [
        f"{name} is {tuple(tensors[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    if problems:
        raise CheckpointError(
            f"{display(path)}: {len(problems)} tensors do not fit a VQGAN with {config}: "
            f"{'; '.join(problems[:3])}"
        )
    network.load_state_dict({name: tensors[name].float() for name in expected}, assign=True)
    return network.eval().requires_grad_(False)


def read_config(tensors: Mapping[str, Tensor], name: str = "checkpoint") -> VQGANConfig:
    """Dimensions of a VQGAN from the shapes of its tensors.

    Raises:
        CheckpointError: it is something else, with what gave it away.
    """
    if "quantize.embedding.weight" not in tensors:
        other = (
            "it is a Gumbel VQGAN, whose codes are chosen by another network"
            if "quantize.embed.weight" in tensors
            else f"it holds {', '.join(sorted(tensors)[:3]) or 'no tensor'} ..."
        )
        raise CheckpointError(
            f"{name}: {other}; expected a VQGAN with quantize.embedding.weight, such as "
            "vqgan_imagenet_f16_16384"
        )
    try:
        codes, code_size = tensors["quantize.embedding.weight"].shape
        channels = len(tensors["decoder.norm_out.weight"])
        levels = _count(tensors, r"decoder\.up\.(\d+)\.")
        widths = [len(tensors[f"decoder.up.{i}.block.0.conv1.bias"]) for i in range(levels)]
        config = VQGANConfig(
            channels=channels,
            multipliers=tuple(width // channels for width in widths),
            blocks=_count(tensors, r"decoder\.up\.0\.block\.(\d+)\.") - 1,
            attention=tuple(
                i for i in range(levels) if f"decoder.up.{i}.attn.0.q.weight" in tensors
            ),
            latent=tensors["post_quant_conv.weight"].shape[0],
            codes=codes,
            code_size=code_size,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{name}: no VQGAN of the published layout ({error} is missing or misshapen)"
        ) from error
    if levels < 1 or config.blocks < 1 or channels % GROUPS:
        raise CheckpointError(
            f"{name}: {levels} levels of {config.blocks} blocks and {channels} channels are no "
            f"VQGAN; expected at least one each, and a multiple of {GROUPS} channels"
        )
    return config


def _count(names: Mapping[str, Any], pattern: str) -> int:
    found = {int(match[1]) for name in names if (match := re.match(pattern, name))}
    return max(found, default=-1) + 1


def _read(path: Path) -> dict[str, Tensor]:
    """Name to tensor."""
    if not path.is_file():
        raise CheckpointError(f"{display(path)}: no such file; expected a VQGAN checkpoint")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = _load_inert(path)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{display(path)}: refused, loading it could execute code. Where you trust it, save "
            "its state_dict alone with torch.save or safetensors, and use that"
        ) from error
    except (
        *(RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError),
        *(zipfile.BadZipFile, safetensors.SafetensorError),
    ) as error:
        raise CheckpointError(f"{display(path)}: damaged or no checkpoint ({error})") from error
    state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    return {str(name): value for name, value in state.items() if isinstance(value, Tensor)}


class _Inert:
    """Stands for every class in a checkpoint that is no tensor, and does nothing."""

    def __new__(cls, *_: object, **__: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def _load_inert(path: Path) -> Any:
    """What a checkpoint holds, with inert objects where it names classes outside of torch.

    Lightning keeps its callbacks beside the weights; the published VQGANs were saved that way. The
    names are found without executing anything, and each is bound to :class:`_Inert`, so torch's
    restricted unpickler has something harmless to call.
    """
    with path.open("rb") as file:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    stubs: list[Any] = [(type("Inert", (_Inert,), {}), name) for name in names]
    with torch.serialization.safe_globals(stubs):
        return torch.load(path, map_location="cpu", weights_only=True)
