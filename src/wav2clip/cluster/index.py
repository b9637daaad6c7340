"""A library indexed by a cluster: workers read and embed, this process alone writes the library.

What is new, changed, moved or gone is decided as on one machine, by :mod:`wav2clip.library.index`;
only the reading and the embedding of its files go to the workers. All machines have to see the
files under the same paths.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from wav2clip.cluster.plan import cut
from wav2clip.cluster.session import Cluster, connected, stream
from wav2clip.cluster.worker import Model, Worker, failed, share_model, start_ledger
from wav2clip.embedding.bulk import FileEmbedding, embed_segments
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.library.index import IndexReport
from wav2clip.library.library import Library
from wav2clip.library.scan import hash_files
from wav2clip.library.store import KnownFile

Watch = Callable[[str, str], AbstractContextManager[Callable[[int, int], object]]]
"""Given a title and a unit, a context whose function is called with (done, in all)."""

Row = dict[str, Any]
"""Names of columns to Arrow scalars."""

_RESULTS = pa.schema(
    [
        ("row", pa.int64()),  # place among the files of the run
        ("embeddings", pa.list_(pa.float32())),  # segments times dimension
        ("starts", pa.list_(pa.float64())),
        ("ends", pa.list_(pa.float64())),
        ("error", pa.string()),
        ("warnings", pa.list_(pa.string())),
        ("channels", pa.int32()),
        ("source_rate", pa.int32()),
        ("seconds", pa.float64()),
        ("metadata", pa.string()),  # JSON
    ]
)


def unwatched(title: str, unit: str) -> AbstractContextManager[Callable[[int, int], object]]:
    """No progress."""
    return nullcontext(lambda done, total: None)


def index_on_cluster(
    library: Library,
    folders: Sequence[str],
    cluster: Cluster,
    *,
    watch: Watch = unwatched,
    **options: Any,
) -> IndexReport:
    """:meth:`wav2clip.library.Library.index` with the work done by a cluster.

    Rows are stored as results come, each file's in one commit. Whatever stops the run, the next one
    goes on with the files that have none.

    Args:
        library: its model was loaded by name or path; its weights are sent to the workers.
        folders: on a disk that all machines see under the same paths.
        cluster: where to work; not connected to when nothing is new.
        watch: shows progress.
        options: ``prune``, ``rebuild``, ``wait``, ``segment_seconds`` and ``overlap_seconds``.

    Raises:
        ClusterError: no cluster, or workers that cannot go on.
        LibraryError: see :meth:`wav2clip.library.Library.index`.
    """
    with ExitStack() as session:
        executor = ClusterExecutor(library.load_model(to_index=True), cluster, session, watch)
        return library.index(folders, executor=executor, **options)


class ClusterExecutor:
    """Hashes and embeds on a cluster, which is joined when there is something to do.

    Args:
        model: the library's.
        cluster: where to work.
        session: leaves the cluster when it is closed.
        watch: shows progress.
    """

    def __init__(
        self, model: Wav2CLIP, cluster: Cluster, session: ExitStack, watch: Watch = unwatched
    ) -> None:
        self._model, self._cluster = model, cluster
        self._session, self._watch = session, watch
        self._joined = False

    def hash(self, files: Iterable[KnownFile]) -> Iterator[tuple[KnownFile, str | None]]:
        """Files with the hashes of their content, or the reason why there are none."""
        todo = list(files)
        columns = {
            "inner": [os.fsencode(file.path) for file in todo],
            "size": [file.size for file in todo],
            "mtime_ns": [file.mtime_ns for file in todo],
            "ctime_ns": [file.ctime_ns for file in todo],
        }
        arguments = {"threads": self._cluster.cpus}
        readers = replace(self._cluster, device="cpu")  # reading takes no GPU
        sizes = [file.size for file in todo]
        with self._watch("reading", "files") as progress:
            batches = self._stream(readers, pa.table(columns), sizes, HashWorker, lambda: arguments)
            for done, row in enumerate(batches, start=1):
                file = todo[row["row"].as_py()]
                hashes = {name: row[name].as_py() for name in ("hash", "sound")}
                yield replace(file, **hashes), row["reason"].as_py()
                progress(done, len(todo))

    def embed(
        self, paths: Iterable[Path], segment_seconds: float, overlap_seconds: float
    ) -> Iterator[FileEmbedding]:
        """Results for the paths, all of which are read before the first is embedded."""
        todo = list(paths)
        columns = {"root": [""] * len(todo), "inner": [os.fsencode(path) for path in todo]}
        table = pa.table(columns, schema=pa.schema({"root": pa.string(), "inner": pa.binary()}))

        def arguments() -> dict[str, Any]:
            return {
                "model": share_model(self._model, self._cluster),
                "ledger": start_ledger(),
                "segment_seconds": segment_seconds,
                "overlap_seconds": overlap_seconds,
            }

        sizes = [_size(path) for path in todo]
        with self._watch("indexing", "files") as progress:
            batches = self._stream(self._cluster, table, sizes, SegmentWorker, arguments)
            for done, row in enumerate(batches, start=1):
                yield _from_row(todo[row["row"].as_py()], row)
                progress(done, len(todo))

    def _stream(
        self,
        cluster: Cluster,
        files: pa.Table,
        sizes: Sequence[int],
        worker: type[Callable[[pa.Table], pa.Table]],
        arguments: Callable[[], dict[str, Any]],
    ) -> Iterator[Row]:
        """The workers' rows, one for each file, whatever a worker that died had sent before."""
        if not files.num_rows:
            return
        if not self._joined:
            self._session.enter_context(connected(self._cluster))
            self._joined = True
        files = files.append_column("row", pa.array(np.arange(files.num_rows)))
        borders = np.flatnonzero(np.diff(cut(np.array(sizes)))) + 1
        starts, ends = [0, *borders.tolist()], [*borders.tolist(), files.num_rows]
        blocks = [files.slice(a, b - a) for a, b in zip(starts, ends, strict=True)]
        waiting = set(range(files.num_rows))
        for batch in stream(cluster, blocks, worker, arguments()):
            columns = {name: batch[name].combine_chunks() for name in batch.column_names}
            for place, number in enumerate(columns["row"].to_pylist()):
                if number in waiting:
                    waiting.remove(number)
                    yield {name: column[place] for name, column in columns.items()}


class HashWorker:
    """Reads files and gives the hashes of what they hold."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def __call__(self, files: pa.Table) -> pa.Table:
        """Columns of KnownFile with ``row`` to ``row``, ``hash``, ``sound`` and ``reason``."""
        columns = (files[name].to_pylist() for name in ("inner", "size", "mtime_ns", "ctime_ns"))
        known = [
            KnownFile(Path(os.fsdecode(path)), size, mtime, ctime_ns=ctime)
            for path, size, mtime, ctime in zip(*columns, strict=True)
        ]
        results = list(hash_files(known, self._threads))
        return pa.table(
            {
                "row": files["row"],
                "hash": [file.hash for file, _ in results],
                "sound": [file.sound for file, _ in results],
                "reason": pa.array([reason for _, reason in results], pa.string()),
            }
        )


class SegmentWorker(Worker):
    """Embeds the segments of files."""

    def __init__(
        self, model: Model, ledger: Any, segment_seconds: float, overlap_seconds: float
    ) -> None:
        embed = partial(
            embed_segments,
            segment_seconds=segment_seconds,
            overlap_seconds=overlap_seconds,
            metadata=True,
            workers=model.threads,
        )
        super().__init__(model, ledger, embed)

    def __call__(self, files: pa.Table) -> pa.Table:
        """Columns ``root``, ``inner`` and ``row`` to one row of results for each file."""
        rows = files["row"].to_pylist()
        results = self.results(f"files from {rows[0]}", files)
        pairs = zip(rows, results, strict=True)
        return pa.Table.from_pylist([_to_row(row, result) for row, result in pairs], _RESULTS)


def _to_row(row: int, result: FileEmbedding) -> dict[str, Any]:
    return {
        "row": row,
        "embeddings": result.embeddings.ravel(),
        "starts": result.starts,
        "ends": result.ends,
        "error": result.error,
        "warnings": list(result.warnings),
        "channels": result.channels,
        "source_rate": result.source_rate,
        "seconds": result.seconds,
        "metadata": json.dumps(dict(result.metadata)),
    }


def _from_row(path: Path, row: Row) -> FileEmbedding:
    if row["error"].as_py() is not None:
        return failed(row["error"].as_py(), path)
    starts = row["starts"].values.to_numpy()
    return FileEmbedding(
        path,
        row["embeddings"].values.to_numpy().reshape(len(starts), -1),
        starts,
        row["ends"].values.to_numpy(),
        warnings=tuple(row["warnings"].as_py()),
        channels=row["channels"].as_py(),
        source_rate=row["source_rate"].as_py(),
        seconds=row["seconds"].as_py(),
        metadata=json.loads(row["metadata"].as_py()),
    )


def _size(path: Path) -> int:
    """Bytes of a file, 0 for one that is gone: whoever opens it says so."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
