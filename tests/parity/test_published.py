"""Agreement with the published implementation, to 1e-4 absolute in float32 on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import reference
import wav2clip
from published_layout import published_state
from wav2clip.audio.io import load_audio
from wav2clip.embedding import embedder
from wav2clip.embedding.embedder import Wav2CLIP, load
from wav2clip.models.frontend import Frontend

TOLERANCE = 1e-4
RATE = 16_000


@pytest.fixture(scope="module")
def paths(data: Path, oracle: np.lib.npyio.NpzFile) -> list[Path]:
    return [data / "esc10_original" / str(name) for name in oracle["files"]]


@pytest.fixture(scope="module")
def waves(paths: list[Path]) -> list[np.ndarray]:
    return [load_audio(path).samples for path in paths]


def close(found: np.ndarray, expected: np.ndarray, tolerance: float = TOLERANCE) -> None:
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def test_every_array_of_the_test_bed_is_compared(oracle: np.lib.npyio.NpzFile) -> None:
    assert set(oracle.files) == {
        "files", "clip", "clip_encoder_only", "frames_1s", "frames_100ms_first_file",
        "batch_of_4_batch_normalised", "spectrogram_first_file", "short_300_samples",
        "silence_1s", "waveform_first_file", "tone_440hz_2s",
    }  # fmt: skip


def test_the_weights_are_those_of_the_test_bed(data: Path) -> None:
    """The generator in conftest and the one beside the expected numbers give the same tensors."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("fill", data.parent / "oracle" / "fill.py")
    assert spec is not None and spec.loader is not None
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    theirs, ours = fill.state_dict("salt"), published_state("salt")
    assert theirs.keys() == ours.keys()
    for name in theirs:
        np.testing.assert_array_equal(theirs[name], ours[name].numpy())


def test_resampled_waveform(waves: list[np.ndarray], oracle: np.lib.npyio.NpzFile) -> None:
    close(waves[0], oracle["waveform_first_file"], 1e-5)


def test_spectrogram(waves: list[np.ndarray], oracle: np.lib.npyio.NpzFile) -> None:
    found = Frontend().power(torch.from_numpy(waves[0])[None])[0].numpy()
    close(found, oracle["spectrogram_first_file"])


def test_clips(published: Wav2CLIP, paths: list[Path], oracle: np.lib.npyio.NpzFile) -> None:
    close(np.stack([published.embed_file(path) for path in paths]), oracle["clip"])


def test_encoder_only(
    published: Wav2CLIP, waves: list[np.ndarray], oracle: np.lib.npyio.NpzFile
) -> None:
    close(published.encode_audio(waves, RATE), oracle["clip_encoder_only"])


def test_one_second_frames(
    published_checkpoint: Path, waves: list[np.ndarray], oracle: np.lib.npyio.NpzFile
) -> None:
    model = wav2clip.get_model(
        model=str(published_checkpoint), frame_length=16_000, hop_length=16_000
    )
    close(wav2clip.embed_audio(np.stack(waves), model), oracle["frames_1s"])


def test_hop_of_100_ms(
    published_checkpoint: Path,
    published: Wav2CLIP,
    paths: list[Path],
    waves: list[np.ndarray],
    oracle: np.lib.npyio.NpzFile,
) -> None:
    expected = oracle["frames_100ms_first_file"]
    model = wav2clip.get_model(
        model=str(published_checkpoint), frame_length=16_000, hop_length=1_600
    )
    close(wav2clip.embed_audio(waves[0], model)[0], expected)
    frames = published.embed_file_frames(paths[0], 1.0, 0.1)
    close(frames.embeddings.T, expected)
    np.testing.assert_allclose(frames.starts, np.arange(41) / 10, atol=1e-9)


def test_batch_standardisation(
    published_checkpoint: Path, waves: list[np.ndarray], oracle: np.lib.npyio.NpzFile
) -> None:
    model = load(published_checkpoint, standardize="batch")
    batch = np.stack([wave[:80_000] for wave in waves[:4]])
    close(model.embed_audio(batch, RATE), oracle["batch_of_4_batch_normalised"])


def test_short_silent_and_pure_tone(
    published: Wav2CLIP, waves: list[np.ndarray], oracle: np.lib.npyio.NpzFile
) -> None:
    close(published.embed_audio(waves[0][:300], RATE), oracle["short_300_samples"])
    close(published.embed_audio(np.zeros(RATE), RATE), oracle["silence_1s"])
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)
    close(published.embed_audio(tone, RATE), oracle["tone_440hz_2s"])


@pytest.mark.parametrize("salt", ["", "another"])
def test_a_slow_plain_reference(salt: str, waves: list[np.ndarray], tmp_path: Path) -> None:
    state = published_state(salt)
    torch.save(state, tmp_path / "model.pt")
    model = load(tmp_path / "model.pt")
    for wave in (waves[1], waves[2][:20_011], waves[3][:300]):
        close(model.embed_audio(wave, RATE), reference.embed(wave, state).astype(np.float32))
    wave = waves[4][:70_000]
    frames = [wave[start : start + 24_000] for start in range(0, 70_000 - 24_000 + 1, 11_000)]
    expected = reference.embed_batch(frames, state).astype(np.float32)
    close(model.embed_frames(wave, RATE, 1.5, 0.6875).embeddings, expected)


def test_a_long_recording_in_chunks_equals_the_whole(
    published: Wav2CLIP, waves: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks with margins, statistics merged over pieces: the result of one piece."""
    wave = np.concatenate([*waves, *waves[::-1]])[: 70 * RATE + 123]
    assert len(wave) > embedder.WHOLE_SECONDS * RATE
    in_chunks = published.embed_audio(wave, RATE)
    monkeypatch.setattr(embedder, "WHOLE_SECONDS", 1e9)
    close(in_chunks, published.embed_audio(wave, RATE), 1e-5)
