"""Windows from arrays and from streams are the same windows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wav2clip.audio.windows import frame, frame_blocks, frame_starts, window_count
from wav2clip.errors import InputError


@given(
    n=st.integers(0, 400),
    length=st.integers(1, 60),
    hop=st.integers(1, 90),
    batch=st.integers(1, 7),
    cuts=st.lists(st.integers(0, 400), max_size=6),
)
def test_streamed_windows_equal_a_plain_loop(
    n: int, length: int, hop: int, batch: int, cuts: list[int]
) -> None:
    samples = np.arange(n, dtype=np.float32)
    expected = [samples[s : s + length] for s in range(0, n - length + 1, hop)]
    assert window_count(n, length, hop) == len(expected)
    batches = list(
        frame_blocks(np.split(samples, sorted(min(c, n) for c in cuts)), length, hop, batch)
    )
    assert all(1 <= len(b) <= batch for b in batches)
    found = [row for b in batches for row in b]
    np.testing.assert_array_equal(np.array(found), np.array(expected))
    if expected:
        np.testing.assert_array_equal(frame(samples, length, hop), np.array(expected))


def test_starts_in_seconds() -> None:
    np.testing.assert_allclose(frame_starts(3, 8_000, 16_000), [0, 0.5, 1.0])


def test_too_short_and_nonsense() -> None:
    with pytest.raises(InputError, match="10 samples are shorter than one window of 11"):
        frame(np.zeros(10, np.float32), 11, 1)
    with pytest.raises(InputError, match="expected at least 1"):
        window_count(10, 0, 1)
