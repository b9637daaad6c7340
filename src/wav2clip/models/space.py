"""Which space an embedding lies in, so that vectors of different spaces are never compared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wav2clip.errors import InputError, SpaceError


@dataclass(frozen=True)
class Space:
    """Identity of an embedding space.

    Two models share a space when their vectors were trained to be compared with each other: the
    built-in towers and genuine CLIP ViT-B/32 do, CLIP ViT-B/32 and ViT-L/14 do not.

    Attributes:
        name: for example ``clip-vit-b-32``.
        dimension: numbers per embedding.
    """

    name: str
    dimension: int

    def __post_init__(self) -> None:
        if not self.name or self.dimension < 1:
            raise InputError(
                f"got a space named {self.name!r} of {self.dimension} dimensions, "
                "expected a name and at least one dimension"
            )

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits, equal for equal spaces and for no others."""
        return hashlib.sha256(f"{self.name}/{self.dimension}".encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return f"{self.name} ({self.dimension} dimensions)"


CLIP_VIT_B32 = Space("clip-vit-b-32", 512)


def require_same_space(
    a: Space, b: Space, *, names: tuple[str, str] = ("the audio encoder", "the towers")
) -> None:
    """Do nothing if the spaces are one.

    Args:
        a: space of the first model.
        b: space of the second.
        names: what the two models are called in the message.

    Raises:
        SpaceError: they differ; the message says which is which.
    """
    if a != b:
        raise SpaceError(
            f"{names[0]} embeds into {a}, {names[1]} into {b}: their vectors cannot be compared. "
            "Load both for one space, for example towers='builtin' or "
            "'openai/clip-vit-base-patch32' with an encoder of clip-vit-b-32"
        )


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows scaled to unit length, float32; a row of zeros stays."""
    values = np.asarray(vectors, np.float32)
    norms = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.maximum(norms, np.finfo(np.float32).tiny), np.float32)
