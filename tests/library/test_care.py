"""Recordings that need care: each kind is found, good ones are not, and no file stops the rest."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import numpy as np
import pytest
import soundfile
from library_sounds import noise

from media import encode, tone, wav_bytes
from patience import HANGS
from wav2clip.audio.io import AudioStream
from wav2clip.audio.levels import Meter
from wav2clip.errors import AudioError, InputError
from wav2clip.library import care
from wav2clip.library.care import Limits, check, judge
from wav2clip.reading.readers import Readers

pytestmark = pytest.mark.everyday


def stereo(left: np.ndarray, right: np.ndarray) -> bytes:
    return wav_bytes(np.stack([left, right], 1))


LEFT = tone(0.5)
RIGHT = tone(0.5, hz=331.0)
NAN = np.where(np.arange(8000) == 5000, np.nan, LEFT).astype("f4")

FILES: dict[str, tuple[bytes, set[str]]] = {
    "good.wav": (noise(1), set()),
    "stereo.wav": (stereo(LEFT, RIGHT), set()),
    "mono as stereo.wav": (stereo(LEFT, LEFT), set()),
    "one side.wav": (stereo(LEFT, 0 * LEFT), set()),
    "silent.wav": (wav_bytes(0 * LEFT), {"silent"}),
    "nearly silent.wav": (wav_bytes(LEFT / 2000), {"silent"}),
    "quiet.wav": (wav_bytes(LEFT / 200), set()),
    "antiphase.wav": (stereo(LEFT, -0.7 * LEFT), {"antiphase"}),
    "silent antiphase.wav": (stereo(LEFT / 2000, -LEFT / 2000), {"silent"}),
    "clipped.wav": (wav_bytes(np.clip(3 * LEFT, -1, 1)), {"clipped"}),
    "eight bits.wav": (wav_bytes(np.clip(3 * LEFT, -1, 1), subtype="PCM_U8"), {"clipped"}),
    "to the top.wav": (wav_bytes(1.9 * LEFT), set()),
    "offset.wav": (wav_bytes(LEFT - 0.02), {"offset"}),
    "only offset.wav": (wav_bytes(0 * LEFT + 0.1), {"silent", "offset"}),
    "cut.wav": (noise(2)[:-3000], {"truncated"}),
    "nan.wav": (wav_bytes(NAN, subtype="FLOAT"), {"invalid"}),
    "broken.wav": (b"broken", {"unreadable"}),
    "empty.wav": (b"", {"unreadable"}),
    "headless.wav": (wav_bytes(LEFT[:0]), {"unreadable"}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("care")
    for name, (content, _) in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def test_each_kind_is_found(folder: Path) -> None:
    paths = [folder / name for name in FILES]
    results = list(check([*paths, folder / "missing.wav"], workers=2))
    assert [result.path for result in results] == [*paths, folder / "missing.wav"]
    assert {r.path.name: set(r.findings) for r in results[:-1]} == {
        name: kinds for name, (_, kinds) in FILES.items()
    }
    assert list(results[-1].findings) == ["unreadable"]
    found = {result.path.name: result for result in results}
    assert "antiphase.wav" not in found["antiphase.wav"].findings["antiphase"]
    assert "-1.00" in found["antiphase.wav"].findings["antiphase"]
    assert "announces" in found["cut.wav"].findings["truncated"]
    assert found["cut.wav"].levels is not None, "what is there is measured"
    assert "-2 %" in found["offset.wav"].findings["offset"]
    assert found["broken.wav"].levels is None
    assert set().union(*(kinds for _, kinds in FILES.values())) == set(care.KINDS)


def test_without_sound(tmp_path: Path) -> None:
    picture = np.zeros((16, 16, 3), np.uint8)
    film = encode(tmp_path / "mute.mp4", None, 0, "", [picture] * 3)
    (result,) = check([film], workers=1)
    assert result.mute
    assert not result.findings


def test_limits_are_what_decides(folder: Path) -> None:
    levels = {}
    for name in ("quiet.wav", "stereo.wav", "clipped.wav", "offset.wav"):
        meter = Meter()
        meter.add(soundfile.read(folder / name, dtype="float32", always_2d=True)[0])
        levels[name] = meter.result()
    clipped = levels["clipped.wav"].clipped
    assert not judge(levels["clipped.wav"], Limits(clipped=clipped + 1))
    assert set(judge(levels["clipped.wav"], Limits(clipped=clipped))) == {"clipped"}
    assert set(judge(levels["quiet.wav"], Limits(silence=-40))) == {"silent"}
    assert set(judge(levels["stereo.wav"], Limits(correlation=1.0))) == {"antiphase"}
    assert not judge(levels["offset.wav"], Limits(offset=-30))


@pytest.mark.parametrize(
    "options",
    [{"correlation": -1.5}, {"clipped": 0}, {"silence": 3.0}, {"offset": float("nan")}],
)
def test_limits_that_make_no_sense(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected"):
        Limits(**options)  # type: ignore[arg-type]


def test_leaving_early_lets_go_of_what_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files in hand fail at once; what was not begun is not read."""
    reading, released = Event(), []

    def endless(readers: Readers, path: Path, **_: object) -> AudioStream:
        if path.name == "good.wav":
            return read(readers, path, raw=True)
        reading.set()
        released.append(readers._closed.wait(HANGS))
        raise AudioError("reading has ended")

    read = Readers.stream_audio
    monkeypatch.setattr(Readers, "stream_audio", endless)
    results = check([folder / "good.wav", *[folder / "stereo.wav"] * 50], workers=1)
    assert next(results).path.name == "good.wav"
    assert reading.wait(HANGS)
    results.close()  # type: ignore[attr-defined]
    assert all(released)
    assert 1 <= len(released) < 50
