"""How a picture fills a frame, and how the camera moves over it: by itself, and with the sound."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from wav2clip.generation.pictures import Pixels
from wav2clip.generation.rhythm import Rhythm

SHARP = 1.15
"""Pixels of a prepared picture per pixel of the frame, so that it stays sharp when zoomed into."""

HIDDEN = 0.5
"""Share of a picture that may be cut off to fill the frame; of others all is shown."""

_PULSE = 0.05  # how much loud moments zoom in
_DIM, _SHINE = 0.08, 0.04  # how much darker quiet moments are, and how much lighter bright ones

_CLOSER = 1.02  # least zoom: leaves room for the camera to move in every direction
_ZOOM, _ZOOMS = 0.02, 0.12  # zoom per second, and at most
_PAN = 0.04  # of the frame's shorter side per second

_FLAT = 12  # of 255, by which colours of one background differ at most,
_PLAIN = 0.6  # and the share of the rim that has it, where there is one
_MARGIN = 0.94  # of the frame, for what stands on a background of its own
_EDGE = 0.05  # of its shorter side, within which it goes over into more of the background
_RIM = 64  # pixels to which a picture is reduced to look at its rim
_BACKDROP = 24  # pixels to which it is reduced to become a backdrop of itself
_SHADE = 0.55


@dataclass(frozen=True)
class Motion:
    """What the sound does to each video frame.

    Attributes:
        zoom: (count,) float32, 1 or more.
        light: (count,) float32, factor on all colours.
    """

    zoom: NDArray[np.float32]
    light: NDArray[np.float32]


def follow(rhythm: Rhythm, fps: int, count: int) -> Motion:
    """Loud moments come closer, quiet ones are darker, bright ones lighter; silence does nothing.

    Zoom is in [1, 1.05], light in [0.88, 1.04].
    """
    if rhythm.silent:
        return still(count)
    loudness, brightness = rhythm.loudness(fps, count), rhythm.brightness(fps, count)
    return Motion(1 + _PULSE * loudness, 1 - _DIM * (1 - loudness) + _SHINE * brightness)


def still(count: int) -> Motion:
    """Frames that the sound does nothing to."""
    return Motion(np.ones(count, np.float32), np.ones(count, np.float32))


def moved(frames: Iterable[Pixels], motion: Motion) -> Iterator[Pixels]:
    """Whole video frames as the motion has them: zoomed into their middles, lit."""
    for number, pixels in enumerate(frames):
        picture = Image.fromarray(pixels)
        view = Way((0.0, 0.0), (0.0, 0.0), 1.0, 1.0).view(
            picture, picture.size, 0.0, float(motion.zoom[number])
        )
        yield lit(view, float(motion.light[number]))


def lit(picture: Image.Image, light: float) -> Pixels:
    """The picture with all colours times a factor."""
    table = (np.arange(256) * light).round().clip(0, 255).astype(np.uint8)
    pixels: Pixels = np.asarray(picture.point(table.tolist() * 3))
    return pixels


@dataclass(frozen=True)
class Way:
    """A slow way of the camera over a picture, with even speed (the Ken Burns effect).

    Attributes:
        begin: of the middle of the view from the middle of the picture, (x, y) in its pixels.
        end: the same, at the end.
        zoom_begin: 1 or more.
        zoom_end: the same, at the end.
    """

    begin: tuple[float, float]
    end: tuple[float, float]
    zoom_begin: float
    zoom_end: float

    def view(
        self, picture: Image.Image, size: tuple[int, int], share: float, closer: float = 1.0
    ) -> Image.Image:
        """What the camera sees.

        Args:
            picture: that the path was made for.
            size: width and height of the view in pixels.
            share: of the way, in [0, 1].
            closer: further zoom, 1 or more.
        """
        box = self.box(picture, size, share, closer)
        return picture.resize(size, Image.Resampling.BICUBIC, box=box)

    def box(
        self, picture: Image.Image, size: tuple[int, int], share: float, closer: float = 1.0
    ) -> tuple[float, float, float, float]:
        """The part of the picture that the camera sees: left, top, right, lower edge in pixels."""
        zoom = (self.zoom_begin + share * (self.zoom_end - self.zoom_begin)) * closer
        x, y = (a + share * (b - a) for a, b in zip(self.begin, self.end, strict=True))
        width, height = (side / zoom for side in _largest(picture, size))
        return _box(picture, width, height, x, y)


def wander(
    picture: Image.Image, size: tuple[int, int], seconds: float, rng: np.random.Generator
) -> Way:
    """A path that shows no border: through the middle, in a direction and with a zoom by chance.

    Args:
        picture: at least as large as the view in both directions.
        size: width and height of the view in pixels.
        seconds: that it takes.
        rng: decides.
    """
    change = min(_ZOOM * seconds, _ZOOMS)
    zooms = (_CLOSER, _CLOSER + change) if rng.random() < 0.5 else (_CLOSER + change, _CLOSER)
    largest = _largest(picture, size)
    angle, speed = rng.uniform(0, 2 * math.pi), _PAN * min(largest)
    way = []
    for whole, side, step in zip(
        picture.size, largest, (math.cos(angle), math.sin(angle)), strict=True
    ):
        room = (whole - side / min(zooms)) / 2
        reach = min(abs(step) * speed * seconds / 2, room)
        way.append(math.copysign(reach, step))
    x, y = way
    return Way((-x, -y), (x, y), *zooms)


def prepare(picture: Image.Image, width: int, height: int) -> Image.Image:
    """A picture that covers a frame and has no borders: at least ``width`` x ``height`` pixels.

    One that fills the frame with at most half of it cut off is scaled to do so. One on a plain
    background, such as a logo, stands in the middle of more of it. Any other, such as an upright
    photograph in a wide frame, stands on a blurred and darker enlargement of itself.
    """
    cover = max(width / picture.width, height / picture.height)
    shown = width * height / (cover**2 * picture.width * picture.height)
    background = _background(picture)
    if background is None and shown >= 1 - HIDDEN:
        return _scaled(picture, cover, (width, height))
    contain = min(width / picture.width, height / picture.height)
    if background is None:
        page, middle, mask = _backdrop(picture, width, height), _scaled(picture, contain), None
    else:
        page = Image.new("RGB", (width, height), background)
        middle = _scaled(picture, contain * _MARGIN)
        mask = _soft_edges(*middle.size)
    page.paste(middle, ((width - middle.width) // 2, (height - middle.height) // 2), mask)
    return page


def _largest(picture: Image.Image, size: tuple[int, int]) -> tuple[float, float]:
    """Width and height of the largest view of a shape that the picture has room for."""
    scale = min(picture.width / size[0], picture.height / size[1])
    return size[0] * scale, size[1] * scale


def _box(
    picture: Image.Image, width: float, height: float, x: float = 0.0, y: float = 0.0
) -> tuple[float, float, float, float]:
    """A part of a picture that much beside its middle: left, top, right and lower edge."""
    # Rounding may lead beyond the edges by a hair.
    left = max(0.0, (picture.width - width) / 2 + x)
    top = max(0.0, (picture.height - height) / 2 + y)
    return left, top, min(left + width, picture.width), min(top + height, picture.height)


def _scaled(picture: Image.Image, factor: float, least: tuple[int, int] = (1, 1)) -> Image.Image:
    sides = zip(picture.size, least, strict=True)
    width, height = (max(low, round(side * factor)) for side, low in sides)
    return picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)


def _background(picture: Image.Image) -> tuple[int, int, int] | None:
    """The colour of a picture's rim, if it has one."""
    side = (min(_RIM, picture.width), min(_RIM, picture.height))
    small = np.asarray(picture.resize(side, Image.Resampling.BOX, reducing_gap=2.0), np.float32)
    rim = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    colour = np.median(rim, axis=0)
    if (np.abs(rim - colour).max(axis=1) <= _FLAT).mean() < _PLAIN:
        return None
    red, green, blue = colour.round().astype(int).tolist()
    return red, green, blue


def _soft_edges(width: int, height: int) -> Image.Image:
    """A mask that fades out towards the edges: no seam where a background is not quite even."""
    soft = max(1.0, _EDGE * min(width, height))
    across, down = (
        np.minimum(np.arange(side) + 1, side - np.arange(side)) / soft for side in (width, height)
    )
    mask = np.minimum(np.minimum(across[None], down[:, None]), 1) * 255
    return Image.fromarray(mask.round().astype(np.uint8))


def _backdrop(picture: Image.Image, width: int, height: int) -> Image.Image:
    """The middle of a picture, blurred and darker, in a size."""
    box = _box(picture, *_largest(picture, (width, height)))
    across = max(1, round(_BACKDROP * width / max(width, height)))
    down = max(1, round(_BACKDROP * height / max(width, height)))
    small = picture.resize((across, down), Image.Resampling.BOX, box=box, reducing_gap=2.0)
    soft = small.filter(ImageFilter.GaussianBlur(1)).resize((width, height))
    return Image.fromarray(lit(soft, _SHADE))
