"""Films and collages of chosen pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL import Image

from wav2clip.errors import ImageError
from wav2clip.generation.camera import SHARP, Motion, Way, lit, prepare, wander
from wav2clip.generation.choice import Shot
from wav2clip.generation.pictures import Pixels

_SOFT, _HARD = 0.6, 0.12
# Seconds of a cross-fade: at a cut where nothing begins, and on the clearest onset.

_GUTTER = 1 / 100  # of a collage's shorter side
_PAGE = (255, 255, 255)

Open = Callable[[int, int], Image.Image]
"""Opens a picture by its row, in at least so many pixels where it has them, or raises an
:class:`~wav2clip.errors.ImageError`."""


def montage(
    shots: Sequence[Shot],
    open_picture: Open,
    motion: Motion,
    size: tuple[int, int],
    fps: int,
    seed: int = 0,
    failed: Callable[[int, ImageError], None] = lambda picture, error: None,
) -> Iterator[Pixels]:
    """Video frames (height, width, 3), one for each of the motion's.

    Each shot begins with a cross-fade, the shorter the stronger the onset at its cut, and moves
    slowly in a direction that follows from the seed and its number. At most two pictures are held.

    Args:
        shots: in their order, without gaps, the first from 0.
        open_picture: called when a picture is needed.
        motion: what the sound does to each frame.
        size: height and width in pixels.
        fps: frames per second.
        seed: equal seeds give equal films.
        failed: called with a picture that can no longer be read; the one before it stays.
    """
    height, width = size
    view = _View(open_picture, (width, height), seed, failed)
    number, last, current = 0, None, view.open(shots, 0)
    for frame, (zoom, light) in enumerate(zip(motion.zoom, motion.light, strict=True)):
        now = frame / fps
        while number + 1 < len(shots) and now >= shots[number + 1].start:
            number += 1
            last, current = current, view.open(shots, number)
        picture = current(now, float(zoom))
        into = (now - shots[number].start + 1 / fps) / fade_seconds(shots, number)
        if last is not None and into < 1:
            share = into * into * (3 - 2 * into)
            picture = Image.blend(last(now, float(zoom)), picture, share)
        yield lit(picture, float(light))


def fade_seconds(shots: Sequence[Shot], number: int) -> float:
    """How long a shot fades in from the one before: at most half of it."""
    shot = shots[number]
    soft = _HARD + (_SOFT - _HARD) * (1 - shot.strength) ** 2
    return min(soft, (shot.end - shot.start) / 2)


def collage(pictures: Sequence[Image.Image], size: tuple[int, int]) -> Pixels:
    """Pictures side by side in rows, of height and width: the first one alone fills it.

    Nine are three rows of three. An incomplete last row is stretched to the whole width.
    """
    height, width = size
    rows = math.isqrt(len(pictures) - 1) + 1 if len(pictures) > 1 else 1
    rows = math.ceil(len(pictures) / rows)
    gap = round(_GUTTER * min(size)) if len(pictures) > 1 else 0
    page = Image.new("RGB", (width, height), _PAGE)
    for row, part in enumerate(np.array_split(np.arange(len(pictures)), rows)):
        top, bottom = _span(row, rows, height, gap)
        for place, picture in enumerate(part.tolist()):
            left, right = _span(place, len(part), width, gap)
            tile = prepare(pictures[picture], right - left, bottom - top)
            x, y = (tile.width - (right - left)) // 2, (tile.height - (bottom - top)) // 2
            page.paste(tile.crop((x, y, x + right - left, y + bottom - top)), (left, top))
    pixels: Pixels = np.asarray(page)
    return pixels


def _span(place: int, count: int, length: int, gap: int) -> tuple[int, int]:
    """Where one of ``count`` tiles begins and ends along a side."""
    begin, end = (round(at * (length + gap) / count) for at in (place, place + 1))
    return begin, max(begin + 1, end - gap)


class _View:
    """Opens pictures for the camera."""

    def __init__(
        self,
        open_picture: Open,
        size: tuple[int, int],
        seed: int,
        failed: Callable[[int, ImageError], None],
    ) -> None:
        self._open, self._size, self._seed, self._failed = open_picture, size, seed, failed
        self._prepared = Image.new("RGB", self._large)

    @property
    def _large(self) -> tuple[int, int]:
        width, height = (math.ceil(SHARP * side) for side in self._size)
        return width, height

    def open(self, shots: Sequence[Shot], number: int) -> Callable[[float, float], Image.Image]:
        """What the camera sees of a shot at a time in seconds and with a further zoom."""
        shot = shots[number]
        try:
            picture = self._open(shot.picture, max(self._large))
            self._prepared = prepare(picture, *self._large)
        except ImageError as error:
            self._failed(shot.picture, error)
        prepared = self._prepared
        following = fade_seconds(shots, number + 1) if number + 1 < len(shots) else 0.0
        seconds = shot.end - shot.start + following
        rng = np.random.default_rng((self._seed, number))
        path: Way = wander(prepared, self._size, seconds, rng)

        def seen(now: float, closer: float) -> Image.Image:
            share = min(1.0, (now - shot.start) / seconds)
            return path.view(prepared, self._size, share, closer)

        return seen
