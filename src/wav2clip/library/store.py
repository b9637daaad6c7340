"""Where a library lives: LanceDB tables of segments, of files that failed, and of collections.

Every change of a file's rows is one commit, so a reader, or a run after ``kill -9``, finds all the
rows of a file or none. The settings that all rows share are metadata of the segments' table.
Collections are the user's own work: nothing that is done to the index touches their table.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from wav2clip.downloads import cache_folder
from wav2clip.errors import LibraryError
from wav2clip.files import display
from wav2clip.library.copy import Copy, read_copy, state_of
from wav2clip.library.origins import Origins
from wav2clip.library.settings import FORMAT, Settings
from wav2clip.library.together import Together

EXACT_ROWS = 200_000
"""Libraries of up to so many segments are searched exactly, in memory (2 KB a row); larger ones
through an index. See docs/results/library.md for both sides of the border."""

SEGMENTS, FAILURES, COLLECTIONS = "segments", "failures", "collections"
_METADATA = b"wav2clip.library"
_KEEP_VERSIONS = timedelta(minutes=10)
# A reader that opened the table before a run ended may go on for this long.

_PARTS = 32
# Commits leave a part each; joining them rewrites the table, which is not worth it for a few.

_FAILURE_SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("path", pa.string()),
        ("path_bytes", pa.binary()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("ctime_ns", pa.int64()),
        ("reason", pa.string()),
        ("imported", pa.string()),  # JSON of words that a user gave it, for when it is mended
    ]
)

ITEM_SCHEMA = pa.schema(
    [
        ("id", pa.string()),  # drawn at random
        ("collection", pa.string()),
        ("added", pa.int64()),  # nanoseconds since 1970; grows within a collection
        ("note", pa.string()),
        ("path_bytes", pa.binary()),  # of the file when it was added, with the next three
        ("hash", pa.string()),
        ("sound", pa.string()),
        ("duration", pa.float64()),
        ("start", pa.float64()),
        ("end", pa.float64()),  # None: all of the file
    ]
)


@dataclass(frozen=True)
class KnownFile:
    """A file as the library last saw it; ``ctime_ns``, and the words that were ``imported`` for it
    as JSON, are kept here for failures alone. The hashes ``hash`` and ``sound`` are those of
    :func:`wav2clip.audio.essence.hash_file`; "" is none."""

    path: Path
    size: int
    mtime_ns: int
    hash: str = ""
    ctime_ns: int = 0
    reason: str = ""
    imported: str = ""
    sound: str = ""


def file_id(path: str | bytes | os.PathLike[str]) -> str:
    """32 hexadecimal digits for the bytes of a path: a plain key whatever the name holds."""
    return hashlib.blake2b(os.fsencode(path), digest_size=16).hexdigest()


def segment_id(file: str, segment: int) -> str:
    """The key of a segment of a file."""
    return f"{file}-{segment}"


def segment_schema(dimension: int) -> pa.Schema:
    """Columns of a segment. ``vector`` has unit length and is centred if the model has a mean."""
    return pa.schema(
        [
            ("id", pa.string()),  # file and number of the segment
            ("file", pa.string()),  # file_id of path_bytes
            ("segment", pa.int32()),
            ("path", pa.string()),  # for people and patterns: what is no UTF-8 is escaped
            ("path_bytes", pa.binary()),  # as the file system has it
            ("start", pa.float64()),
            ("end", pa.float64()),
            ("duration", pa.float64()),  # of the file on its own clock, seconds
            ("channels", pa.int32()),
            ("sample_rate", pa.int32()),
            ("size", pa.int64()),
            ("mtime_ns", pa.int64()),
            ("hash", pa.string()),  # SHA-256 of the file
            ("sound", pa.string()),  # SHA-256 of its sound alone; "" or None: not known
            ("fingerprint", pa.string()),
            ("tags", pa.list_(pa.string())),
            ("metadata", pa.string()),  # JSON, at a file's first segment; None: not read yet
            ("origins", pa.string()),  # JSON, at the same; None: the metadata are the file's own
            ("vector", pa.list_(pa.float16(), dimension)),
        ]
    )


def vectors_of(table: pa.Table) -> NDArray[np.float16]:
    """(rows, dimension) float16 of the column ``vector``."""
    column = table["vector"].combine_chunks()
    flat: NDArray[np.float16] = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), column.type.list_size)


def vector_column(vectors: NDArray[Any]) -> pa.FixedSizeListArray:
    """The Arrow column of (rows, dimension) numbers, as float16."""
    flat = pa.array(np.ascontiguousarray(vectors, np.float16).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])


class Store:
    """The tables of one library, at a path or at an address that LanceDB understands."""

    def __init__(self, uri: str | Path, storage_options: Mapping[str, str] | None = None) -> None:
        text = str(uri).removeprefix("file://")
        self.remote = "://" in text
        self.uri = text if self.remote else str(Path(text).expanduser().absolute())
        self.name = self.uri if self.remote else display(self.uri)
        self._options = dict(storage_options or {})
        self._database: Any = None
        self._tables: dict[str, Any] = {}
        # What was asked of the version that this process sees; every question to LanceDB waits for
        # a thread of its own.
        self._version, self._answers = -1, dict[str, Any]()
        self._looked = -math.inf
        self._refreshed: Together[None, int] = Together(self._refresh)
        self._copy: Copy | None = None

    # Opening --------------------------------------------------------------------------------------

    @property
    def exists(self) -> bool:
        """Whether there is a library here."""
        return self._copy is not None or self._open(SEGMENTS) is not None

    def open_copy(self) -> Copy | None:
        """What another process left of the segments, if it still holds; see :mod:`.copy`.

        While it does, whoever asks only for settings, number and version of the segments does not
        open the tables.
        """
        if self.remote or self._tables:
            return None
        if self._copy is None:
            self._copy = read_copy(Path(self.uri), self.segments_folder)
            if self._copy is not None:
                self._version = self._copy.version
                self._answers = {
                    "settings": self._copy.settings, "count": self._copy.rows.num_rows
                }  # fmt: skip
        return self._copy

    @property
    def state(self) -> str | None:
        """What changes with the segments' table on disk; None for a library elsewhere."""
        return None if self.remote else state_of(self.segments_folder)

    @property
    def segments_folder(self) -> Path:
        """Where the table of segments lies on disk."""
        return Path(self.uri, f"{SEGMENTS}.lance")

    @property
    def segments(self) -> Any:
        """The table of segments.

        Raises:
            LibraryError: there is no library here.
        """
        table = self._open(SEGMENTS)
        if table is None:
            raise LibraryError(
                f"there is no library at {self.name}; make one with `wav2clip index FOLDER`, "
                "or name another with --library"
            )
        return table

    @property
    def settings(self) -> Settings:
        """What all rows share.

        Raises:
            LibraryError: a table of another layout, or of a later version of it.
        """
        answers = self._answers
        if "settings" not in answers:
            answers["settings"] = self._read_settings()
        settings: Settings = answers["settings"]
        return settings

    def _read_settings(self) -> Settings:
        metadata = self.segments.schema.metadata or {}
        try:
            settings = Settings(**json.loads(metadata[_METADATA]))
        except (KeyError, ValueError, TypeError) as error:
            raise LibraryError(f"{self.name} holds a table that wav2clip did not make") from error
        if settings.format != FORMAT:
            raise LibraryError(
                f"{self.name} has the layout {settings.format}, expected {FORMAT}; update "
                "wav2clip, or index again into another library"
            )
        return settings

    def create(self, settings: Settings) -> None:
        """Make the tables that are not there yet."""
        metadata = {_METADATA: json.dumps(asdict(settings))}
        schema = segment_schema(settings.dimension).with_metadata(metadata)
        with self.writing():
            for name, columns in ((FAILURES, _FAILURE_SCHEMA), (SEGMENTS, schema)):
                if self._open(name) is None:
                    # "overwrite": a process that was killed here may have left a part of a table.
                    self._tables[name] = self._connect().create_table(
                        name, schema=columns, mode="overwrite"
                    )

    def upgrade(self) -> None:
        """Give a library that an earlier version made the columns that it lacks, all empty."""
        added = {SEGMENTS: {"metadata", "origins", "sound"}, FAILURES: {"imported"}}
        for name, wanted in added.items():
            table = self._open(name)
            lacking = sorted(wanted - set(table.schema.names)) if table is not None else []
            if lacking:
                with self.writing():
                    table.add_columns(dict.fromkeys(lacking, "CAST(NULL AS STRING)"))

    @property
    def has_metadata(self) -> bool:
        """Whether there is a column for the metadata of files."""
        return "metadata" in self.segments.schema.names

    def drop(self) -> None:
        """Forget everything that was indexed."""
        with self.writing():
            for name in (SEGMENTS, FAILURES):
                if self._open(name) is not None:
                    self._connect().drop_table(name)
                self._tables.pop(name, None)

    def _connect(self) -> Any:
        if self._database is None:
            os.environ.setdefault("LANCEDB_LOG", "error")  # else it tells users of every table
            import lancedb  # takes seconds: only once it is needed

            try:
                self._database = lancedb.connect(self.uri, storage_options=self._options or None)
            except (OSError, RuntimeError, ValueError) as error:
                raise LibraryError(f"cannot open {self.name}: {first_line(error)}") from error
        return self._database

    def _open(self, name: str) -> Any:
        if name not in self._tables:
            table = self._latest(name)
            if table is None:
                return None
            self._tables[name] = table
        return self._tables[name]

    def _latest(self, name: str) -> Any:
        """A table as it is now; None where there is none."""
        if not self.remote and not Path(self.uri, f"{name}.lance").is_dir():
            return None
        try:
            return self._connect().open_table(name)
        except (OSError, RuntimeError, ValueError) as error:
            if "not found" in str(error).lower():
                return None
            raise LibraryError(f"cannot open {self.name}: {first_line(error)}") from error

    # One writer at a time -------------------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self, wait: bool = False, of: str = SEGMENTS) -> Iterator[None]:
        """Be the only process of this machine that writes to the library.

        The lock of a process that died is free at once. For a library behind an address it lies in
        the user's cache, and does not reach other machines. That ``of`` the collections is another
        one than that of everything else: what is found can be kept while an index is at work.

        Raises:
            LibraryError: another process has it and ``wait`` is False, or the folder cannot be
                written.
        """
        name = ".lock" if of == SEGMENTS else f".{of}.lock"
        if self.remote:
            path = cache_folder() / "locks" / f"{file_id(self.uri)}{name}"
        else:
            path = Path(self.uri, name)
        held = FileLock(path, timeout=-1 if wait else 0)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held.acquire()
        except Timeout as error:
            raise LibraryError(
                f"another process is writing to {self.name}: wait until it has ended, "
                "or let this one wait with --wait"
            ) from error
        except OSError as error:
            raise LibraryError(
                f"cannot write to {self.name}: {error.strerror or error}; name a library in a "
                "folder of yours with --library"
            ) from error
        try:
            self.refresh()
            yield
        finally:
            held.release()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Turn what LanceDB raises while writing into one error that says what to do."""
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:
            raise LibraryError(
                f"cannot write to {self.name}: {first_line(error)}; what was indexed before is "
                "kept: free space or mend the permission, then run the same command again"
            ) from error
        finally:
            self._answers, self._looked, self._copy = {}, -math.inf, None

    # Reading --------------------------------------------------------------------------------------

    def refresh(self, max_age: float = 0.0) -> int:
        """See what other processes wrote; gives the version of the segments' table.

        A look that is less than ``max_age`` seconds old will do.
        """
        if time.monotonic() - self._looked < max_age:
            return self._version
        if self._copy is not None and not self._tables:
            if self._copy.state == self.state:
                return self._version
            self._copy, self._version, self._answers = None, -1, {}
        return self._refreshed(None)

    def _refresh(self, asked: Sequence[None]) -> list[int]:
        for table in list(self._tables.values()):
            table.checkout_latest()
        looked = time.monotonic()
        version = int(self.segments.version) if self.exists else 0
        if version != self._version:
            self._version, self._answers = version, {}
        self._looked = looked
        return [version] * len(asked)

    def count(self) -> int:
        """Segments in the library."""
        answers = self._answers
        if "count" not in answers:
            answers["count"] = int(self.segments.count_rows())
        count: int = answers["count"]
        return count

    def read(
        self, columns: Sequence[str], where: str | None = None, row_ids: bool = False
    ) -> pa.Table:
        """Rows that meet an SQL condition, all by default."""
        query = self.segments.search().select(list(columns))
        if where:
            query = query.where(where)
        return (query.with_row_id(True) if row_ids else query).to_arrow()

    def known_files(self) -> dict[str, KnownFile]:
        """The files that have rows, by their id."""
        columns = ["file", "path_bytes", "size", "mtime_ns", "hash"]
        later = {"sound"} & set(self.segments.schema.names)  # an earlier version kept none
        return _known_files(self.read([*columns, *later], "segment = 0"))

    def without_metadata(self) -> set[str]:
        """Ids of the files whose metadata was not read yet."""
        rows = self.read(["file"], "segment = 0 AND metadata IS NULL")
        return set(rows["file"].to_pylist())

    def origins(self, files: Collection[str] | None = None) -> dict[str, Origins]:
        """Where the words of files come from, by their id.

        Args:
            files: ids; by default of those that have words from elsewhere than the file.
        """
        where = "segment = 0" if files is not None else "segment = 0 AND origins IS NOT NULL"
        rows = self.read(["file", "metadata", "origins"], where).to_pydict()
        wanted = None if files is None else set(files)
        return {
            file: Origins.parse(metadata, origins)
            for file, metadata, origins in zip(*rows.values(), strict=True)
            if wanted is None or file in wanted
        }

    def read_contents(self, files: Collection[KnownFile]) -> list[pa.Table]:
        """Whole rows of each file that has the content, or the sound, of one of these."""
        hashes = is_one_of("hash", {file.hash for file in files})
        sounds = is_one_of("sound", {file.sound for file in files if file.sound})
        rows = self.read(self.segments.schema.names, f"{hashes} OR {sounds}")
        rows = rows.sort_by([("file", "ascending"), ("segment", "ascending")])
        begins = np.flatnonzero(rows["segment"].to_numpy() == 0).tolist()
        ends = [*begins[1:], rows.num_rows]
        return [rows.slice(a, b - a) for a, b in zip(begins, ends, strict=True)]

    def failures(self) -> dict[str, KnownFile]:
        """The files that failed, by their id."""
        table = self._open(FAILURES)
        return {} if table is None else _known_files(table.to_arrow())

    # Writing --------------------------------------------------------------------------------------

    def replace(self, rows: pa.Table, dropped: Collection[str]) -> None:
        """In one commit: drop all rows of the files ``dropped``, and add ``rows``."""
        with self.writing():
            if not dropped:
                if rows.num_rows:
                    self.segments.add(rows)
            elif not rows.num_rows:
                self.segments.delete(is_one_of("file", dropped))
            else:
                (
                    self.segments.merge_insert("id")
                    .when_matched_update_all()
                    .when_not_matched_insert_all()
                    .when_not_matched_by_source_delete(is_one_of("file", dropped))
                    .execute(rows)
                )

    def set_origins(self, origins: Mapping[str, Origins]) -> None:
        """In one commit: set the words of files, and where they come from, by their id."""
        if not origins:
            return
        columns = {"id": [segment_id(file, 0) for file in origins]}
        pairs = [each.columns() for each in origins.values()]
        columns["metadata"], columns["origins"] = map(list, zip(*pairs, strict=True))
        rows = pa.table(columns, schema=pa.schema(dict.fromkeys(columns, pa.string())))
        with self.writing():
            self.segments.merge_insert("id").when_matched_update_all().execute(rows)

    def replace_tags(self, ids: Sequence[str], tags: Sequence[Sequence[str]]) -> None:
        """In one commit: set the tags of segments."""
        types = {"id": pa.string(), "tags": pa.list_(pa.string())}
        rows = pa.table({"id": ids, "tags": tags}, schema=pa.schema(types))
        with self.writing():
            self.segments.merge_insert("id").when_matched_update_all().execute(rows)

    def record_failures(self, failures: Mapping[str, KnownFile]) -> None:
        """Remember the files that failed, by their id."""
        if not failures:
            return
        rows = [
            {
                "file": key,
                "path": display(file.path),
                "path_bytes": os.fsencode(file.path),
                "size": file.size,
                "mtime_ns": file.mtime_ns,
                "ctime_ns": file.ctime_ns,
                "reason": file.reason,
                "imported": file.imported,
            }
            for key, file in failures.items()
        ]
        with self.writing():
            (
                self._open(FAILURES)
                .merge_insert("file")
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .execute(pa.Table.from_pylist(rows, schema=_FAILURE_SCHEMA))
            )

    def forget_failures(self, files: Collection[str]) -> None:
        """Forget that these files failed."""
        if files:
            with self.writing():
                self._open(FAILURES).delete(is_one_of("file", files))

    def items(self) -> pa.Table:
        """What is in the collections, in the order in which it was added."""
        table = self._latest(COLLECTIONS)
        rows = ITEM_SCHEMA.empty_table() if table is None else table.to_arrow()
        return rows.sort_by("added")

    def put_items(self, rows: pa.Table) -> None:
        """In one commit: add items, or put them in the place of those that have their ids. The
        caller holds the lock of the collections, here and below."""
        with self.writing():
            table = self._latest(COLLECTIONS)
            if table is None:  # never in the place of one that only seems not to be there
                self._connect().create_table(COLLECTIONS, rows, schema=ITEM_SCHEMA, mode="create")
            else:
                merge = table.merge_insert("id").when_matched_update_all()
                merge.when_not_matched_insert_all().execute(rows)
                _join_parts(table)

    def drop_items(self, ids: Collection[str]) -> None:
        """In one commit: drop items."""
        with self.writing():
            table = self._latest(COLLECTIONS)
            table.delete(is_one_of("id", ids))
            _join_parts(table)

    def tidy(self) -> None:
        """Join small parts if many commits left many, and bring the indexes up to date.

        Versions that are ten minutes old go then.
        """
        with self.writing():
            if self.count() > EXACT_ROWS and not self.indexed:
                self.build_index()
            for table in self._tables.values():
                parts = table.stats()["fragment_stats"]["num_fragments"]
                if parts > _PARTS or (table is self.segments and self.indexed):
                    table.optimize(cleanup_older_than=_KEEP_VERSIONS)

    @property
    def indexed(self) -> bool:
        """Whether the table has the indexes for approximate search."""
        return not self._missing_indexes()

    def _missing_indexes(self) -> set[str]:
        """The columns that should have one, and have none."""
        have = {column for index in self.segments.list_indices() for column in index.columns}
        return {"vector", "file"} - have

    def build_index(self) -> None:
        """Index the vectors: clusters (IVF) of vectors rounded to 8 bits per number (SQ).

        Of LanceDB's indexes this one builds fastest by far at a recall as good as the others';
        see docs/results/library.md. The files get one, too: of each that is found all segments are
        read.
        """
        from lancedb.index import BTree, IvfSq

        # Vectors have unit length, so the order by L2 is the order by cosine.
        configs = {"vector": IvfSq(distance_type="l2"), "file": BTree()}
        for column in sorted(self._missing_indexes()):
            self.segments.create_index(column, config=configs[column])


def _join_parts(table: Any) -> None:
    """Join the small parts that many changes leave, every now and then."""
    if int(table.version) % _PARTS == 0:
        table.optimize(cleanup_older_than=_KEEP_VERSIONS)


def first_line(error: Exception) -> str:
    """LanceDB's errors carry a trace of its own: the first line is the message."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]


def _known_files(table: pa.Table) -> dict[str, KnownFile]:
    return {
        row["file"]: KnownFile(
            Path(os.fsdecode(row["path_bytes"])),
            row["size"],
            row["mtime_ns"],
            row.get("hash", ""),
            row.get("ctime_ns", 0),
            row.get("reason", ""),
            row.get("imported") or "",
            row.get("sound") or "",
        )
        for row in table.to_pylist()
    }


def is_one_of(column: str, keys: Collection[str]) -> str:
    """SQL for a column of hexadecimal keys; these hold nothing to be escaped."""
    if not keys:
        return "false"
    quoted = ", ".join(f"'{key}'" for key in sorted(keys))
    return f"{column} IN ({quoted})"
