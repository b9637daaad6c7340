"""Cutting and embedding segments: nothing lost, whatever the blocks, short and long alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from media import wav_bytes
from odd_files import Audio, muxed
from wav2clip.audio.windows import segments
from wav2clip.embedding import bulk
from wav2clip.embedding.bulk import embed_segments
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import InputError


def reference(total: int, length: int, hop: int, shortest: int) -> list[tuple[int, int]]:
    """(start, samples) of each segment, from the definition."""
    if total < length + shortest:
        return [(0, total)]
    starts = list(range(0, total - length + 1, hop))
    if total - (starts[-1] + length) >= shortest:
        starts.append(total - length)
    return [(start, length) for start in starts]


@given(
    blocks=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    length=st.integers(1, 30),
    data=st.data(),
)
def test_segments_whatever_the_blocks(blocks: list[int], length: int, data: st.DataObject) -> None:
    hop = data.draw(st.integers(1, length))
    shortest = data.draw(st.integers(1, length))
    total = sum(blocks)
    wave = np.arange(total, dtype=np.float32)
    pieces = iter(np.split(wave, np.cumsum(blocks)[:-1]))
    cut = [(start, samples.copy()) for start, samples in segments(pieces, length, hop, shortest)]
    assert [(start, len(samples)) for start, samples in cut] == reference(
        total, length, hop, shortest
    )
    for start, samples in cut:
        np.testing.assert_array_equal(samples, wave[start : start + len(samples)])


@pytest.mark.parametrize("hop", [0, 5])
def test_hops_that_lose_or_never_end(hop: int) -> None:
    with pytest.raises(InputError, match="hop"):
        list(segments([np.zeros(9, np.float32)], 4, hop))


def test_short_and_long_files_as_if_each_segment_was_alone(
    small: Wav2CLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long file is decoded on while its first segments are embedded."""
    monkeypatch.setattr(bulk, "WHOLE_SECONDS", 5.0)
    rng = np.random.default_rng(0)
    waves = {}
    for i, seconds in enumerate((0.3, 2.0, 2.2, 9.0, 23.4)):
        path = tmp_path / f"{i}.wav"
        path.write_bytes(wav_bytes(rng.uniform(-0.5, 0.5, int(16_000 * seconds)).astype("f4")))
        waves[path] = seconds
    (tmp_path / "broken.wav").write_bytes(b"broken")
    paths = [*waves, tmp_path / "broken.wav"]
    found = {r.path: r for r in embed_segments(small, paths, segment_seconds=2, overlap_seconds=1)}
    assert set(found) == set(paths)
    assert found[tmp_path / "broken.wav"].error is not None
    for path, seconds in waves.items():
        result = found[path]
        expected = reference(int(16_000 * seconds), 32_000, 16_000, 8_000)
        np.testing.assert_allclose(result.starts * 16_000, [start for start, _ in expected])
        assert result.ends[-1] >= seconds - 0.5
        assert (result.channels, result.source_rate) == (1, 16_000)
        assert result.seconds == pytest.approx(seconds)
        wave, _ = soundfile.read(path, dtype="float32")
        for (start, length), vector in zip(expected, result.embeddings, strict=True):
            alone = small.embed_audio(wave[start : start + length], 16_000)
            np.testing.assert_allclose(vector, alone, atol=1e-5)


def test_a_long_file_that_cannot_be_read_to_its_end(
    small: Wav2CLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "WHOLE_SECONDS", 5.0)
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000 * 20).astype(np.float32)
    wave[-1] = np.nan
    (tmp_path / "nan.wav").write_bytes(wav_bytes(wave, subtype="FLOAT"))
    (tmp_path / "good.wav").write_bytes(wav_bytes(wave[:32_000]))
    paths = [tmp_path / "nan.wav", tmp_path / "good.wav"]
    results = list(embed_segments(small, paths, segment_seconds=2, overlap_seconds=1))
    assert sorted(r.path for r in results) == sorted(paths), "each comes back once"
    reasons = {r.path.name: r.error for r in results}
    assert "NaN" in (reasons["nan.wav"] or "")
    assert reasons["good.wav"] is None


@pytest.mark.parametrize(("segment", "overlap"), [(0.1, 0.0), (10.0, 10.0), (10.0, -1.0)])
def test_settings_that_are_none(small: Wav2CLIP, segment: float, overlap: float) -> None:
    with pytest.raises(InputError, match="overlap"):
        list(embed_segments(small, [], segment_seconds=segment, overlap_seconds=overlap))


def test_times_are_on_the_clock_of_the_film(small: Wav2CLIP, tmp_path: Path) -> None:
    film = tmp_path / "late.mp4"
    film.write_bytes(muxed("mp4", Audio("aac", start=8.0), video="mpeg4"))
    (cut,) = embed_segments(small, [film], segment_seconds=1.0, overlap_seconds=0.0)
    np.testing.assert_allclose(cut.starts[:2], [8.0, 9.0], atol=0.05)
    np.testing.assert_allclose(cut.ends[:2], [9.0, 10.0], atol=0.05)
    (frames,) = bulk.embed_files(small, [film], frame_seconds=0.5)
    np.testing.assert_allclose(frames.starts[:4], [8.0, 8.5, 9.0, 9.5], atol=0.05)
    (clip,) = bulk.embed_files(small, [film])
    assert clip.starts[0] == pytest.approx(8.0, abs=0.05)
    assert clip.ends[0] == pytest.approx(8.0 + clip.seconds, abs=0.05)
