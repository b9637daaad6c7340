"""Choosing a folder: what is told of the machine, and to whom; what could not be indexed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from fastapi.testclient import TestClient

from media import tone, wav_bytes
from patience import HANGS, wait_until
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import InputError
from wav2clip.library import Library
from wav2clip.web import folders
from wav2clip.web.app import create_app
from wav2clip.web.jobs import Job
from wav2clip.web.schemas import JobKind
from wav2clip.web.settings import Settings

pytestmark = pytest.mark.everyday

LOCAL = "http://127.0.0.1:8000"
TOKEN = "sesame sesame sesame"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with sounds, and what else lies on disks."""
    home = tmp_path / "home" / "ann"
    for folder in ("Sounds/rain", "Sounds/.cache", "Music", ".config", "Sounds/\nodd\t"):
        (home / folder).mkdir(parents=True)
    for name in ("Sounds/a.wav", "Sounds/b.FLAC", "Sounds/notes.txt", "Sounds/.hidden.wav",
                 "Sounds/rain/c.wav", "Sounds/rain/d.wav", "Sounds/.cache/e.wav"):  # fmt: skip
        (home / name).write_bytes(wav_bytes(tone(0.2)))
    (home / "Sounds" / "album.wav").mkdir()
    (tmp_path / "mnt" / "disk").mkdir(parents=True)
    (tmp_path / "mnt" / "file").touch()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(folders, "_MOUNTS", (str(tmp_path / "mnt"), str(tmp_path / "none")))
    return home


@pytest.fixture
def first(machine: Path, builtin: Wav2CLIP, tmp_path: Path) -> Iterator[TestClient]:
    """A server that was started without a library."""
    library = Library.open(tmp_path / "library", builtin)
    settings = Settings(token=TOKEN, any_folder=True)
    with TestClient(create_app(library, settings), LOCAL, headers=HEADERS) as client:
        yield client


def listed(client: TestClient, path: str | None = None, **query: str) -> dict[str, Any]:
    params = query | ({} if path is None else {"path": path})
    answer = client.get("/api/folders", params=params)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def indexed(client: TestClient, folder: str) -> dict[str, Any]:
    answer = client.post("/api/index", json={"folder": folder})
    assert answer.status_code == 202, answer.text
    address = f"/api/jobs/{answer.json()['job']['id']}"
    wait_until(lambda: client.get(address).json()["state"] not in ("queued", "running"))
    job: dict[str, Any] = client.get(address).json()
    return job


def test_a_first_start_begins_at_home_and_at_the_disks(
    first: TestClient, machine: Path, tmp_path: Path
) -> None:
    told = listed(first)
    disk = str(tmp_path / "mnt" / "disk")
    places = [(place["name"], place["path"]) for place in told["places"]]
    assert places == [("Home", str(machine)), (disk, disk), ("/", "/")]
    assert told["folder"] == {"name": str(machine), "path": str(machine), "sounds": 0}
    assert [(f["name"], f["sounds"]) for f in told["folders"]] == [("Music", 0), ("Sounds", 2)]
    assert told["parent"] == str(machine.parent) and told["whole"]
    inside = listed(first, f"{machine}/Sounds")
    assert [(f["name"], f["sounds"]) for f in inside["folders"]] == [
        (r"\nodd\t", 0), ("album.wav", 0), ("rain", 2)
    ]  # fmt: skip
    assert inside["folder"]["sounds"] == 2
    assert listed(first, "~/Sounds")["folder"] == inside["folder"]
    assert listed(first, "/")["parent"] is None


def test_jobs_at_work_are_listed(first: TestClient) -> None:
    go_on = Event()

    def work(job: Job) -> None:
        assert go_on.wait(HANGS)

    jobs = first.app.state.service.jobs
    started = [jobs.start(JobKind.INDEX, work), jobs.start(JobKind.MAP, work)]
    told = first.get("/api/jobs").json()
    assert [job["id"] for job in told] == [job.id for job in started]
    go_on.set()
    wait_until(lambda: first.get("/api/jobs").json() == [])


def test_what_is_typed_is_completed(first: TestClient, machine: Path) -> None:
    found = listed(first, f"{machine}/", starts="sO")
    assert found["places"] == []  # they were told at the beginning
    assert [folder["path"] for folder in found["folders"]] == [f"{machine}/Sounds"]
    assert listed(first, f"{machine}/", starts="nothing")["folders"] == []


def test_names_that_are_no_text_are_shown_and_chosen(first: TestClient, machine: Path) -> None:
    odd = os.fsencode(machine) + b"/Music/r\xe9cords \xf0\x9f\x8e\xb5 100%"
    os.mkdir(odd)
    Path(os.fsdecode(odd), "tone.wav").write_bytes(wav_bytes(tone(0.2)))
    (folder,) = listed(first, f"{machine}/Music")["folders"]
    assert folder["name"] == r"r\xe9cords 🎵 100%" and folder["sounds"] == 1
    assert folder["path"].startswith("file:///") and folder["path"].isascii()
    assert listed(first, folder["path"])["folder"]["path"] == folder["path"]
    assert indexed(first, folder["path"])["message"] == "1 added"
    assert first.get("/api/library").json()["files"] == 1
    line = next(f for f in listed(first, f"{machine}/Sounds")["folders"] if "odd" in f["name"])
    assert listed(first, line["path"])["folder"]["name"] == rf"{machine}/Sounds/\nodd\t"


def test_links_in_a_circle_and_to_nowhere(first: TestClient, machine: Path) -> None:
    music = machine / "Music"
    (music / "self").symlink_to(music / "self")
    (music / "nowhere").symlink_to(music / "none")
    (music / "up").symlink_to(machine)
    (music / "one").symlink_to(music / "two")
    (music / "two").symlink_to(music / "one")
    assert [folder["name"] for folder in listed(first, str(music))["folders"]] == ["up"]
    assert listed(first, f"{music}/up/Music/up")["folder"]["path"] == str(machine)
    assert first.get("/api/folders", params={"path": f"{music}/self"}).status_code == 403


@pytest.mark.parametrize(
    "path", ["relative", "..", "\0", "/\0", "/none", "/etc/hostname", "file:///%00", "file:///none",
             "file://host/etc", "C:\\", "~nobody-of-that-name/x", "/" + "a" * 3_000, "/a" * 2_000],
)  # fmt: skip
def test_bad_paths(first: TestClient, path: str) -> None:
    answer = first.get("/api/folders", params={"path": path})
    assert answer.status_code == 403
    assert answer.json()["detail"]["expected"] == "the whole path of a folder"
    assert first.post("/api/index", json={"folder": path}).status_code == 403


def test_bad_queries(first: TestClient) -> None:
    for params in ({"path": ""}, {"path": "/" * 5_000}, {"starts": "a" * 300}):
        assert first.get("/api/folders", params=params).status_code == 422
    for params in ({"limit": 0}, {"limit": 501}, {"offset": -1}, {"offset": "x"}):
        assert first.get("/api/failures", params=params).status_code == 422


@pytest.mark.usefixtures("unprivileged")
def test_folders_that_may_not_be_read(first: TestClient, machine: Path) -> None:
    locked = machine / "Music" / "locked"
    locked.mkdir()
    (locked / "in").mkdir()
    locked.chmod(0)
    try:
        (folder,) = listed(first, f"{machine}/Music")["folders"]
        assert (folder["name"], folder["sounds"]) == ("locked", None)
        answer = first.get("/api/folders", params={"path": str(locked)})
        assert answer.status_code == 403
        assert answer.json()["detail"]["what"].endswith("cannot be listed: Permission denied")
        assert first.get("/api/folders", params={"path": f"{locked}/in"}).status_code == 403
    finally:
        locked.chmod(0o700)


def test_large_folders_are_listed_in_part(
    first: TestClient, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        (machine / "Music" / f"album {number:02}").mkdir()
    monkeypatch.setattr(folders, "MOST_FOLDERS", 10)
    told = listed(first, f"{machine}/Music")
    assert [f["name"] for f in told["folders"]] == [f"album {n:02}" for n in range(10)]
    assert not told["whole"] and told["folder"]["sounds"] == 0
    assert listed(first, f"{machine}/Music/", starts="album 1")["whole"]
    monkeypatch.setattr(folders, "MOST_ENTRIES", 5)
    told = listed(first, f"{machine}/Music")
    assert len(told["folders"]) == 5 and not told["whole"] and told["folder"]["sounds"] is None


def test_a_slow_disk_is_not_waited_for(
    first: TestClient, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "SECONDS", -1.0)
    told = listed(first, str(machine))
    assert (told["folders"], told["whole"], told["folder"]["sounds"]) == ([], False, None)


# Who may ------------------------------------------------------------------------------------------


def test_the_whole_machine_is_told_to_nobody_without_the_token(
    first: TestClient, machine: Path
) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        first.headers.pop("Authorization", None)
        first.headers.update(headers)
        assert first.get("/api/folders").status_code == 401
        assert first.get("/api/failures").status_code == 401
        answer = first.post("/api/index", json={"folder": str(machine)})
        assert answer.status_code == 401
    with pytest.raises(InputError, match="give a token, or folders instead"):
        Settings(any_folder=True)


def test_other_servers_tell_only_what_they_may_index(
    own_library: tuple[Library, Path], machine: Path
) -> None:
    library, folder = own_library
    (folder / "deeper").mkdir()
    (folder / "way out").symlink_to(machine)
    (folder / "way in").symlink_to(folder / "deeper")
    with TestClient(create_app(library), LOCAL) as client:
        told = listed(client)
        assert [place["path"] for place in told["places"]] == [str(folder)]
        assert (told["folder"]["path"], told["parent"]) == (str(folder), None)
        assert [each["name"] for each in told["folders"]] == ["deeper", "way in"]
        assert listed(client, f"{folder}/deeper")["parent"] == str(folder)
        for path in ("/", "/etc", str(machine), f"{folder}/..", f"{folder}/way out", "~"):
            answer = client.get("/api/folders", params={"path": path})
            assert answer.status_code == 403, path
            assert "--folder" in answer.json()["detail"]["do"]
        assert client.get("/api/library").json()["any_folder"] is False


def test_a_server_that_may_index_nothing_tells_nothing(tmp_path: Path, builtin: Wav2CLIP) -> None:
    library = Library.open(tmp_path / "none", builtin)
    with TestClient(create_app(library), LOCAL) as client:
        for params in ({}, {"path": "/"}, {"path": "~"}):
            assert client.get("/api/folders", params=params).status_code == 403
        assert client.get("/api/failures").json() == {"total": 0, "failures": []}


def test_what_is_played_stays_inside_of_what_was_indexed(
    first: TestClient, machine: Path, tmp_path: Path
) -> None:
    """Whoever may choose any folder can still not fetch any file."""
    assert indexed(first, str(machine / "Sounds"))["message"].startswith("4 added")
    hits = first.get("/api/search", params={"q": "a tone"}).json()["hits"]
    first_hit = Path(hits[0]["path"])
    assert first.get(hits[0]["audio"]).status_code == 200
    secret = tmp_path / "secret.wav"
    first_hit.rename(secret)
    first_hit.symlink_to(secret)
    assert first.get(hits[0]["audio"]).status_code == 403


# What failed --------------------------------------------------------------------------------------


def test_failures_are_listed_with_their_reasons(first: TestClient, machine: Path) -> None:
    sounds = machine / "Sounds"
    (sounds / "broken.wav").write_bytes(b"RIFFnothing")
    (sounds / "<b>bad\n.wav").write_bytes(b"no sound at all")
    os.mkfifo(sounds / "pipe.wav")
    job = indexed(first, str(sounds))
    assert "4 added" in job["message"] and "3 failed" in job["message"]
    told = first.get("/api/failures").json()
    assert told["total"] == first.get("/api/library").json()["failures"] == 3
    names = [failure["name"] for failure in told["failures"]]
    assert names == [r"<b>bad\n.wav", "broken.wav", "pipe.wav"]
    assert all(failure["reason"] for failure in told["failures"])
    assert told["failures"][2]["reason"] == "is a pipe or a device, expected a file"
    assert json.loads(json.dumps(told)) == told
    second = first.get("/api/failures", params={"offset": 1, "limit": 1}).json()
    assert second == {"total": 3, "failures": told["failures"][1:2]}
    # What was mended, or is gone, is forgotten by the next run.
    (sounds / "pipe.wav").unlink()
    (sounds / "broken.wav").write_bytes(wav_bytes(tone(0.2, hz=300)))
    indexed(first, str(sounds))
    assert [each["name"] for each in first.get("/api/failures").json()["failures"]] == names[:1]
