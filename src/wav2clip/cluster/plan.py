"""Which file belongs to which block, decided once and kept, and which blocks are still to be done.

A block is the unit of work and of commitment: a worker computes it whole and stores it under a
name that depends on its files and on how they are embedded, and on nothing else. So a block that is
done twice replaces itself, one of another model or of files that changed has another name, and a
run that was stopped goes on with the blocks whose names are missing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wav2clip.cluster.listing import Listing
from wav2clip.cluster.storage import Folder
from wav2clip.errors import ClusterError

BLOCK_FILES = 256
BLOCK_BYTES = 128 * 2**20
"""Largest block: two hours of MP3 at 128 kbit/s. A single larger file is a block of its own."""

_FEWEST_BLOCKS = 64
# Small jobs are cut finer, so that there is something to do for every worker.

_BLOCK_NAME = re.compile(r"block-(\d{8})-[0-9a-f]{16}\.parquet")
_PLAN_NAME = re.compile(r"_plan-\d{6}\.parquet")
# Readers of Parquet folders leave out what begins with an underscore.
_JOB = b"wav2clip.job"


@dataclass(frozen=True)
class Job:
    """What all blocks of an output share.

    Attributes:
        fingerprint: of the model.
        model: name or path that it was loaded as.
        engine: see :func:`wav2clip.load`.
        frame_seconds: length of frames, or None for clip level.
        hop_seconds: seconds between frames, or None for their length.
        sources: what was asked for.
        manifests: the same.
    """

    fingerprint: str
    model: str
    engine: str = "auto"
    frame_seconds: float | None = None
    hop_seconds: float | None = None
    sources: tuple[str, ...] = ()
    manifests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """Files that are embedded together: rows of :data:`wav2clip.cluster.listing.FILES`."""

    name: str
    files: pa.Table


def make_plan(job: Job, listing: Listing, output: Folder) -> list[Block]:
    """All blocks of the listing, in order. Files that no earlier run knew get new blocks.

    Raises:
        ClusterError: the output was made by another job.
    """
    ids = listing.files["file"].combine_chunks()
    planned = _read_plan(job, output)
    rows = pc.index_in(ids, planned["file"].combine_chunks())
    numbers = planned["block"].combine_chunks().take(rows)  # null: a new file
    new = pc.is_null(numbers).to_numpy(zero_copy_only=False)
    owner = pc.fill_null(numbers, -1).to_numpy(zero_copy_only=False).copy()
    if new.any():
        first = pc.max(planned["block"]).as_py()
        sizes = listing.files["size"].to_numpy()[new]
        owner[new] = cut(sizes) + (0 if first is None else first + 1)
        _store_part(job, output, pa.table({"file": ids.filter(pa.array(new)), "block": owner[new]}))
    order = np.argsort(owner, kind="stable")
    files = listing.files.take(pa.array(order))
    borders = np.flatnonzero(np.diff(owner[order])) + 1
    starts = [0, *borders.tolist()] if len(owner) else []
    slices = zip(starts, [*borders.tolist(), len(owner)], strict=False)
    return [_block(job, int(owner[order[a]]), files.slice(a, b - a)) for a, b in slices]


def cut(sizes: np.ndarray) -> np.ndarray:
    """(n,) numbers of blocks from 0 for files of these sizes in bytes, in their order."""
    files = min(BLOCK_FILES, -(-len(sizes) // _FEWEST_BLOCKS))
    numbers = np.zeros(len(sizes), np.int64)
    number = count = total = 0
    for row, size in enumerate(np.maximum(sizes, 0).tolist()):
        if count and (count == files or total + size > BLOCK_BYTES):
            number, count, total = number + 1, 0, 0
        numbers[row] = number
        count, total = count + 1, total + size
    return numbers


def finished(blocks: Sequence[Block], output: Folder, incomplete: bool) -> dict[str, str]:
    """Name of a block to that of the file which holds it, for blocks that may be done.

    Args:
        incomplete: some folder could not be listed. Files that are missing are then thought to be
            there still: a block is taken whatever files of it are seen.
    """
    names = {name for name in output.names() if _BLOCK_NAME.fullmatch(name)}
    if not incomplete:
        return {block.name: block.name for block in blocks if block.name in names}
    by_number = {name.split("-")[1]: name for name in sorted(names)}
    either = {b.name: b.name if b.name in names else by_number.get(b.name.split("-")[1])
              for b in blocks}  # fmt: skip
    return {name: held for name, held in either.items() if held is not None}


def stale(names: Sequence[str], output: Folder) -> set[str]:
    """Files of blocks, and parts of files, that do not belong to the finished output."""
    ours = {n for n in output.names() if _BLOCK_NAME.fullmatch(n) or n.endswith(".part")}
    return ours - set(names)


def _block(job: Job, number: int, files: pa.Table) -> Block:
    settings = {**asdict(job), "model": "", "sources": (), "manifests": ()}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for column in ("file", "size", "mtime_ns"):
        digest.update(repr(files[column].to_pylist()).encode())
    return Block(f"block-{number:08d}-{digest.hexdigest()[:16]}.parquet", files)


def _read_plan(job: Job, output: Folder) -> pa.Table:
    """Every file that an earlier run put into a block."""
    parts = []
    for name in sorted(filter(_PLAN_NAME.fullmatch, output.names())):
        with output.open(name) as file:
            parts.append(pq.read_table(file))
        _require_same_job(job, json.loads(parts[-1].schema.metadata[_JOB]), output)
    schema = pa.schema([("file", pa.string()), ("block", pa.int64())])
    return pa.concat_tables([schema.empty_table(), *(part.cast(schema) for part in parts)])


def _require_same_job(job: Job, before: dict[str, object], output: Folder) -> None:
    now = json.loads(json.dumps(asdict(job)))
    others = sorted(k for k in now.keys() | before.keys() if now.get(k) != before.get(k))
    if others and others != ["model"]:  # the fingerprint says which model it is
        told = "; ".join(f"{key}: {before.get(key)} then, {now.get(key)} now" for key in others)
        raise ClusterError(
            f"{output.name} holds the embeddings of another job ({told}): give the same sources "
            "and options to go on with it, or name another output"
        )


def _store_part(job: Job, output: Folder, part: pa.Table) -> None:
    number = sum(bool(_PLAN_NAME.fullmatch(name)) for name in output.names())
    sink = pa.BufferOutputStream()
    metadata = {_JOB: json.dumps(asdict(job))}
    pq.write_table(part.replace_schema_metadata(metadata), sink, compression="zstd")
    output.write(f"_plan-{number:06d}.parquet", sink.getvalue())
