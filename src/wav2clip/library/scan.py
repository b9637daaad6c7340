"""What lies in the folders: files with size and time, and the hashes of what they hold."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from wav2clip.audio.essence import hash_file
from wav2clip.embedding.bulk import ahead
from wav2clip.errors import Wav2ClipError
from wav2clip.files import NO_FILE, modified_ns, walk
from wav2clip.library.beside import Beside
from wav2clip.library.store import KnownFile, file_id
from wav2clip.reading.readers import Readers

_HASHED_AHEAD = 16


@dataclass
class Scan:
    """What was found.

    Attributes:
        roots: the folders and files asked for, absolute, links in them resolved.
        files: every recording by its id.
        failures: what could not be listed or is no file, with the reason.
        left_out: files that are neither sound nor video by name, by suffix.
        beside: what lies beside the recordings, and belongs to them.
    """

    roots: list[Path]
    files: dict[str, KnownFile]
    failures: dict[Path, str]
    left_out: Counter[str] = field(default_factory=Counter)
    beside: Beside = field(default_factory=Beside)

    def covers(self, path: Path) -> bool:
        """Whether a path lies in what was asked for."""
        return any(path.is_relative_to(root) for root in self.roots)


def scan(sources: Iterable[str | os.PathLike[str]]) -> Scan:
    """List the recordings in folders, and files that are named, whatever their suffix."""
    found = Scan([], {}, {})
    listed: set[Path] = set()

    def unlisted(error: OSError) -> None:
        found.failures[Path(error.filename)] = error.strerror or str(error)

    for source in sources:
        root = Path(os.path.realpath(source))
        if not root.exists():
            found.failures[Path(source)] = "no such file or folder"
            continue
        found.roots.append(root)
        if not root.is_dir() and root.parent not in listed:
            listed.add(root.parent)
            _look_beside(root.parent, found.beside)
        for path in _files(root, unlisted, found):
            try:
                status = path.stat()
            except OSError as error:
                found.failures[path] = error.strerror or str(error)
                continue
            if stat.S_ISREG(status.st_mode):
                found.files[file_id(path)] = _known(path, status)
            else:  # reading a pipe or a device could wait for ever
                found.failures[path] = NO_FILE
    found.beside.settle((file.path for file in found.files.values()), found.left_out)
    return found


def _files(root: Path, unlisted: Callable[[OSError], None], found: Scan) -> Iterable[Path]:
    if not root.is_dir():
        return [root]
    return walk(root, on_error=unlisted, left_out=found.left_out, others=found.beside.see)


def _look_beside(folder: Path, beside: Beside) -> None:
    """What lies beside a file that was named alone."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: os.fsencode(entry.name)):
            if not entry.name.startswith("."):
                beside.see(entry, counted=False)


def hash_files(
    files: Iterable[KnownFile], workers: int | None = None
) -> Iterator[tuple[KnownFile, str | None]]:
    """The files with ``hash`` and ``sound`` filled in, and the reason if they cannot be read."""
    calls = (partial(_hash, file) for file in files)
    return ahead(calls, workers or os.cpu_count() or 1, _HASHED_AHEAD)


def read_metadata(paths: Iterable[Path], workers: int | None = None) -> Iterator[dict[str, str]]:
    """What :func:`wav2clip.audio.metadata.read_metadata` gives for files, in their order.

    Nothing of a file that cannot be read.
    """
    count = workers or os.cpu_count() or 1
    with Readers(count) as readers:

        def read(path: Path) -> dict[str, str]:
            try:
                return readers.read_metadata(path)
            except Wav2ClipError:
                return {}

        yield from ahead((partial(read, path) for path in paths), count, _HASHED_AHEAD)


def changed(file: KnownFile) -> bool:
    """Whether a file is not what it was when it was listed."""
    try:
        now = _known(file.path, file.path.stat())
    except OSError:
        return True
    return (now.size, now.mtime_ns) != (file.size, file.mtime_ns)


CHANGED = "changed while it was read; index again when it is complete"


def _hash(file: KnownFile) -> tuple[KnownFile, str | None]:
    try:
        with file.path.open("rb", buffering=0) as content:
            whole, sound = hash_file(content)
    except OSError as error:
        return file, error.strerror or str(error)
    return (file, CHANGED) if changed(file) else (replace(file, hash=whole, sound=sound), None)


def _known(path: Path, status: os.stat_result) -> KnownFile:
    return KnownFile(path, status.st_size, modified_ns(status), ctime_ns=status.st_ctime_ns)
