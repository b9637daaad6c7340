"""Embeddings of a whole dataset, computed once.

They are kept in the user's cache under the encoder's fingerprint, the dataset's checksum and the
level, in parts of some hundred clips that each appear only when whole. A run that was stopped goes
on after its last part.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wav2clip.audio.io import Samples
from wav2clip.datasets.core import Clip, Dataset, Problem, refuse
from wav2clip.downloads import cache_folder
from wav2clip.embedding.bulk import ahead
from wav2clip.embedding.engine import Embeddings
from wav2clip.errors import Wav2ClipError
from wav2clip.evaluation.encoders import Encoder
from wav2clip.files import atomic_path
from wav2clip.reading.readers import Readers

PART_CLIPS = 256
"""Clips of one file of the cache: about a quarter of a minute of a core."""

_BATCH_CLIPS = 16
_AHEAD = 2 * _BATCH_CLIPS

Advance = Callable[[int], None]
"""Called with the number of clips that are done."""


@dataclass(frozen=True)
class FrameLevel:
    """Length of the windows and steps between them, in seconds."""

    frame_seconds: float
    hop_seconds: float


@dataclass(frozen=True)
class Features:
    """Embeddings of the clips of a dataset that could be decoded.

    Attributes:
        dataset: with those clips alone, in their order.
        vectors: (n, dimension) float32, one row per clip; at the level of frames, the windows of
            all clips one after the other.
        counts: (clips,) rows of each clip.
        starts: (n,) seconds of each window from the start of its clip; zeros at clip level.
        problems: clips that could not be decoded whole, and why.
    """

    dataset: Dataset
    vectors: Embeddings
    counts: NDArray[np.int64]
    starts: NDArray[np.float64]
    problems: tuple[Problem, ...]

    @property
    def clips(self) -> tuple[Clip, ...]:
        """Those that the rows belong to, in their order."""
        return self.dataset.clips

    def per_clip(self) -> list[Embeddings]:
        """Rows (t, dimension) of each clip."""
        return np.split(self.vectors, np.cumsum(self.counts)[:-1])


@dataclass(frozen=True)
class _Result:
    """Rows of one clip, or why there are none."""

    vectors: Embeddings
    starts: NDArray[np.float64]
    error: str = ""


def compute(
    encoder: Encoder,
    dataset: Dataset,
    *,
    frames: FrameLevel | None = None,
    keep_going: bool = False,
    advance: Advance = lambda _: None,
) -> Features:
    """Embeddings of every clip, from the cache where they are there.

    Args:
        encoder: any.
        dataset: any; what is missing or unlabelled in it must have been refused before.
        frames: windows, or None for one embedding per clip.
        keep_going: leave clips out that are damaged, instead of stopping.
        advance: for a progress bar.

    Raises:
        DataError: clips cannot be decoded; all of them are named, and the others are in the cache.
    """
    folder = cache_path(encoder, dataset, frames)
    folder.mkdir(parents=True, exist_ok=True)
    results: list[_Result] = []
    with Readers() as readers:
        for first in range(0, len(dataset.clips), PART_CLIPS):
            clips = dataset.clips[first : first + PART_CLIPS]
            path = folder / f"{first:08d}.npz"
            part = _read(path, len(clips))
            if part is None:
                part = list(_embed(readers, encoder, clips, frames, advance))
                _write(path, part, encoder.dimension)
            else:
                advance(len(clips))
            results += part
    pairs = list(zip(dataset.clips, results, strict=True))
    problems = tuple(Problem(clip.key, result.error) for clip, result in pairs if result.error)
    refuse(problems, dataset.sheet.title, keep_going)
    kept = [(clip, result) for clip, result in pairs if not result.error]
    nothing = np.zeros((0, encoder.dimension), np.float32)
    return Features(
        replace(dataset, clips=tuple(clip for clip, _ in kept)),
        np.concatenate([nothing, *(r.vectors for _, r in kept)]),
        np.array([len(r.vectors) for _, r in kept], np.int64),
        np.concatenate([np.zeros(0), *(r.starts for _, r in kept)]),
        problems,
    )


def cache_path(encoder: Encoder, dataset: Dataset, frames: FrameLevel | None) -> Path:
    """The folder of the embeddings of a dataset by an encoder."""
    level = "clips" if frames is None else f"frames-{frames.frame_seconds}-{frames.hop_seconds}"
    name = f"{dataset.sheet.name}-{dataset.checksum}"
    parts = (re.sub(r"[^\w.-]+", "_", part) for part in (encoder.fingerprint, name, level))
    return cache_folder().joinpath("features", *parts)


def _embed(
    readers: Readers,
    encoder: Encoder,
    clips: Sequence[Clip],
    frames: FrameLevel | None,
    advance: Advance,
) -> Iterator[_Result]:
    """Results of clips in their order; decoding runs in processes beside the encoder."""
    calls = (partial(_decode, readers, clip.path, encoder.sample_rate) for clip in clips)
    decoded = ahead(calls, readers.count, _AHEAD)
    batch: list[Samples | str] = []
    for wave in decoded:
        batch.append(wave)
        if len(batch) == _BATCH_CLIPS or frames is not None:
            yield from _embed_batch(encoder, batch, frames)
            advance(len(batch))
            batch = []
    yield from _embed_batch(encoder, batch, frames)
    advance(len(batch))


def _decode(readers: Readers, path: Path, sample_rate: int) -> Samples | str:
    """The samples of a file, or what is wrong with it: half a recording is not the recording."""
    try:
        recording = readers.load_audio(path, sample_rate)
    except (Wav2ClipError, OSError, MemoryError) as error:
        return str(error) or type(error).__name__
    return recording.samples if recording.whole else "; ".join(recording.warnings)


def _embed_batch(
    encoder: Encoder, batch: list[Samples | str], frames: FrameLevel | None
) -> Iterator[_Result]:
    none = np.zeros((0, encoder.dimension), np.float32), np.zeros(0)
    waves = [wave for wave in batch if not isinstance(wave, str)]
    rows = iter(encoder.embed(waves) if frames is None and waves else ())
    for wave in batch:
        if isinstance(wave, str):
            yield _Result(*none, error=wave)
        elif frames is None:
            yield _Result(next(rows)[None], np.zeros(1))
        else:
            try:
                found = encoder.embed_frames(wave, frames.frame_seconds, frames.hop_seconds)
                yield _Result(found[0], found[1])
            except Wav2ClipError as error:
                yield _Result(*none, error=str(error))


def _write(path: Path, part: list[_Result], dimension: int) -> None:
    empty = [np.zeros((0, dimension), np.float32)]
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            vectors=np.concatenate([*empty, *(result.vectors for result in part)]),
            starts=np.concatenate([result.starts for result in part]),
            counts=np.array([len(result.vectors) for result in part]),
            errors=np.array([result.error for result in part], np.str_),
        )


def _read(path: Path, clips: int) -> list[_Result] | None:
    """A part of the cache, or None if it must be computed."""
    try:
        with np.load(path, allow_pickle=False) as content:
            ends = np.cumsum(content["counts"])[:-1]
            vectors = np.split(content["vectors"], ends)
            starts = np.split(content["starts"], ends)
            part = [
                _Result(v, s, str(e))
                for v, s, e in zip(vectors, starts, content["errors"], strict=True)
            ]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return part if len(part) == clips else None
