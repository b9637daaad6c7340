"""The object users hold: shapes, batch independence, odd input, integers, streams."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media import tone, wav_bytes
from wav2clip.embedding import embedder
from wav2clip.embedding.embedder import Wav2CLIP, load
from wav2clip.errors import AudioError, CheckpointError, InputError, RegistryError
from wav2clip.models.checkpoint import load_checkpoint

RATE = 16_000


@pytest.fixture(scope="module", params=["small", "small_mobilenet"])
def model(request: pytest.FixtureRequest) -> Wav2CLIP:
    """A small model of either architecture."""
    loaded: Wav2CLIP = request.getfixturevalue(request.param)
    return loaded


DTYPES = ["float32", "float64", "float16", "int16", "int32", "uint8"]


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 30_000), min_size=1, max_size=5),
    rate=st.sampled_from([8_000, 16_000, 22_050, 48_000, 192_000]),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 99),
)
def test_any_batch(model: Wav2CLIP, lengths: list[int], rate: int, dtype: str, seed: int) -> None:
    """Finite, float32, shaped as documented; independent of batch mates and of their order."""
    waves = []
    for row, length in enumerate(lengths):
        wave = noise(length, seed + row)
        kind = np.dtype(dtype)
        if kind.kind in "iu":
            wave = wave * np.iinfo(kind).max + (128 if kind.kind == "u" else 0)
        waves.append(wave.astype(kind))
    together = model.embed_audio(waves, rate)
    assert together.shape == (len(lengths), 512)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    alone = np.stack([model.embed_audio(wave, rate) for wave in waves])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    order = np.random.default_rng(seed).permutation(len(waves))
    shuffled = model.embed_audio([waves[i] for i in order], rate)
    np.testing.assert_allclose(shuffled, together[order], atol=1e-5)


@settings(max_examples=20)
@given(
    samples=st.integers(1_600, 60_000),
    frame=st.sampled_from([0.02, 0.1, 0.5]),
    hop=st.sampled_from([0.05, 0.1, 0.7]),
)
def test_any_frames(model: Wav2CLIP, samples: int, frame: float, hop: float) -> None:
    count = 0 if samples < frame * RATE else 1 + int((samples - frame * RATE) // (hop * RATE))
    if count == 0:
        with pytest.raises(AudioError, match="shorter than one frame"):
            model.embed_frames(noise(samples), RATE, frame, hop)
        return
    frames = model.embed_frames(noise(samples), RATE, frame, hop)
    assert frames.embeddings.shape == (count, 512)
    assert frames.embeddings.dtype == np.float32
    assert np.isfinite(frames.embeddings).all()
    np.testing.assert_allclose(frames.starts, np.arange(count) * hop, atol=1e-9)


def test_large_batches_equal_single_recordings_at_full_size(
    published: Wav2CLIP, data: Path
) -> None:
    paths = sorted((data / "esc10_original").glob("*.ogg"))[:11]
    waves = [
        embedder.io.load_audio(path).samples[: 48_000 + 8_000 * (i % 3)]
        for i, path in enumerate(paths)
    ]
    together = published.embed_audio(waves, RATE)
    alone = np.stack([published.embed_audio(wave, RATE) for wave in waves])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_shapes(model: Wav2CLIP) -> None:
    assert model.embed_audio(noise(5_000), RATE).shape == (512,)
    assert model.embed_audio(np.stack([noise(5_000)] * 3), RATE).shape == (3, 512)
    assert model.embed_audio([noise(5_000)], RATE).shape == (1, 512)
    assert model.embed_audio(noise(100).tolist(), RATE).shape == (512,)
    features = model.config.encoder.features
    assert model.encode_audio([noise(5_000), noise(400)], RATE).shape == (2, features)
    unit = model.embed_audio(noise(5_000), RATE, normalize=True)
    assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("samples", [1, 2, 100, 256, 257, 258, 300, 511])
def test_very_short(model: Wav2CLIP, samples: int) -> None:
    assert np.isfinite(model.embed_audio(noise(samples), RATE)).all()
    assert np.isfinite(model.embed_file(wav_bytes(noise(samples)))).all()


@pytest.mark.parametrize("level", [0.0, 1.0, -0.3, 1e-30])
def test_silence_and_direct_current(model: Wav2CLIP, level: float) -> None:
    wave = np.full(RATE, level, np.float32)
    assert np.isfinite(model.embed_audio(wave, RATE)).all()
    assert np.isfinite(model.embed_frames(wave, RATE, 0.25, 0.25).embeddings).all()


def test_integers_are_scaled(model: Wav2CLIP) -> None:
    wave = (noise(8_000) * 32_767).astype(np.int16)
    expected = model.embed_audio(wave.astype(np.float32) / 32_768, RATE)
    np.testing.assert_allclose(model.embed_audio(wave, RATE), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("wave", "rate", "words"),
    [
        (np.zeros(0), RATE, r"shape \(0,\)"),
        (np.zeros((2, 3, 4)), RATE, r"shape \(2, 3, 4\)"),
        (np.float32(3), RATE, r"shape \(\)"),
        ([np.zeros(10), np.zeros((2, 2))], RATE, r"waveform 1 has shape \(2, 2\)"),
        (np.zeros(10, complex), RATE, "dtype complex128"),
        (np.zeros(10, bool), RATE, "dtype bool"),
        (np.zeros(10), 0, "sample_rate is 0 Hz"),
        (np.zeros(10), -44_100, "sample_rate is -44100 Hz"),
    ],
)
def test_wrong_arguments(model: Wav2CLIP, wave: object, rate: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        model.embed_audio(wave, rate)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite(model: Wav2CLIP, value: float) -> None:
    wave = noise(RATE)
    wave[4_000] = value
    with pytest.raises(
        AudioError, match=r"waveform 0: 1 samples are NaN, infinite or beyond.* 0\.250 s"
    ):
        model.embed_audio(wave, RATE)


def test_frames_of_nothing(model: Wav2CLIP) -> None:
    with pytest.raises(InputError, match="shorter than one sample"):
        model.embed_frames(noise(RATE), RATE, 0.0, 1.0)
    with pytest.raises(InputError, match="takes one waveform"):
        model.embed_frames(np.zeros((2, RATE)), RATE)


def test_files_and_arrays_agree(model: Wav2CLIP, tmp_path: Path) -> None:
    content = wav_bytes(tone(2.0), subtype="FLOAT")
    (tmp_path / "a.wav").write_bytes(content)
    expected = model.embed_audio(tone(2.0), RATE)
    for source in (tmp_path / "a.wav", str(tmp_path / "a.wav"), content, io.BytesIO(content)):
        np.testing.assert_allclose(model.embed_file(source), expected, atol=1e-5)


def test_long_files_stream_to_the_same_result(
    model: Wav2CLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = wav_bytes(noise(75 * RATE), subtype="FLOAT")
    streamed = model.embed_file(io.BytesIO(content))
    frames = model.embed_file_frames(content, 1.0, 1.0)
    monkeypatch.setattr(embedder, "WHOLE_SECONDS", 1e9)
    np.testing.assert_allclose(streamed, model.embed_file(content), atol=1e-5)
    whole = model.embed_file_frames(content, 1.0, 1.0)
    assert len(frames.starts) == 75
    np.testing.assert_allclose(frames.embeddings, whole.embeddings, atol=1e-5)


def test_a_long_recording_is_the_average_of_its_pieces(small_mobilenet: Wav2CLIP) -> None:
    """Of ten seconds, the last one shorter and weighted by its length: 10 + 10 + 2.5 s."""
    rate = small_mobilenet.sample_rate
    wave = noise(int(22.5 * rate))
    pieces = [
        small_mobilenet.embed_audio(wave[s : s + 10 * rate], rate)
        for s in (0, 10 * rate, 20 * rate)
    ]
    expected = np.average(pieces, axis=0, weights=[10, 10, 2.5])
    np.testing.assert_allclose(small_mobilenet.embed_audio(wave, rate), expected, atol=1e-5)
    both = small_mobilenet.embed_audio(np.stack([wave, wave[::-1]]), rate)
    np.testing.assert_allclose(both[0], expected, atol=1e-5)


def test_batch_standardisation_depends_on_batch_mates(small_checkpoint: Path) -> None:
    """The published behaviour, on request: same for one recording, another for two."""
    own = load(small_checkpoint)
    batch = load(small_checkpoint, standardize="batch")
    quiet, loud = 0.001 * noise(RATE), noise(RATE, 1)
    np.testing.assert_allclose(
        own.embed_audio(quiet, RATE), batch.embed_audio(quiet, RATE), atol=1e-5
    )
    together = batch.embed_audio(np.stack([quiet, loud]), RATE)[0]
    assert np.abs(together - own.embed_audio(quiet, RATE)).max() > 1e-3


def test_load_says_what_is_wrong(small_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="neither a known model"):
        load("no-such-model")
    with pytest.raises(InputError, match="engine is 'steam'"):
        load(small_checkpoint, engine="steam")
    with pytest.raises(InputError, match="device 'cuda:7' cannot be used"):
        load(small_checkpoint, device="cuda:7")
    with pytest.raises(InputError, match="standardize is 'never'"):
        load(small_checkpoint, standardize="never")  # type: ignore[arg-type]
    with pytest.raises(CheckpointError):
        load(tmp_path)


@pytest.mark.parametrize(
    ("fixture", "rate"), [("small_checkpoint", 16_000), ("small_mobilenet_checkpoint", 32_000)]
)
def test_a_model_says_what_it_is(fixture: str, rate: int, request: pytest.FixtureRequest) -> None:
    checkpoint = load_checkpoint(request.getfixturevalue(fixture))
    model = Wav2CLIP(checkpoint)
    assert model.fingerprint == checkpoint.fingerprint
    assert model.fingerprint in repr(model)
    assert (model.dimension, model.sample_rate) == (512, rate)
