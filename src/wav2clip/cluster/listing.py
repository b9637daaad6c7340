"""What is to be embedded: folders, patterns, manifests and object storage as one table of files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv, fs

from wav2clip.cluster.storage import is_address, open_location, public_name
from wav2clip.errors import InputError
from wav2clip.files import AUDIO_SUFFIXES, display, find_recordings
from wav2clip.library.store import file_id

FILES = pa.schema(
    [
        ("file", pa.string()),  # file_id of the absolute path or the address, as in the library
        ("path", pa.string()),  # as given, for people: what is no UTF-8 is escaped
        ("root", pa.string()),  # address whose file system holds it; empty: this machine's
        ("inner", pa.binary()),  # absolute path within that file system
        ("size", pa.int64()),  # bytes, -1 if the listing does not say
        ("mtime_ns", pa.int64()),  # since 1970, -1 if the listing does not say
    ]
)

UNKNOWN = -1


class Found(NamedTuple):
    """A row of :data:`FILES`."""

    file: str
    path: str
    root: str
    inner: bytes
    size: int = UNKNOWN
    mtime_ns: int = UNKNOWN


@dataclass(frozen=True)
class Listing:
    """The files of all sources, each once, in the order of the sources and then of the names.

    Attributes:
        files: (n,) rows of :data:`FILES`.
        failures: the reason for each source that gave no file.
    """

    files: pa.Table
    failures: dict[str, str]


def list_files(sources: Sequence[str], manifests: Sequence[str] = ()) -> Listing:
    """List recordings.

    Args:
        sources: files, folders, glob patterns, or addresses of objects and of folders of them. As
            :func:`wav2clip.files.find_recordings`: folders are searched recursively, hidden files
            left out.
        manifests: files of paths or addresses, see :func:`read_manifest`. Their entries are taken
            as they are: none is looked at before a worker opens it.
    """
    rows: dict[str, Found] = {}
    failures: dict[str, str] = {}
    for source in sources:
        found = _stored(source, failures) if is_address(source) else _local(source, failures)
        for row in found:
            rows.setdefault(row.file, row)
    for manifest in manifests:
        for row in _entries(read_manifest(manifest)):
            rows.setdefault(row.file, row)
    columns = list(zip(*rows.values(), strict=True)) or [()] * len(FILES)
    arrays = [pa.array(c, field.type) for c, field in zip(columns, FILES, strict=True)]
    return Listing(pa.table(arrays, schema=FILES), failures)


def read_manifest(location: str) -> list[str]:
    """Paths or addresses of a manifest; relative paths are relative to its folder.

    Args:
        location: path or address of a file whose name ends in ``.parquet``, ``.csv`` (with a
            header) or ``.jsonl`` (a string or an object a line), each with ``path`` or with one
            column alone; anything else is text with a path a line.

    Raises:
        InputError: it cannot be read, or has no such column.
    """
    suffix = os.path.splitext(location)[1].lower()
    read = {".parquet": _parquet_paths, ".csv": _csv_paths, ".jsonl": _json_paths}
    try:
        system, path = open_location(location)
        with system.open_input_file(path) as file:
            entries = read.get(suffix, _text_paths)(file)
    except (OSError, ValueError, pa.ArrowException) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{display(location)}: cannot be read as a manifest: {error}") from error
    folder = location.rpartition("/")[0]
    relative = [not (is_address(entry) or os.path.isabs(entry)) for entry in entries]
    joined = zip(entries, relative, strict=True)
    return [f"{folder}/{entry}" if inside and folder else entry for entry, inside in joined]


# Files of this machine, or of a disk that all machines share --------------------------------------


def _local(source: str, failures: dict[str, str]) -> Iterator[Found]:
    paths, failed = find_recordings([source])
    failures.update({display(path): reason for path, reason in failed.items()})
    for path in paths:
        yield _on_disk(os.fspath(path), looked_at=True)


def _on_disk(path: str, looked_at: bool) -> Found:
    inner = os.fsencode(os.path.abspath(path))
    found = Found(file_id(inner), display(path), "", inner)
    if not looked_at:
        return found
    try:
        status = os.stat(inner)
    except OSError:  # gone since: the worker that opens it says so
        return found
    return found._replace(size=status.st_size, mtime_ns=status.st_mtime_ns)


# Objects ------------------------------------------------------------------------------------------


def _stored(source: str, failures: dict[str, str]) -> Iterator[Found]:
    try:
        system, path = open_location(source)
        infos = system.get_file_info([path])
        if infos[0].type == fs.FileType.Directory:
            infos = system.get_file_info(fs.FileSelector(path, recursive=True))
            named = [info for info in infos if _has_name(info)]
            if len(named) < len(infos):
                failures[public_name(source)] = (
                    f"{len(infos) - len(named)} names in it are no UTF-8; give the folder by its "
                    "path to have these files as well"
                )
            infos = [info for info in named if _is_recording(info, path)]
            infos.sort(key=lambda info: info.path.split("/"))
            if not infos:
                failures[public_name(source)] = "the folder holds no audio or video file"
        elif infos[0].type != fs.FileType.File:
            failures[public_name(source)] = "no such object or folder"
            return
    except OSError as error:
        failures[public_name(source)] = str(error)
        return
    for info in infos:
        found = _object(source, path, info.path)
        mtime_ns = UNKNOWN if info.mtime_ns is None else info.mtime_ns
        yield found._replace(size=info.size, mtime_ns=mtime_ns)


def _has_name(info: Any) -> bool:
    """Whether the name is text: file systems behind addresses take no other."""
    try:
        return bool(info.path)
    except UnicodeDecodeError:
        return False


def _is_recording(info: Any, root_path: str) -> bool:
    hidden = "/." in info.path.removeprefix(root_path.rstrip("/"))
    audio = f".{info.extension.lower()}" in AUDIO_SUFFIXES
    return info.type == fs.FileType.File and audio and not hidden


def _object(source: str, root_path: str, path: str) -> Found:
    """A file below an address."""
    address = public_name(source).rstrip("/") + path.removeprefix(root_path)
    return Found(file_id(address), display(address), source, path.encode())


# Manifests ----------------------------------------------------------------------------------------


def _entries(entries: Iterable[str]) -> Iterator[Found]:
    roots: dict[str, str] = {}  # an address up to its host -> the path of that in its file system
    for entry in entries:
        if not is_address(entry):
            yield _on_disk(entry, looked_at=False)
            continue
        scheme, _, rest = entry.partition("://")
        root = f"{scheme}://{rest.partition('/')[0]}"
        if root not in roots:
            roots[root] = open_location(root + "/")[1].rstrip("/")
        inner = roots[root] + entry.removeprefix(root)
        yield Found(file_id(entry), display(entry), root + "/", inner.encode())


def _column(table: pa.Table) -> list[str]:
    name = "path" if "path" in table.column_names else table.column_names[0]
    if name != "path" and len(table.column_names) > 1:
        raise InputError(
            f"a manifest with the columns {', '.join(table.column_names)}: expected one named path"
        )
    return [str(path) for path in table[name].to_pylist() if path]


def _parquet_paths(file: Any) -> list[str]:
    schema = pq.read_schema(file)
    return _column(pq.read_table(file, columns=["path"] if "path" in schema.names else None))


def _csv_paths(file: Any) -> list[str]:
    return _column(csv.read_csv(file))


def _json_paths(file: Any) -> list[str]:
    records = [json.loads(line) for line in file.read().splitlines() if line.strip()]
    rows = [{"path": record} if isinstance(record, str) else record for record in records]
    if any(not isinstance(row, dict) for row in rows):
        raise InputError("a line that is neither a string nor an object")
    return _column(pa.table({"path": [row.get("path") for row in rows]}))


def _text_paths(file: Any) -> list[str]:
    # Bytes that are no UTF-8 are kept as Python keeps them in file names.
    return [os.fsdecode(line) for line in file.read().splitlines() if line.strip()]
