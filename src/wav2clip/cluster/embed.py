"""Files to blocks of embeddings on a cluster, each file exactly once whatever is restarted."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock, Timeout

from wav2clip.cluster.blocks import (
    Summary,
    block_table,
    lance_is_current,
    read_summaries,
    store_block,
    write_lance,
)
from wav2clip.cluster.listing import list_files
from wav2clip.cluster.plan import Block, Job, finished, make_plan, stale
from wav2clip.cluster.session import Cluster, connected, stream
from wav2clip.cluster.storage import Folder, is_address, public_name
from wav2clip.cluster.worker import Model, Worker, share_model, start_ledger
from wav2clip.embedding.bulk import embed_files
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import ClusterError, InputError
from wav2clip.files import display

Progress = Callable[[int, int], None]
"""Called with the files that are done and the files in all."""


@dataclass
class EmbedReport:
    """What became of the files.

    Attributes:
        output: the folder of Parquet files, or the Lance dataset.
        files: files with embeddings.
        rows: embeddings.
        blocks: blocks in all.
        kept: blocks that an earlier run had finished.
        failures: path to the reason, for files and sources that gave nothing.
        warnings: path to what is wrong with files that could be used all the same.
        left_out: files that are neither sound nor video by name, by suffix.
    """

    output: str
    files: int = 0
    rows: int = 0
    blocks: int = 0
    kept: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)


def embed_on_cluster(
    model: Wav2CLIP,
    sources: Sequence[str],
    output: str,
    cluster: Cluster,
    *,
    manifests: Sequence[str] = (),
    frame_seconds: float | None = None,
    hop_seconds: float | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> EmbedReport:
    """Embed recordings; the result is what :func:`wav2clip.embedding.bulk.embed_files` gives.

    Workers store each block of files under its final name when it is whole, and a block that is
    there is not done again: the same call goes on where another was stopped. Files that came are
    added, blocks of files that changed or went are done anew.

    Args:
        model: loaded by name or path; its weights are sent to the workers, which use its engine.
        sources: files, folders, patterns and addresses, see :func:`~.listing.list_files`.
        output: a folder of Parquet files, by path or address, or a Lance dataset if it ends in
            ``.lance``; its blocks then are beside it, in a folder that ends in ``.blocks``.
        cluster: where to work.
        manifests: files of paths or addresses.
        frame_seconds: length of frames, or None for clip level.
        hop_seconds: seconds between frames; by default the frames' length.
        retry_failed: do blocks again in which files failed.
        progress: called whenever a block is done.

    Raises:
        ClusterError: no cluster, an output of another job, or workers that cannot go on.
        InputError: an address or a manifest that cannot be read.
    """
    folder = Folder(blocks_of(output))
    listing = list_files(sources, manifests)
    report = EmbedReport(output, failures=dict(listing.failures), left_out=listing.left_out)
    if not listing.files.num_rows:
        return report
    job = Job(
        model.fingerprint,
        model.name,
        model.engine,
        frame_seconds,
        hop_seconds,
        sources=tuple(map(_settled_name, sources)),
        manifests=tuple(map(_settled_name, manifests)),
    )
    with _only_driver(folder):
        blocks = make_plan(job, listing, folder)
        held = finished(blocks, folder, incomplete=bool(listing.failures))
        found = read_summaries(folder, held.values())
        done = {name: file for name, file in held.items() if file in found}
        if retry_failed:
            done = {name: file for name, file in done.items() if not found[file].failures}
        todo = [block for block in blocks if block.name not in done]
        summaries = {name: found[file] for name, file in done.items()}
        report.blocks, report.kept = len(blocks), len(done)
        _tell(progress, summaries, listing.files.num_rows)
        for name, summary in _compute(model, job, todo, folder, cluster):
            summaries[name], done[name] = summary, name
            _tell(progress, summaries, listing.files.num_rows)
        files = [done[block.name] for block in blocks]
        if not listing.failures:
            folder.delete(stale(files, folder))
        _add_up(report, [summaries[block.name] for block in blocks])
        if is_lance(output) and (todo or not lance_is_current(output, files, report.rows)):
            write_lance(folder, files, output, report.rows)
    return report


def is_lance(output: str) -> bool:
    """Whether an output is a Lance dataset rather than a folder of Parquet files."""
    return output.lower().endswith(".lance")


def blocks_of(output: str) -> str:
    """The folder of blocks of an output.

    Raises:
        InputError: the name is that of a single file in a format of one machine.
    """
    output = output.rstrip("/")
    if is_lance(output):
        return output[: -len(".lance")] + ".blocks"
    if output.lower().endswith((".npz", ".jsonl")):
        raise InputError(
            f"{display(output)}: a cluster writes a folder of Parquet files (any name without such "
            "a suffix) or a Lance dataset (a name ending in .lance)"
        )
    if not is_address(output) and Path(output).is_file():
        raise InputError(f"{display(output)}: a file is in the way of the folder to write")
    return output


class EmbedWorker(Worker):
    """Embeds blocks and stores them."""

    def __init__(self, model: Model, ledger: Any, job: Job, output: str) -> None:
        super().__init__(
            model,
            ledger,
            partial(
                embed_files,
                frame_seconds=job.frame_seconds,
                hop_seconds=job.hop_seconds,
                workers=model.threads,
            ),
        )
        self._output = Folder(output)

    def __call__(self, files: pa.Table) -> pa.Table:
        """Rows of FILES with the column ``block`` to one row with ``block`` and its summary."""
        name = files["block"][0].as_py()
        table = block_table(files, self.results(name, files), self.model)
        summary = store_block(self._output, name, table)
        return pa.table({"block": [name], "summary": [json.dumps(asdict(summary))]})


def _compute(
    model: Wav2CLIP, job: Job, todo: Sequence[Block], output: Folder, cluster: Cluster
) -> Iterator[tuple[str, Summary]]:
    """Names and summaries of the blocks as they are finished."""
    if not todo:
        return
    with connected(cluster):
        arguments = {
            "model": share_model(model, cluster),
            "ledger": start_ledger(),
            "job": job,
            "output": _absolute(output),
        }
        tables = [b.files.append_column("block", pa.array([b.name] * len(b.files))) for b in todo]
        for batch in stream(cluster, tables, EmbedWorker, arguments):
            for row in batch.to_pylist():
                yield row["block"], Summary(**json.loads(row["summary"]))


def _settled_name(source: str) -> str:
    """The same for a source from whatever folder the command is run."""
    return public_name(source) if is_address(source) else display(os.path.abspath(source))


def _absolute(output: Folder) -> str:
    """The folder as a worker in another working directory finds it."""
    return str(output.local or output.location)


def _tell(progress: Progress | None, summaries: dict[str, Summary], total: int) -> None:
    if progress is not None:
        progress(sum(summary.files for summary in summaries.values()), total)


def _add_up(report: EmbedReport, summaries: Sequence[Summary]) -> None:
    for summary in summaries:
        report.files += summary.files - len(summary.failures)
        report.rows += summary.rows
        report.failures.update(summary.failures)
        report.warnings.update({path: (*told,) for path, told in summary.warnings.items()})


@contextlib.contextmanager
def _only_driver(output: Folder) -> Iterator[None]:
    """Be the only run that writes to a folder on a disk; object storage has no such lock.

    Raises:
        ClusterError: another process is writing there.
    """
    if output.local is None:
        yield
        return
    lock = FileLock(output.local / ".lock", timeout=0)
    try:
        output.local.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise ClusterError(
            f"another process is writing to {output.name}: wait until it has ended"
        ) from error
    except OSError as error:
        raise ClusterError(f"cannot write to {output.name}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()
