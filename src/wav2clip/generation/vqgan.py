"""A canvas of VQGAN latents, as the paper's demonstration and VQGAN-CLIP use it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wav2clip.errors import InputError
from wav2clip.generation.canvas import Canvas, clamp_with_gradient
from wav2clip.generation.taming import VQGAN


class VQGANCanvas(Canvas):
    """Latents (1, code_size, height / factor, width / factor) of a VQGAN.

    What is drawn is always made of codebook entries; the gradient passes straight through the
    quantisation to the latents. Crowson et al. 2022, "VQGAN-CLIP" (arXiv 2204.08583).

    Args:
        network: shared, never changed.
        height: pixels, a multiple of the network's factor (16 for the published f16 ones).
        width: the same.

    Raises:
        InputError: a size that is no such multiple.
    """

    learning_rate = 0.1

    def __init__(self, network: VQGAN, height: int, width: int) -> None:
        super().__init__(height, width)
        config = network.config
        rows, columns = height // config.factor, width // config.factor
        if (rows * config.factor, columns * config.factor) != (height, width):
            raise InputError(
                f"got {width} x {height} pixels, expected multiples of {config.factor} for this "
                f"VQGAN: {columns * config.factor} x {rows * config.factor} would do"
            )
        self._network = [network]  # in a list, its weights are no parameters of the canvas
        entries = network.quantize.embedding.weight
        self.latents = nn.Parameter(entries.new_zeros(1, config.code_size, rows, columns))
        self.register_buffer("lowest", entries.amin(0).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("highest", entries.amax(0).view(1, -1, 1, 1), persistent=False)
        self.lowest: Tensor
        self.highest: Tensor

    @property
    def network(self) -> VQGAN:
        """The VQGAN behind the latents."""
        return self._network[0]

    def clear(self, generator: torch.Generator) -> None:
        """Random codebook entries everywhere."""
        _, _, rows, columns = self.latents.shape
        codes = torch.randint(self.network.config.codes, (1, rows, columns), generator=generator)
        entries = self.network.quantize.embedding(codes.to(self.latents.device))
        self.latents.data.copy_(entries.movedim(-1, 1))

    @torch.no_grad()
    def paint(self, picture: Tensor) -> None:
        self.latents.copy_(self.network.encode(picture.to(self.latents.device) * 2 - 1))
        self.confine()

    def draw(self) -> Tensor:
        return clamp_with_gradient((self.network.decode(self.latents) + 1) / 2)

    @torch.no_grad()
    def confine(self) -> None:
        """Latents stay within the range that the codebook spans in each of their dimensions."""
        self.latents.copy_(self.latents.maximum(self.lowest).minimum(self.highest))
