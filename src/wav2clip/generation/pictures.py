"""Picture files, each with the recipe that made it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wav2clip.errors import InputError
from wav2clip.files import atomic_path, display

Pixels = NDArray[np.uint8]
"""A picture (height, width, 3), RGB."""

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Suffixes of pictures, and what Pillow calls them."""

SMALLEST, LARGEST = 32, 8192
"""Pixels along a side that pictures and films may have."""

_DESCRIPTION = 0x010E
# ImageDescription of EXIF, which all three formats carry.
_QUALITY = 90


def check_picture_name(path: Path) -> None:
    """Nothing, if a picture of that name can be written.

    Raises:
        InputError: another suffix than those of :data:`FORMATS`.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            f"{display(path)}: a picture ends in {', '.join(FORMATS)}, this in {path.suffix!r}"
        )


def check_size(height: int, width: int) -> None:
    """Nothing, if pictures of that size can be made.

    Raises:
        InputError: a side below :data:`SMALLEST` or above :data:`LARGEST` pixels.
    """
    for name, side in (("height", height), ("width", width)):
        if not SMALLEST <= side <= LARGEST:
            raise InputError(f"the {name} is {side} pixels, expected {SMALLEST} to {LARGEST:,}")


def save_picture(path: Path, pixels: Pixels, recipe: Mapping[str, Any]) -> None:
    """Write a picture under its name only when it is whole; the recipe is JSON in its EXIF data.

    Raises:
        InputError: an unknown suffix, or a folder that is not there.
    """
    check_picture_name(path)
    exif = Image.Exif()
    exif[_DESCRIPTION] = json.dumps(recipe)
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(
            temporary, format=FORMATS[path.suffix.lower()], exif=exif, quality=_QUALITY
        )


def read_recipe(path: Path) -> dict[str, Any] | None:
    """The recipe in a picture of :func:`save_picture`; None where there is none."""
    try:
        with Image.open(path) as picture:
            recipe = json.loads(picture.getexif().get(_DESCRIPTION, "null"))
    except (OSError, ValueError, SyntaxError):
        return None
    return recipe if isinstance(recipe, dict) else None
