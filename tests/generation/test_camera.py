"""Pictures in frames, the camera's ways over them, and what the sound does to it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wav2clip.generation.camera import SHARP, follow, lit, moved, prepare, still, wander
from wav2clip.generation.rhythm import RATE, Rhythm

pytestmark = pytest.mark.everyday

SIDES = st.integers(1, 400)


def course(levels: np.ndarray, peak: float = 1.0) -> Rhythm:
    none = np.zeros(0)
    hertz = np.full(len(levels), 440, np.float32)
    return Rhythm(len(levels) / RATE, peak, none, none.astype("f4"), levels.astype("f4"), hertz)


def noisy(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 255, (height, width, 3), np.uint8))


@settings(max_examples=60)
@given(SIDES, SIDES, st.integers(32, 160), st.integers(32, 160), st.booleans())
def test_any_picture_covers_any_frame(
    width: int, height: int, across: int, down: int, plain: bool
) -> None:
    picture = Image.new("RGB", (width, height), "teal") if plain else noisy(width, height)
    prepared = prepare(picture, across, down)
    assert prepared.width >= across
    assert prepared.height >= down
    # Nothing much larger than the frame is kept, whatever the shape of the picture.
    assert prepared.width * prepared.height <= 2.1 * (across + 1) * (down + 1)
    if plain:
        assert np.asarray(prepared).reshape(-1, 3).tolist() == [[0, 128, 128]] * (
            prepared.width * prepared.height
        )


@settings(max_examples=60)
@given(
    SIDES, SIDES, st.integers(32, 160), st.integers(32, 160), st.floats(0.01, 9),
    st.integers(0, 9999), st.floats(0, 1), st.floats(1, 1.05),
)  # fmt: skip
def test_the_camera_never_looks_beyond_the_border(
    width: int, height: int, across: int, down: int, seconds: float, seed: int,
    share: float, closer: float,
) -> None:  # fmt: skip
    size = (across, down)
    prepared = prepare(noisy(width, height), *(math.ceil(SHARP * side) for side in size))
    way = wander(prepared, size, seconds, np.random.default_rng(seed))
    left, top, right, bottom = way.box(prepared, size, share, closer)
    assert 0 <= left < right <= prepared.width
    assert 0 <= top < bottom <= prepared.height
    # What is seen has the shape of the frame, so nothing is squeezed or cut off at an edge.
    assert (right - left) / (bottom - top) == pytest.approx(across / down, rel=1e-6)
    assert way.view(prepared, size, share, closer).size == size


def test_ways_follow_from_the_seed_and_are_slow() -> None:
    picture = noisy(300, 200)
    boxes = []
    for seed in (1, 1, 2, 3):
        way = wander(picture, (160, 90), 4.0, np.random.default_rng(seed))
        boxes.append([way.box(picture, (160, 90), share) for share in (0.0, 0.5, 1.0)])
        shift = np.abs(np.array(boxes[-1][2]) - boxes[-1][0]).max()
        assert 0 < shift < 0.2 * 300
    assert boxes[0] == boxes[1]
    assert boxes[1] != boxes[2] != boxes[3]


def test_upright_pictures_stand_on_themselves() -> None:
    picture = noisy(100, 300)
    prepared = np.asarray(prepare(picture, 320, 180)).astype(int)
    assert prepared.shape == (180, 320, 3)
    shown = np.asarray(picture.resize((60, 180), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(prepared[:, 130:190] - shown).mean() < 12  # all of it, in the middle
    beside = prepared[:, :100]
    assert np.abs(np.diff(beside, axis=0)).max() <= 8  # blurred,
    assert 0.3 < beside.mean() / shown.mean() < 0.8  # and darker


def test_a_plain_background_goes_on() -> None:
    picture = Image.new("RGB", (100, 200), (250, 240, 230))
    picture.paste("black", (30, 0, 70, 200))  # reaches the rim above and below
    prepared = np.asarray(prepare(picture, 320, 180))
    assert (prepared[90, :100] == (250, 240, 230)).all()
    assert (prepared[90, -100:] == (250, 240, 230)).all()
    assert (prepared[90, 160] == 0).all()


def test_sound_moves_and_lights_the_picture() -> None:
    levels = np.full(4 * RATE, -50.0)
    levels[2 * RATE : 3 * RATE] = -10.0
    motion = follow(course(levels), 25, 100)
    assert motion.zoom.shape == motion.light.shape == (100,)
    assert motion.zoom[:48].max() == pytest.approx(1.0)
    assert motion.zoom[60:74].min() > 1.04
    assert motion.light[:48].max() < motion.light[60:74].min()
    assert 1 <= motion.zoom.min() <= motion.zoom.max() <= 1.05 + 1e-6
    assert 0.88 <= motion.light.min() <= motion.light.max() <= 1.04 + 1e-6
    silent = follow(course(levels, peak=0.0), 25, 100)
    assert (silent.zoom == 1).all()
    assert (silent.light == 1).all()


def test_whole_frames_are_moved() -> None:
    frame = np.asarray(noisy(64, 48))
    motion = still(3)
    motion.zoom[1], motion.light[2] = 1.05, 0.5
    plain, closer, darker = moved([frame] * 3, motion)
    np.testing.assert_array_equal(plain, frame)
    assert closer.shape == frame.shape
    assert (closer != frame).any()
    np.testing.assert_array_equal(darker, (frame * 0.5).round())
    np.testing.assert_array_equal(lit(Image.fromarray(frame), 3.0), np.minimum(frame * 3.0, 255))
