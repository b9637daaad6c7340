"""Browsing and narrowing down over HTTP, and spectrograms."""

from __future__ import annotations

import io
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from web_servers import PATIENT

from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.library import Library
from wav2clip.web.app import create_app
from wav2clip.web.settings import Settings
from wav2clip.web.spectrogram import spectrogram, window_length

pytestmark = pytest.mark.everyday

# Folder, name, seconds, Hz, channels.
FILES = [
    ("Field/Rain", "RAINMetl_Roof 2.wav", 1.0, 48_000, 2),
    ("Field/Rain", "RAINMetl_Roof 10.WAV", 2.0, 48_000, 2),
    ("Field", "AMBRurl-Night_Frogs.flac", 12.0, 44_100, 1),
    ("Dogs/Small", "ANMLDog_Terrier.wav", 0.5, 44_100, 1),
    ("Dogs", "anmldog_no name of the system.wav", 3.0, 22_050, 1),
    ("Dogs", "field recording.ogg", 61.0, 8_000, 1),
]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of all sorts, of times that are apart."""
    root = tmp_path_factory.mktemp("archive") / "sounds"
    rng = np.random.default_rng(0)
    for place, (folder, name, seconds, rate, channels) in enumerate(FILES):
        path = root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = rng.uniform(-0.5, 0.5, (round(seconds * rate), channels))
        soundfile.write(path, noise, rate)
        os.utime(path, (1.7e9 - place, 1.7e9 - place))
    return root


@pytest.fixture(scope="module")
def own(
    sounds: Path, builtin: Wav2CLIP, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    library = Library.open(tmp_path_factory.mktemp("own") / "library", builtin)
    assert library.index(sounds).failures == {}
    library.tag(["Rain", "50%"], top=2)
    with TestClient(create_app(library, Settings(limits=PATIENT)), "http://127.0.0.1") as client:
        yield client


def files(client: TestClient, **parameters: Any) -> dict[str, Any]:
    answer = client.get("/api/files", params=parameters)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def names(client: TestClient, **parameters: Any) -> list[str]:
    return [file["name"] for file in files(client, **parameters)["files"]]


def test_all_files_sorted(own: TestClient) -> None:
    every = files(own)["files"]
    assert {file["name"] for file in every} == {name for _, name, *_ in FILES}
    assert [file["name"] for file in every][-2:] == ["RAINMetl_Roof 2.wav", "RAINMetl_Roof 10.WAV"]
    for sort, key in (
        ("length", "duration"), ("rate", "samplerate"), ("channels", "channels"),
        ("modified", "modified"), ("size", "size"),
    ):  # fmt: skip
        for order in ("asc", "desc"):
            found = files(own, sort=sort, order=order)["files"]
            by_path = sorted(every, key=lambda file: file["path"])
            expected = sorted(by_path, key=lambda f: f[key], reverse=order == "desc")
            assert [f["path"] for f in found] == [f["path"] for f in expected], (sort, order)
    folders = [file["folder"] for file in files(own, sort="path")["files"]]
    assert folders == sorted(folders)


def test_a_part_of_the_files_at_a_time(own: TestClient) -> None:
    whole = names(own, sort="size")
    parts = [files(own, sort="size", offset=offset, limit=4) for offset in (0, 4, 8)]
    assert [part["total"] for part in parts] == [6, 6, 6]
    assert [file["name"] for part in parts for file in part["files"]] == whole
    for wrong in ({"limit": 0}, {"limit": 201}, {"offset": -1}, {"sort": "hash"}, {"order": "up"}):
        assert own.get("/api/files", params=wrong).status_code == 422


@pytest.mark.parametrize(
    ("filters", "places"),
    [
        ({"format": "wav"}, [0, 1, 3, 4]),
        ({"format": [".FLAC", "ogg"]}, [2, 5]),
        ({"rate": 44_100}, [2, 3]),
        ({"rate": [44_100, 8_000], "channels": 1}, [2, 3, 5]),
        ({"channels": 2}, [0, 1]),
        ({"category": "anmldog"}, [3]),
        ({"category": ["animals", "RAINMetl"]}, [0, 1, 3]),
        ({"length": ["0-2", "60-"]}, [0, 3, 5]),
        ({"length": "2-3"}, [1]),
        ({"folder": "sounds/Field"}, [0, 1, 2]),
        ({"folder": ["sounds/Field/Rain", "sounds/Dogs/Small"]}, [0, 1, 3]),
        ({"tag": ["rain", "50%"], "format": "ogg"}, [5]),
        ({"min_duration": 3, "max_duration": 12}, [2, 4]),
    ],
)
def test_filters_of_files_and_of_finds(
    own: TestClient, filters: dict[str, Any], places: list[int]
) -> None:
    expected = {FILES[place][1] for place in places}
    assert set(names(own, **filters)) == expected
    found = own.get("/api/search", params={"q": "rain", **filters}).json()
    assert {hit["name"] for hit in found["hits"]} == expected
    assert found["warnings"] == files(own, **filters)["warnings"] == []


@pytest.mark.parametrize(
    ("filters", "why"),
    [
        ({"format": "mp3"}, ["no file of the library has the format 'mp3'"]),
        ({"tag": "5_%"}, ["no file of the library is tagged '5_%'"]),
        ({"folder": "sounds/rain"}, ["no file of the library lies in that folder"]),
        ({"rate": 1, "category": "Aircraft"}, [
            "no file of the library has 1 Hz",
            "no file of the library is of the category 'Aircraft'",
        ]),
        ({"format": "ogg", "channels": 2}, [
            "each filter alone is passed by files of the library, all together by none",
        ]),
    ],
)  # fmt: skip
def test_what_nothing_passes_is_said(
    own: TestClient, filters: dict[str, Any], why: list[str]
) -> None:
    told = files(own, **filters)
    assert (told["total"], told["files"], told["warnings"]) == (0, [], why)
    found = own.get("/api/search", params={"q": "rain", **filters}).json()
    assert (found["hits"], found["warnings"]) == ([], why)


@pytest.mark.parametrize(
    "wrong", [{"category": "dogg"}, {"rate": 0}, {"channels": "two"}, {"length": "long"},
              {"format": "."}, {"folder": "elsewhere"}, {"length": "5-2-1"}],
)  # fmt: skip
def test_filters_that_are_none(own: TestClient, wrong: dict[str, Any]) -> None:
    for address in ("/api/files", "/api/facets", "/api/search?q=rain"):
        answer = own.get(address, params={"q": "rain", **wrong})
        assert answer.status_code == 422, (address, answer.text)
        assert answer.json()["detail"]["what"]


def every_value(values: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for value in values:
        yield value
        yield from every_value(value["parts"])


@pytest.mark.parametrize(
    "filters",
    [{}, {"format": "wav"}, {"channels": 1, "rate": [44_100, 22_050]}, {"folder": "sounds/Dogs"},
     {"category": "animals", "length": "0-2"}, {"format": "mp3"}],
)  # fmt: skip
def test_facets_say_how_many_files_a_choice_leaves(
    own: TestClient, filters: dict[str, Any]
) -> None:
    below = ["sounds/Field", "sounds/Dogs"]
    answer = own.get("/api/facets", params={**filters, "below": below})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told.pop("total") == files(own, **filters)["total"]
    for facet, values in told.items():
        others = {name: value for name, value in filters.items() if name != facet}
        for value in every_value(values):
            left = files(own, **others, **{facet: value["value"]})["total"]
            assert value["files"] == left > 0, (facet, value)
    if not filters:
        shown = {facet: [v["name"] for v in every_value(values)] for facet, values in told.items()}
        assert shown == {
            "folder": ["sounds", "Dogs", "Small", "Field", "Rain"],
            "category": ["ambience", "rural", "animals", "dog", "rain", "metal"],
            "format": ["wav", "flac", "ogg"],
            "length": ["under 2 s", "2 to 10 s", "10 to 60 s", "over a minute"],
            "rate": ["8 kHz", "22.05 kHz", "44.1 kHz", "48 kHz"],
            "channels": ["mono", "stereo"],
        }


def test_folders_open_when_they_are_asked_to(own: TestClient) -> None:
    (root,) = own.get("/api/facets").json()["folder"]
    assert [(folder["name"], folder["deeper"], folder["parts"]) for folder in root["parts"]] == [
        ("Dogs", True, []), ("Field", True, []),
    ]  # fmt: skip
    (root,) = own.get("/api/facets", params={"below": "sounds/Dogs"}).json()["folder"]
    assert [part["value"] for part in root["parts"][0]["parts"]] == ["sounds/Dogs/Small"]


# Spectrograms -----------------------------------------------------------------------------------


def tone(hertz: float, seconds: float, rate: int) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


@pytest.mark.parametrize("rate", [8_000, 48_000, 192_000])
@pytest.mark.parametrize("hertz", [200.0, 1_000.0, 3_000.0])
def test_a_tone_is_a_line_at_its_frequency(rate: int, hertz: float) -> None:
    height = 64
    levels = spectrogram([tone(hertz, 2, rate)], 2 * rate, rate, 100, height)
    mels = np.log1p(hertz / 700) / np.log1p(rate / 2 / 700)
    rows = levels[:, 5:-5].argmax(axis=0)
    assert abs(rows - (height - 1) * (1 - mels)).max() <= 1
    assert levels.max() == 255 and (levels[:, 5:-5].max(axis=0) > 250).all()
    assert np.median(levels) < 60, "the rest is far below"


def test_levels_are_decibels_below_the_loudest_point() -> None:
    rate = 16_000
    loud = tone(1_000, 2, rate)
    levels = spectrogram([loud, loud * 0.01], 4 * rate, rate, 80, 64)
    assert levels[:, 5:35].max() == 255
    assert levels[:, 45:75].max() == pytest.approx(255 * (1 - 40 / 80), abs=1)
    assert not spectrogram([np.zeros(1_000, np.float32)], 1_000, rate, 9, 9).any()


def test_a_click_in_a_long_recording_is_seen() -> None:
    """Nothing is passed over, however many samples a column stands for; and little is kept."""
    rate, seconds, at = 8_000, 900, 617

    def blocks() -> Iterator[np.ndarray]:
        for second in range(seconds):
            block = np.zeros((rate, 2), np.float32)
            if second == at:
                block[777] = 1
            yield block

    tracemalloc.start()
    levels = spectrogram(blocks(), seconds * rate, rate, 90, 32)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.flatnonzero(levels.any(axis=0)).tolist() == [at // 10]
    assert most < 8e6 < 4 * seconds * rate


@given(
    cuts=st.lists(st.integers(0, 30_000), max_size=5),
    length=st.integers(0, 30_000),
    missing=st.integers(-400, 400),
    width=st.integers(1, 300),
    height=st.integers(1, 100),
)
@settings(max_examples=40, deadline=None)
def test_how_a_recording_comes_does_not_matter(
    cuts: list[int], length: int, missing: int, width: int, height: int
) -> None:
    rate = 8_000
    wave = np.random.default_rng(length).uniform(-1, 1, (length, 2)).astype(np.float32)
    total = max(0, length + missing)
    whole = spectrogram([wave], total, rate, width, height)
    assert (whole.shape, whole.dtype) == ((height, width), np.uint8)
    blocks = np.split(wave, sorted(cut for cut in cuts if cut <= length))
    parts = spectrogram(blocks, total, rate, width, height)
    assert np.abs(parts.astype(int) - whole).max() <= 1


def test_what_is_not_finite_is_silence() -> None:
    wave = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38] * 1_000, np.float32)
    levels = spectrogram([wave], len(wave), 8_000, 10, 10)
    assert levels.max() == 255
    assert window_length(1) == 256 and window_length(768_000) == 8192


def test_spectrograms_over_http(own: TestClient, sounds: Path) -> None:
    (file,) = files(own, format="ogg")["files"]
    answer = own.get(file["spectrogram"], params={"width": 120, "height": 40})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    picture = Image.open(io.BytesIO(answer.content))
    assert (picture.mode, picture.size) == ("L", (120, 40))
    samples, rate = soundfile.read(sounds / "Dogs" / "field recording.ogg", dtype="float32")
    expected = spectrogram([samples], len(samples), rate, 120, 40)
    assert np.abs(np.asarray(picture).astype(int) - expected).mean() < 2
    assert own.get(file["spectrogram"], params={"width": 120, "height": 40}).content == (
        answer.content
    )
    for wrong in ({"width": 0}, {"width": 2_001}, {"height": 513}):
        assert own.get(file["spectrogram"], params=wrong).status_code == 422
    assert own.get(f"/api/files/{'0' * 32}/spectrogram").status_code == 404
