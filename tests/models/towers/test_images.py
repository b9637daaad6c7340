"""Pictures of every kind that people have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wav2clip.errors import ImageError
from wav2clip.models.towers.images import MAX_PIXELS, open_image


def test_alpha_is_laid_on_white(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (4, 2), (255, 0, 0, 0))
    picture.putpixel((0, 0), (255, 0, 0, 255))
    picture.save(tmp_path / "a.png")
    opened = open_image(tmp_path / "a.png")
    assert opened.mode == "RGB"
    assert opened.getpixel((0, 0)) == (255, 0, 0)
    assert opened.getpixel((3, 1)) == (255, 255, 255)
    palette = picture.convert("P", palette=Image.Palette.ADAPTIVE)
    palette.info["transparency"] = palette.getpixel((3, 1))
    assert open_image(palette).getpixel((3, 1)) == (255, 255, 255)


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert open_image(tmp_path / "a.gif").getpixel((0, 0)) == (255, 0, 0)


def test_postscript_is_not_run(tmp_path: Path) -> None:
    with (tmp_path / "a.eps").open("wb") as file:
        Image.new("RGB", (4, 4)).save(file, "EPS")
    (tmp_path / "a.eps").rename(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match=r"a\.jpg is PostScript"):
        open_image(tmp_path / "a.jpg")


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    red, green, blue = open_image(tmp_path / "a.jpg").getpixel((8, 8))
    assert red > 200
    assert max(green, blue) < 60


def test_camera_orientation_is_applied(tmp_path: Path) -> None:
    picture = Image.new("RGB", (20, 10), "blue")
    picture.paste("red", (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter: the left half becomes the upper one
    picture.save(tmp_path / "a.png", exif=exif)
    opened = open_image(tmp_path / "a.png")
    assert opened.size == (10, 20)
    assert opened.getpixel((5, 2)) == (255, 0, 0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "F"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    assert open_image(Image.new(mode, (3, 3))).mode == "RGB"


def test_sixteen_bit_grey_keeps_its_shades(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 32768, 65535]], np.uint16)).save(tmp_path / "a.png")
    opened = open_image(tmp_path / "a.png")
    shades = [opened.getpixel((x, 0))[0] for x in range(3)]
    assert shades == [0, 127, 255]


def test_too_large_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "huge.png")
    with pytest.raises(ImageError, match=f"huge.png is too large .*{MAX_PIXELS:,} pixels"):
        open_image(tmp_path / "huge.png")
    Image.new("1", (11_000, 10_000)).save(tmp_path / "large.png")
    with pytest.raises(ImageError, match=r"large.png is too large \(11000 x 10000"):
        open_image(tmp_path / "large.png")


def test_the_source_is_not_changed() -> None:
    picture = Image.new("RGBA", (5, 5), (1, 2, 3, 4))
    before = picture.copy()
    open_image(picture)
    assert picture == before
