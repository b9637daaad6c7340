"""Uploads: what is kept of them, and what is refused."""

from __future__ import annotations

import io
import struct
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient
from PIL import Image
from web_servers import PATIENT

import hostile
from media import encode, tone, wav_bytes
from wav2clip.library import Library
from wav2clip.reading.readers import Readers
from wav2clip.web import reading
from wav2clip.web.app import create_app
from wav2clip.web.problems import Refusal
from wav2clip.web.settings import Settings
from wav2clip.web.uploads import safe_name

pytestmark = pytest.mark.everyday

LOCAL = "http://127.0.0.1:8000"
LABELS = {"label": ["dog", "rain"]}


@pytest.fixture(scope="module")
def strict(library: Library) -> Iterator[TestClient]:
    """A server of small limits."""
    limits = replace(
        PATIENT, upload_bytes=1_000_000, sound_seconds=20.0, uploads_kept=2, works_at_once=1_000
    )
    with TestClient(create_app(library, Settings(limits=limits)), LOCAL) as client:
        yield client


def send(client: TestClient, content: bytes) -> tuple[int, str]:
    response = client.post("/api/uploads", params=LABELS, content=content)
    if response.status_code == 201:
        return 201, response.json()["id"]
    return response.status_code, response.json()["detail"]["what"]


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG file that announces a size, and holds what it is given."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows, 9)), chunk(b"IEND", b""))
    )


def silence(seconds: float) -> bytes:
    """A FLAC file of silence: an hour takes less than 200 kB."""
    target = io.BytesIO()
    soundfile.write(target, np.zeros(round(seconds * 16_000), np.int16), 16_000, format="FLAC")
    return target.getvalue()


def test_kinds_are_decided_by_content(strict: TestClient, tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.fromarray(np.full((40, 60, 3), 128, np.uint8)).save(picture, format="JPEG")
    film = encode(
        tmp_path / "film.mp4", tone(), 16_000, "aac", [np.zeros((32, 32, 3), np.uint8)] * 5
    )
    for content, kind in (
        (picture.getvalue(), "picture"),
        (wav_bytes(tone()), "sound"),
        (film.read_bytes(), "sound"),
    ):
        response = strict.post(
            "/api/uploads",
            params=LABELS,
            files={"file": ("misleading.exe", content, "application/x-msdownload")},
        )
        assert response.status_code == 201, response.text
        assert (response.json()["kind"], response.json()["name"]) == (kind, "misleading.exe")


def test_only_vectors_are_kept_and_only_some(
    strict: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ids = [send(strict, wav_bytes(tone(hz=hz)))[1] for hz in (200.0, 400.0, 800.0)]
    statuses = [strict.get("/api/search", params={"upload": id}).status_code for id in ids]
    assert statuses == [404, 200, 200]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "status", "told"),
    [
        (b"", 422, "empty"),
        (b"\0" * 1_000, 415, "read it"),
        (b"<html><script>alert(1)</script></html>", 415, "read it"),
        (b"#!/bin/sh\nrm -rf /\n", 415, "read it"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n", 415, "read it"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
         415, "read it"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
         415, "playlist"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", 415, "list of files"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + b"\xff" * 64, 415, ""),
        (wav_bytes(tone())[:44], 415, "no samples"),
        (wav_bytes(np.full(1_000, np.nan, np.float32), subtype="FLOAT"), 415, "NaN"),
        (png(60_000, 60_000), 413, "too many pixels"),
        (png(9_999, 9_999), 415, "damaged"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 100, 415, ""),
        (b"\x1f\x8b" + b"\0" * 100, 415, "read it"),
        (silence(3_600), 413, "too long"),
        (b"x" * 1_100_000, 413, "too large"),
    ],
    ids=[
        "empty", "zeros", "html", "script", "postscript", "svg", "playlist", "concat", "broken-wav",
        "header-only", "nan", "pixel-bomb", "no-pixels", "broken-jpeg", "gzip", "sound-bomb",
        "too-large",
    ],
)  # fmt: skip
def test_hostile_uploads(strict: TestClient, content: bytes, status: int, told: str) -> None:
    answered, what = send(strict, content)
    assert (answered, told in what) == (status, True), what
    assert "/tmp" not in what and "/work" not in what
    assert strict.get("/api/health").status_code == 200


PART = b"--x\r\nContent-Disposition: form-data; name="
FORM = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"no boundary"),
        (FORM, b"--x\r\nnonsense"),
        (FORM, PART + b'"a"\r\n\r\nb\r\n--x--\r\n'),
        (FORM, PART + b'"file"\r\n\r\njust words\r\n--x--\r\n'),
    ],
)
def test_forms_that_are_none(strict: TestClient, kind: str, body: bytes) -> None:
    response = strict.post("/api/uploads", content=body, headers={"Content-Type": kind})
    assert response.status_code in (400, 422), response.text
    assert response.json()["detail"]["what"]


def test_labels_that_are_none(strict: TestClient) -> None:
    sound = wav_bytes(tone())
    for parameters in (
        {"label": ["dog", "dog"]}, {"label": [" "]}, {"label": ["x" * 201]}, {"preset": "../x"},
        {"label": [str(number) for number in range(601)]},
    ):  # fmt: skip
        response = strict.post("/api/uploads", params=parameters, content=sound)
        assert response.status_code == 422, parameters


def test_decoding_ends_in_time(tmp_path: Path) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(wav_bytes(tone()))
    with Readers(1) as readers, pytest.raises(Refusal, match="takes longer") as refusal:
        reading.read(readers, upload, 16_000, 20.0, 0.001)
    assert refusal.value.status_code == 413


def test_decoders_that_die_are_no_loss(
    own_library: tuple[Library, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload, a waveform, a conversion and indexing, each with a file that crashes decoders."""
    library, folder = own_library
    for name, value in hostile.environment().items():
        monkeypatch.setenv(name, value)
    picture = io.BytesIO()
    Image.new("RGB", (9, 9)).save(picture, format="PNG")
    with TestClient(create_app(library, Settings(limits=PATIENT)), LOCAL) as client:
        for content in (wav_bytes(tone()), picture.getvalue()):
            bad = hostile.make(tmp_path / "bad", content, "abort").read_bytes()
            status, what = send(client, bad)
            assert status == 415 and "crashed (SIGABRT)" in what
            assert str(tmp_path) not in what
            assert send(client, content)[0] == 201

        hits = client.get("/api/search", params={"q": "dog"}).json()["hits"]
        first, second, *_ = {hit["name"]: hit for hit in hits}.values()
        victim = folder / first["name"]
        hostile.make(victim, victim.read_bytes(), "segv")
        refused = client.get(first["waveform"])
        assert refused.status_code == 415
        told = refused.json()["detail"]["what"]
        assert "crashed (SIGSEGV)" in told and str(folder) not in told
        with pytest.raises(RuntimeError, match="already started"):  # the answer breaks off
            client.get(first["download"].replace("download=true", "as=wav"))
        assert client.get(second["download"].replace("download=true", "as=wav")).status_code == 200
        assert client.get(second["waveform"]).status_code == 200

        report = library.index(folder)
        assert [path.name for path in report.failures] == [victim.name]
        assert "SIGSEGV" in report.failures[victim]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("dog.ogg", "dog.ogg"), ("../../etc/passwd", "passwd"), ("C:\\a\\b.wav", "b.wav"),
        ("", "upload"), ("a/", "upload"), ("a\nb", "a\\nb"), ("x" * 300, "x" * 200),
        ("\ud800", "?"), ("\u202egpj.exe", "\\u202egpj.exe"),
    ],
)  # fmt: skip
def test_names(name: str, safe: str) -> None:
    assert safe_name(name) == safe
