"""Small files of weights: matrices in 8 bits with a scale per row, the rest in float32.

Symmetric rounding per output row, as in Jacob et al. 2018 (arXiv 1712.05877), of the stored
weights alone: the network computes in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from wav2clip.errors import CheckpointError

SCALE = ".scale"


def pack(state: Mapping[str, Tensor], half: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """Tensors to store.

    Args:
        state: floating-point tensors by name; those of two dimensions and more are rounded.
        half: beginnings of the names of tensors to keep in float16 instead.
    """
    packed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.startswith(half) if half else False:
            packed[name] = tensor.half().contiguous()
        elif tensor.ndim < 2:
            packed[name] = tensor.float().contiguous()
        else:
            rows = tensor.float().flatten(1)
            scale = rows.abs().amax(1).clamp_min(1e-12) / 127
            packed[name] = (rows / scale[:, None]).round().to(torch.int8).view_as(tensor)
            packed[name + SCALE] = scale
    return packed


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Float32 tensors by name."""
    state: dict[str, Tensor] = {}
    for name, tensor in packed.items():
        if name.endswith(SCALE):
            continue
        scale = packed.get(name + SCALE)
        state[name] = tensor.float()
        if scale is not None:
            state[name] *= scale.view(-1, *[1] * (tensor.ndim - 1))
    return state


@torch.inference_mode(False)  # weights that are first used inside of it must serve gradients later
def load_packed(path: Path) -> dict[str, Tensor]:
    """Float32 tensors of a packed file.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    try:
        return unpack(load_file(path))
    except Exception as error:
        raise CheckpointError(
            f"the built-in weights {path.name} cannot be read ({error}); reinstall wav2clip"
        ) from error
