"""Searching over HTTP gives what the library gives."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from wav2clip.library import Filters, Library, Query, Results

pytestmark = pytest.mark.everyday


def ask(client: TestClient, **parameters: Any) -> list[dict[str, Any]]:
    response = client.get("/api/search", params=parameters)
    assert response.status_code == 200, response.text
    return response.json()["hits"]


def rows(hits: list[dict[str, Any]]) -> list[tuple[str, float, float, float]]:
    return [(hit["path"], hit["start"], hit["end"], hit["score"]) for hit in hits]


def expected(results: Results) -> list[tuple[str, float, float, float]]:
    shown = [result.to_json() for result in results]
    return [(row["path"], row["start"], row["end"], row["score"]) for row in shown]


def upload(client: TestClient, content: bytes, name: str = "sent") -> dict[str, Any]:
    response = client.post(
        "/api/uploads", params={"name": name, "label": ["dog", "rain"]}, content=content
    )
    assert response.status_code == 201, response.text
    return response.json()


def test_phrases(client: TestClient, library: Library) -> None:
    assert rows(ask(client, q="a dog")) == expected(library.search("a dog", limit=20))
    mixed = Query.text("rain on a roof") + 0.5 * Query.text("dog") - Query.text("voices")
    response = client.get("/api/search", params={"q": "rain on a roof + 0.5*dog - voices"}).json()
    assert rows(response["hits"]) == expected(library.search(mixed, limit=20))
    assert response["query"] == "rain on a roof + 0.5*dog - voices"
    assert 0 < response["seconds_taken"] < 60


def test_says_what_it_cannot_read(client: TestClient) -> None:
    best = ask(client, q="a dog", limit=1)[0]
    for query in ({"q": "a dog"}, {"like": best["id"]}):
        assert client.get("/api/search", params=query).json()["warnings"] == []
    (line,) = client.get("/api/search", params={"q": "rain + собака"}).json()["warnings"]
    assert line == '"собака": understood as dog (Russian)'
    (line,) = client.get("/api/search", params={"q": "rain + абвгд"}).json()["warnings"]
    assert "'абвгд'" in line
    assert "English" in line


def test_what_is_like_a_recording(client: TestClient, library: Library) -> None:
    best = ask(client, q="a dog", limit=1)[0]
    path = Path(best["path"])
    assert rows(ask(client, like=best["id"])) == expected(library.similar(path, limit=20))
    mixed = Query.text("rain") + Query.marked([Query.audio(path)])
    found = client.get("/api/search", params={"q": "rain", "like": best["id"]}).json()
    assert rows(found["hits"]) == expected(library.search(mixed, limit=20))
    assert found["query"] == f"rain + [{path.name}]"


def test_what_is_like_a_part_and_unlike_another(client: TestClient, library: Library) -> None:
    hits = {hit["name"]: hit for hit in ask(client, q="a dog")}
    long, bad = hits["long [take 1].aiff"], min(hits.values(), key=lambda hit: hit["score"])
    path = Path(long["path"])
    part = Query.audio(path, (10.0, 20.0))
    found = ask(client, like=f"{long['id']}@10-20", all_segments=True)
    assert rows(found) == expected(library.search(part, limit=20, per_file=False))
    assert any(hit["id"] == long["id"] for hit in found), "its other parts"
    parameters = {"q": "rain", "like": f"{long['id']}@10-20", "unlike": bad["id"]}
    answer = client.get("/api/search", params=parameters).json()
    marked = Query.marked([part], [Query.audio(Path(bad["path"]))])
    assert rows(answer["hits"]) == expected(library.search(Query.text("rain") + marked))
    names = [hit["name"] for hit in answer["hits"]]
    assert long["name"] in names and bad["name"] not in names
    told = f"rain + [{path.name} 10-20 s] - 0.1*[{bad['name']}]"
    assert answer["query"] == told


def test_how_sure_a_find_is(client: TestClient) -> None:
    answer = client.get("/api/search", params={"q": "dog barking"}).json()
    sure = [hit["confidence"] for hit in answer["hits"]]
    assert answer["likely"] and sure == sorted(sure, reverse=True)
    assert sure[0] > 0.5, "three files are dogs"
    unknown = client.get("/api/search", params={"q": "xqzvkw", "by": "sound"}).json()
    assert not unknown["likely"] and len(unknown["hits"]) == 7
    assert all(hit["start"] <= hit["peak"] < hit["end"] for hit in answer["hits"])


def test_what_is_like_an_uploaded_sound(client: TestClient, library: Library, data: Path) -> None:
    """Decoding apart must not change what is found."""
    sound = sorted((data / "esc10_original").glob("*-0.ogg"))[-1]
    sent = upload(client, sound.read_bytes(), "../../my dog.ogg")
    assert (sent["kind"], sent["name"], len(sent["waveform"])) == ("sound", "my dog.ogg", 200)
    for hit, other in zip(
        rows(ask(client, upload=sent["id"])),
        expected(library.similar(sound, limit=20)),
        strict=True,
    ):
        assert hit[:3] == other[:3]
        assert hit[3] == pytest.approx(other[3], abs=1e-5)


def test_what_goes_with_an_uploaded_picture(
    client: TestClient, library: Library, data: Path
) -> None:
    picture = sorted((data / "clip_vit_b32" / "photos").glob("*.jpg"))[0]
    sent = upload(client, picture.read_bytes(), "harbour.jpg")
    assert (sent["kind"], sent["labels"], sent["waveform"]) == ("picture", [], None)
    found = rows(ask(client, upload=sent["id"]))
    for hit, other in zip(found, expected(library.search(image=picture, limit=20)), strict=True):
        assert hit[3] == pytest.approx(other[3], abs=2e-2)  # a JPEG is decoded at its full size
    with_words = ask(client, upload=sent["id"], q="a dog", limit=1)
    assert with_words[0]["folder"] == "field recordings/dogs"


def test_filters(client: TestClient, library: Library) -> None:
    everything = ask(client, q="a dog")
    assert len(everything) == 7
    rain = ask(client, q="a dog", folder="field recordings/rain")
    assert {hit["folder"] for hit in rain} == {"field recordings/rain"} and len(rain) == 4
    assert len(ask(client, q="a dog", folder="field recordings")) == 7
    assert [hit["name"] for hit in ask(client, q="a dog", min_duration=20)] == [
        "long [take 1].aiff"
    ]
    assert len(ask(client, q="a dog", max_duration=20)) == 6
    tagged = ask(client, q="a dog", tag="dog")
    assert rows(tagged) == expected(library.search("a dog", filters=Filters(tags=("dog",))))
    assert ask(client, q="a dog", tag=["dog", "rain"]) == []
    moments = ask(client, q="a dog", min_duration=20, all_segments=True)
    assert len(moments) == 3 and len({hit["id"] for hit in moments}) == 1
    assert len(ask(client, q="a dog", limit=2)) == 2


def test_the_library(client: TestClient, library: Library, recordings: Path) -> None:
    told = client.get("/api/library").json()
    assert (told["files"], told["segments"], told["model"]) == (7, len(library), "builtin")
    assert told["seconds"] == pytest.approx(6 * 5 + 25, abs=0.2)
    assert told["folders"] == [
        "field recordings", "field recordings/dogs", "field recordings/rain",
    ]  # fmt: skip
    assert sum(tag["files"] for tag in told["tags"]) >= 7
    assert told["index_folders"] == [str(recordings)]
    assert told["failures"] == 0
    extras = {"can_map": "umap", "can_generate": "kornia"}
    for can, package in extras.items():
        assert told[can] == (importlib.util.find_spec(package) is not None)


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({}, 422),
        ({"q": ""}, 422),
        ({"q": "  "}, 422),
        ({"q": "rain +"}, 422),
        ({"q": "-"}, 422),
        ({"q": "dog - dog"}, 422),
        ({"q": "1e400*dog"}, 422),
        ({"q": "x" * 1_001}, 422),
        ({"q": "dog", "limit": 0}, 422),
        ({"q": "dog", "limit": 201}, 422),
        ({"q": "dog", "limit": "many"}, 422),
        ({"q": "dog", "min_duration": -1}, 422),
        ({"q": "dog", "max_duration": "nan"}, 422),
        ({"q": "dog", "folder": "elsewhere"}, 422),
        ({"q": "dog", "folder": "field recordings/../.."}, 200),
        ({"q": "dog", "folder": "field recordings/*'; DROP TABLE segments"}, 200),
        ({"q": "dog", "tag": "' OR 1=1 --"}, 200),
        ({"like": "0" * 32}, 404),
        ({"like": "../../etc/passwd"}, 422),
        ({"like": "0" * 32 + "@7"}, 422),
        ({"unlike": "0" * 32 + "@1-2", "q": "dog"}, 404),
        ({"upload": "f" * 32}, 404),
    ],
)
def test_what_is_no_search(client: TestClient, parameters: dict[str, Any], status: int) -> None:
    response = client.get("/api/search", params=parameters)
    assert response.status_code == status, response.text
    if status == 200:
        assert response.json()["hits"] == []
    else:
        assert response.json()["detail"]["what"]


def test_labels_are_those_of_classify(client: TestClient, library: Library, data: Path) -> None:
    sound = sorted((data / "esc10_original").glob("*-10.ogg"))[0]
    labels = ["dog", "rain", "a church bell"]
    response = client.post(
        "/api/uploads", params={"label": labels}, files={"file": ("drop.ogg", sound.read_bytes())}
    )
    assert response.status_code == 201, response.text
    shares = {row["label"]: row["probability"] for row in response.json()["labels"]}
    assert response.json()["name"] == "drop.ogg"
    assert shares == pytest.approx(library.model.classify(sound, labels), abs=1e-4)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
