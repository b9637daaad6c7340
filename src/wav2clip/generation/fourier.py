"""A canvas without weights: pictures as decorrelated Fourier coefficients.

Olah, Mordvintsev and Schubert 2017, "Feature Visualization" (Distill, doi 10.23915/distill.00007),
section "Preconditioning and Parameterization": gradient descent on coefficients that are scaled by
the spectrum of natural pictures, in colours that are uncorrelated in them, is descent on pixels
with another notion of steepness, and gives pictures without high-frequency noise.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wav2clip.generation.canvas import Canvas

COLOUR_COVARIANCE = (
    (0.0703, 0.0613, 0.0598),
    (0.0613, 0.0633, 0.0600),
    (0.0598, 0.0600, 0.0670),
)
"""Covariance of red, green and blue in [0, 1] over the pixels of 130 photographs, from
``tools/colour_statistics.py``."""

_START = 0.01
# Deviation of the coefficients at the start: a nearly even grey.
_CONTRAST = 8.0
# Logits per unit of colour: a deviation of 0.25, that of the photographs, fills most of [0, 1].
_DARKEST = 0.02
# A painted picture is kept this far from black and white, whose logits are infinite.


class FourierCanvas(Canvas):
    """Coefficients of a real Fourier transform, (1, 3, height, width // 2 + 1, 2).

    The amplitude of natural pictures falls as one over the frequency (Field 1987), and so does the
    factor on the coefficients here; the mean of the picture counts as the lowest frequency.
    """

    learning_rate = 0.05

    def __init__(self, height: int, width: int) -> None:
        super().__init__(height, width)
        vertical = torch.fft.fftfreq(height)[:, None]
        horizontal = torch.fft.rfftfreq(width)[None]
        frequency = torch.hypot(vertical, horizontal).clamp_min(1 / max(height, width))
        # Unit coefficients give pixels of unit deviation, whatever the size.
        energy = (2 / frequency.square()).sum() * 2
        scale = height * width / energy.sqrt() / frequency
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("colours", _CONTRAST * _root(COLOUR_COVARIANCE), persistent=False)
        shape = (1, 3, height, width // 2 + 1, 2)
        self.coefficients = nn.Parameter(torch.zeros(shape))
        self.scale: Tensor
        self.colours: Tensor

    def clear(self, generator: torch.Generator) -> None:
        chance = torch.randn(self.coefficients.shape, generator=generator) * _START
        self.coefficients.data.copy_(chance)

    def paint(self, picture: Tensor) -> None:
        logits = picture.to(self.scale.device).clamp(_DARKEST, 1 - _DARKEST).logit()
        planes = torch.einsum("dc,bchw->bdhw", self.colours.inverse(), logits)
        spectrum = torch.fft.rfft2(planes) / self.scale
        self.coefficients.data.copy_(torch.view_as_real(spectrum))

    def draw(self) -> Tensor:
        spectrum = torch.view_as_complex(self.coefficients) * self.scale
        planes = torch.fft.irfft2(spectrum, s=(self.height, self.width))
        return torch.as_tensor(torch.einsum("cd,bdhw->bchw", self.colours, planes).sigmoid())


def _root(covariance: tuple[tuple[float, ...], ...]) -> Tensor:
    """The matrix (3, 3) that turns uncorrelated planes into red, green and blue of a covariance."""
    values, vectors = torch.linalg.eigh(torch.tensor(covariance, dtype=torch.float64))
    return torch.as_tensor((vectors * values.sqrt()).float())
