"""Many files at once: each comes back once, good next to bad, long next to short."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event, get_ident
from typing import Any

import numpy as np
import pytest
import soundfile
from threadpoolctl import threadpool_info

from media import tone, wav_bytes
from patience import HANGS
from wav2clip import runtime
from wav2clip.embedding import bulk
from wav2clip.embedding.bulk import embed_files
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.embedding.engine import Embeddings
from wav2clip.models.checkpoint import load_checkpoint


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bulk")
    rng = np.random.default_rng(0)
    for i in range(60):
        seconds = (0.25, 0.5, 0.5, 1.0 + 0.01 * i)[i % 4]
        samples = rng.uniform(-0.5, 0.5, int(16_000 * seconds)).astype(np.float32)
        (folder / f"{i:03}.wav").write_bytes(wav_bytes(samples))
    for i in range(0, 60, 7):
        (folder / f"{i:03}.wav").write_bytes(b"broken")
    long = rng.uniform(-0.5, 0.5, 16_000 * 65).astype(np.float32)
    (folder / "long.wav").write_bytes(wav_bytes(long))
    return folder


@pytest.mark.parametrize("workers", [1, 3])
def test_each_file_once_as_if_alone(small: Wav2CLIP, folder: Path, workers: int) -> None:
    paths = sorted(folder.iterdir())
    results = {r.path: r for r in embed_files(small, paths, workers=workers)}
    assert sorted(results) == paths
    for path, result in results.items():
        broken = path.stem != "long" and int(path.stem) % 7 == 0
        assert (result.error is not None) == broken
        if not broken:
            np.testing.assert_allclose(result.embeddings[0], small.embed_file(path), atol=1e-5)
            assert result.ends[0] == pytest.approx(path.stat().st_size / 32_000, abs=0.01)


def test_frames(small: Wav2CLIP, folder: Path) -> None:
    paths = [folder / "001.wav", folder / "002.wav", folder / "long.wav", folder / "000.wav"]
    results = list(embed_files(small, paths, frame_seconds=0.5, hop_seconds=0.25))
    by_name = {r.path.stem: r for r in results}
    assert by_name["long"].embeddings.shape == (259, 512)
    assert len(by_name["001"].embeddings) == 1
    assert by_name["000"].error is not None
    expected = small.embed_file_frames(folder / "long.wav", 0.5, 0.25)
    np.testing.assert_allclose(by_name["long"].embeddings, expected.embeddings, atol=1e-5)


def test_reads_no_further_ahead_than_it_needs(small: Wav2CLIP, tmp_path: Path) -> None:
    """Ten million paths need not fit in memory, nor be listed before the first result."""
    (tmp_path / "a.wav").write_bytes(wav_bytes(tone(0.1)))
    taken = 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield tmp_path / "a.wav"

    results = embed_files(small, endless(), workers=2)
    for _ in range(10):
        next(results)
    assert taken <= 4 * bulk._AHEAD
    results.close()


@pytest.mark.parametrize("loudest", [3e38, 1e30, np.inf, np.nan])
def test_what_is_no_sound_costs_its_file_alone(
    small: Wav2CLIP, tmp_path: Path, loudest: float
) -> None:
    """The first is finite until it is resampled, of the second the power is not."""
    rng = np.random.default_rng(0)
    for name in "abc":
        soundfile.write(tmp_path / f"{name}.wav", rng.uniform(-1, 1, 44_100), 44_100, "FLOAT")
    broken = rng.choice([-loudest, loudest], 44_100).astype(np.float32)
    soundfile.write(tmp_path / "b.wav", broken, 44_100, "FLOAT")
    found = {each.path.name: each for each in embed_files(small, sorted(tmp_path.iterdir()))}
    assert set(found) == {"a.wav", "b.wav", "c.wav"}
    assert "NaN, infinite or beyond" in (found["b.wav"].error or "")
    for name in ("a.wav", "c.wav"):
        assert found[name].error is None
        assert np.isfinite(found[name].embeddings).all()


def test_products_of_matrices_take_one_thread_meanwhile() -> None:
    def counts() -> list[int]:
        return [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]

    before = counts()
    with runtime.one_blas_thread():
        assert counts()
        assert set(counts()) == {1}
    assert counts() == before


def test_no_files(small: Wav2CLIP) -> None:
    assert list(embed_files(small, [])) == []


def test_what_waits_last_is_shared_out(
    small: Wav2CLIP, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    embed = Wav2CLIP.embed_batch

    def counted(model: Wav2CLIP, waves: Any) -> Embeddings:
        sizes.append(len(waves))
        return embed(model, waves)

    monkeypatch.setattr(Wav2CLIP, "embed_batch", counted)
    assert len(list(embed_files(small, [folder / "001.wav"] * 13, workers=2))) == 13
    assert sizes == [8, 3, 2]


class Accelerated(Wav2CLIP):
    """Says that its network runs elsewhere, where it takes until ``go``."""

    device = "elsewhere"
    go: Event
    callers: set[int]

    def embed_batch(self, waves: Any) -> Embeddings:
        self.callers.add(get_ident())
        assert self.go.wait(HANGS), "nothing was decoded while the network ran"
        return super().embed_batch(waves)


def test_files_are_decoded_while_an_accelerator_works(
    small_checkpoint: Path, small: Wav2CLIP, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Accelerated(load_checkpoint(small_checkpoint))
    model.go, model.callers = Event(), set()
    decoded: list[int] = []
    decode = bulk._decode

    def counted(*arguments: Any) -> None:
        decode(*arguments)
        decoded.append(get_ident())
        if len(decoded) == 24:
            model.go.set()

    monkeypatch.setattr(bulk, "_decode", counted)
    path = folder / "001.wav"
    results = list(embed_files(model, [path] * 24, workers=1))
    assert len(results) == 24
    assert len(set(decoded)) == 1
    assert not set(decoded) & model.callers
    for result in results:
        np.testing.assert_allclose(result.embeddings[0], small.embed_file(path), atol=1e-5)
