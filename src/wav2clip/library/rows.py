"""The rows of one file: whose they can become, and what is changed then."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from wav2clip.library.origins import Origins
from wav2clip.library.store import KnownFile, file_id, segment_id, segment_schema


class Donors:
    """Rows of files, by what they hold."""

    def __init__(self, files: Iterable[pa.Table]) -> None:
        self._rows: dict[str, pa.Table] = {}
        self._first: dict[str, pa.Table] = {}
        for rows in files:
            self._rows[rows["file"][0].as_py()] = rows
            for name in ("hash", "sound"):
                self._first.setdefault(rows[name][0].as_py(), rows)

    def rows_for(self, file: KnownFile) -> pa.Table | None:
        """Those of the file itself if they still fit, because its tags are its own, else those of
        the first of the same content, or of the same sound."""
        own = self._rows.get(file_id(file.path))
        if own is not None and (
            hash_of(own) == file.hash or (file.sound and own["sound"][0].as_py() == file.sound)
        ):
            return own
        first = self._first.get(file.hash)
        return self._first.get(file.sound) if first is None and file.sound else first


def hash_of(rows: pa.Table) -> str:
    """The hash of the content that the rows of a file are of."""
    return str(rows["hash"][0].as_py())


def under(file: KnownFile, rows: pa.Table) -> pa.Table:
    """The same segments with the columns that belong to a file set to those of ``file``."""
    key, count = file_id(file.path), rows.num_rows
    schema = segment_schema(rows.schema.field("vector").type.list_size)
    own = {
        "id": [segment_id(key, segment) for segment in rows["segment"].to_pylist()],
        "file": [key] * count,
        "path": [searchable(file.path)] * count,
        "path_bytes": [os.fsencode(file.path)] * count,
        "size": [file.size] * count,
        "mtime_ns": [file.mtime_ns] * count,
        "hash": [file.hash] * count,
        "sound": [file.sound] * count,
    }
    columns = [own[name] if name in own else rows[name] for name in schema.names]
    return pa.table(dict(zip(schema.names, columns, strict=True)), schema=schema)


def telling(rows: pa.Table, told: Origins) -> pa.Table:
    """The segments of a file with its words at the first."""
    for name, text in zip(("metadata", "origins"), told.columns(), strict=True):
        column = pa.array([text, *[None] * (rows.num_rows - 1)], pa.string())
        rows = rows.set_column(rows.schema.get_field_index(name), name, column)
    return rows


def searchable(path: Path) -> str:
    """A path as text that the store can hold: bytes that are no UTF-8 are escaped."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
