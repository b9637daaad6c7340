"""Small sounds, and the rows of a library."""

from __future__ import annotations

import numpy as np

from media import wav_bytes
from wav2clip.library import Library


def noise(seed: int, seconds: float = 0.3) -> bytes:
    """A WAV file of noise that differs with the seed."""
    rng = np.random.default_rng(seed)
    shape = np.hanning(max(4, seed % 50 + 4))
    wave = np.convolve(rng.uniform(-1, 1, int(16_000 * seconds)), shape, "same")
    return wav_bytes((0.5 * wave / np.abs(wave).max()).astype(np.float32))


def rows_of(library: Library) -> list[tuple[object, ...]]:
    """All rows without their vectors, in one order."""
    columns = [name for name in library.store.segments.schema.names if name != "vector"]
    table = library.store.read(columns).sort_by(
        [("path_bytes", "ascending"), ("start", "ascending")]
    )
    return [tuple(map(str, row.values())) for row in table.to_pylist()]
