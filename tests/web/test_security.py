"""Who may ask, from where, how often, and for which files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.library import Library
from wav2clip.web.app import create_app
from wav2clip.web.catalogue import roots_of
from wav2clip.web.gates import Buckets, Gate
from wav2clip.web.problems import Refusal
from wav2clip.web.security import HEADERS, host_name, is_loopback
from wav2clip.web.settings import Limits, Settings

pytestmark = pytest.mark.everyday

LOCAL = "http://127.0.0.1:8000"
TOKEN = "a token of many characters"


@pytest.fixture
def guarded(library: Library) -> Iterator[TestClient]:
    """A server that others can reach."""
    app = create_app(library, Settings("0.0.0.0", TOKEN, ("sounds.example",)))
    with TestClient(app, "http://sounds.example", follow_redirects=False) as client:
        yield client


def test_the_token_is_needed_everywhere(guarded: TestClient) -> None:
    for path in ("/", "/docs", "/openapi.json", "/api/library", "/static/app.js", "/nothing"):
        response = guarded.get(path)
        assert response.status_code == 401, path
        assert response.headers["www-authenticate"] == "Bearer"
    assert guarded.get("/api/health").json()["status"] == "ok"
    for wrong in ("Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"):
        assert guarded.get("/api/library", headers={"Authorization": wrong}).status_code == 401
    right = guarded.get("/api/library", headers={"Authorization": f"Bearer {TOKEN}"})
    assert right.status_code == 200


def test_the_token_in_the_address_becomes_a_cookie(guarded: TestClient) -> None:
    assert guarded.get("/", params={"token": "wrong"}).status_code == 401
    assert guarded.get("/api/library", params={"token": TOKEN}).status_code == 401
    redirect = guarded.get("/", params={"token": TOKEN})
    assert (redirect.status_code, redirect.headers["location"]) == (303, "/")
    cookie = redirect.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
    assert guarded.get("/api/library").status_code == 200
    guarded.cookies.set("wav2clip_session", "0" * 128)
    guarded.cookies.clear()
    guarded.cookies.set("wav2clip_session", "0" * 128)
    assert guarded.get("/api/library").status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "", "127.0.0.1.evil.example", "[::1", "a b"])
def test_other_names_are_refused(client: TestClient, host: str) -> None:
    assert client.get("/api/health", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:1"])
def test_own_names_are_not(client: TestClient, host: str) -> None:
    assert client.get("/api/health", headers={"Host": host}).status_code == 200


def test_addresses_in_numbers_cannot_be_rebound(guarded: TestClient, client: TestClient) -> None:
    assert guarded.get("/api/health", headers={"Host": "192.0.2.7:8000"}).status_code == 200
    assert client.get("/api/health", headers={"Host": "192.0.2.7:8000"}).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/api/index", {"Origin": "http://evil.example"}, 403),
        ("POST", "/api/index", {"Origin": "null"}, 403),
        ("POST", "/api/index", {"Origin": "http://127.0.0.1:9000"}, 403),
        ("POST", "/api/index", {"Origin": LOCAL}, 422),
        ("POST", "/api/index", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("POST", "/api/index", {"Sec-Fetch-Site": "same-site"}, 403),
        ("POST", "/api/index", {"Sec-Fetch-Site": "same-origin", "Origin": LOCAL}, 422),
        ("POST", "/api/index", {}, 422),
        ("DELETE", f"/api/jobs/{'0' * 32}", {"Origin": "http://evil.example"}, 403),
        ("GET", "/api/search?q=dog", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("GET", "/api/search?q=dog", {"Sec-Fetch-Site": "none"}, 200),
        ("GET", "/docs", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ("GET", "/docs", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
    ],
)
def test_other_sites_cannot_use_a_browser(
    client: TestClient, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    assert client.request(method, path, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/docs", 200),
        ("/api/library", 200),
        ("/nothing", 404),
        ("/api/search", 422),
        ("/static/", 404),
    ],
)
def test_every_answer_has_the_headers(client: TestClient, path: str, status: int) -> None:
    response = client.get(path)
    assert response.status_code == status
    assert {name: response.headers[name] for name in HEADERS} == HEADERS
    assert "'unsafe" not in response.headers["content-security-policy"]
    assert client.get(path, headers={"Host": "evil"}).headers["x-frame-options"] == "DENY"


def test_nothing_is_reflected_as_html(client: TestClient) -> None:
    tag = "<script>alert(1)</script>"
    for response in (
        client.get("/api/search", params={"q": tag}),
        client.get("/api/search", params={"limit": tag}),
        client.get(f"/{tag}"),
        client.get("/api/files/" + tag),
        client.get("/", params={"q": tag}),
    ):
        if "text/html" in response.headers["content-type"]:
            assert tag not in response.text
        else:
            assert response.headers["content-type"] == "application/json"


def test_the_documentation_needs_no_other_server(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "//" not in page.replace("<!doctype", "")
    for path in ("docs/ui/swagger-ui-bundle.js", "docs/ui/swagger-ui.css", "docs/start.js"):
        assert path in page
        assert client.get(f"/{path}").status_code == 200


def test_too_many_requests(library: Library) -> None:
    limits = Limits(requests_at_once=3, requests_per_second=0.001)
    with TestClient(create_app(library, Settings(limits=limits)), LOCAL) as client:
        statuses = [client.get("/api/health").status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        response = client.get("/api/health")
        assert 1 <= int(response.headers["retry-after"]) <= 1_000
        assert "too many" in response.json()["detail"]["what"]
    limits = Limits(works_at_once=2, works_per_minute=0.01)
    with TestClient(create_app(library, Settings(limits=limits)), LOCAL) as client:
        statuses = [client.post("/api/index", json={}).status_code for _ in range(3)]
        assert statuses == [422, 422, 429]
        assert client.get("/api/health").status_code == 200


def test_buckets_fill_up_again() -> None:
    buckets = Buckets(per_second=2.0, at_once=2)
    assert [buckets.take("a", 0.0), buckets.take("a", 0.0)] == [0, 0]
    assert buckets.take("a", 0.0) == pytest.approx(0.5)
    assert buckets.take("b", 0.0) == 0
    assert buckets.take("a", 0.5) == 0
    assert [buckets.take("a", 100.0) > 0 for _ in range(3)] == [False, False, True]


def test_a_gate_lets_some_in() -> None:
    gate = Gate(1, 0.01, "things happen")
    with gate.place():
        with pytest.raises(Refusal, match="too many things happen") as refusal, gate.place():
            raise AssertionError
        assert refusal.value.status_code == 429 and refusal.value.headers["Retry-After"] == "1"
    with gate.place(wait=False):
        pass


# Files --------------------------------------------------------------------------------------------


def test_only_files_inside_the_library_are_read(
    own_library: tuple[Library, Path], tmp_path: Path
) -> None:
    library, folder = own_library
    with TestClient(create_app(library), LOCAL) as client:
        hits = client.get("/api/search", params={"q": "dog"}).json()["hits"]
        first, second, third = (Path(hit["path"]) for hit in hits)
        secret = tmp_path / "secret.ogg"
        shutil.copy(first, secret)
        first.unlink()
        first.symlink_to(secret)  # put there since it was indexed
        second.unlink()
        second.symlink_to(third)
        os.rename(third, folder / "moved.ogg")
        os.mkfifo(third)
        addresses = [hit["audio"] for hit in hits]
        for status, address in zip((403, 403, 403), addresses, strict=True):
            for path in (address, f"{address}?as=wav", address.replace("/audio", "/waveform")):
                response = client.get(path)
                assert response.status_code == status, path
                assert str(tmp_path) not in response.text
        third.unlink()
        assert client.get(addresses[1]).status_code == 404  # a link to nothing
        os.rename(folder / "moved.ogg", third)
        assert client.get(addresses[1]).status_code == 200  # a link inside of the library


def test_folders_that_are_given_are_the_only_ones(
    own_library: tuple[Library, Path], tmp_path: Path
) -> None:
    library, _ = own_library
    (tmp_path / "other").mkdir()
    settings = Settings(folders=(tmp_path / "other",))
    with TestClient(create_app(library, settings), LOCAL) as client:
        hit = client.get("/api/search", params={"q": "dog"}).json()["hits"][0]
        assert client.get(hit["audio"]).status_code == 403
        told = client.get("/api/library").json()
        assert told["index_folders"] == [str(tmp_path / "other")]


@pytest.mark.parametrize(
    "path",
    [
        "/api/files/../../etc/passwd",
        "/api/files/%2e%2e%2f%2e%2e%2fetc%2fpasswd/audio",
        "/api/files/..%5c..%5cetc%5cpasswd/audio",
        "/api/files/%00/audio",
        f"/api/files/{'0' * 32}/audio",
        f"/api/files/{'A' * 32}/audio",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2f..%2ferrors.py",
        "/static//etc/passwd",
        "/docs/ui/..%2f__init__.py",
        "/docs/ui/%2fetc/passwd",
    ],
)
def test_traversal(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code in (404, 422), response.text
    assert "root:" not in response.text and "import" not in response.text


def test_ids_are_other_ones_for_every_server(library: Library) -> None:
    ids = []
    for _ in range(2):
        with TestClient(create_app(library), LOCAL) as client:
            hits = client.get("/api/search", params={"q": "dog"}).json()["hits"]
            ids.append({hit["id"] for hit in hits})
    keys = set(library.store.known_files())
    assert not ids[0] & ids[1] and not (ids[0] | ids[1]) & keys


def test_roots_are_the_deepest_folders_of_each_tree() -> None:
    folders = ["/home/ann/rec/a", "/home/ann/rec/b/c", "/archive/field", "/archive/foley/x"]
    found = roots_of([Path(folder) for folder in folders])
    assert [str(root) for root in found] == ["/archive/field", "/archive/foley/x", "/home/ann/rec"]
    assert roots_of([]) == []


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("example.org", False)],
)  # fmt: skip
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("a.example:80", "a.example"),
        ("[::1]:80", "::1"),
        ("A", "a"),
        ("", ""),
        ("[", ""),
        ("@b", "b"),
    ],
)
def test_host_names(header: str, name: str) -> None:
    assert host_name(header) == name


def test_an_empty_library_says_so(tmp_path: Path, builtin: Wav2CLIP) -> None:
    library = Library.open(tmp_path / "none", builtin)
    with TestClient(create_app(library, Settings(folders=(tmp_path,))), LOCAL) as client:
        told: dict[str, Any] = client.get("/api/library").json()
        assert (told["files"], told["segments"], told["folders"], told["tags"]) == (0, 0, [], [])
        for response in (
            client.get("/api/search", params={"q": "dog"}),
            client.get("/api/map"),
            client.post("/api/uploads", content=b"something"),
        ):
            assert response.status_code == 409, response.text
            assert "index" in response.json()["detail"]["what"]
