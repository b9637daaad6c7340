"""Many files: decoding in threads beside the network, batches across files of equal length.

A file that fails is a result like any other; it never costs its neighbours.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wav2clip.audio import io
from wav2clip.audio.io import Samples
from wav2clip.embedding.embedder import WHOLE_SECONDS, Embeddings, Wav2CLIP
from wav2clip.errors import Wav2ClipError

_BATCH_FILES = 8
_AHEAD = 4 * _BATCH_FILES
"""Recordings decoded or being decoded before the network takes them: at most WHOLE_SECONDS each."""


@dataclass(frozen=True)
class FileEmbedding:
    """What became of one file.

    Attributes:
        path: as given.
        embeddings: (t, dimension) float32, one row per frame, or one row at clip level.
        starts: (t,) float64 seconds.
        ends: (t,) float64 seconds.
        error: why there are no embeddings (t is 0 then), or None.
        warnings: what is wrong with a file that could be read all the same.
    """

    path: Path
    embeddings: Embeddings
    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    error: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Decoded:
    path: Path
    samples: Samples | None = None  # None: longer than WHOLE_SECONDS, to be streamed
    error: str | None = None
    warnings: tuple[str, ...] = ()


def embed_files(
    model: Wav2CLIP,
    paths: Iterable[Path],
    *,
    frame_seconds: float | None = None,
    hop_seconds: float | None = None,
    workers: int | None = None,
) -> Iterator[FileEmbedding]:
    """Embed files, in an order that batches well; each path comes back exactly once.

    Args:
        model: any loaded model.
        paths: files; may be an iterator, which is read only as far ahead as needed.
        frame_seconds: length of frames, or None for clip level.
        hop_seconds: seconds between frames; by default the frames' length.
        workers: threads that decode; by default one per core.
    """
    if frame_seconds is not None:
        hop = frame_seconds if hop_seconds is None else hop_seconds
        for decoded in _decode_ahead(paths, model.sample_rate, workers):
            yield _embed_one_by_frames(model, decoded, frame_seconds, hop)
        return
    waiting: dict[int, list[_Decoded]] = {}
    for decoded in _decode_ahead(paths, model.sample_rate, workers):
        if decoded.error is not None:
            yield _failed(decoded.path, decoded.error)
        elif decoded.samples is None:
            yield _embed_long(model, decoded)
        else:
            group = waiting.setdefault(len(decoded.samples), [])
            group.append(decoded)
            if len(group) == _BATCH_FILES:
                yield from _embed_group(model, waiting.pop(len(decoded.samples)))
            elif sum(map(len, waiting.values())) > _AHEAD:
                fullest = max(waiting, key=lambda length: len(waiting[length]))
                yield from _embed_group(model, waiting.pop(fullest))
    for group in waiting.values():
        yield from _embed_group(model, group)


def _decode_ahead(
    paths: Iterable[Path], sample_rate: int, workers: int | None
) -> Iterator[_Decoded]:
    """Decoded files in the order given, some of them ahead of their turn."""
    workers = workers or os.cpu_count() or 1
    pending: deque[Future[_Decoded]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        for path in paths:
            pending.append(pool.submit(_decode, path, sample_rate))
            if len(pending) >= _AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _decode(path: Path, sample_rate: int) -> _Decoded:
    blocks: list[Samples] = []
    try:
        stream = io.stream_audio(path, sample_rate)
        for block in stream:
            blocks.append(block)
            if stream.seconds > WHOLE_SECONDS:
                return _Decoded(path)
    except (Wav2ClipError, OSError, MemoryError) as error:
        return _Decoded(path, error=_reason(path, error))
    return _Decoded(path, np.concatenate(blocks), warnings=stream.warnings)


def _embed_group(model: Wav2CLIP, group: list[_Decoded]) -> Iterator[FileEmbedding]:
    waves = [decoded.samples for decoded in group if decoded.samples is not None]
    embeddings = model.embed_audio(np.stack(waves), model.sample_rate)
    for decoded, wave, embedding in zip(group, waves, embeddings, strict=True):
        yield FileEmbedding(
            decoded.path,
            embedding[None],
            np.zeros(1),
            np.array([len(wave) / model.sample_rate]),
            warnings=decoded.warnings,
        )


def _embed_long(model: Wav2CLIP, decoded: _Decoded) -> FileEmbedding:
    streams: list[io.AudioStream] = []

    def blocks() -> Iterable[Samples]:
        streams.append(io.stream_audio(decoded.path, model.sample_rate))
        return streams[-1]

    try:
        embedding = model.embed_stream(blocks)
    except (Wav2ClipError, OSError) as error:
        return _failed(decoded.path, _reason(decoded.path, error))
    ends = np.array([streams[-1].seconds])
    return FileEmbedding(
        decoded.path, embedding[None], np.zeros(1), ends, warnings=streams[-1].warnings
    )


def _embed_one_by_frames(
    model: Wav2CLIP, decoded: _Decoded, frame_seconds: float, hop_seconds: float
) -> FileEmbedding:
    if decoded.error is not None:
        return _failed(decoded.path, decoded.error)
    try:
        if decoded.samples is None:
            frames = model.embed_file_frames(decoded.path, frame_seconds, hop_seconds)
        else:
            frames = model.embed_frames(
                decoded.samples, model.sample_rate, frame_seconds, hop_seconds
            )
    except (Wav2ClipError, OSError) as error:
        return _failed(decoded.path, _reason(decoded.path, error))
    return FileEmbedding(
        decoded.path,
        frames.embeddings,
        frames.starts,
        frames.starts + frame_seconds,
        warnings=decoded.warnings,
    )


def _failed(path: Path, reason: str) -> FileEmbedding:
    return FileEmbedding(path, np.zeros((0, 0), np.float32), np.zeros(0), np.zeros(0), reason)


def _reason(path: Path, error: Exception) -> str:
    """The message without the file's name in front, which whoever shows it adds again."""
    text = str(error) or type(error).__name__
    return text.removeprefix(f"{io.source_name(path)}: ")
