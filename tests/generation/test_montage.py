"""Films and collages of chosen pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wav2clip.errors import ImageError
from wav2clip.generation.camera import Motion, still
from wav2clip.generation.choice import Shot
from wav2clip.generation.montage import collage, fade_seconds, montage

pytestmark = pytest.mark.everyday

COLOURS = ["red", "lime", "blue"]
SHOTS = [
    Shot(0.0, 2.0, 0, 0.3, 0.0),
    Shot(2.0, 4.0, 1, 0.3, 0.9),
    Shot(4.0, 6.0, 2, 0.3, 0.0),
]


def plain(row: int, least: int) -> Image.Image:
    return Image.new("RGB", (80, 60), COLOURS[row])


def share(frame: np.ndarray, colour: int) -> float:
    return float(frame[..., colour].mean()) / 255


def test_shots_follow_each_other() -> None:
    frames = list(montage(SHOTS, plain, still(150), (48, 64), 25))
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 150
    for row, begin in enumerate((0, 50, 100)):
        assert share(frames[begin + 25], row) == 1
        assert share(frames[begin + 48], row) == 1
    assert share(frames[49], 0) == 1
    assert 0 < share(frames[50], 1) < 1  # it begins to come with the frame of the onset,
    assert share(frames[53], 1) == 1  # and is there at once,
    assert share(frames[103], 2) < 0.5  # but gently where nothing begins
    assert share(frames[116], 2) == 1


def test_fades_end_within_their_shots() -> None:
    assert fade_seconds(SHOTS, 1) < 0.15 < 0.5 < fade_seconds(SHOTS, 2)
    assert fade_seconds([SHOTS[0], Shot(2.0, 2.4, 1, 0.3, 0.0)], 1) == pytest.approx(0.2)


def test_equal_seeds_give_equal_films() -> None:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 255, (90, 120, 3), np.uint8))

    def film(seed: int) -> np.ndarray:
        return np.stack(list(montage(SHOTS, lambda *_: picture, still(150), (48, 64), 25, seed)))

    first = film(0)
    np.testing.assert_array_equal(first, film(0))
    assert (first != film(1)).any()
    assert (first[0] != first[40]).any()  # it moves


def test_pictures_are_opened_when_they_are_needed_and_large_enough() -> None:
    opened: list[tuple[int, int]] = []

    def recorded(row: int, least: int) -> Image.Image:
        opened.append((row, least))
        return plain(row, least)

    frames = montage(SHOTS, recorded, still(150), (48, 64), 25)
    for _ in range(50):
        next(frames)
    assert [row for row, _ in opened] == [0]
    list(frames)
    assert [row for row, _ in opened] == [0, 1, 2]
    assert all(least >= 64 for _, least in opened)


def test_a_picture_that_is_gone_leaves_the_one_before() -> None:
    lost: list[int] = []

    def gone(row: int, least: int) -> Image.Image:
        if row == 1:
            raise ImageError("it is gone")
        return plain(row, least)

    frames = list(
        montage(SHOTS, gone, still(150), (48, 64), 25, failed=lambda row, _: lost.append(row))
    )
    assert len(frames) == 150
    assert lost == [1]
    assert share(frames[75], 0) == 1
    assert share(frames[125], 2) == 1


def test_the_sound_lights_each_frame() -> None:
    motion = Motion(np.ones(150, np.float32), np.linspace(0.5, 1, 150, dtype=np.float32))
    frames = list(montage(SHOTS, plain, motion, (48, 64), 25))
    assert share(frames[0], 0) == pytest.approx(0.5, abs=0.01)
    assert share(frames[149], 2) == 1


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 9])
def test_collages_show_every_picture(count: int) -> None:
    colours = [(20 * k + 30, 200 - 20 * k, 40 * (k % 5)) for k in range(count)]
    page = collage([Image.new("RGB", (50, 40), colour) for colour in colours], (90, 120))
    assert page.shape == (90, 120, 3)
    areas = [(page == colour).all(axis=2).mean() for colour in colours]
    assert min(areas) > 0.5 / count
    assert sum(areas) > 0.9
    assert count > 1 or areas == [1.0]


def test_a_collage_of_nine_is_three_by_three(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [
        Image.fromarray(rng.integers(0, 200, (int(h), int(w), 3), np.uint8))
        for w, h in rng.integers(1, 300, (9, 2))
    ]
    page = collage(pictures, (302, 302))
    white = (page == 255).all(axis=2)
    assert np.flatnonzero(white.all(axis=1)).tolist() == np.flatnonzero(white.all(axis=0)).tolist()
    assert white.all(axis=0).sum() == 6  # two gutters of a hundredth each
