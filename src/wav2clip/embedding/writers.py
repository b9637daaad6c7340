"""Embeddings to files: npz, parquet or JSON lines, each under its name only when whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wav2clip.embedding.bulk import FileEmbedding
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import InputError
from wav2clip.files import atomic_path, display

if TYPE_CHECKING:
    import pyarrow as pa


def write_embeddings(path: Path, results: Sequence[FileEmbedding], model: Wav2CLIP) -> int:
    """Write one row per frame, or per file at clip level, in the format of the suffix.

    Columns: ``path`` (str; bytes that are no UTF-8 are escaped), ``start`` and ``end`` (float64
    seconds), ``embedding`` (dimension float32). An npz file holds them as the arrays ``paths``,
    ``starts``, ``ends`` and ``embeddings`` (rows, dimension); it and parquet also hold the model's
    name and fingerprint.

    Args:
        path: ends in ``.npz``, ``.parquet`` or ``.jsonl``.
        results: files that failed give no rows.
        model: made the embeddings.

    Returns:
        The number of rows.

    Raises:
        InputError: another suffix, or a folder that is not there.
    """
    write = writer_for(path)
    good = [result for result in results if result.error is None]
    with atomic_path(path) as temporary:
        write(temporary, good, model)
    return sum(len(result.embeddings) for result in good)


def writer_for(path: Path) -> Callable[[Path, Sequence[FileEmbedding], Wav2CLIP], None]:
    """The writer of a file's suffix.

    Raises:
        InputError: no writer has it.
    """
    writers = {".npz": _write_npz, ".parquet": _write_parquet, ".jsonl": _write_jsonl}
    if path.suffix.lower() not in writers:
        raise InputError(f"{display(path)}: expected a name ending in {', '.join(writers)}")
    return writers[path.suffix.lower()]


def embedding_table(results: Sequence[FileEmbedding], model: Wav2CLIP) -> pa.Table:
    """The Arrow table of :func:`write_embeddings`, with the model's name as its metadata."""
    import pyarrow as pa

    paths, starts, ends, embeddings = _columns(results, model)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), model.dimension)
    table = pa.table({"path": paths, "start": starts, "end": ends, "embedding": vectors})
    metadata = {"wav2clip.model": model.name, "wav2clip.fingerprint": model.fingerprint}
    return table.replace_schema_metadata(metadata)


def _columns(
    results: Sequence[FileEmbedding], model: Wav2CLIP
) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    paths = [display(r.path) for r in results for _ in range(len(r.embeddings))]
    starts = np.concatenate([np.zeros(0), *(r.starts for r in results)])
    ends = np.concatenate([np.zeros(0), *(r.ends for r in results)])
    none = np.zeros((0, model.dimension), np.float32)
    return paths, starts, ends, np.concatenate([none, *(r.embeddings for r in results)])


def _write_npz(path: Path, results: Sequence[FileEmbedding], model: Wav2CLIP) -> None:
    paths, starts, ends, embeddings = _columns(results, model)
    with path.open("wb") as file:
        np.savez(
            file,
            paths=np.array(paths, dtype=np.str_),
            starts=starts,
            ends=ends,
            embeddings=embeddings,
            model=np.str_(model.name),
            fingerprint=np.str_(model.fingerprint),
        )


def _write_parquet(path: Path, results: Sequence[FileEmbedding], model: Wav2CLIP) -> None:
    import pyarrow.parquet as pq

    pq.write_table(embedding_table(results, model), path)


def _write_jsonl(path: Path, results: Sequence[FileEmbedding], model: Wav2CLIP) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in zip(*_columns(results, model), strict=True):
            name, start, end, embedding = row
            record = {
                "path": name,
                "start": round(float(start), 6),
                "end": round(float(end), 6),
                # The shortest decimals that read back as the same float32.
                "embedding": [float(str(value)) for value in embedding],
            }
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
