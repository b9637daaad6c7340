"""Files and folders: finding recordings, odd names and texts, and writing whole files only."""

from __future__ import annotations

import codecs
import ctypes
import errno
import glob
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from wav2clip.errors import InputError


def _suffixes(*lines: str) -> frozenset[str]:
    return frozenset(f".{suffix}" for line in lines for suffix in line.split())


SOUND_SUFFIXES = _suffixes(
    "aac ac3 adts aif aifc aiff alac amr ape au awb bwf caf dff dsf dts dtshd eac3 ec3 f4a flac",
    "gsm ircam iff loas m2a m4a m4b m4r mka mlp mp+ mp1 mp2 mp3 mpa mpc mpga mpp nist oga ogg",
    "oma opus paf pvf qcp ra rf64 shn snd sph spx svx tak thd tta voc vqf w64 wav wave weba",
    "wma wv",
)
"""Suffixes of files that hold sound alone."""

VIDEO_SUFFIXES = _suffixes(
    "3g2 3gp asf avi divx dv f4v flv ismv m2t m2ts m4v mk3d mkv mov mp4 mpe mpeg mpg mts mxf nsv",
    "nut ogm ogv qt rm rmvb tod tp trp ts vob webm wmv wtv",
)
"""Suffixes of files that hold moving pictures, and mostly sound."""

MEDIA_SUFFIXES = SOUND_SUFFIXES | VIDEO_SUFFIXES
"""Suffixes taken from folders, in the whole package: containers of libsndfile and FFmpeg."""

PICTURE_SUFFIXES = _suffixes(
    "avif bmp dib gif ico jfif jp2 jpe jpeg jpg pbm pgm png pnm ppm tga tif tiff webp",
)
"""Suffixes of pictures taken from folders: what Pillow reads by itself, without other programs."""

_MPEG_OR_TYPESCRIPT = frozenset({".ts", ".mts"})
_PACKETS = (188, 192, 204)  # bytes of an MPEG transport stream's packets: plain, timed, protected
_SYNC, _ENOUGH_PACKETS = 0x47, 4  # ISO/IEC 13818-1, section 2.4.3.3

_KINDS = 8  # of files that were left out, named one by one

NO_FILE = "is a pipe or a device, expected a file"

NO_SOUND = "has no audio track, only "
"""What the reason says of a file that is whole and mute: it is passed over, and no failure."""


def display(path: str | os.PathLike[str]) -> str:
    """A path as valid Unicode on one line: bytes that are no UTF-8 and line breaks are escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def is_mute(reason: str) -> bool:
    """Whether the reason for which a file gave nothing is that it has no sound."""
    return NO_SOUND in reason


def modified_ns(status: os.stat_result) -> int:
    """When a file was changed, nanoseconds since 1970, within 64 bits: at most the year 2262."""
    return min(max(status.st_mtime_ns, -(2**63)), 2**63 - 1)


def decode_text(content: bytes) -> str:
    """Text as editors and spreadsheets save it: UTF-8 or UTF-16, with a mark in front or without,
    or else Windows-1252, which Latin-1 is a part of."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            return content.decode("cp1252")
        except UnicodeDecodeError:
            return content.decode("latin-1")


class Found(NamedTuple):
    """What a search for recordings gave.

    Attributes:
        recordings: in the order of the sources, then of the names.
        failures: the reason for each source that gave none, and for what is no file.
        left_out: files in the folders that are neither sound nor video by name, by their suffix.
    """

    recordings: list[Path]
    failures: dict[Path, str]
    left_out: Counter[str]


def walk(
    folder: Path,
    suffixes: frozenset[str] = MEDIA_SUFFIXES,
    on_error: Callable[[OSError], None] | None = None,
    left_out: Counter[str] | None = None,
    others: Callable[[os.DirEntry[str]], None] | None = None,
) -> Iterator[Path]:
    """Files below ``folder`` with one of the suffixes, in sorted order.

    Links are followed, each real folder once, so loops of links end. Hidden files and folders are
    left out, and so is TypeScript that is called as MPEG transport streams are.

    Args:
        folder: where to begin.
        suffixes: in lower case.
        on_error: takes what cannot be listed, and pipes and devices of such a name, as an
            ``OSError`` with the path; by default the error is raised, and pipes are passed over.
        left_out: counts the files of other suffixes, by suffix.
        others: takes the entries of these files.
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
            if _is(entry.is_dir):
                yield from visit(Path(entry.path))
            elif not has_suffix(Path(entry.path), suffixes):
                _leave_out(entry, left_out, others)
            elif _is(entry.is_file) or not os.path.exists(entry.path):
                yield Path(entry.path)  # of a link to nowhere, whoever opens it is told
            elif on_error is not None:
                on_error(OSError(0, NO_FILE, entry.path))

    yield from visit(folder)


def _leave_out(
    entry: os.DirEntry[str],
    left_out: Counter[str] | None,
    others: Callable[[os.DirEntry[str]], None] | None,
) -> None:
    if left_out is not None:
        left_out[os.path.splitext(entry.name)[1].lower()] += 1
    if others is not None:
        others(entry)


def has_suffix(path: Path, suffixes: frozenset[str] = MEDIA_SUFFIXES) -> bool:
    """Whether a file is called like sound or video, and is not TypeScript of the same name."""
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        return False
    return suffix not in _MPEG_OR_TYPESCRIPT or _is_transport_stream(path)


def _is_transport_stream(path: Path) -> bool:
    """Whether an MPEG transport stream begins in a file; also if it cannot be read."""
    try:
        if not path.is_file():
            return True
        with path.open("rb") as file:
            head = file.read(8192)
    except OSError:
        return True
    places = ((size, at) for size in _PACKETS for at in range(size))
    return any(
        len(marks := head[at::size][:_ENOUGH_PACKETS]) > 1 and set(marks) == {_SYNC}
        for size, at in places
    )


def _is(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:  # such as a link to itself: whoever opens it is told
        return False


def find_recordings(sources: Sequence[str]) -> Found:
    """Expand files, folders (recursively) and glob patterns into recordings.

    A file that is named is taken whatever its suffix; folders and patterns give files with one of
    :data:`MEDIA_SUFFIXES`. Doubles count once.
    """
    recordings: dict[Path, None] = {}
    found = Found([], {}, Counter())

    def unlisted(error: OSError) -> None:
        found.failures[Path(error.filename)] = error.strerror or str(error)

    for source in sources:
        path = Path(source)
        before = len(found.failures)
        try:
            if path.is_dir():
                listed = list(walk(path, on_error=unlisted, left_out=found.left_out))
                reason = "the folder holds no audio or video file"
            elif path.exists():
                listed, reason = [path] if stat.S_ISREG(path.stat().st_mode) else [], NO_FILE
            else:
                listed = _expand_pattern(source, found)
                reason = "no such file, folder or pattern"
        except OSError as error:
            found.failures[Path(error.filename or source)] = error.strerror or str(error)
            continue
        if not listed and len(found.failures) == before:
            found.failures[path] = reason
        recordings.update(dict.fromkeys(listed))
    return found._replace(recordings=list(recordings))


def _expand_pattern(pattern: str, found: Found) -> list[Path]:
    if not glob.has_magic(pattern):
        return []
    listed = []
    for path in map(Path, sorted(glob.glob(pattern, recursive=True))):
        if path.is_dir():
            continue
        if not has_suffix(path):
            found.left_out[path.suffix.lower()] += 1
        elif path.is_file():
            listed.append(path)
        else:
            found.failures[path] = NO_FILE
    return listed


def left_out_line(left_out: Mapping[str, int], what: str = "neither sound nor video") -> str:
    """How many files were left out and of which kinds, for people; "" for none."""
    if not left_out:
        return ""
    kinds = sorted(left_out.items(), key=lambda kind: (-kind[1], kind[0]))
    told = [f"{count} {display(suffix) or 'without a suffix'}" for suffix, count in kinds[:_KINDS]]
    others = sum(count for _, count in kinds[_KINDS:])
    told += [f"{others} of other kinds"] if others else []
    total = sum(left_out.values())
    files = "1 file" if total == 1 else f"{total} files"
    return f"left out {files}, {what} by name: {', '.join(told)}"


@contextmanager
def atomic_path(target: Path, replace: bool = True) -> Iterator[Path]:
    """A temporary path beside ``target`` that takes its name when the block ends well.

    Whatever stops the block, the temporary file is removed and ``target`` is as it was.

    Args:
        target: the final name.
        replace: whether a file that has the name is replaced.

    Raises:
        InputError: the folder of ``target`` does not exist, or there is such a file and it is not
            to be replaced.
    """
    folder = target.parent
    if not folder.is_dir():
        raise InputError(f"cannot write {display(target)}: {display(folder)} is not a folder")
    temporary = folder / f".{target.name}.{os.getpid()}.part"
    try:
        yield temporary
        if replace:
            os.replace(temporary, target)
        else:
            _name_new(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _name_new(temporary: Path, target: Path) -> None:
    try:
        rename_new(temporary, target)
    except FileExistsError as error:
        raise InputError(
            f"{display(target)} is there already, expected a new file; choose another name"
        ) from error


_NO_REPLACE = 1  # RENAME_NOREPLACE of renameat2(2)
_AT_FDCWD = -100
_CANNOT = {errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK}


def rename_new(source: Path, target: Path) -> None:
    """Rename a file within its file system, never onto something that is there.

    Linux does it in one step. Elsewhere the file has both names for a moment, so that one which is
    stopped there has lost none; on file systems without hard links the name is looked at just
    before.

    Raises:
        FileExistsError: something has that name.
        OSError: any other reason.
    """
    for way in (_rename_at_once, _rename_by_link):
        try:
            return way(source, target)
        except OSError as error:
            if error.errno not in _CANNOT or isinstance(error, FileExistsError):
                raise
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(target))
    os.rename(source, target)
    return None


def _rename_at_once(source: Path, target: Path) -> None:
    if os.name == "nt":
        return os.rename(source, target)  # which replaces nothing there
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    if rename(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _NO_REPLACE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fspath(source), None, os.fspath(target))
    return None


def _rename_by_link(source: Path, target: Path) -> None:
    os.link(source, target, follow_symlinks=False)
    os.unlink(source)


def digest(*paths: Path) -> str:
    """Sixteen hexadecimal digits over the contents of files."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:16]
