"""Files embedded by the processes that decode them: what this process would make of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file, save_file

import hostile
from media import tone, wav_bytes
from odd_files import Audio, muxed
from wav2clip import load
from wav2clip.embedding import bulk, child
from wav2clip.embedding.bulk import FileEmbedding, embed_files, embed_segments, start_readers
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import AudioError, InputError
from wav2clip.models import registry
from wav2clip.models.checkpoint import WEIGHTS_FILE
from wav2clip.reading import wire
from wav2clip.reading.readers import Readers

pytestmark = pytest.mark.everyday

Embed = Callable[..., Iterator[FileEmbedding]]


@pytest.fixture(scope="module")
def model() -> Wav2CLIP:
    return load("builtin")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short and long, whole and damaged, late and tagged."""
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    soundfile.write(folder / "stereo.flac", rng.uniform(-0.5, 0.5, (44_100 * 3, 2)), 44_100)
    soundfile.write(folder / "short.ogg", rng.uniform(-0.5, 0.5, 4_000), 22_050)
    soundfile.write(folder / "long.flac", rng.uniform(-0.5, 0.5, 16_000 * 64), 16_000)
    (folder / "late.mkv").write_bytes(muxed("matroska", Audio("flac", start=8.0)))
    whole = (folder / "stereo.flac").read_bytes()
    (folder / "cut.flac").write_bytes(whole[: len(whole) // 2])
    (folder / "broken.wav").write_bytes(b"broken")
    (folder / "empty.wav").write_bytes(b"")
    with soundfile.SoundFile(folder / "titled.wav", "w", 32_000, 1) as file:
        file.title = "a door, far away"
        file.write(rng.uniform(-0.5, 0.5, 40_000))
    return folder


def whole(model: Wav2CLIP, paths: list[Path], readers: Readers) -> Iterator[FileEmbedding]:
    return embed_files(model, paths, readers=readers)


def frames(model: Wav2CLIP, paths: list[Path], readers: Readers) -> Iterator[FileEmbedding]:
    return embed_files(model, paths, frame_seconds=0.5, hop_seconds=0.3, readers=readers)


def segments(model: Wav2CLIP, paths: list[Path], readers: Readers) -> Iterator[FileEmbedding]:
    return embed_segments(
        model, paths, segment_seconds=2.0, overlap_seconds=0.5, metadata=True, readers=readers
    )


@pytest.mark.parametrize("embed", [whole, frames, segments])
def test_as_if_samples_had_been_handed_over(model: Wav2CLIP, folder: Path, embed: Embed) -> None:
    paths = [*sorted(folder.iterdir()), folder / "missing.wav"]
    with Readers(2) as readers:
        wanted = {result.path: result for result in embed(model, paths, readers)}
    with start_readers(2) as readers:
        found = list(embed(model, paths, readers))
    assert sorted(result.path for result in found) == sorted(paths)
    for result in found:
        expected = wanted[result.path]
        assert result.error == expected.error
        np.testing.assert_allclose(result.embeddings, expected.embeddings, atol=1e-5)
        np.testing.assert_allclose(result.starts, expected.starts, atol=1e-9)
        np.testing.assert_allclose(result.ends, expected.ends, atol=1e-9)
        assert (result.warnings, result.channels) == (expected.warnings, expected.channels)
        assert (result.source_rate, result.metadata) == (expected.source_rate, expected.metadata)
        assert result.seconds == pytest.approx(expected.seconds)
    errors = {result.path.name for result in found if result.error is not None}
    short = {"short.ogg"} if embed is frames else set()
    assert errors == {"broken.wav", "empty.wav", "missing.wav", *short}


def test_only_a_graph_from_a_file_goes_there(small_mobilenet: Wav2CLIP, model: Wav2CLIP) -> None:
    assert model.graph_folder == registry.locate("builtin")
    pytest.importorskip("torch")
    assert load("builtin", engine="torch").graph_folder is None
    assert small_mobilenet.graph_folder is None, "it has no graph of its own"


def test_a_crash_costs_one_file(
    model: Wav2CLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in hostile.environment().items():
        monkeypatch.setenv(name, value)
    for number in range(3):
        (tmp_path / f"good{number}.wav").write_bytes(wav_bytes(tone()))
    for how in hostile.CRASHES:
        hostile.make(tmp_path / f"{how}.wav", wav_bytes(tone()), how)
    results = {each.path.stem: each for each in embed_files(model, sorted(tmp_path.iterdir()))}
    for name, told in hostile.CRASHES.items():
        assert f"crashed ({told})" in (results[name].error or "")
    for number in range(3):
        assert results[f"good{number}"].error is None


@pytest.mark.parametrize(
    "cut",
    [{}, {"segments": (32_000, 32_000, 100)}, {"frames": (3_200, 1_600)}],
    ids=["whole", "segments", "frames"],
)
def test_a_long_recording_is_heard_from_all_along(
    model: Wav2CLIP, folder: Path, cut: dict[str, tuple[int, ...]]
) -> None:
    """Whoever waits takes a minute of silence for a decoder that hangs."""
    plan = bulk._plan(model, 1, None)
    assert plan is not None
    request = {"plan": asdict(plan) | cut, "path": str(folder / "long.flac")}
    kinds = [kind for kind, _, _ in child._embed(request)]
    assert kinds[0] == wire.TOLD
    assert kinds[-1] == wire.END
    assert kinds.count(wire.SAMPLES) >= 64 / bulk._BATCH_SECONDS


def test_metadata_that_cannot_be_read_is_a_warning(
    model: Wav2CLIP, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: object) -> dict[str, str]:
        raise RuntimeError("no such chunk")

    monkeypatch.setattr("wav2clip.reading.readers.read_metadata", broken)
    plan = bulk._plan(model, 1, None)
    assert plan is not None
    request = {"plan": asdict(plan) | {"metadata": True}, "path": str(folder / "titled.wav")}
    (_, told, _), *_, (last, _, _) = child._embed(request)
    assert told["note"] == "its metadata cannot be read: no such chunk"
    assert last == wire.END


def test_weights_that_changed_meanwhile_are_noticed(tmp_path: Path) -> None:
    shutil.copytree(registry.locate("builtin"), tmp_path / "model")
    model = load(tmp_path / "model")
    weights = tmp_path / "model" / WEIGHTS_FILE
    tensors = load_file(weights)
    name = next(name for name in tensors if name.endswith("weight"))
    tensors[name] = tensors[name] + np.float16(0.5)
    save_file(tensors, weights)
    (tmp_path / "a.wav").write_bytes(wav_bytes(tone()))
    (result,) = embed_files(model, [tmp_path / "a.wav"])
    assert "holds another model than when it was loaded" in (result.error or "")


def test_frames_without_a_sample_are_refused_at_once(model: Wav2CLIP, folder: Path) -> None:
    with pytest.raises(InputError, match="shorter than one sample"):
        list(embed_files(model, [folder / "stereo.flac"], frame_seconds=1e-6))


def test_leaving_early_ends_what_is_in_hand(model: Wav2CLIP, folder: Path) -> None:
    with start_readers(2) as readers:
        results = embed_files(model, [folder / "long.flac"] * 40, readers=readers, workers=2)
        assert next(results).error is None
        results.close()
        assert next(embed_files(model, [folder / "stereo.flac"], readers=readers)).error is None
    with pytest.raises(AudioError, match="reading has ended"):
        readers.read_metadata(folder / "stereo.flac")
