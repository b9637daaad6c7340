"""Files and folders: finding recordings, showing odd names, and writing whole files only."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from wav2clip.errors import InputError

AUDIO_SUFFIXES = frozenset(
    f".{suffix}"
    for line in (
        "aac ac3 aif aifc aiff amr ape au caf flac m4a m4b mka mp2 mp3 oga ogg opus ra rf64 snd",
        "spx tta voc w64 wav wave wma wv",
        "avi flv mkv mov mp4 mpeg mpg ogv ts webm wmv",
    )
    for suffix in line.split(" ")
)
"""Suffixes taken from folders: containers of libsndfile and FFmpeg in which people keep sound."""


def display(path: str | os.PathLike[str]) -> str:
    """A path as valid Unicode on one line: bytes that are no UTF-8 and line breaks are escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def walk(
    folder: Path,
    suffixes: frozenset[str] = AUDIO_SUFFIXES,
    on_error: Callable[[OSError], None] | None = None,
) -> Iterator[Path]:
    """Files below ``folder`` with one of the suffixes, in sorted order.

    Links are followed, each real folder once, so loops of links end. Hidden files and folders are
    left out. A folder that cannot be listed raises the ``OSError`` of the attempt, or hands it to
    ``on_error`` and the walk goes on.
    """
    seen: set[tuple[int, int]] = set()

    def visit(current: Path) -> Iterator[Path]:
        try:
            status = current.stat()
            if (status.st_dev, status.st_ino) in seen:
                return
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(current) as entries:
                ordered = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            if on_error is None:
                raise
            on_error(error)
            return
        for entry in ordered:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                yield from visit(Path(entry.path))
            elif os.path.splitext(entry.name)[1].lower() in suffixes:
                yield Path(entry.path)

    yield from visit(folder)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself: whoever opens it is told
        return False


def find_recordings(sources: Sequence[str]) -> tuple[list[Path], dict[Path, str]]:
    """Expand files, folders (recursively) and glob patterns into recordings.

    A file that is named is taken whatever its suffix; folders and patterns give files with one of
    :data:`AUDIO_SUFFIXES`. Order is that of the arguments, then of the names; doubles count once.

    Returns:
        The recordings, and the reason for each source that gave none.
    """
    found: dict[Path, None] = {}
    failures: dict[Path, str] = {}
    for source in sources:
        path = Path(source)
        try:
            if path.is_dir():
                recordings = list(walk(path))
                if not recordings:
                    failures[path] = "the folder holds no audio or video file"
            elif path.exists():
                recordings = [path]
            else:
                recordings = _expand_pattern(source)
                if not recordings:
                    failures[path] = "no such file, folder or pattern"
        except OSError as error:
            failures[Path(error.filename or source)] = error.strerror or str(error)
            continue
        found.update(dict.fromkeys(recordings))
    return list(found), failures


def _expand_pattern(pattern: str) -> list[Path]:
    if not glob.has_magic(pattern):
        return []
    matches = (Path(match) for match in sorted(glob.glob(pattern, recursive=True)))
    return [path for path in matches if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file()]


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path beside ``target`` that takes its name when the block ends well.

    Whatever stops the block, the temporary file is removed and ``target`` is as it was.

    Raises:
        InputError: the folder of ``target`` does not exist or cannot be written.
    """
    folder = target.parent
    if not folder.is_dir():
        raise InputError(f"cannot write {display(target)}: {display(folder)} is not a folder")
    temporary = folder / f".{target.name}.{os.getpid()}.part"
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
