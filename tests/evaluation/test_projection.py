"""Maps: what UMAP is given, and what the picture and the page do with what it gives."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from media import tone, wav_bytes
from wav2clip.errors import InputError
from wav2clip.evaluation import map_page, map_picture
from wav2clip.evaluation.encoders import load_encoder
from wav2clip.evaluation.projection import (
    SOUND,
    TEXT,
    Map,
    Point,
    add_words,
    one_space,
    project,
)

HOSTILE = (
    "</script><script>alert('x')</script><img src=x onerror=alert(1)> $\\frac{1}{0}$ & \"q\".wav"
)


def test_umap_keeps_groups_together_and_puts_others_among_them() -> None:
    """One test, because UMAP compiles itself for half a minute."""
    rng = np.random.default_rng(0)
    centres = np.eye(3, 32, dtype=np.float32)
    groups = np.repeat(np.arange(3), 20)
    vectors = centres[groups] + 0.05 * rng.normal(size=(60, 32)).astype(np.float32)
    vectors[1] = vectors[0]  # duplicates
    placed = project(vectors, centres, seed=3)
    assert placed.shape == (63, 2)
    assert placed.dtype == np.float32
    medians = np.array([np.median(placed[:60][groups == g], axis=0) for g in range(3)])
    nearest = np.linalg.norm(placed[:, None] - medians, axis=2).argmin(axis=1)
    assert (nearest == np.r_[groups, 0, 1, 2]).all()
    np.testing.assert_array_equal(placed, project(vectors, centres, seed=3))
    for count in (3, 9, 12):  # fewer points than neighbours
        assert np.isfinite(project(vectors[:count], centres)).all()
    assert np.isfinite(project(np.ones((6, 8), np.float32))).all()  # all alike


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_for_neighbourhoods(count: int) -> None:
    placed = project(np.ones((count, 4), np.float32), np.ones((1, 4), np.float32))
    assert placed.shape == (count + 1, 2)
    assert len(np.unique(placed, axis=0)) == count + 1


def test_wrong_input_is_refused() -> None:
    with pytest.raises(InputError, match="at least 2"):
        project(np.ones((5, 3), np.float32), neighbors=1)
    with pytest.raises(InputError, match="finite"):
        project(np.full((5, 3), np.nan, np.float32))


def test_one_space_takes_the_gap_away() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(40, 16))
    parts = {SOUND: shared + 5 * np.eye(16)[0], TEXT: shared - 5 * np.eye(16)[1]}
    centred = one_space({k: v.astype(np.float32) for k, v in parts.items()}, {})
    for rows in centred.values():
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    cosines = centred[SOUND] @ centred[TEXT].T
    assert (cosines.argmax(axis=1) == np.arange(40)).mean() > 0.9
    known = one_space({SOUND: parts[SOUND].astype(np.float32)}, {SOUND: np.zeros(16, np.float32)})
    raw = parts[SOUND] / np.linalg.norm(parts[SOUND], axis=1, keepdims=True)
    np.testing.assert_allclose(known[SOUND], raw, atol=1e-5)


def test_words_of_the_labels() -> None:
    encoder = load_encoder("builtin")
    points = [Point("a.ogg", "sea_waves"), Point("b.ogg", "dog"), Point("c.ogg")]
    vectors = np.random.default_rng(0).normal(size=(3, 512)).astype(np.float32)
    words, sounds, placed = add_words(points, vectors, encoder)
    assert [(p.name, p.label, p.kind) for p in words] == [
        ("dog", "dog", TEXT),
        ("sea waves", "sea_waves", TEXT),
    ]
    mean = encoder.model.towers.means["text"]  # type: ignore[attr-defined]
    expected = encoder.embed_text(["the sound of dog", "the sound of sea waves"]) - mean  # type: ignore[attr-defined]
    np.testing.assert_allclose(
        placed, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5
    )
    assert sounds.shape == (3, 512)
    np.testing.assert_array_equal(add_words(points, vectors, encoder, centred=True)[1], vectors)
    with pytest.raises(InputError, match="no labels"):
        add_words(points[2:], vectors[2:], encoder)
    with pytest.raises(InputError, match="knows no words"):
        add_words(points, vectors, load_encoder("logmel"))


@pytest.fixture
def shown(tmp_path: Path) -> Map:
    """Six sounds of two classes with hostile names, and a word."""
    folder = tmp_path / "sounds #1?"
    folder.mkdir()
    points = []
    for number in range(6):
        path = folder / (HOSTILE.replace("/", "∕") if number == 0 else f"a:b %41 {number}.wav")
        path.write_bytes(wav_bytes(tone(1.0, hz=200.0 * (number + 1))))
        points.append(Point(path.name, f"<b>class</b> {number % 2}", path=path))
    points.append(Point("a <i>word</i>", "<b>class</b> 1", TEXT))
    coordinates = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    return Map(points, coordinates, f"Title {HOSTILE}")


def figure_data(page: str) -> list[dict]:
    """The traces as the browser will read them."""
    found = re.search(r'Plotly\.newPlot\(\s*"[^"]+",\s*(\[.*?\]),\s*\{"', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page(shown: Map, tmp_path: Path) -> None:
    target = tmp_path / "map.html"
    assert map_page.draw(shown, target) == {}
    page = target.read_text("utf-8")
    assert "<script>alert" not in page
    assert "<img src" not in page
    assert not re.search(r'<(script|link)[^>]+(src|href)="?http', page)
    traces = figure_data(page)
    assert [trace["name"] for trace in traces] == [
        "&lt;b&gt;class&lt;/b&gt; 0",
        "&lt;b&gt;class&lt;/b&gt; 1",
        "words",
    ]
    entries = [entry for trace in traces for entry in trace["customdata"]]
    assert {name for _, name in entries} == {point.name for point in shown.points}
    for trace in traces:
        assert not any("<i>" in text or "<script" in text for text in trace["hovertext"])


def test_links_lead_to_the_files(shown: Map, tmp_path: Path) -> None:
    """Followed as a browser does, from a page in another folder."""
    from urllib.parse import unquote, urljoin, urlsplit

    (tmp_path / "pages").mkdir()
    target = tmp_path / "pages" / "map.html"
    for point in shown.points[:6]:
        address = urljoin(target.as_uri(), map_page.link(point, target))
        assert Path(unquote(urlsplit(address).path)) == point.path
    part = Point("x", path=tmp_path / "a:b.wav", start=1.5, end=3.0)
    assert map_page.link(part, tmp_path / "map.html") == "./a%3Ab.wav#t=1.500,3.000"


def test_sounds_inside_the_page(shown: Map, tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    points = [*shown.points, Point("broken", path=broken)]
    coordinates = np.vstack([shown.coordinates, [[0, 0]]])
    failures = map_page.draw(Map(points, coordinates, "t"), tmp_path / "m.html", embed_audio=True)
    assert list(failures) == [broken]
    traces = figure_data((tmp_path / "m.html").read_text("utf-8"))
    entries = {name: address for trace in traces for address, name in trace["customdata"]}
    assert entries["broken"] == ""
    address = entries[shown.points[1].name]
    assert address.startswith("data:audio/mpeg;base64,")
    heard, rate = soundfile.read(io.BytesIO(base64.b64decode(address.split(",")[1])))
    assert abs(len(heard) / rate - 1.0) < 0.15
    spectrum = np.abs(np.fft.rfft(heard))
    assert abs(np.fft.rfftfreq(len(heard), 1 / rate)[spectrum.argmax()] - 400) < 5


def test_the_picture(shown: Map, tmp_path: Path) -> None:
    target = tmp_path / "map.png"
    map_picture.draw(shown, target)
    with Image.open(target) as picture:
        assert picture.size == (1650, 1350)
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    colours = {tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in map_picture.palette(2)}
    assert (pixels != 255).any()
    for colour in colours:  # drawn 75 % opaque on white
        blended = 0.75 * np.array(colour) + 0.25 * 255
        assert (np.abs(pixels - blended).max(axis=1) < 3).sum() > 20


@pytest.mark.parametrize("count", [1, 10, 11, 50, 60])
def test_colours_differ(count: int) -> None:
    assert len(set(map_picture.palette(count))) == count


def test_more_classes_than_colours(tmp_path: Path) -> None:
    points = [Point(str(n), f"class {n}") for n in range(200)]
    coordinates = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    many = Map(points, coordinates, "many")
    map_picture.draw(many, tmp_path / "many.png")
    map_page.draw(many, tmp_path / "many.html")
    assert len(figure_data((tmp_path / "many.html").read_text("utf-8"))) == 1


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 25))
def test_names_are_moved_apart(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 1200, (count, 2))
    sizes = np.stack([rng.uniform(30, 150, count), np.full(count, 16.0)], axis=1)
    moved = map_picture.spread(centres, sizes, rounds=2000)
    apart = np.abs(moved[:, None] - moved[None])
    hit = (apart < (sizes[:, None] + sizes[None]) / 2 - 0.01).all(axis=2)
    assert hit.sum() == count  # each with itself
    np.testing.assert_array_equal(moved[:, 0], centres[:, 0])
