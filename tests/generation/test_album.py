"""Pictures of every kind in a folder, looked at once."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wav2clip.embedding.embedder import load
from wav2clip.errors import InputError
from wav2clip.generation import album
from wav2clip.generation.album import open_album
from wav2clip.models.space import CLIP_VIT_B32
from wav2clip.models.towers.base import Embeddings, Towers

pytestmark = pytest.mark.everyday


class Colours(Towers):
    """Sees the mean colour of a picture, and counts what it looks at."""

    name = "colours"
    space = CLIP_VIT_B32
    differentiable = False
    logit_scale = 100.0

    def __init__(self, fingerprint: str = "0" * 16) -> None:
        self.means = {}
        self.looked = 0
        self._fingerprint = fingerprint

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def encode_pixels(self, pixels: object) -> None:  # type: ignore[override]
        raise NotImplementedError

    def _texts(self, phrases: list[str]) -> Embeddings:
        raise NotImplementedError

    def _images(self, pictures: list[Image.Image]) -> Embeddings:
        self.looked += len(pictures)
        vectors = np.zeros((len(pictures), self.dimension), np.float32)
        vectors[:, 0] = 0.1
        vectors[:, 1:4] = [np.asarray(picture).mean(axis=(0, 1)) / 255 for picture in pictures]
        return vectors


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("WAV2CLIP_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five colours, one of them deeper."""
    (tmp_path / "photos" / "deep er").mkdir(parents=True)
    for colour in ("red", "lime", "blue", "teal"):
        Image.new("RGB", (30, 20), colour).save(tmp_path / "photos" / f"{colour}.png")
    Image.new("RGB", (30, 20), "pink").save(tmp_path / "photos" / "deep er" / "pink.JPG")
    return tmp_path / "photos"


def colour_of(vector: np.ndarray) -> np.ndarray:
    return vector[1:4] / vector[0] / 10


def test_what_is_known_is_not_looked_at_again(folder: Path) -> None:
    towers = Colours()
    first = open_album(folder, towers)
    assert [path.name for path in first.paths] == [
        "blue.png", "pink.JPG", "lime.png", "red.png", "teal.png"
    ]  # fmt: skip
    assert (towers.looked, first.looked_at, first.note) == (5, 5, "")
    np.testing.assert_allclose(colour_of(first.vectors[0]), [0, 0, 1], atol=0.01)
    again = open_album(folder, towers)
    assert (towers.looked, again.looked_at) == (5, 0)
    np.testing.assert_array_equal(again.vectors, first.vectors)
    assert again.paths == first.paths
    # Another picture under the same name, one more, and one less.
    Image.new("RGB", (31, 20), "white").save(folder / "blue.png")
    os.utime(folder / "red.png", ns=(1, 1))
    Image.new("RGB", (30, 20), "black").save(folder / "black.png")
    (folder / "teal.png").unlink()
    changed = open_album(folder, towers)
    assert (towers.looked, changed.looked_at) == (8, 3)
    assert [path.name for path in changed.paths] == [
        "black.png", "blue.png", "pink.JPG", "lime.png", "red.png"
    ]  # fmt: skip
    np.testing.assert_allclose(colour_of(changed.vectors[1]), [1, 1, 1], atol=0.01)


def test_what_is_gone_is_forgotten_and_neighbours_are_not(folder: Path, cache: Path) -> None:
    (folder.parent / "photos2").mkdir()
    Image.new("RGB", (9, 9), "red").save(folder.parent / "photos2" / "a.png")
    towers = Colours()
    open_album(folder.parent / "photos2", towers)
    open_album(folder, towers)
    (folder / "red.png").unlink()
    open_album(folder, towers)
    with sqlite3.connect(cache / "pictures.sqlite") as base:
        paths = {os.fsdecode(path) for (path,) in base.execute("SELECT path FROM pictures")}
    base.close()
    assert str(folder / "red.png") not in paths
    assert str(folder.parent / "photos2" / "a.png") in paths
    assert len(paths) == 5


def test_other_towers_look_for_themselves(folder: Path) -> None:
    one, other = Colours(), Colours("1" * 16)
    open_album(folder, one)
    open_album(folder, other)
    assert other.looked == 5
    open_album(folder, one)
    assert one.looked == 5


def test_bad_pictures_are_named_and_good_ones_kept(folder: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (folder / "empty.png").touch()
    whole = (folder / "red.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "nowhere.gif").symlink_to(folder / "missing.gif")
    os.mkfifo(folder / "pipe.webp")
    (folder / "notes.txt").write_text("no picture by name")
    found = open_album(folder, Colours())
    assert len(found.paths) == 5
    assert {path.name for path in found.failures} == {
        "broken.jpg", "empty.png", "cut.png", "nowhere.gif", "pipe.webp"
    }  # fmt: skip
    assert "cannot be read as a picture" in found.failures[folder / "broken.jpg"]
    assert found.left_out == {".txt": 1}


def test_pictures_of_every_kind(tmp_path: Path) -> None:
    folder = tmp_path / "kinds"
    folder.mkdir()
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(folder / "clear.png")
    Image.new("L", (8, 8), 128).save(folder / "grey.png")
    Image.new("P", (8, 8)).save(folder / "palette.gif")
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    Image.new("RGB", (1, 1), "blue").save(folder / "one.png")
    Image.new("RGB", (9000, 3), "blue").save(folder / "thin.png")
    Image.new("CMYK", (8, 8)).save(folder / "print.tif")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (8, 4), "blue").save(folder / "turned.jpg", exif=turned)
    found = open_album(folder, Colours())
    assert len(found.paths) == 8
    assert not found.failures
    seen = {path.stem: colour_of(vector) for path, vector in zip(found.paths, found.vectors)}  # noqa: B905
    np.testing.assert_allclose(seen["clear"], [1, 1, 1], atol=0.01)
    np.testing.assert_allclose(seen["moving"], [1, 0, 0], atol=0.01)
    np.testing.assert_allclose(seen["grey"], [0.5, 0.5, 0.5], atol=0.01)


def test_large_pictures_wait_small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (4, 5, 3), np.uint8)
    Image.fromarray(noise).resize((2100, 1700)).save(folder / "large.png")
    Image.new("RGB", (60_000, 600), "red").save(folder / "panorama.png")
    towers, sizes = Colours(), []
    look = towers._images

    def recorded(pictures: list[Image.Image]) -> Embeddings:
        sizes.extend(picture.size for picture in pictures)
        return look(pictures)

    monkeypatch.setattr(towers, "_images", recorded)
    found = open_album(folder, towers)
    assert (700, 567) in sizes
    assert max(width * height for width, height in sizes) <= 8_000_000
    row = [path.name for path in found.paths].index("large.png")
    whole = towers.embed_image([folder / "large.png"])[0]
    assert found.vectors[row] @ whole > 0.9999


def test_the_built_in_tower_sees_the_same_in_what_was_made_smaller(
    data: Path, tmp_path: Path
) -> None:
    towers = load().towers
    folder = tmp_path / "large"
    folder.mkdir()
    picture = next(iter(sorted((data / "clip_vit_b32" / "photos").glob("*.jpg"))))
    with Image.open(picture) as small:
        small.convert("RGB").resize((1600, 1300)).save(folder / "large.png")
    found = open_album(folder, towers)
    assert found.vectors[0] @ towers.embed_image([folder / "large.png"])[0] > 0.99


@pytest.mark.parametrize("kind", ["empty", "broken", "missing"])
def test_a_folder_with_nothing_says_what_to_do(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "none"
    if kind != "missing":
        folder.mkdir()
    if kind == "broken":
        (folder / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"none.*[Ee]xpected") as raised:
        open_album(folder, Colours())
    assert kind != "broken" or "1 failed, the first, a.jpg" in str(raised.value)


def test_one_file_is_an_album(folder: Path) -> None:
    towers = Colours()
    assert len(open_album(folder / "red.png", towers).paths) == 1
    assert len(open_album(folder, towers).paths) == 5
    assert towers.looked == 5


def test_what_was_seen_before_an_interrupt_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(album, "_BATCH", 2)
    towers = Colours()

    def interrupted(done: int, total: int) -> None:
        assert total == 5
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_album(folder, towers, interrupted)
    assert towers.looked == 2
    assert open_album(folder, towers).looked_at == 3
    assert towers.looked == 5


@pytest.mark.parametrize("damage", ["text", "cut", "zeros in the middle"])
def test_a_damaged_file_is_made_anew(folder: Path, cache: Path, damage: str) -> None:
    towers = Colours()
    open_album(folder, towers)
    kept = cache / "pictures.sqlite"
    content = kept.read_bytes()
    if damage == "text":
        kept.write_bytes(b"not a database" * 999)
    elif damage == "cut":
        kept.write_bytes(content[: len(content) // 2])
    else:
        half = len(content) // 2
        kept.write_bytes(content[:half] + bytes(len(content) - half))
    assert len(open_album(folder, towers).paths) == 5
    assert open_album(folder, towers).looked_at == 0


def test_where_nothing_can_be_kept_pictures_are_looked_at_all_the_same(
    folder: Path, cache: Path, unprivileged: None
) -> None:
    cache.mkdir(mode=0o500)
    towers = Colours()
    first = open_album(folder, towers)
    assert len(first.paths) == 5
    assert "cannot be kept" in first.note
    assert open_album(folder, towers).looked_at == 5


def test_a_file_that_cannot_be_written_is_read(
    tmp_path: Path, cache: Path, unprivileged: None
) -> None:
    mine, towers = tmp_path / "mine", Colours()
    mine.mkdir()
    Image.new("RGB", (8, 8)).save(mine / "old.png")
    open_album(mine, towers)
    (cache / "pictures.sqlite").chmod(0o400)
    cache.chmod(0o500)
    Image.new("RGB", (8, 8)).save(mine / "new.png")
    found = open_album(mine, towers)
    assert (len(found.paths), found.looked_at) == (2, 1)
    assert "cannot be kept" in found.note
