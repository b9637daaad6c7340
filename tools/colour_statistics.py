"""The covariance of colours in photographs, for the Fourier canvas.

    python tools/colour_statistics.py      # prints COLOUR_COVARIANCE of generation/fourier.py

Over the pixels of the 130 photographs of ``clip_vit_b32/photos`` in the test data, each reduced to
64 x 64, so that each counts the same.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from wav2clip.models.towers.images import open_image

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data"))
SIDE = 64


def colour_covariance(folder: Path) -> np.ndarray:
    """(3, 3) covariance of red, green and blue in [0, 1]."""
    pictures = [
        np.asarray(open_image(path).resize((SIDE, SIDE), Image.Resampling.BOX)).reshape(-1, 3)
        for path in sorted(folder.iterdir())
    ]
    return np.cov(np.concatenate(pictures).T / 255)


if __name__ == "__main__":
    for row in colour_covariance(DATA / "clip_vit_b32" / "photos"):
        print(f"    ({', '.join(f'{value:.4f}' for value in row)}),")
