"""Collections over HTTP."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from web_servers import PATIENT

from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.library import Library
from wav2clip.web.app import create_app
from wav2clip.web.settings import Settings

pytestmark = pytest.mark.everyday

LOCAL = "http://127.0.0.1:8000"
ITEMS = "/api/collections/items"


@pytest.fixture
def keeping(library: Library, builtin: Wav2CLIP, tmp_path: Path) -> Iterator[TestClient]:
    """A server in front of a copy of the library, in which tests may keep what they like."""
    copy = shutil.copytree(library.store.uri, tmp_path / "copy")
    app = create_app(Library.open(copy, builtin), Settings(limits=PATIENT))
    with TestClient(app, LOCAL) as client:
        yield client


def hits(client: TestClient, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/api/search", params={"q": "dog", **query}).json()[
        "hits"
    ]
    return found


def add(client: TestClient, name: str, *parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    chosen = [{key: part[key] for key in ("id", "start", "end") if key in part} for part in parts]
    answer = client.post(ITEMS, json={"name": name, "parts": chosen, **more})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def names(client: TestClient) -> list[tuple[str, int]]:
    told = client.get("/api/collections").json()["collections"]
    return [(each["name"], each["items"]) for each in told]


def test_finds_are_kept_and_told_as_they_were_found(keeping: TestClient) -> None:
    assert names(keeping) == []
    assert keeping.get(ITEMS, params={"name": "Favourites"}).status_code == 404
    (long,) = hits(keeping, min_duration=20)
    dog = hits(keeping)[0]
    answer = add(keeping, "Favourites", long, dog, {"id": dog["id"]}, note="for scene 12")
    assert (answer["new"], answer["failures"]) == (2, [])
    part, whole = answer["items"]
    assert (part["start"], part["end"], part["whole"]) == (long["start"], long["end"], False)
    assert (whole["start"], whole["end"], whole["whole"]) == (0, whole["duration"], True)
    assert part["excerpt"] == long["excerpt"] and part["excerpt_name"] == long["excerpt_name"]
    for item, hit in ((part, long), (whole, dog)):
        for field in ("id", "audio", "waveform", "spectrogram", "download", "folder"):
            assert item["sound"][field] == hit[field]
        assert (item["name"], item["path"], item["note"]) == (
            hit["name"], hit["path"], "for scene 12",
        )  # fmt: skip
        assert item["added"].endswith("+00:00")
    told = keeping.get(ITEMS, params={"name": "Favourites"}).json()
    assert (told["name"], told["total"], told["items"]) == ("Favourites", 2, [part, whole])
    second = keeping.get(ITEMS, params={"name": "Favourites", "offset": 1, "limit": 1}).json()
    assert (second["total"], second["items"]) == (2, [whole])
    assert keeping.get(part["excerpt"]).content[:4] == b"RIFF"
    again = add(keeping, "Favourites", long, dog)
    assert (again["new"], again["items"]) == (0, [part, whole])


def test_taken_out_renamed_and_deleted(keeping: TestClient) -> None:
    found = hits(keeping)[:3]
    kept = add(keeping, "rain / <b>'1'</b> & 雨 100%?#", *found)["items"]
    name = "rain / <b>'1'</b> & 雨 100%?#"
    items = [each["item"] for each in kept]
    assert names(keeping) == [(name, 3)]
    gone = keeping.delete(ITEMS, params={"name": name, "item": [*items[:2], "0" * 32]})
    assert gone.json() == {"items": 2}
    add(keeping, "other", *found)
    taken = keeping.post("/api/collections/rename", json={"name": name, "new": "other"})
    assert taken.status_code == 422 and "already" in taken.json()["detail"]["what"]
    renamed = keeping.post("/api/collections/rename", json={"name": name, "new": "Zoo"})
    assert [each["name"] for each in renamed.json()["collections"]] == ["other", "Zoo"]
    for status in (200, 404):
        assert keeping.delete("/api/collections", params={"name": "other"}).status_code == status
    assert names(keeping) == [("Zoo", 1)]
    assert keeping.delete(ITEMS, params={"name": "Zoo", "item": items[2]}).json() == {"items": 1}
    assert keeping.delete(ITEMS, params={"name": "Zoo", "item": items[2]}).status_code == 404
    assert names(keeping) == []
    for call in (
        keeping.get(ITEMS, params={"name": "Zoo"}),
        keeping.get("/api/collections/export", params={"name": "Zoo", "format": "csv"}),
        keeping.post("/api/collections/rename", json={"name": "Zoo", "new": "Z"}),
    ):
        assert call.status_code == 404
        assert "no collection called 'Zoo'" in call.json()["detail"]["what"]


def test_exported(keeping: TestClient) -> None:
    (long,) = hits(keeping, min_duration=20)
    add(keeping, "a/b; ü", long, note="=1+1")
    query = {"name": "a/b; ü"}
    playlist = keeping.get("/api/collections/export", params={**query, "format": "m3u8"})
    assert playlist.headers["content-type"] == "audio/x-mpegurl"
    assert (
        playlist.headers["content-disposition"]
        == "attachment; filename*=UTF-8''a%2Fb%3B%20%C3%BC.m3u8"
    )
    lines = playlist.content.decode().splitlines()
    assert lines[:2] == ["#EXTM3U", "#PLAYLIST:a/b; ü"]
    assert f"#EXTVLCOPT:start-time={long['start']:.3f}" in lines
    assert lines[-1] == long["path"]
    table = keeping.get("/api/collections/export", params={**query, "format": "csv"})
    (row,) = csv.DictReader(io.StringIO(table.text, newline=""))
    assert (row["path"], row["note"]) == (long["path"], "'=1+1")
    assert float(row["start"]) == long["start"]


@pytest.mark.parametrize(
    "name",
    ["", " ", "a\0b", "a\nb", "\u202egnp", "\u200b", "x" * 101, "x" * 10_240, "\x1b[2J"],
)
def test_names_that_cannot_be_seen(keeping: TestClient, name: str) -> None:
    (hit, *_) = hits(keeping)
    add(keeping, "a", hit)
    part = {"id": hit["id"]}
    for answer in (
        keeping.post(ITEMS, json={"name": name, "parts": [part]}),
        keeping.get(ITEMS, params={"name": name}),
        keeping.delete(ITEMS, params={"name": name, "item": "0" * 32}),
        keeping.delete("/api/collections", params={"name": name}),
        keeping.post("/api/collections/rename", json={"name": "a", "new": name}),
        keeping.get("/api/collections/export", params={"name": name, "format": "csv"}),
        keeping.post(ITEMS, json={"name": "a", "parts": [part], "note": "a\0b"}),
    ):
        assert answer.status_code == 422, answer.text
        assert len(answer.text) < 1_000
        assert answer.headers["content-type"] == "application/json"
    assert names(keeping) == [("a", 1)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "a"},
        {"name": "a", "parts": []},
        {"name": "a", "parts": [{"id": "/etc/passwd"}]},
        {"name": "a", "parts": [{"id": "0" * 32, "start": -1}]},
        {"name": "a", "parts": [{"id": "0" * 32, "start": "x"}]},
        {"name": "a", "parts": [{"id": "0" * 32, "end": 1e9}]},
        {"name": "a", "parts": [{"id": "0" * 32, "path": "/etc/passwd"}]},
        {"name": "a", "parts": [{"id": "0" * 32}] * 201},
        {"name": "a", "parts": [{"id": "0" * 32}], "note": "x" * 1_001},
        {"name": ["a"], "parts": [{"id": "0" * 32}]},
    ],
)
def test_bad_requests(keeping: TestClient, body: dict[str, Any]) -> None:
    assert keeping.post(ITEMS, json=body).status_code == 422
    assert names(keeping) == []


def test_what_is_not_there_is_not_kept(keeping: TestClient) -> None:
    hit = hits(keeping)[0]
    parts = [{"id": hit["id"]}, {"id": "0" * 32}]
    assert keeping.post(ITEMS, json={"name": "a", "parts": parts}).status_code == 404
    assert names(keeping) == []
    part = {"id": hit["id"], "start": 3, "end": 2}
    (failure,) = add(keeping, "a", part, hit)["failures"]
    assert failure.startswith(f"{hit['name']}: nothing of its")
    assert names(keeping) == [("a", 1)]
    for query in (
        {"name": "a", "item": "x"},
        {"name": "a"},
        {"name": "a", "item": ["0" * 32] * 201},
    ):
        assert keeping.delete(ITEMS, params=query).status_code == 422


def test_other_sites_cannot_change_anything(keeping: TestClient) -> None:
    add(keeping, "a", hits(keeping)[0])
    evil = {"Origin": "http://evil.example"}
    for answer in (
        keeping.post(ITEMS, json={"name": "b", "parts": []}, headers=evil),
        keeping.delete("/api/collections", params={"name": "a"}, headers=evil),
        keeping.delete(ITEMS, params={"name": "a", "item": "0" * 32}, headers=evil),
        keeping.post("/api/collections/rename", json={"name": "a", "new": "b"}, headers=evil),
        keeping.get("/api/collections", headers={"Sec-Fetch-Site": "cross-site"}),
    ):
        assert answer.status_code == 403
    assert names(keeping) == [("a", 1)]


def test_what_is_missing_stays_and_can_be_taken_out(own_library: tuple[Library, Path]) -> None:
    library, folder = own_library
    with TestClient(create_app(library, Settings(limits=PATIENT)), LOCAL) as client:
        found = hits(client)
        kept = add(client, "Favourites", *found)["items"]
        Path(found[0]["path"]).rename(folder / "moved.ogg")
        Path(found[1]["path"]).unlink()
        library.index(folder, prune=True)
        moved, gone, same = client.get(ITEMS, params={"name": "Favourites"}).json()["items"]
        assert (moved["name"], moved["missing"]) == ("moved.ogg", False)
        assert client.get(moved["sound"]["audio"]).status_code == 200
        assert (gone["name"], gone["missing"], gone["sound"]) == (found[1]["name"], True, None)
        assert gone["excerpt"] is None
        assert same == kept[2]
        told = client.get("/api/collections").json()["collections"]
        assert told == [{"name": "Favourites", "items": 3, "missing": 1}]
        query = {"name": "Favourites", "format": "m3u8"}
        assert gone["path"] not in client.get("/api/collections/export", params=query).text
        assert client.delete(ITEMS, params={"name": "Favourites", "item": gone["item"]}).json() == {
            "items": 1
        }


def test_an_empty_library_says_so(tmp_path: Path, builtin: Wav2CLIP) -> None:
    library = Library.open(tmp_path / "none", builtin)
    with TestClient(create_app(library, Settings(folders=(tmp_path,))), LOCAL) as client:
        for answer in (
            client.get("/api/collections"),
            client.get(ITEMS, params={"name": "a"}),
            client.delete("/api/collections", params={"name": "a"}),
        ):
            assert answer.status_code == 409, answer.text
            assert "index" in answer.json()["detail"]["what"]
    assert not (tmp_path / "none").exists()
