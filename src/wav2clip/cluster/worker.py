"""What runs in an actor: a model that lives as long as it, and files that come in blocks.

Files are read by processes of their own (:mod:`wav2clip.reading`), so that a decoder that crashes
costs its file alone. What takes a worker with it all the same (more memory than there is, a machine
that is lost) would be given to one worker after another for ever. A ledger outside the workers
counts how often a block was begun: after two deaths its files are embedded one by one, and one that
is then in hand at two more deaths is reported as failed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from wav2clip import runtime
from wav2clip.cluster.session import Cluster, import_ray
from wav2clip.cluster.storage import open_location
from wav2clip.embedding.bulk import FileEmbedding, ahead, start_readers
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.embedding.engines import split_fingerprint
from wav2clip.errors import InputError, Wav2ClipError
from wav2clip.models import registry
from wav2clip.models.checkpoint import load_checkpoint

_FETCHERS, _FETCHED_AHEAD = 8, 32
"""Objects are fetched by so many threads, and so many of them wait for the decoder."""

_DEATHS = 2
"""Deaths after which a block is done file by file, and after which a file is blamed."""

BLAMED = "the workers that read it died, {} times: it may crash the decoder or need too much memory"

Embed = Callable[..., Iterator[FileEmbedding]]
"""Takes a model, paths, and ``readers``."""


class Ledger:
    """An actor beside the driver that remembers what workers had in hand when they died."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()
        self._in_hand: dict[str, int] = {}
        self._deaths: dict[str, Counter[int]] = {}

    def begin(self, block: str) -> tuple[bool, set[int]]:
        """Whether to be careful with this block, and the rows of the files that are blamed."""
        deaths = self._deaths.setdefault(block, Counter())
        if block in self._in_hand:
            deaths[self._in_hand.pop(block)] += 1
        self._begun[block] += 1
        blamed = {row for row, count in deaths.items() if count >= _DEATHS}
        return self._begun[block] > _DEATHS, blamed

    def take(self, block: str, row: int) -> None:
        """A careful worker takes a file in hand."""
        self._in_hand[block] = row

    def end(self, block: str) -> None:
        """The block is done."""
        self._in_hand.pop(block, None)


@dataclass(frozen=True)
class Model:
    """What workers need to hold the driver's model, whatever is installed or reachable there.

    Attributes:
        checkpoint: reference of a :class:`~wav2clip.models.checkpoint.Checkpoint`.
        name: of the model.
        options: engine, precision and the like, see :class:`~wav2clip.embedding.embedder.Wav2CLIP`.
        device: of the workers.
        threads: of each of them, for decoding and for the network.
    """

    checkpoint: Any
    name: str
    options: Mapping[str, Any]
    device: str
    threads: int

    def load(self) -> Wav2CLIP:
        """The model, in the process of a worker."""
        runtime.set_threads(self.threads)
        checkpoint = import_ray().get(self.checkpoint)
        # This machine's own copy may have a graph beside it, and then needs no PyTorch.
        with suppress(Wav2ClipError):
            own = load_checkpoint(registry.locate(self.name))
            if own.fingerprint == checkpoint.fingerprint:
                checkpoint = own
        return Wav2CLIP(checkpoint, name=self.name, device=self.device, **self.options)


def share_model(model: Wav2CLIP, cluster: Cluster) -> Model:
    """Put the weights of the driver's model where all workers find them.

    Raises:
        InputError: the model was not loaded from a name or a path, or its weights have changed.
    """
    try:
        checkpoint = load_checkpoint(registry.locate(model.name))
    except Wav2ClipError as error:
        raise InputError(
            f"a cluster needs a model that was loaded by name or path: {error}"
        ) from error
    if split_fingerprint(model.fingerprint)[0] != checkpoint.fingerprint:
        raise InputError(f"{model.name}: the weights there are no longer those that were loaded")
    reference = import_ray().put(checkpoint)
    return Model(reference, model.name, model.options, cluster.device, cluster.cpus)


def start_ledger() -> Any:
    """The ledger of a run, as an actor that takes no core from the workers."""
    return import_ray().remote(Ledger).options(num_cpus=0).remote()


class Worker:
    """Base of the actors: embeds the files of a block, whatever happens to single ones."""

    def __init__(self, model: Model, ledger: Any, embed: Embed) -> None:
        self.model = model.load()
        self._ledger, self._embed = ledger, embed
        self._readers = start_readers(model.threads)

    def results(self, block: str, files: pa.Table) -> list[FileEmbedding]:
        """One result for each row of ``files`` (columns ``root`` and ``inner``), in their order."""
        ray = import_ray()
        careful, blamed = ray.get(self._ledger.begin.remote(block))
        rows = [row for row in range(files.num_rows) if row not in blamed]
        results = {row: failed(BLAMED.format(_DEATHS)) for row in blamed}
        for some in [[row] for row in rows] if careful else [rows]:
            if careful:
                ray.get(self._ledger.take.remote(block, some[0]))
            results.update(self._embed_rows(files, some))
        ray.get(self._ledger.end.remote(block))
        return [results[row] for row in range(files.num_rows)]

    def _embed_rows(self, files: pa.Table, rows: list[int]) -> Iterator[tuple[int, FileEmbedding]]:
        with tempfile.TemporaryDirectory(prefix="wav2clip-") as folder:
            row_of: dict[Path, int] = {}
            unread: list[tuple[int, FileEmbedding]] = []

            def paths() -> Iterator[Path]:
                for row, (path, reason) in zip(rows, fetch(files, rows, folder), strict=True):
                    if reason is not None:
                        unread.append((row, failed(reason)))
                        continue
                    row_of[path] = row
                    yield path

            for result in self._embed(self.model, paths(), readers=self._readers):
                yield row_of[result.path], result
                if result.path.is_relative_to(folder):
                    result.path.unlink()
            yield from unread


def failed(reason: str, path: Path = Path()) -> FileEmbedding:
    nothing = np.zeros(0)
    return FileEmbedding(path, np.zeros((0, 0), np.float32), nothing, nothing, reason)


def fetch(files: pa.Table, rows: list[int], folder: str) -> Iterator[tuple[Path, str | None]]:
    """Paths on this machine: those of disks as they are, objects as copies, fetched ahead."""
    roots, inner = files["root"].to_pylist(), files["inner"].to_pylist()
    systems = {root: open_location(root)[0] for root in {roots[row] for row in rows} - {""}}

    def get(row: int) -> tuple[Path, str | None]:
        if not roots[row]:
            return Path(os.fsdecode(inner[row])), None
        source = inner[row].decode()
        target = Path(folder, f"{row}{os.path.splitext(source)[1]}")
        try:
            with systems[roots[row]].open_input_stream(source) as stream, target.open("wb") as copy:
                shutil.copyfileobj(stream, copy)
        except OSError as error:
            return target, str(error)
        return target, None

    return ahead((partial(get, row) for row in rows), _FETCHERS, _FETCHED_AHEAD)
