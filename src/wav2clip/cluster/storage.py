"""Disks and object storage by address, and folders whose files appear only when they are whole."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

from wav2clip.errors import InputError
from wav2clip.files import display

_PUBLISHES_WHOLE = frozenset({"s3", "gcs", "abfs"})
"""File systems on which an object appears when its upload has ended, and not before."""


def is_address(location: str) -> bool:
    """Whether it is an address such as ``s3://bucket/folder``, not a path."""
    return "://" in location


def public_name(address: str) -> str:
    """An address without its query and without the keys that it may hold."""
    return re.sub(r"//[^/@:]*:[^/@]*@", "//", address.partition("?")[0])


def open_location(location: str) -> tuple[Any, str]:
    """The file system of a path or an address, and the path within it.

    Args:
        location: a path, or an address of ``file``, ``s3``, ``gs``, ``abfs`` or ``hdfs``; see
            `pyarrow.fs.FileSystem.from_uri` for what each may hold.

    Raises:
        InputError: another kind of address.
    """
    if not is_address(location):
        return fs.LocalFileSystem(), str(Path(location).expanduser().absolute())
    # The path is taken literally: what follows the scheme need not be escaped as addresses are.
    query = urlsplit(location).query
    scheme, _, rest = location.removesuffix(f"?{query}").partition("://")
    host, slash, path = rest.partition("/")
    root = f"{scheme}://{host}/" + (f"?{query}" if query else "")
    try:
        system, base = fs.FileSystem.from_uri(root)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise InputError(
            f"{public_name(location)}: cannot be opened ({error}); expected a path, or an address "
            "that begins with file://, s3://, gs://, abfs:// or hdfs://"
        ) from error
    return system, f"{base.rstrip('/')}{slash}{path}".rstrip("/") or "/"


class Folder:
    """A folder of small files on a disk or on object storage; made when first written to.

    Attributes:
        location: path or address.
        name: the same for people.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self.name = display(public_name(location))
        self._system, self._path = open_location(location)

    @property
    def local(self) -> Path | None:
        """Its path, where it is on a disk."""
        return Path(self._path) if self._system.type_name == "local" else None

    def names(self) -> set[str]:
        """Names of the files in it, none if there is no such folder."""
        found = self._system.get_file_info(fs.FileSelector(self._path, allow_not_found=True))
        return {info.base_name for info in found if info.type == fs.FileType.File}

    def open(self, name: str) -> Any:
        """A file for reading at any position."""
        return self._system.open_input_file(f"{self._path}/{name}")

    def write(self, name: str, content: Any) -> None:
        """Write a file that takes its name when it is whole. A file of that name is replaced."""
        target = f"{self._path}/{name}"
        self._system.create_dir(self._path, recursive=True)
        if self._system.type_name in _PUBLISHES_WHOLE:
            with self._system.open_output_stream(target) as stream:
                stream.write(content)
            return
        # Not named after the process: those of two machines may have the same number.
        part = f"{self._path}/.{name}.{uuid.uuid4().hex}.part"
        try:
            with self._system.open_output_stream(part) as stream:
                stream.write(content)
            self._system.move(part, target)
        except BaseException:
            if self._system.get_file_info(part).type == fs.FileType.File:
                self._system.delete_file(part)
            raise

    def delete(self, names: Iterable[str]) -> None:
        """Delete files, those that are there."""
        for name in set(names) & self.names():
            self._system.delete_file(f"{self._path}/{name}")
