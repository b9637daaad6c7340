"""Work that takes a while: indexing, the map, pictures; watched and cancelled."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from media import tone, wav_bytes
from patience import HANGS, wait_until
from wav2clip.errors import InputError
from wav2clip.library import Library
from wav2clip.web.app import create_app
from wav2clip.web.jobs import Job, Jobs
from wav2clip.web.maps import draw, sample
from wav2clip.web.problems import Refusal
from wav2clip.web.schemas import JobKind, JobState

LOCAL = "http://127.0.0.1:8000"


@pytest.fixture
def own(own_library: tuple[Library, Path]) -> Iterator[tuple[TestClient, Path]]:
    library, folder = own_library
    with TestClient(create_app(library), LOCAL) as client:
        yield client, folder


def finished(client: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    """The job when it has ended."""

    def now() -> dict[str, Any]:
        return client.get(f"/api/jobs/{job['id']}").json()

    wait_until(lambda: now()["state"] not in ("queued", "running"), now)
    return now()


def event_list(client: TestClient, id: str) -> list[tuple[str, dict[str, Any]]]:
    text = client.get(f"/api/jobs/{id}/events").text
    blocks = [block for block in text.split("\n\n") if block.startswith("event: ")]
    parsed = [block.removeprefix("event: ").split("\ndata: ") for block in blocks]
    return [(name, json.loads(data)) for name, data in parsed]


def test_indexing(own: tuple[TestClient, Path]) -> None:
    client, folder = own
    (folder / "deep").mkdir()
    (folder / "deep" / "new.wav").write_bytes(wav_bytes(tone()))
    (folder / "deep" / "bad.wav").write_bytes(b"this is no sound")
    before = client.get("/api/library").json()
    response = client.post("/api/index", json={"folder": before["index_folders"][0]})
    assert response.status_code == 202
    job = finished(client, response.json()["job"])
    assert (job["state"], job["done"], job["total"]) == ("done", 2, 2)
    assert job["message"].startswith("1 added, 3 unchanged, 1 failed (bad.wav: ")
    after = client.get("/api/library").json()
    assert (after["files"], after["failures"]) == (before["files"] + 1, 1)
    assert "sounds/deep" in after["folders"]
    found = client.get("/api/search", params={"q": "a tone", "folder": "sounds/deep"}).json()
    assert [hit["name"] for hit in found["hits"]] == ["new.wav"]
    name, last = event_list(client, job["id"])[-1]
    assert (name, last) == ("job", job)


def test_other_folders_are_not_indexed(own: tuple[TestClient, Path], tmp_path: Path) -> None:
    client, folder = own
    (folder / "way out").symlink_to("/etc")
    for wanted in (
        "/", "/etc", str(tmp_path), f"{folder}/..", f"{folder}/way out", f"{folder}/none",
        ".", "sounds", "\0", str(folder) + "\0",
    ):  # fmt: skip
        response = client.post("/api/index", json={"folder": wanted})
        assert response.status_code == 403, wanted
        assert "index_folders" in response.json()["detail"]["expected"]
    for body in ({}, {"folder": ""}, {"folder": 3}, {"folder": str(folder), "prune": True}, []):
        assert client.post("/api/index", json=body).status_code == 422


def test_the_map(own: tuple[TestClient, Path]) -> None:
    client, folder = own
    first = client.get("/api/map")
    again = client.get("/api/map")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["job"]["id"] == first.json()["job"]["id"]
    job = finished(client, first.json()["job"])
    assert (job["state"], job["result"]) == ("done", "/api/map")
    shown = client.get("/api/map").json()
    assert len(shown["points"]) == shown["total"] == 3
    assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y, _, _ in shown["points"])
    names = {path.name for path in folder.iterdir()}
    assert {shown["names"][file] for _, _, file, _ in shown["points"]} == names
    assert set(shown["groups"]) == {"sounds"}
    assert client.get(f"/api/files/{shown['ids'][0]}").json()["name"] == shown["names"][0]
    # It is kept beside the library, and computed again when that has changed.
    library = client.app.state.service.library
    assert (Path(library.store.uri) / "map.npz").is_file()
    with TestClient(create_app(library), LOCAL) as other:
        assert other.get("/api/map").json()["points"] == shown["points"]
        library.tag(["dog", "rain"])
        assert other.get("/api/map").status_code == 202


def test_maps_keep_their_proportions_and_miss_what_is_gone(library: Library) -> None:
    rows = library.store.read(["file", "start"])
    listing = create_app(library).state.service.catalogue.listing()
    places = np.array([[10, 0], [10, 4], [2, 2]], np.float32)
    files = np.array([*rows["file"].to_pylist()[:2], "0" * 32], "S32")
    shown = draw(listing, places, files, np.array([0, 2.5, 0]), 9)
    assert [point[:2] for point in shown.points] == [(1.0, 0.0), (1.0, 0.5)]
    assert shown.points[1][3] == 2.5 and len(shown.ids) == len(set(files[:2].tolist()))
    assert set(shown.groups) <= {"dog", "rain"}  # it has tags
    assert sample(rows, 4).num_rows == 4 and sample(rows, 99) is rows


def test_a_map_is_ended_in_the_middle(own: tuple[TestClient, Path]) -> None:
    client, _ = own
    id = client.get("/api/map").json()["job"]["id"]
    assert client.delete(f"/api/jobs/{id}").status_code == 200
    assert finished(client, client.get(f"/api/jobs/{id}").json())["state"] == "cancelled"


def test_a_picture(client: TestClient) -> None:
    hit = client.get("/api/search", params={"q": "dog", "limit": 1}).json()["hits"][0]
    body = {"id": hit["id"], "steps": 3, "size": 64, "seed": 1}
    response = client.post("/api/generate", json=body)
    assert response.status_code == 202, response.text
    id = response.json()["job"]["id"]
    events = event_list(client, id)
    assert [name for name, _ in events].count("preview") >= 1
    assert events[-1][1]["state"] == "done" and events[-1][1]["done"] == 3
    picture = client.get(events[-1][1]["result"])
    assert picture.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(picture.content)).size == (64, 64)
    previews = [data["url"] for name, data in events if name == "preview"]
    assert client.get(previews[-1]).content == picture.content
    # The same sound, uploaded, gives the same picture.
    sound = client.get(hit["download"]).content
    params = {"label": ["dog", "rain"]}
    upload = client.post("/api/uploads", params=params, content=sound).json()["id"]
    del body["id"]
    other = client.post("/api/generate", json={**body, "upload": upload}).json()["job"]
    again = client.get(finished(client, other)["result"]).content
    first, second = (np.asarray(Image.open(io.BytesIO(c)), int) for c in (picture.content, again))
    assert np.abs(first - second).mean() < 4, "an upload is resampled once, on its way in"


@pytest.mark.parametrize(
    "body",
    [
        {}, {"id": "0" * 32, "upload": "0" * 32}, {"id": "x"}, {"id": "0" * 32, "steps": 0},
        {"id": "0" * 32, "steps": 1_001}, {"id": "0" * 32, "size": 10_000},
        {"id": "0" * 32, "seed": -1}, {"id": "0" * 32, "canvas": "vqgan"},
    ],
)  # fmt: skip
def test_pictures_that_are_refused(client: TestClient, body: dict[str, Any]) -> None:
    assert client.post("/api/generate", json=body).status_code == 422


def test_pictures_of_what_is_not_there(client: TestClient) -> None:
    for source in ({"id": "0" * 32}, {"upload": "0" * 32}):
        assert client.post("/api/generate", json=source).status_code == 404
    for path in (f"/api/jobs/{'0' * 32}", f"/api/jobs/{'0' * 32}/events"):
        assert client.get(path).status_code == 404


def test_a_picture_is_cancelled_and_kept(client: TestClient) -> None:
    hit = client.get("/api/search", params={"q": "dog", "limit": 1}).json()["hits"][0]
    body = {"id": hit["id"], "steps": 1_000, "size": 64}
    id = client.post("/api/generate", json=body).json()["job"]["id"]
    wait_until(lambda: client.get(f"/api/jobs/{id}/picture").status_code != 404)
    client.delete(f"/api/jobs/{id}")
    job = finished(client, client.get(f"/api/jobs/{id}").json())
    assert job["state"] == "cancelled" and 0 < job["done"] < 1_000
    assert client.get(f"/api/jobs/{id}/picture").status_code == 200


def test_what_is_not_installed(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from wav2clip.web import service

    monkeypatch.setattr(service, "_installed", lambda package: False)
    response = client.post("/api/generate", json={"id": "0" * 32})
    assert response.status_code == 503
    assert "wav2clip[generation]" in response.json()["detail"]["what"]
    response = client.get("/api/map")
    assert response.status_code == 503
    assert "wav2clip[evaluation]" in response.json()["detail"]["what"]


def ended(job: Job) -> None:
    wait_until(lambda: job.ended, job.describe)


def test_jobs_wait_for_their_turn() -> None:
    jobs, go_on = Jobs(waiting=2), Event()

    def work(job: Job) -> str | None:
        job.progress(1, 2)
        assert go_on.wait(HANGS)
        return "/made"

    first, second, third = (jobs.start(JobKind.INDEX, work) for _ in range(3))
    with pytest.raises(Refusal) as refusal:
        jobs.start(JobKind.INDEX, work)
    assert refusal.value.status_code == 429 and "Retry-After" in refusal.value.headers
    assert jobs.start(JobKind.INDEX, work, single=True) is first
    second.cancel()
    assert second.state is JobState.CANCELLED
    third.cancel()
    go_on.set()
    ended(first)
    assert (first.describe().state, first.describe().result) == (JobState.DONE, "/made")
    jobs.close()
    assert third.state is JobState.CANCELLED


def test_jobs_fail_with_a_reason_but_not_with_secrets() -> None:
    jobs = Jobs(waiting=2)

    def ours(job: Job) -> None:
        raise InputError("this is wrong; do that")

    def other(job: Job) -> None:
        raise RuntimeError("/secret/path")

    first, second = jobs.start(JobKind.MAP, ours), jobs.start(JobKind.MAP, other)
    ended(second)
    assert first.describe().message == "this is wrong; do that"
    assert second.state is JobState.FAILED and "secret" not in second.describe().message
    jobs.close()
