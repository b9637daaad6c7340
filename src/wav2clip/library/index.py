"""Bringing a library up to date with folders: new, changed, moved, deleted and bad files."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from wav2clip.embedding.bulk import FileEmbedding, embed_segments
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.files import is_mute
from wav2clip.library import scan as folders
from wav2clip.library.origins import Origins
from wav2clip.library.rows import Donors, hash_of, telling, under
from wav2clip.library.rows import searchable as searchable
from wav2clip.library.scan import Scan
from wav2clip.library.space import centre
from wav2clip.library.store import (
    KnownFile,
    Store,
    file_id,
    segment_schema,
    vector_column,
)
from wav2clip.reading.readers import Reader

Progress = Callable[[int, int], None]
"""Called with the files that are done and the files in all that need work."""

_NOTHING = Origins(None)

_COMMIT_FILES = 256
_COMMIT_SECONDS = 5.0


@dataclass
class IndexReport:
    """What became of the files.

    Attributes:
        added: new files that were embedded.
        updated: files with rows whose content was embedded anew.
        reused: files that were moved, copied or touched: their content was known.
        retagged: files of new content whose sound was known: only the words in them are others.
        unchanged: files of which nothing but size and time was looked at.
        described: how many of these had their metadata read for the first time, which an earlier
            version did not look at.
        retold: how many have other words beside them, in texts or tables, than before.
        pruned: deleted files whose rows were dropped.
        missing: deleted files whose rows are kept, for want of ``prune``.
        failures: the reason for each file or folder that could not be used.
        known_failures: how many of these failed before and have not changed: they were not tried.
        skipped: files that are whole and have no sound, with the reason; each is told once.
        known_mute: how many more of these were told before and have not changed.
        left_out: files that are neither sound nor video by name, by suffix.
        warnings: what is wrong with files that could be used all the same.
        seconds: time that it took.
    """

    added: int = 0
    updated: int = 0
    reused: int = 0
    retagged: int = 0
    unchanged: int = 0
    described: int = 0
    retold: int = 0
    pruned: int = 0
    missing: int = 0
    failures: dict[Path, str] = field(default_factory=dict)
    known_failures: int = 0
    skipped: dict[Path, str] = field(default_factory=dict)
    known_mute: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    warnings: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    seconds: float = 0.0


class Executor(Protocol):
    """Where files are read and embedded: in this process, or by the workers of a cluster."""

    def hash(self, files: Iterable[KnownFile]) -> Iterator[tuple[KnownFile, str | None]]:
        """As :func:`wav2clip.library.scan.hash_files`, in any order."""

    def embed(
        self, paths: Iterable[Path], segment_seconds: float, overlap_seconds: float
    ) -> Iterator[FileEmbedding]:
        """As :func:`wav2clip.embedding.bulk.embed_segments`, in any order."""


@dataclass(frozen=True)
class Here:
    """This machine: processes that decode, and one network."""

    model: Wav2CLIP
    workers: int | None = None
    readers: Reader | None = None

    def hash(self, files: Iterable[KnownFile]) -> Iterator[tuple[KnownFile, str | None]]:
        return folders.hash_files(files, self.workers)

    def embed(
        self, paths: Iterable[Path], segment_seconds: float, overlap_seconds: float
    ) -> Iterator[FileEmbedding]:
        return embed_segments(
            self.model,
            paths,
            segment_seconds=segment_seconds,
            overlap_seconds=overlap_seconds,
            metadata=True,
            workers=self.workers,
            readers=self.readers,
        )


def update(
    store: Store,
    model: Wav2CLIP,
    found: Scan,
    executor: Executor,
    *,
    prune: bool = False,
    progress: Progress | None = None,
) -> IndexReport:
    """Bring the library up to date with what was found. The caller holds the store's lock.

    Whatever stops it, rows of files that are done are kept, and those of a file are there as a
    whole or not at all; the same call goes on from there.
    """
    started = time.perf_counter()
    run = _Run(store, model, found, progress)
    try:
        results = executor.embed(
            run.paths_to_embed(executor),
            run.settings.segment_seconds,
            run.settings.overlap_seconds,
        )
        for result in results:
            run.take(result)
        run.describe()
    finally:
        run.commit()
    run.drop_deleted(prune)
    if run.touched:
        store.tidy()
    run.report.seconds = time.perf_counter() - started
    return run.report


class _Run:
    """One pass over the folders: sorts the files, and collects rows until a commit is due."""

    def __init__(
        self, store: Store, model: Wav2CLIP, found: Scan, progress: Progress | None
    ) -> None:
        self.store, self.model, self.found = store, model, found
        self.settings = store.settings
        self.report = IndexReport(failures=dict(found.failures), left_out=found.left_out)
        self.touched = False
        store.upgrade()
        self._known = store.known_files()
        self._undescribed = store.without_metadata()
        self._origins = store.origins()
        self._failed = store.failures()
        self._contents = {file.hash for file in self._known.values()}
        self._sounds = {file.sound for file in self._known.values()} - {""}
        self._todo = dict(self._sort())
        self._undescribed &= found.files.keys() - self._todo.keys()
        self._retold = self._with_other_words() - self._todo.keys() - self._undescribed
        self._in_work: dict[Path, KnownFile] = {}
        self._progress, self._done = progress, 0
        self._clear()
        # A run may have been killed between storing a mended file's rows and forgetting its fault.
        store.forget_failures(self._failed.keys() & self._known.keys() - self._todo.keys())

    def _sort(self) -> Iterator[tuple[str, KnownFile]]:
        """The files that are new or changed; the others are counted."""
        for key, file in self.found.files.items():
            known, failed = self._known.get(key), self._failed.get(key)
            if known and (known.size, known.mtime_ns) == (file.size, file.mtime_ns):
                self.report.unchanged += 1
            elif failed and replace(failed, reason="", imported="") == file:
                self._known_failure(failed)
            else:
                yield key, file

    def _with_other_words(self) -> set[str]:
        """The files that have rows, and other sidecars than they had."""
        beside = {file_id(path): path for path in self.found.beside.sounds}
        beside |= {k: self.found.files[k].path for k in self._origins if k in self.found.files}
        return {
            key
            for key, path in beside.items()
            if key in self._known
            if self.found.beside.stamp(path) != self._origins.get(key, _NOTHING).stamp
        }

    def paths_to_embed(self, executor: Executor) -> Iterator[Path]:
        """Paths of the files whose sound is not known; the others are settled on the way."""
        heard: list[KnownFile] = []
        for file, reason in executor.hash(self._todo.values()):
            if reason is not None:
                self._fail(file, reason)
            elif file.hash in self._contents or file.sound in self._sounds:
                heard.append(file)
                if len(heard) == _COMMIT_FILES:
                    yield from self._reuse(heard)
                    heard = []
            else:
                self._in_work[file.path] = file
                yield file.path
        yield from self._reuse(heard)

    def take(self, result: FileEmbedding) -> None:
        """Turn a result into rows, or into a failure."""
        file = self._in_work.pop(result.path)
        if result.error is not None:
            self._fail(file, result.error)
        elif folders.changed(file):
            self._fail(file, folders.CHANGED)
        elif not np.isfinite(result.embeddings).all():
            self._fail(file, "the model gives no finite numbers for it")
        else:
            if result.warnings:
                self.report.warnings[file.path] = result.warnings
            self._add(file, self._rows(file, result))
            known = file_id(file.path) in self._known
            self.report.updated += known
            self.report.added += not known

    def describe(self) -> None:
        """Read what is written in and beside files whose sound is known, where it is not."""
        files = sorted(self._undescribed)
        paths = [self.found.files[key].path for key in files]
        for key, metadata in zip(files, folders.read_metadata(paths), strict=True):
            told = replace(self._origins.get(key, _NOTHING), own=metadata)
            self._described[key] = self._with_beside(self.found.files[key], told)
            self.report.described += 1
            self._settled()
        known = self.store.origins(self._retold) if self._retold else {}
        for key, told in known.items():
            self._described[key] = self._with_beside(self.found.files[key], told)
            self.report.retold += self._described[key].beside != told.beside
            self._settled()

    def _with_beside(self, file: KnownFile, told: Origins) -> Origins:
        """The words of a file with what lies beside it now."""
        beside = self.found.beside
        return replace(told, beside=beside.words(file.path), stamp=beside.stamp(file.path))

    def _imported(self, file: KnownFile) -> Mapping[str, str]:
        """The words that a user gave a file of this path, also if it failed since."""
        key = file_id(file.path)
        words = self._origins.get(key, _NOTHING).imported
        return words or json.loads(self._failed.get(key, file).imported or "{}")

    def commit(self) -> None:
        """Store what was collected: rows first, so that a failure never stands beside rows."""
        table = pa.concat_tables(self._tables) if self._tables else self._schema.empty_table()
        good, bad = self._good, self._bad
        stale = (good | bad.keys() | self._moved_away) & self._known.keys()
        if table.num_rows or stale or bad:
            self.touched = True
            self.store.replace(table, stale)
            self.store.record_failures(bad)
            self.store.forget_failures(good & self._failed.keys())
        if self._described:
            self.touched = True
            self.store.set_origins(self._described)
        for key in self._moved_away:
            del self._known[key]
        self._clear()

    def drop_deleted(self, prune: bool) -> None:
        """Drop rows of files that are gone, if asked to, and what is known of gone bad files."""
        gone = {
            key
            for key, file in {**self._failed, **self._known}.items()
            if key not in self.found.files
            if self.found.covers(file.path) and _is_gone(file.path)
        }
        rows = gone & self._known.keys()
        if prune and rows:
            self.touched = True
            self.store.replace(self._schema.empty_table(), rows)
            self.report.pruned = len(rows)
        else:
            self.report.missing = len(rows)
        self.store.forget_failures(gone & self._failed.keys())

    # Inside ---------------------------------------------------------------------------------------

    def _clear(self) -> None:
        self._schema = segment_schema(self.settings.dimension)
        self._tables: list[pa.Table] = []
        self._good: set[str] = set()
        self._bad: dict[str, KnownFile] = {}
        self._moved_away: set[str] = set()
        self._described: dict[str, Origins] = {}
        self._committed = time.monotonic()

    def _settled(self) -> None:
        self._done += 1
        if self._progress is not None:
            in_all = len(self._todo) + len(self._undescribed) + len(self._retold)
            self._progress(self._done, in_all)
        late = time.monotonic() - self._committed > _COMMIT_SECONDS
        collected = len(self._good) + len(self._bad) + len(self._described)
        if late or collected >= _COMMIT_FILES:
            self.commit()

    def _fail(self, file: KnownFile, reason: str) -> None:
        report = self.report.skipped if is_mute(reason) else self.report.failures
        report[file.path] = reason
        words = json.dumps(self._imported(file)) if self._imported(file) else ""
        self._bad[file_id(file.path)] = replace(file, hash="", reason=reason, imported=words)
        self._settled()

    def _known_failure(self, file: KnownFile) -> None:
        if is_mute(file.reason):
            self.report.known_mute += 1
        else:
            self.report.failures[file.path] = file.reason
            self.report.known_failures += 1

    def _add(self, file: KnownFile, rows: pa.Table) -> None:
        self._tables.append(rows)
        self._good.add(file_id(file.path))
        self._settled()

    def _reuse(self, files: list[KnownFile]) -> Iterator[Path]:
        """Rows for files whose content or sound has rows: under another path, or as it was before.

        Gives the paths whose donor was itself replaced meanwhile: they have to be embedded.
        """
        if not files:
            return
        self.commit()  # so that the donors' rows are where they are looked for
        donors = Donors(self.store.read_contents(files))
        found = [(file, donors.rows_for(file)) for file in files]
        told_anew = [file.path for file, rows in found if rows and hash_of(rows) != file.hash]
        words = iter(list(folders.read_metadata(told_anew)))
        for file, rows in found:
            if rows is None:
                self._in_work[file.path] = file
                yield file.path
                continue
            told = Origins.parse(rows["metadata"][0].as_py(), rows["origins"][0].as_py())
            if hash_of(rows) == file.hash:
                self.report.reused += 1
            else:
                told = replace(told, own=next(words))
                if folders.changed(file):
                    self._fail(file, folders.CHANGED)
                    continue
                self.report.retagged += 1
            self._move_away(rows)
            told = replace(told, imported=self._imported(file) or told.imported)
            self._add(file, telling(under(file, rows), self._with_beside(file, told)))

    def _move_away(self, donor: pa.Table) -> None:
        """Drop these rows with the next commit if their file was moved and not copied."""
        key, before = donor["file"][0].as_py(), Path(os.fsdecode(donor["path_bytes"][0].as_py()))
        if key not in self.found.files and self.found.covers(before) and _is_gone(before):
            self._moved_away.add(key)

    def _rows(self, file: KnownFile, result: FileEmbedding) -> pa.Table:
        count = len(result.embeddings)
        columns = {
            "segment": np.arange(count, dtype=np.int32),
            "start": result.starts,
            "end": result.ends,
            "duration": np.full(count, result.starts[0] + result.seconds),
            "channels": np.full(count, result.channels, np.int32),
            "sample_rate": np.full(count, result.source_rate, np.int32),
            "fingerprint": [self.model.fingerprint] * count,
            "tags": pa.nulls(count, pa.list_(pa.string())),
            "metadata": pa.nulls(count, pa.string()),
            "origins": pa.nulls(count, pa.string()),
            "vector": vector_column(centre(result.embeddings, self.model.mean)),
        }
        own = Origins(dict(result.metadata), imported=self._imported(file))
        told = self._with_beside(file, own)
        return telling(under(file, pa.table(columns)), told)


def _is_gone(path: Path) -> bool:
    """Whether a file does not exist; one that may not be looked at does."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
