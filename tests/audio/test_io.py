"""Decoding: everything libsndfile and FFmpeg read, streams, downmix, resampling, damage."""

from __future__ import annotations

import io as stdio
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from media import encode, tone, wav_bytes
from odd_files import Audio, muxed, stereo
from wav2clip.audio.io import cut_audio, load_audio, resample, stream_audio
from wav2clip.errors import AudioError, InputError

pytestmark = pytest.mark.everyday

SUBTYPES = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM"]


def dominant_hz(samples: np.ndarray, rate: int = 16_000) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_sample_formats(subtype: str) -> None:
    recording = load_audio(wav_bytes(tone(), subtype=subtype))
    assert recording.samples.dtype == np.float32
    tolerance = 0.05 if subtype in ("ULAW", "IMA_ADPCM", "PCM_U8") else 1e-4
    # ADPCM adapts its step size over the first milliseconds.
    np.testing.assert_allclose(recording.samples[200:16_000], tone()[200:], atol=tolerance)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_rates_and_channels(rate: int, channels: int) -> None:
    left = tone(0.5, rate)
    samples = np.stack([left * (c + 1) / channels for c in range(channels)], axis=1)
    recording = load_audio(wav_bytes(samples, rate, "FLOAT"))
    assert (recording.source_rate, recording.channels) == (rate, channels)
    assert recording.seconds == pytest.approx(0.5, abs=0.001)
    expected = soxr.resample(samples.mean(axis=1), rate, 16_000)
    np.testing.assert_allclose(recording.samples, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("sound.mp3", "libmp3lame", 44_100),
        ("sound.ogg", "libvorbis", 44_100),
        ("sound.opus", "libopus", 48_000),
        ("sound.flac", "flac", 44_100),
        ("sound.m4a", "aac", 44_100),
        ("sound.mka", "aac", 48_000),
        ("sound.wma", "wmav2", 44_100),
        ("sound.webm", "libopus", 48_000),
    ],
)
def test_containers(tmp_path: Path, name: str, codec: str, rate: int) -> None:
    path = encode(tmp_path / name, tone(1.0, rate), rate, codec)
    recording = load_audio(path)
    assert recording.source_rate == rate
    assert recording.seconds == pytest.approx(1.0, abs=0.1)
    assert dominant_hz(recording.samples) == pytest.approx(440, abs=3)
    middle = recording.samples[4_000:12_000]  # codecs ring where a tone starts or ends
    assert np.abs(middle).max() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.mov", "film.avi"])
def test_video_containers(tmp_path: Path, name: str) -> None:
    pictures = [np.full((48, 64, 3), shade, np.uint8) for shade in range(0, 250, 50)]
    path = encode(tmp_path / name, tone(1.0, 44_100), 44_100, "aac", pictures)
    assert dominant_hz(load_audio(path).samples) == pytest.approx(440, abs=3)


def test_video_without_sound(tmp_path: Path) -> None:
    pictures = [np.zeros((48, 64, 3), np.uint8)] * 3
    path = encode(tmp_path / "silent.mp4", None, 0, "", pictures)
    with pytest.raises(AudioError, match=r"silent\.mp4: has no audio track, only video"):
        load_audio(path)


def test_path_bytes_and_file_object_agree(tmp_path: Path) -> None:
    content = wav_bytes(tone(0.3, 22_050), 22_050)
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with path.open("rb") as file:
        same = [
            load_audio(s).samples for s in (path, str(path), content, stdio.BytesIO(content), file)
        ]
    for other in same[1:]:
        np.testing.assert_array_equal(same[0], other)


def test_a_file_object_of_the_caller_stays_open() -> None:
    file = stdio.BytesIO(wav_bytes(tone(0.1)))
    first = load_audio(file).samples
    file.seek(0)
    np.testing.assert_array_equal(first, load_audio(file).samples)
    text = stdio.BytesIO(b"no sound at all")
    with pytest.raises(AudioError, match="<file object>"):
        load_audio(text)
    assert not text.closed


@settings(max_examples=25)
@given(
    seconds=st.floats(0.01, 12),
    rate=st.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000]),
    channels=st.integers(1, 3),
)
def test_streaming_equals_one_pass(seconds: float, rate: int, channels: int) -> None:
    count = max(1, int(seconds * rate))
    samples = np.random.default_rng(count).uniform(-0.5, 0.5, (count, channels)).astype("f4")
    stream = stream_audio(wav_bytes(samples, rate, "FLOAT"))
    blocks = list(stream)
    assert max(map(len, blocks)) <= 4.2 * 16_000, "a block is a few seconds at most"
    expected = resample(samples.mean(axis=1), rate)
    np.testing.assert_allclose(np.concatenate(blocks), expected, atol=2e-6)
    assert stream.seconds == pytest.approx(len(expected) / 16_000)


@pytest.mark.parametrize(("files", "every"), [("esc10_original/*.ogg", 1),
                         ("sounds_free/audio/*/*.ogg", 400)])  # fmt: skip
def test_real_files(data: Path, files: str, every: int) -> None:
    """Vorbis and Opus; of some Opus libsndfile begins to read a little too late."""
    for path in sorted(data.glob(files))[::every]:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        expected = soxr.resample(samples.mean(axis=1), rate, 16_000)
        np.testing.assert_allclose(load_audio(path).samples, expected, atol=1e-6)


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of ten seconds whose sound begins after eight, and lasts two."""
    path = tmp_path_factory.mktemp("late") / "late.mkv"
    path.write_bytes(muxed("matroska", Audio("flac", start=8.0), video="mpeg4"))
    return path


def test_a_part_by_the_clock_of_the_film(late: Path) -> None:
    whole = load_audio(late)
    assert (whole.start, whole.seconds) == pytest.approx((8.0, 2.0), abs=0.01)
    assert (whole.track.container, whole.track.codec) == ("matroska", "flac")
    part = cut_audio(late, 7.5, 1.0, 16_000)
    assert len(part) == 16_000
    assert not part[:7_990].any()
    begin = round(whole.start * 16_000) - round(7.5 * 16_000)
    np.testing.assert_array_equal(part[begin:], whole.samples[: 16_000 - begin])
    np.testing.assert_array_equal(cut_audio(late, None, 0.5, 16_000), whole.samples[:8_000])
    assert len(cut_audio(late, 9.5, 5.0, 16_000)) == pytest.approx(8_000, abs=200)
    assert len(cut_audio(late, 20.0, 5.0, 16_000)) == 0


def test_frames_on_the_clock_of_the_film(late: Path) -> None:
    frames = np.concatenate(list(stream_audio(late).frames(on_clock=True)))
    plain = np.concatenate(list(stream_audio(late).frames()))
    assert len(frames) - len(plain) == pytest.approx(8 * 44_100, abs=441)
    assert not frames[: len(frames) - len(plain)].any()
    np.testing.assert_array_equal(frames[len(frames) - len(plain) :], plain)


def test_what_is_odd_is_not_what_is_missing() -> None:
    """Two channels that cancel each other are a warning, and the sound is whole."""
    odd = load_audio(stereo(-1.0))
    assert odd.warnings and odd.whole
    cut = load_audio(wav_bytes(tone(2.0))[:30_044])
    assert cut.warnings == ("holds 0.94 s of the 2.00 s that its header announces",)
    assert not cut.whole


def test_a_recording_can_be_sent_to_another_process(late: Path) -> None:
    recording = load_audio(late)
    assert pickle.loads(pickle.dumps(recording)).track == recording.track


# Bad input ----------------------------------------------------------------------------------------


def raises(path: Path, *words: str) -> None:
    with pytest.raises(AudioError) as caught:
        load_audio(path)
    for word in (path.name, *words):
        assert word in str(caught.value)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_missing_path(tmp_path: Path) -> None:
    raises(tmp_path / "missing.wav", "No such file")


def test_folder(tmp_path: Path) -> None:
    raises(tmp_path, "is a folder")


def test_empty_file(tmp_path: Path) -> None:
    raises(write(tmp_path / "empty.wav", b""), "empty", "0 bytes")


def test_text_named_wav(tmp_path: Path) -> None:
    raises(write(tmp_path / "text.wav", b"To be, or not to be\n" * 50), "libsndfile", "FFmpeg")


def test_zero_length_audio(tmp_path: Path) -> None:
    raises(write(tmp_path / "none.wav", wav_bytes(np.zeros(0, "f4"))), "no samples")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_samples(tmp_path: Path, value: float) -> None:
    samples = tone()
    samples[8_000] = value
    raises(write(tmp_path / "bad.wav", wav_bytes(samples, subtype="FLOAT")), "NaN", "0.500 s")


def test_no_permission(tmp_path: Path, unprivileged: None) -> None:
    path = tmp_path / "secret.wav"
    path.touch()
    path.chmod(0)
    raises(path, "Permission denied")


def test_truncated_wav_is_used_with_a_warning(tmp_path: Path) -> None:
    content = wav_bytes(tone(2.0))
    recording = load_audio(write(tmp_path / "cut.wav", content[: len(content) // 2]))
    assert 0.9 < recording.seconds < 1.1
    assert np.isfinite(recording.samples).all()


@pytest.mark.parametrize(
    ("name", "codec"),
    [("cut.ogg", "libvorbis"), ("cut.mp3", "libmp3lame"), ("cut.flac", "flac"), ("cut.mkv", "aac")],
)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated_streams(tmp_path: Path, name: str, codec: str, part: float) -> None:
    whole = encode(tmp_path / f"whole{name[3:]}", tone(3.0, 44_100), 44_100, codec).read_bytes()
    path = write(tmp_path / name, whole[: int(len(whole) * part)])
    try:
        recording = load_audio(path)
    except AudioError as error:
        assert name in str(error)
    else:
        assert 0 < recording.seconds < 3.2
        assert np.isfinite(recording.samples).all()


def test_truncated_mp4_has_no_index(tmp_path: Path) -> None:
    whole = encode(tmp_path / "whole.mp4", tone(3.0, 44_100), 44_100, "aac").read_bytes()
    raises(write(tmp_path / "cut.mp4", whole[: len(whole) // 2]), "FFmpeg")


@settings(max_examples=60)
@given(data=st.data())
def test_damaged_bytes_never_crash(data: st.DataObject) -> None:
    content = bytearray(wav_bytes(tone(0.2)))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        recording = load_audio(bytes(content))
    except AudioError as error:
        assert str(error)
    else:
        assert len(recording.samples) >= 1
        assert np.isfinite(recording.samples).all()


def test_rate_out_of_range() -> None:
    with pytest.raises(InputError, match="sample_rate is 10 Hz"):
        load_audio(wav_bytes(tone()), sample_rate=10)
