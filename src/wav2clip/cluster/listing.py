"""What is to be embedded: folders, patterns, manifests and object storage as one table of files."""

from __future__ import annotations

import codecs
import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from wav2clip.cluster.storage import is_address, open_location, public_name
from wav2clip.errors import InputError
from wav2clip.files import (
    MEDIA_SUFFIXES,
    decode_text,
    display,
    find_recordings,
    modified_ns,
)
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
        failures: the reason for each source that gave no file, and for what is no file.
        left_out: files in folders that are neither sound nor video by name, by suffix.
    """

    files: pa.Table
    failures: dict[str, str] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)


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
    listing = Listing(FILES.empty_table())
    for source in sources:
        found = _stored(source, listing) if is_address(source) else _local(source, listing)
        for row in found:
            rows.setdefault(row.file, row)
    for manifest in manifests:
        for row in _entries(read_manifest(manifest)):
            rows.setdefault(row.file, row)
    columns = list(zip(*rows.values(), strict=True)) or [()] * len(FILES)
    arrays = [pa.array(c, field.type) for c, field in zip(columns, FILES, strict=True)]
    return replace(listing, files=pa.table(arrays, schema=FILES))


def read_manifest(location: str) -> list[str]:
    """Paths or addresses of a manifest; relative paths are relative to its folder.

    Args:
        location: path or address of a file whose name ends in ``.parquet``, ``.csv`` (with a
            header) or ``.jsonl`` (a string or an object a line), each with ``path`` or with one
            column alone; anything else is text with a path a line. Text is UTF-8
            or UTF-16; other bytes are kept as they are, or read as Windows-1252 where such a file
            exists.

    Raises:
        InputError: it cannot be read, or has no such column.
    """
    suffix = os.path.splitext(location)[1].lower()
    read = {".parquet": _parquet_paths, ".csv": _csv_paths, ".jsonl": _json_paths}
    try:
        system, path = open_location(location)
        with system.open_input_file(path) as file:
            entries = read.get(suffix, _text_paths)(file)
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{display(location)}: cannot be read as a manifest: {error}") from error
    folder = location.rpartition("/")[0]
    relative = [not (is_address(entry) or os.path.isabs(entry)) for entry in entries]
    joined = zip(entries, relative, strict=True)
    paths = [f"{folder}/{entry}" if inside and folder else entry for entry, inside in joined]
    return [path if is_address(path) else _as_on_disk(path) for path in paths]


# Files of this machine, or of a disk that all machines share --------------------------------------


def _local(source: str, listing: Listing) -> Iterator[Found]:
    paths, failed, left_out = find_recordings([source])
    listing.failures.update({display(path): reason for path, reason in failed.items()})
    listing.left_out.update(left_out)
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
    return found._replace(size=status.st_size, mtime_ns=modified_ns(status))


# Objects ------------------------------------------------------------------------------------------


def _stored(source: str, listing: Listing) -> Iterator[Found]:
    failures = listing.failures
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
            seen = [info for info in named if _is_seen(info, path)]
            infos = [info for info in seen if _suffix(info) in MEDIA_SUFFIXES]
            listing.left_out.update(_suffix(i) for i in seen if _suffix(i) not in MEDIA_SUFFIXES)
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


def _is_seen(info: Any, root_path: str) -> bool:
    hidden = "/." in info.path.removeprefix(root_path.rstrip("/"))
    return info.type == fs.FileType.File and not hidden


def _suffix(info: Any) -> str:
    return f".{info.extension.lower()}" if info.extension else ""


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


def _the_column(names: Sequence[str]) -> str:
    name = "path" if "path" in names or not names else names[0]
    if name != "path" and len(names) > 1:
        raise InputError(f"a manifest with the columns {', '.join(names)}: expected one named path")
    return name


def _parquet_paths(file: Any) -> list[str]:
    name = _the_column(pq.read_schema(file).names)
    return [str(path) for path in pq.read_table(file, columns=[name])[name].to_pylist() if path]


def _csv_paths(file: Any) -> list[str]:
    """All cells are text, whatever they look like: 007 is no number."""
    rows = csv.DictReader(StringIO(_text(file), newline=""))
    name = _the_column(list(rows.fieldnames or []))
    return [row[name] for row in rows if row.get(name)]


def _json_paths(file: Any) -> list[str]:
    records = [json.loads(line) for line in _text(file).splitlines() if line.strip()]
    rows = [{"path": record} if isinstance(record, str) else record for record in records]
    if any(not isinstance(row, dict) for row in rows):
        raise InputError("a line that is neither a string nor an object")
    return [str(row["path"]) for row in rows if row.get("path")]


def _text_paths(file: Any) -> list[str]:
    return [line for line in _text(file).splitlines() if line.strip()]


def _text(file: Any) -> str:
    """The text; bytes that are no UTF-8 are kept as Python keeps them in file names."""
    content = file.read()
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        if not content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return str(content.decode("utf-8", "surrogateescape"))
    return decode_text(content)


def _as_on_disk(path: str) -> str:
    """The path, or what it is in Windows-1252 if that is what exists."""
    if path.isascii() or os.path.exists(path):
        return path
    other = decode_text(path.encode("utf-8", "surrogateescape"))
    return other if os.path.exists(other) else path
