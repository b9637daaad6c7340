"""The page of a gallery: rows, players, hostile names, what is kept."""

from __future__ import annotations

import html.parser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from media import encode, tone
from wav2clip.errors import InputError
from wav2clip.generation.gallery import (
    Exhibit,
    Site,
    describe,
    label_of,
    media_name,
    painted_beside,
)
from wav2clip.generation.pictures import read_recipe, save_picture

HOSTILE = '<script>alert("x")</script> & "quotes" \'y\' <img src=x onerror=alert(1)>'


class Page(html.parser.HTMLParser):
    """Elements with their attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_rows_have_picture_label_and_player(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "Änderung des Wetters?.wav", tone(0.1), 16_000)
    sound = tmp_path / "Änderung des Wetters?.wav"
    picture = sound.with_suffix(".png")
    save_picture(picture, np.zeros((8, 8, 3), np.uint8), {"canvas": "fourier"})
    site = Site(tmp_path / "site")
    row = Exhibit(HOSTILE, site.add_sound(sound), site.add_copy(picture), HOSTILE)
    site.exhibits += [row, Exhibit("second", row.sound, row.picture, "another way")]
    page = Page(site.write(HOSTILE).read_text("utf-8"))
    assert not page.all("script")
    assert page.text.count(HOSTILE) == 4  # title, heading, label, how
    assert [image["src"] for image in page.all("img")] == [f"media/{row.picture}"] * 2
    assert [player["src"] for player in page.all("audio")] == [f"media/{row.sound}"] * 2
    assert HOSTILE in (page.all("img")[0]["alt"] or "")
    for name in (row.sound, row.picture):
        assert (site.folder / "media" / name).is_file()
        assert name.startswith("anderung-des-wetters-") and name.isascii()
    # Everything is inside the folder: it opens from disk.
    addresses = [a.get("src") or a.get("href") or "" for _, a in page.elements]
    assert not [address for address in addresses if "//" in address]


def test_maps_are_shown_as_pictures_or_pages(tmp_path: Path) -> None:
    (tmp_path / "map.html").write_text("<p>map</p>")
    (tmp_path / "map.svg").write_text("<svg/>")
    site = Site(tmp_path / "site")
    site.maps = [site.add_copy(tmp_path / name) for name in ("map.html", "map.svg")]
    page = Page(site.write("maps").read_text("utf-8"))
    assert page.all("iframe")[0]["src"] == f"media/{site.maps[0]}"
    assert page.all("img")[0]["src"] == f"media/{site.maps[1]}"
    assert "No sound has a picture yet" in page.text


def test_sounds_that_browsers_do_not_play_are_converted(tmp_path: Path) -> None:
    source = encode(tmp_path / "talk.mkv", tone(1.5, 48_000), 48_000, "ac3")
    site = Site(tmp_path / "site")
    name = site.add_sound(source)
    assert name.endswith(".ogg")
    samples, rate = soundfile.read(site.media / name)
    assert rate == 48_000
    assert len(samples) / rate == pytest.approx(1.5, abs=0.05)
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


def test_labels(tmp_path: Path) -> None:
    sound = tmp_path / "heavy_rain.ogg"
    assert label_of(sound) == "heavy rain"
    sound.with_suffix(".txt").write_text("Rain on a roof.\nmore\n", "utf-8")
    assert label_of(sound) == "Rain on a roof."
    sound.with_suffix(".txt").write_text("\n", "utf-8")
    assert label_of(sound) == "heavy rain"


def test_only_generated_pictures_count_as_such(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "a.jpg").write_text("no picture")
    assert painted_beside(tmp_path / "a.ogg") is None
    for suffix in (".jpg", ".webp", ".png"):
        save_picture(tmp_path / f"b{suffix}", np.zeros((8, 8, 3), np.uint8), {"prompt": HOSTILE})
        assert read_recipe(tmp_path / f"b{suffix}") == {"prompt": HOSTILE}
    assert painted_beside(tmp_path / "b.ogg") == tmp_path / "b.png"
    recipe = {"canvas": "fourier", "size": "64", "done": 5, "cutouts": 4, "seed": 0}
    recipe |= {"image_tower": "builtin", "model": "builtin"}
    assert "5 steps of 4 cut-outs" in describe(recipe)
    assert "None" not in describe(recipe)


def test_names_tell_contents_apart(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for path, content in (("x.wav", b"1"), ("a/x.wav", b"2")):
        (tmp_path / path).write_bytes(content)
    names = {media_name(tmp_path / path, ".wav") for path in ("x.wav", "a/x.wav")}
    assert len(names) == 2
    (tmp_path / "🎵.wav").write_bytes(b"3")
    assert media_name(tmp_path / "🎵.wav", ".wav").isascii()


def test_bad_places(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        Site(tmp_path / "file")
    with pytest.raises(InputError, match="missing"):
        Site(tmp_path / "site").add_copy(tmp_path / "missing.png")
    with pytest.raises(InputError, match=r"\.gif"):
        save_picture(tmp_path / "a.gif", np.zeros((8, 8, 3), np.uint8), {})
