"""Reading a picture the way the towers look at it: upright, opaque, RGB, a square."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from wav2clip.errors import ImageError
from wav2clip.files import display

ImageSource = str | os.PathLike[str] | Image.Image

MAX_PIXELS = 100_000_000
"""Largest picture that is decoded: 100 megapixels, at most 400 MB in memory."""

BACKGROUND = (255, 255, 255)
"""What shows through transparent pixels: white, as on a page."""


def open_image(source: ImageSource, least: int = 512) -> Image.Image:
    """An upright, opaque RGB picture.

    The first frame of an animation is taken; the camera's orientation (EXIF) is applied;
    transparent pixels are laid on white; 16-bit grey is scaled to 8 bits; CMYK becomes RGB.

    Args:
        source: path, or a PIL image, which is not changed.
        least: pixels along each side that a JPEG keeps; one of twice as many or more is decoded at
            a half, a quarter or an eighth of its size.

    Raises:
        ImageError: it cannot be read, is PostScript whatever it is called, or has more than
            :data:`MAX_PIXELS` pixels.
    """
    name = "the picture" if isinstance(source, Image.Image) else display(source)
    try:
        if isinstance(source, Image.Image):
            return _opaque(_checked(source, name))
        with warnings.catch_warnings():
            # Our own limit is below the one that PIL only warns about.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(Path(source)) as picture:
                _checked(picture, name)
                if picture.format == "EPS":  # Pillow would start Ghostscript
                    raise ImageError(
                        f"{name} is PostScript, a program, and not run: expected pixels"
                    )
                picture.draft("RGB", (least, least))  # JPEG only: decode at a fraction of the size
                return _opaque(picture)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(_too_large(name, str(error))) from error
    except (OSError, ValueError, SyntaxError, TypeError, EOFError) as error:
        raise ImageError(
            f"{name} cannot be read as a picture ({error}); expected JPEG, PNG, GIF, WebP or "
            "another format that Pillow reads"
        ) from error


def square(picture: Image.Image, side: int) -> Image.Image:
    """The middle square of a picture, ``side`` pixels wide, bicubic: the crop CLIP looks at."""
    width, height = picture.size
    edge = min(width, height)
    left, top = (width - edge) / 2, (height - edge) / 2
    box = (left, top, left + edge, top + edge)
    return picture.resize((side, side), Image.Resampling.BICUBIC, box=box)


def _checked(picture: Image.Image, name: str) -> Image.Image:
    width, height = picture.size
    if width < 1 or height < 1:
        raise ImageError(f"{name} is {width} x {height} pixels, expected at least 1 x 1")
    if width * height > MAX_PIXELS:
        raise ImageError(_too_large(name, f"{width} x {height} pixels"))
    return picture


def _too_large(name: str, found: str) -> str:
    return f"{name} is too large ({found}); the limit is {MAX_PIXELS:,} pixels: scale it down first"


def _opaque(picture: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I;16") or upright.mode == "I":
        grey = np.asarray(upright).astype(np.float64) / 65535 * 255
        upright = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        page = Image.new("RGBA", layer.size, (*BACKGROUND, 255))
        return Image.alpha_composite(page, layer).convert("RGB")
    return upright.convert("RGB")
