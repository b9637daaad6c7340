"""Downloads against a local HTTP server: resume, restart, verification, offline."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from wav2clip.errors import RegistryError
from wav2clip.models import registry
from wav2clip.models.registry import Model, fetch

CONTENT = bytes(range(256)) * 9_000


class Server(ThreadingHTTPServer):
    """Serves one file that tests may change, and may break off after some bytes."""

    content = CONTENT
    stop_after: int | None = None
    supports_ranges = True
    status: int | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.ranges.append(self.headers.get("Range"))
        if server.status is not None:
            self.send_error(server.status)
            return
        etag = f'"{hashlib.md5(server.content).hexdigest()}"'
        first = 0
        wanted = self.headers.get("Range")
        if wanted and server.supports_ranges and self.headers.get("If-Range") == etag:
            first = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            last = len(server.content) - 1
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(server.content)}")
        else:
            self.send_response(200)
        body = server.content[first:]
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", etag)
        self.end_headers()
        self.wfile.write(body[: server.stop_after])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def model(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setenv("WAV2CLIP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("WAV2CLIP_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    url = f"http://127.0.0.1:{server.server_port}/weights.bin"
    digest = hashlib.sha256(CONTENT).hexdigest()
    return Model("test", "a test", "MIT", url, "weights.bin", digest)


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir() if not p.name.endswith(".lock")}


def test_fetch_once(server: Server, model: Model) -> None:
    seen: list[tuple[int, int | None]] = []
    path = fetch(model, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert names(path.parent) == {"weights.bin"}
    fetch(model)
    assert len(server.ranges) == 1, "what is cached is not fetched again"


def test_resume(server: Server, model: Model) -> None:
    server.stop_after = 1_500_000
    with pytest.raises(RegistryError, match=r"ended after 1500000 of 2304000 bytes.*resume"):
        fetch(model)
    assert "weights.bin" not in names(model.path.parent), "no final name before it is whole"
    server.stop_after = None
    assert fetch(model).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1500000-"]


@pytest.mark.parametrize("why", ["changed", "no ranges"])
def test_restart_when_resuming_is_not_safe(server: Server, model: Model, why: str) -> None:
    server.stop_after = 1_000
    with pytest.raises(RegistryError):
        fetch(model)
    server.stop_after = None
    if why == "changed":
        server.content = CONTENT[::-1]
        model = replace(model, sha256=hashlib.sha256(server.content).hexdigest())
    else:
        server.supports_ranges = False
    assert fetch(model).read_bytes() == server.content


def test_another_hash_is_an_error(server: Server, model: Model) -> None:
    server.content = b"something else"
    with pytest.raises(RegistryError, match=r"SHA-256 is .* expected .* the publisher's"):
        fetch(model)
    assert names(model.path.parent) == set()


def test_a_damaged_cache_is_an_error(model: Model) -> None:
    path = fetch(model)
    path.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(RegistryError, match="delete it and try again"):
        fetch(model)
    assert path.exists(), "a user's file is never deleted"


def test_first_download_is_recorded_and_later_ones_must_match(server: Server, model: Model) -> None:
    unhashed = replace(model, sha256=None)
    fetch(unhashed)
    record = unhashed.path.with_name("weights.bin.sha256")
    assert record.read_text().strip() == hashlib.sha256(CONTENT).hexdigest()
    unhashed.path.unlink()
    assert fetch(unhashed).read_bytes() == CONTENT
    unhashed.path.unlink()
    server.content = b"replaced upstream"
    with pytest.raises(RegistryError, match="the one recorded in"):
        fetch(unhashed)
    assert not unhashed.path.exists()


@pytest.mark.parametrize("variable", ["WAV2CLIP_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline(
    server: Server, model: Model, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(RegistryError) as caught:
        fetch(model)
    for word in ("weights.bin", str(model.url), str(model.path), "not cached"):
        assert word in str(caught.value)
    assert server.ranges == []
    model.path.write_bytes(CONTENT)  # put there by hand, as the message says
    assert fetch(model) == model.path


def test_unreachable(model: Model) -> None:
    gone = replace(model, url="http://127.0.0.1:9/weights.bin")
    with pytest.raises(RegistryError) as caught:
        fetch(gone)
    for word in ("weights.bin", "127.0.0.1:9", str(model.path)):
        assert word in str(caught.value)


def test_server_errors(server: Server, model: Model) -> None:
    server.status = 404
    with pytest.raises(RegistryError, match="404"):
        fetch(model)


def test_two_processes_at_once_fetch_once(server: Server, model: Model) -> None:
    threads = [threading.Thread(target=fetch, args=(model,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert model.path.read_bytes() == CONTENT
    assert len(server.ranges) == 1


def test_a_folder_that_cannot_be_written(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAV2CLIP_CACHE", "/proc/nothing/here")
    with pytest.raises(RegistryError, match="cannot write to /proc/nothing/here"):
        fetch(model)


def test_known_models_state_source_and_licence() -> None:
    for model in registry.MODELS.values():
        assert model.summary and model.licence
        assert model.url is None or model.url.startswith("https://")
        assert model.sha256 is None or len(model.sha256) == 64


def test_a_missing_built_in_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Model("builtin", "x", "MIT", None, "builtin/nothing")
    with pytest.raises(RegistryError, match="reinstall wav2clip"):
        fetch(broken)
