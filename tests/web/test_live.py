"""A real server on loopback: slow and endless uploads, ranges, the command itself, fuzzing."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    response_schema_conformance,
    status_code_conformance,
)
from web_servers import PATIENT, Serve, running

from patience import HANGS, wait_until
from wav2clip.cli.serve import serve as command
from wav2clip.errors import InputError, LibraryError
from wav2clip.library import Library
from wav2clip.web.app import create_app


def connect(address: str) -> socket.socket:
    parts = urlsplit(address)
    return socket.create_connection((parts.hostname, parts.port), timeout=HANGS)


def status_of(answer: bytes) -> int:
    match = re.match(rb"HTTP/1.1 (\d+) ", answer)
    assert match, answer
    return int(match[1])


def everything(connection: socket.socket) -> bytes:
    parts = []
    try:
        while part := connection.recv(65_536):
            parts.append(part)
    except (ConnectionResetError, TimeoutError):
        pass
    return b"".join(parts)


def is_well(address: str) -> bool:
    with urllib.request.urlopen(f"{address}/api/health", timeout=HANGS) as answer:
        return json.load(answer)["status"] == "ok"


HEAD = b"POST /api/uploads HTTP/1.1\r\nHost: localhost\r\n"


def test_a_slow_upload_is_ended(serve: Serve) -> None:
    """It goes on until the server has had enough of it."""
    address = serve(replace(PATIENT, upload_seconds=1.0))
    with connect(address) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n")

        def ended() -> bool:
            try:
                connection.sendall(b"x")
            except OSError:
                return True  # the server has closed the connection
            return bool(select.select([connection], [], [], 0.1)[0])

        wait_until(ended)
        assert status_of(everything(connection)) == 408
    assert is_well(address)


def test_an_endless_upload_is_ended(serve: Serve) -> None:
    """Without a length: what comes is counted."""
    address = serve(replace(PATIENT, upload_bytes=200_000))
    piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    sent = 0
    with connect(address) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            while sent < 10_000_000:
                connection.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
        answer = everything(connection)
    assert not answer or status_of(answer) == 413  # a reset may overtake the answer
    assert sent < 10_000_000
    with connect(address) as connection:  # announced, it is refused before it comes
        connection.sendall(HEAD + b"Content-Length: 999999999999\r\n\r\nx")
        assert status_of(everything(connection)) == 413
    assert is_well(address)


@pytest.mark.parametrize(
    ("request_bytes", "statuses"),
    [
        (b"\0\1\2\3\r\n\r\n", {400}),
        (b"GET / HTTP/9.9\r\n\r\n", {400, 505}),
        (b"GET /api/health HTTP/1.1\r\n\r\n", {400}),
        (b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", {400}),
        (b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000, {400, 431}),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
         {400, 404, 414, 431}),
        (HEAD + b"Content-Length: -5\r\n\r\n", {400}),
        (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400, 422}),
        (b"POST /api/index HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
         b"Content-Length: 70000\r\n\r\n" + b"[" * 70_000, {413}),
        (b"POST /api/index HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
         b"Content-Length: 60000\r\nConnection: close\r\n\r\n" + b"[" * 60_000, {400, 422}),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", {404}),
        (b"GET http://evil/ HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n", {400}),
        (b"TRACE / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", {405}),
        (b"GET /api/search?q=%ff%fe&limit=\xe2\x80 HTTP/1.1\r\nHost: localhost\r\n"
         b"Connection: close\r\n\r\n", {400, 422}),
    ],
)  # fmt: skip
def test_hostile_requests(shared: str, request_bytes: bytes, statuses: set[int]) -> None:
    with connect(shared) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(request_bytes)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        content = answer.read()
    assert answer.status in statuses, content[:300]
    assert b"root:" not in content
    assert is_well(shared)


@pytest.fixture(scope="module")
def shared(library: Library) -> Iterator[str]:
    """One server for all tests that leave it as it was."""
    limits = replace(PATIENT, requests_at_once=10_000, works_at_once=10_000)
    with running(library, limits) as address:
        yield address


def test_ranges_and_parallel_readers(shared: str, library: Library) -> None:
    def read(number: int) -> bool:
        connection = http.client.HTTPConnection(urlsplit(shared).netloc, timeout=HANGS)
        connection.request("GET", "/api/search?q=dog&limit=1")
        (hit,) = json.load(connection.getresponse())["hits"]
        content = Path(hit["path"]).read_bytes()
        first = number * 100
        connection.request("GET", hit["audio"], headers={"Range": f"bytes={first}-{first + 99}"})
        answer = connection.getresponse()
        assert answer.status == 206
        part = answer.read()
        connection.close()
        return part == content[first : first + 100]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(24)))


def test_readers_who_leave_give_their_places_back(serve: Serve) -> None:
    address = serve(replace(PATIENT, streams=2))
    netloc = urlsplit(address).netloc
    connection = http.client.HTTPConnection(netloc, timeout=HANGS)
    connection.request("GET", "/api/search?q=dog&min_duration=20")
    (hit,) = json.load(connection.getresponse())["hits"]
    path = hit["audio"].encode()
    for _ in range(6):  # 4 MB of WAV, of which hardly anything is read
        with connect(address) as reader:
            reader.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert status_of(reader.recv(1_000)) in (200, 429)

    def whole() -> bool:
        connection.request("GET", hit["audio"])
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status in (200, 429)
        return answer.status == 200 and len(content) == int(answer.headers["content-length"])

    wait_until(whole, "the places of those who left are taken for ever")
    connection.close()


def test_the_command(library: Library, tmp_path: Path) -> None:
    token = "sesame sesame sesame"
    program = [sys.executable, "-m", "wav2clip", "serve", "--library", library.store.uri]
    environment = {**os.environ, "WAV2CLIP_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*program, "--port", "0", "--token", token],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        line = server.stdout.readline()
        assert f"{len(library)} segments at http://127.0.0.1:" in line, line
        address = line.split(" at ")[1].strip()
        assert address.endswith("/?token=sesame%20sesame%20sesame")
        base = address.partition("/?")[0]
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{base}/api/library", timeout=HANGS)
        request = urllib.request.Request(
            f"{base}/api/search?q=a%20dog", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=HANGS) as answer:
            found = json.load(answer)["hits"]
        server.send_signal(signal.SIGINT)
        assert server.wait(HANGS) == 130
        assert "Traceback" not in (server.stderr.read() if server.stderr else "")
    same = library.search("a dog", limit=20)
    assert [hit["path"] for hit in found] == [str(result.path) for result in same]
    assert [hit["score"] for hit in found] == pytest.approx([r.score for r in same], abs=1e-4)


def test_the_command_without_a_library(tmp_path: Path) -> None:
    """The page lets a folder be chosen, and only whoever was told the token can."""
    program = [sys.executable, "-m", "wav2clip", "serve", "--library", str(tmp_path / "none")]
    environment = {**os.environ, "WAV2CLIP_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    environment.pop("WAV2CLIP_TOKEN", None)
    with subprocess.Popen(
        [*program, "--port", "0"], stdout=subprocess.PIPE, text=True, env=environment, cwd=tmp_path
    ) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert "holds no sound yet: choose a folder at http://127.0.0.1:" in line, line
        base, _, token = line.split(" at ")[1].strip().partition("/?token=")
        assert len(token) == 32
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{base}/api/folders", timeout=HANGS)
        request = urllib.request.Request(
            f"{base}/api/folders?path=/", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=HANGS) as answer:
            assert json.load(answer)["folder"]["path"] == "/"
        server.send_signal(signal.SIGINT)
        assert server.wait(HANGS) == 130


def test_a_port_that_is_taken_a_short_token_and_no_library(
    library: Library, tmp_path: Path
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(InputError, match="choose another with --host and --port"),
    ):
        command(library.store.uri, port=taken.getsockname()[1])
    with pytest.raises(InputError, match="expected 16 or more"):
        command(library.store.uri, token="short")
    with pytest.raises(InputError, match="is not a folder"):
        command(library.store.uri, folder=[tmp_path / "none"])
    with pytest.raises(LibraryError, match="make one with `wav2clip index FOLDER`"):
        command(str(tmp_path / "none"), host="0.0.0.0")
    with pytest.raises(LibraryError, match="make one with `wav2clip index FOLDER`"):
        command(str(tmp_path / "none"), allow_host=["sounds.example"])


# Fuzzing ------------------------------------------------------------------------------------------


schema = schemathesis.openapi.from_dict(create_app(Library.open("of/no/importance")).openapi())


@schema.parametrize()
@settings(
    max_examples=12, database=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_whatever_comes_is_answered(case: schemathesis.Case, shared: str) -> None:
    """No request makes the server fail, and every answer is as the API describes it."""
    case.call_and_validate(
        checks=[not_a_server_error, status_code_conformance, response_schema_conformance],
        base_url=shared,
        timeout=HANGS,
    )
