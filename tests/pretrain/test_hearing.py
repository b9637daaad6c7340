"""What a tagger hears in a clip, in its seconds, and in a part of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import ToyTagger

from wav2clip.errors import DataError
from wav2clip.pretrain.hearing import heard_between, listen, record_of
from wav2clip.pretrain.shards import Tags


def noise(seconds: float, rate: int = 32_000) -> np.ndarray:
    values = np.random.default_rng(0).integers(-9000, 9000, round(seconds * rate))
    return values.astype(np.int16)


@pytest.mark.parametrize("seconds", [1 / 32_000, 0.3, 1.0, 1.2, 3.0, 4.5])
def test_the_whole_and_each_second_are_heard(seconds: float) -> None:
    audio, tagger = noise(seconds), ToyTagger()
    tags = listen(tagger, audio)
    wave = torch.from_numpy(audio).float() / 32768
    windows = [wave]
    for second in range(int(np.ceil(seconds)) if seconds > 1 else 0):
        end = min(len(wave), (second + 1) * 32_000)
        windows.append(wave[end - 32_000 : end])
    assert len(tags.probabilities) == len(tags.features) == len(windows)
    for row, part in enumerate(windows):
        probabilities, features = ToyTagger()(part[None])
        np.testing.assert_allclose(tags.probabilities[row], probabilities[0], atol=1e-3)
        np.testing.assert_allclose(tags.features[row], features[0], atol=1e-3)
    assert tags.probabilities.dtype == tags.features.dtype == np.float16
    assert len(tagger.heard) <= 2, "all seconds are asked together"


def test_a_tagger_that_breaks_its_word_is_named() -> None:
    class Nan(ToyTagger):
        def __call__(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.full((len(wave), 4), torch.nan), torch.zeros(len(wave), 6)

    class Fewer(ToyTagger):
        def __call__(self, wave: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.zeros(len(wave), 3), torch.zeros(len(wave), 6)

    for tagger in (Nan(), Fewer()):
        with pytest.raises(DataError, match=r"toy-tagger gave .* expected finite ones, 4 and 6"):
            listen(tagger, noise(0.5))


def test_the_manifest_names_the_tagger_and_its_classes() -> None:
    record = record_of(ToyTagger())
    assert (record.name, record.fingerprint, record.licence) == ("toy-tagger", "toy-1", "MIT")
    assert record.labels == ToyTagger.labels and record.features == 6


def overlaps(seconds: int, start: float, stop: float, whole: float) -> list[int]:
    """Milliseconds of a part in each second of a clip, by counting them."""
    overlap = [0] * seconds
    for second in range(seconds):
        begin = min(second, whole - 1)
        for step in range(round(start * 1000), round(stop * 1000)):
            overlap[second] += begin <= (step + 0.5) / 1000 < begin + 1
    return overlap


@settings(deadline=None)
@given(
    whole=st.integers(11, 50),
    start=st.integers(0, 49),
    length=st.integers(1, 50),
    seed=st.integers(0, 99),
)
def test_a_part_lies_between_its_seconds_and_the_whole(
    whole: int, start: int, length: int, seed: int
) -> None:
    """Times in tenths of a second, so that counting milliseconds is exact."""
    start = min(start, whole - 1)
    stop = min(whole, start + length)
    rows = 1 + -(-whole // 10)
    rng = np.random.default_rng(seed)
    tags = Tags(rng.random((rows, 3)).astype(np.float16), rng.random((rows, 2)).astype(np.float16))
    found = heard_between(tags, start / 10, stop / 10, whole / 10)
    assert found.probabilities.shape == (1, 3) and found.features.shape == (1, 2)
    counted = overlaps(rows - 1, start / 10, stop / 10, whole / 10)
    share = (max(0, stop - start - 10) / (whole - 10)) ** 0.5
    for name in ("probabilities", "features"):
        all_rows = getattr(tags, name).astype(np.float64)
        mean = np.average(all_rows[1:], axis=0, weights=counted)
        expected = share * all_rows[0] + (1 - share) * mean
        np.testing.assert_allclose(getattr(found, name)[0], expected, atol=1e-3)


def test_of_the_whole_the_whole_counts_and_of_a_moment_its_second() -> None:
    tags = Tags(np.eye(4, dtype=np.float16), np.eye(4, dtype=np.float16))
    assert np.array_equal(heard_between(tags, 0, 3, 3).features[0], [1, 0, 0, 0])
    assert np.array_equal(heard_between(tags, 1.2, 1.7, 3).features[0], [0, 0, 1, 0])


def test_a_clip_of_a_second_is_heard_as_a_whole() -> None:
    tags = Tags(np.ones((1, 3), np.float16), np.ones((1, 2), np.float16))
    assert np.array_equal(heard_between(tags, 0.2, 0.3, 1.0).features, tags.features)
