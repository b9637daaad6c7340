"""A copy of a small library beside its tables, from which the next process answers at once.

Importing LanceDB and reading a table takes longer than all else that a search from the shell does.
So whoever has read a table leaves what it searched in one file that is mapped into memory. It holds
for the tables as they were then, which the names and times of their versions tell; any change makes
it stale, and the next search writes it anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from wav2clip.files import atomic_path
from wav2clip.library.settings import Settings

NAME = ".search.arrow"
_METADATA = b"wav2clip.copy"

_LAYOUT = 2
"""Of the rows; a copy that another version left in another layout is made anew."""


@dataclass(frozen=True)
class Copy:
    """What was read from the tables.

    Attributes:
        version: of the table of segments.
        state: of its folder, see :func:`state_of`.
        settings: of the library.
        rows: all segments, as a search has them in memory.
    """

    version: int
    state: str
    settings: Settings
    rows: pa.Table


def state_of(table: Path) -> str | None:
    """What changes whenever a LanceDB table on disk does; None where there is none."""
    try:
        with os.scandir(table / "_versions") as entries:
            seen = sorted((e.name, e.stat().st_size, e.stat().st_mtime_ns) for e in entries)
    except OSError:
        return None
    return hashlib.sha256(repr(seen).encode()).hexdigest() if seen else None


def read_copy(library: Path, table: Path, name: str = NAME, stale: bool = False) -> Copy | None:
    """The copy that a library has, if it is whole and the table is still what it was.

    Args:
        library: its folder.
        table: the folder of its segments.
        name: of the copy.
        stale: whether one of another state will do, too.
    """
    try:
        with pa.memory_map(str(library / name)) as file:
            rows = pa.ipc.open_file(file).read_all()
        stored: Mapping[str, object] = json.loads(rows.schema.metadata[_METADATA])
        settings = Settings(**stored["settings"])  # type: ignore[arg-type]
        if stored["layout"] != _LAYOUT:
            return None
        copy = Copy(int(str(stored["version"])), str(stored["state"]), settings, rows)
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError):
        return None
    return copy if stale or copy.state == state_of(table) else None


def write_copy(library: Path, copy: Copy, name: str = NAME) -> None:
    """Leave a copy for the next process; none where the folder cannot be written.

    One that lies there already may stay: it is of another state, and will not be read.
    """
    stored = {
        "layout": _LAYOUT,
        "version": copy.version,
        "state": copy.state,
        "settings": asdict(copy.settings),
    }
    rows = copy.rows.replace_schema_metadata({_METADATA: json.dumps(stored)})
    with (
        suppress(OSError),
        atomic_path(library / name) as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_file(file, rows.schema) as writer,
    ):
        writer.write_table(rows)
