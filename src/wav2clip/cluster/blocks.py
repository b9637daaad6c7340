"""A finished block: a Parquet file of embeddings that also says what went wrong in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wav2clip.cluster.storage import Folder, is_address
from wav2clip.embedding.bulk import FileEmbedding, ahead
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.embedding.writers import embedding_table

_READERS, _AHEAD = 16, 256
_SUMMARY, _CONTENT = b"wav2clip.block", b"wav2clip.blocks"


@dataclass(frozen=True)
class Summary:
    """What a block says of itself.

    Attributes:
        files: files in it, the failed ones included.
        rows: embeddings in it.
        failures: path to the reason, for files that have no rows.
        warnings: path to what is wrong with files that could be used all the same.
    """

    files: int
    rows: int
    failures: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, list[str]] = field(default_factory=dict)


def block_table(files: pa.Table, results: Sequence[FileEmbedding], model: Wav2CLIP) -> pa.Table:
    """The rows of a block: those of :func:`wav2clip.embedding.writers.write_embeddings`, and the
    column ``file``, which is the same for a file in every run.

    Args:
        files: rows of :data:`wav2clip.cluster.listing.FILES`.
        results: one for each of them, in their order.
        model: made the embeddings.
    """
    good = [result for result in results if result.error is None]
    table = embedding_table(good, model)
    counts = [0 if result.error is not None else len(result.embeddings) for result in results]
    rows = pa.array(np.repeat(np.arange(len(results)), counts))
    table = table.set_column(0, "path", files["path"].take(rows))
    table = table.add_column(0, "file", files["file"].take(rows))
    told = list(zip(files["path"].to_pylist(), results, strict=True))
    summary = {
        "files": len(results),
        "failures": {path: result.error for path, result in told if result.error is not None},
        "warnings": {path: list(result.warnings) for path, result in told if result.warnings},
    }
    metadata = {**(table.schema.metadata or {}), _SUMMARY: json.dumps(summary)}
    return table.replace_schema_metadata(metadata)


def store_block(output: Folder, name: str, table: pa.Table) -> Summary:
    """Store a block under its name, as a whole."""
    sink = pa.BufferOutputStream()
    # A dictionary of vectors, no two of which are equal, would cost half as much again.
    pq.write_table(table, sink, use_dictionary=False, compression="zstd")
    output.write(name, sink.getvalue())
    return _summary(table.schema.metadata, table.num_rows)


def read_summaries(output: Folder, names: Iterable[str]) -> dict[str, Summary]:
    """Summaries of the blocks that are whole; one that is damaged is none."""
    calls = (partial(_read_summary, output, name) for name in names)
    found = ahead(calls, _READERS, _AHEAD)
    return {name: summary for name, summary in found if summary is not None}


def write_lance(output: Folder, names: Sequence[str], target: str, rows: int) -> None:
    """Copy blocks, in order, into a Lance dataset, in one commit; what was there is replaced.

    Args:
        output: holds the blocks.
        names: of the blocks, at least one.
        target: path or address that ends in ``.lance``.
        rows: of all blocks.
    """

    def batches() -> Iterator[pa.RecordBatch]:
        for name in names:
            with output.open(name) as file:
                for batch in pq.ParquetFile(file).iter_batches():
                    yield batch.cast(schema)

    with output.open(names[0]) as file:
        schema = pq.read_schema(file)
    kept = (b"wav2clip.model", b"wav2clip.fingerprint")
    metadata = {key: schema.metadata[key] for key in kept}
    schema = schema.with_metadata({**metadata, _CONTENT: _digest(names, rows)})
    database, table = _lance_table(target)
    reader = pa.RecordBatchReader.from_batches(schema, batches())
    database.create_table(table, reader, mode="overwrite")


def lance_is_current(target: str, names: Sequence[str], rows: int) -> bool:
    """Whether a dataset was made by :func:`write_lance` of the same blocks."""
    database, table = _lance_table(target)
    try:
        schema = database.open_table(table).schema
    except (OSError, RuntimeError, ValueError):  # none there, or none that can be read
        return False
    return bool((schema.metadata or {}).get(_CONTENT) == _digest(names, rows))


def _lance_table(target: str) -> tuple[Any, str]:
    """A connection to the folder of a dataset, and the name of the dataset in it."""
    import lancedb

    parent, _, name = target.rpartition("/")
    folder = parent if is_address(target) else str(Path(parent or ".").absolute())
    return lancedb.connect(folder), name[: -len(".lance")]


def _digest(names: Sequence[str], rows: int) -> bytes:
    return hashlib.sha256(repr((list(names), rows)).encode()).hexdigest().encode()


def _read_summary(output: Folder, name: str) -> tuple[str, Summary | None]:
    try:
        with output.open(name) as file:
            metadata = pq.read_metadata(file)
        return name, _summary(metadata.metadata, metadata.num_rows)
    except (pa.ArrowException, OSError, KeyError, ValueError):
        return name, None


def _summary(metadata: dict[bytes, bytes], rows: int) -> Summary:
    return Summary(rows=rows, **json.loads(metadata[_SUMMARY]))
