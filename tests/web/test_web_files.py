"""Recordings over HTTP: bytes, ranges, conversion, waveforms."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from wav2clip.reading.readers import Readers
from wav2clip.web.media import WavBody, parse_range
from wav2clip.web.problems import Refusal
from wav2clip.web.waveform import peaks

pytestmark = pytest.mark.everyday


@pytest.fixture(scope="module")
def dog(client: TestClient) -> dict[str, Any]:
    """An Ogg file, which browsers play."""
    return client.get("/api/search", params={"q": "dog", "folder": "field recordings/dogs"}).json()[
        "hits"
    ][0]


@pytest.fixture(scope="module")
def aiff(client: TestClient) -> dict[str, Any]:
    """A stereo AIFF file, which browsers do not play."""
    (hit,) = client.get("/api/search", params={"q": "dog", "min_duration": 20}).json()["hits"]
    return hit


def test_what_is_known_of_a_file(client: TestClient, aiff: dict[str, Any]) -> None:
    told = client.get(f"/api/files/{aiff['id']}").json()
    path = Path(told["path"])
    assert told["size"] == path.stat().st_size
    assert (told["samplerate"], told["channels"], told["segments"]) == (44_100, 2, 3)
    assert {told[key] == aiff[key] for key in ("name", "folder", "audio", "download")} == {True}
    assert told["modified"].endswith("+00:00")


def test_the_bytes_of_a_file(client: TestClient, dog: dict[str, Any]) -> None:
    content = Path(dog["path"]).read_bytes()
    whole = client.get(dog["audio"])
    assert (whole.status_code, whole.content) == (200, content)
    assert whole.headers["content-type"] == "audio/ogg"
    assert whole.headers["accept-ranges"] == "bytes"
    assert "content-disposition" not in whole.headers
    part = client.get(dog["audio"], headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(content)}"
    assert client.get(dog["audio"], headers={"Range": "bytes=-7"}).content == content[-7:]
    assert client.get(dog["audio"], headers={"Range": "bytes=5-"}).content == content[5:]
    outside = client.get(dog["audio"], headers={"Range": f"bytes={len(content)}-"})
    assert outside.status_code == 416
    assert outside.headers["content-range"] == f"bytes */{len(content)}"
    etag = whole.headers["etag"]
    assert client.get(dog["audio"], headers={"If-None-Match": etag}).status_code == 304
    same = client.get(dog["audio"], headers={"Range": "bytes=0-9", "If-Range": etag})
    other = client.get(dog["audio"], headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (same.status_code, other.status_code, len(other.content)) == (206, 200, len(content))


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("", None), ("bytes", None), ("bytes=", None), ("bytes=-", None), ("bytes=a-b", None),
        ("items=0-5", None), ("bytes=0-5,7-9", None), ("bytes=9-3", None), ("bytes=0-0", (0, 1)),
        ("bytes=0-999", (0, 100)), ("bytes=99-", (99, 100)), ("bytes=-999", (0, 100)),
        ("bytes=" + "9" * 5_000 + "-", None), ("bytes=\u0661-", None), ("Bytes= 1 - 2 ", (1, 3)),
        ("bytes=100-", 416), ("bytes=-0", 416), ("bytes=100-200", 416),
    ],
)  # fmt: skip
def test_ranges(header: str, wanted: tuple[int, int] | int | None) -> None:
    if wanted == 416:
        with pytest.raises(Refusal) as refusal:
            parse_range(header, 100)
        assert refusal.value.status_code == 416
    else:
        assert parse_range(header, 100) == wanted


def test_what_browsers_cannot_play_is_converted(client: TestClient, aiff: dict[str, Any]) -> None:
    assert aiff["audio"].endswith("/audio?as=wav")
    response = client.get(aiff["audio"])
    assert response.headers["content-type"] == "audio/wav"
    assert int(response.headers["content-length"]) == len(response.content)
    samples, rate = soundfile.read(io.BytesIO(response.content))
    original, _ = soundfile.read(aiff["path"])
    # The library knows the duration from 16 kHz: a few samples of silence may follow.
    assert (rate, samples.shape[1]) == (44_100, 2) and 0 <= len(samples) - len(original) <= 3
    np.testing.assert_allclose(samples[: len(original)], original.clip(-1, 1), atol=1e-4)
    part = client.get(aiff["audio"], headers={"Range": "bytes=1000000-1000099"})
    assert (part.status_code, part.content) == (206, response.content[1_000_000:1_000_100])


def test_downloads_keep_their_names(client: TestClient, aiff: dict[str, Any]) -> None:
    response = client.get(aiff["download"])
    assert response.content == Path(aiff["path"]).read_bytes()
    assert response.headers["content-type"] == "application/octet-stream"
    assert (
        response.headers["content-disposition"]
        == "attachment; filename*=UTF-8''long%20%5Btake%201%5D.aiff"
    )


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with Readers(1) as readers:
        yield readers


@given(
    seconds=st.floats(0.01, 0.3),
    announced=st.floats(0.01, 0.4),
    channels=st.integers(1, 3),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
@settings(max_examples=30)
def test_any_part_of_a_conversion_is_that_part_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory,
    readers: Readers,
    seconds: float,
    announced: float,
    channels: int,
    cut: tuple[float, float],
) -> None:
    """Also where the library knows another duration than the file has."""
    path = tmp_path_factory.mktemp("wav") / "sound.wav"
    noise = np.random.default_rng(0).uniform(-1, 1, (round(seconds * 8_000), channels))
    soundfile.write(path, noise, 8_000, subtype="FLOAT")

    file = SimpleNamespace(path=path, duration=announced, sample_rate=8_000, channels=channels)

    def body() -> WavBody:
        return WavBody(readers, file, path.open("rb"))

    size = body().size
    whole = b"".join(body().read(0, size))
    assert len(whole) == size
    samples, _ = soundfile.read(io.BytesIO(whole), always_2d=True)
    assert len(samples) == round(announced * 8_000)
    kept = min(len(samples), len(noise))
    heard = noise if channels <= 2 else noise.mean(1, keepdims=True)
    np.testing.assert_allclose(samples[:kept], heard[:kept], atol=1e-4)
    first, last = sorted(round(share * size) for share in cut)
    assert b"".join(body().read(first, last)) == whole[first:last]


@given(
    lengths=st.lists(st.integers(0, 40), max_size=6),
    points=st.integers(1, 50),
    missing=st.integers(-10, 30),
)
@settings(max_examples=100)
def test_peaks_are_those_of_a_slow_loop(lengths: list[int], points: int, missing: int) -> None:
    rng = np.random.default_rng(sum(lengths))
    blocks = [rng.uniform(-1.2, 1.2, (length, 2)).astype(np.float32) for length in lengths]
    samples = np.concatenate([np.zeros((0, 2), np.float32), *blocks])
    total = max(1, len(samples) + missing)
    count = min(points, total)
    slow = np.zeros(count)
    for place, frame in enumerate(samples):
        stretch = max(k for k in range(count) if k * total // count <= place)
        slow[stretch] = max(slow[stretch], *np.abs(frame))
    np.testing.assert_allclose(peaks(blocks, total, points), slow.clip(0, 1), rtol=1e-6)


def test_waveforms(client: TestClient, dog: dict[str, Any], aiff: dict[str, Any]) -> None:
    for hit in (dog, aiff):
        told = client.get(hit["waveform"], params={"points": 50}).json()
        samples, _ = soundfile.read(hit["path"], dtype="float32", always_2d=True)
        edges = np.arange(50) * len(samples) // 50
        reference = np.maximum.reduceat(np.abs(samples).max(1), edges).clip(0, 1)
        assert told["duration"] == hit["duration"]
        np.testing.assert_allclose(told["peaks"], reference, atol=2e-2)
        assert told["peak"] == pytest.approx(np.abs(samples).max(), abs=2e-2)
        rms = 20 * np.log10(np.sqrt(np.square(samples).mean()))
        assert rms - 0.1 < told["level"] <= 20 * np.log10(told["peak"])
    assert len(client.get(dog["waveform"]).json()["peaks"]) == 300
    for points in (0, 2_001, "all"):
        assert client.get(dog["waveform"], params={"points": points}).status_code == 422


def test_a_part_as_a_file(
    client: TestClient,
    aiff: dict[str, Any],
    dog: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, rate = soundfile.read(aiff["path"], dtype="int16")
    sent = client.get(f"/api/files/{aiff['id']}/excerpt", params={"start": 7.5, "end": 17.25})
    assert (sent.status_code, sent.headers["content-type"]) == (200, "audio/wav")
    name = "long%20%5Btake%201%5D%200m07.5s.wav"
    assert sent.headers["content-disposition"] == f"attachment; filename*=UTF-8''{name}"
    part, same = soundfile.read(io.BytesIO(sent.content), dtype="int16")
    assert same == rate
    np.testing.assert_array_equal(part, whole[round(7.5 * rate) : round(17.25 * rate)])
    found = client.get(dog["excerpt"])
    assert found.status_code == 200, found.text
    assert len(soundfile.read(io.BytesIO(found.content))[0]) == pytest.approx(
        (dog["end"] - dog["start"]) * 44_100, abs=50
    )
    faded = {"start": 0, "end": 1, "fade": 0.5, "bits": 24}
    sent = client.get(f"/api/files/{aiff['id']}/excerpt", params=faded)
    assert soundfile.info(io.BytesIO(sent.content)).subtype == "PCM_24"
    for bad in (
        {"start": 2, "end": 1},
        {"start": 90, "end": 91},
        {"start": 0, "end": 1, "bits": 9},
    ):
        answer = client.get(f"/api/files/{aiff['id']}/excerpt", params=bad)
        assert answer.status_code == 422, answer.text
        assert str(Path(aiff["path"]).parent) not in answer.text
    assert client.get(f"/api/files/{'0' * 32}/excerpt?start=0&end=1").status_code == 404
    few = {"Range": "bytes=4-7"}
    address = f"/api/files/{aiff['id']}/excerpt?start=0&end=1"
    size = int.from_bytes(client.get(address, headers=few).content, "little")
    assert size + 8 == len(client.get(address).content)
    beyond = client.get(address, headers={"Range": f"bytes={size + 8}-"})
    assert beyond.status_code == 416
    monkeypatch.setattr("wav2clip.web.service._LARGEST_EXCERPT", 44_100 * 2 * 4 * 5)
    assert client.get(address).status_code == 200
    long = client.get(f"/api/files/{aiff['id']}/excerpt?start=0&end=6")
    assert (long.status_code, long.json()["detail"]["expected"]) == (
        422,
        "at most 5 s of this file",
    )
