"""Folders of this machine, to choose one for indexing: where to begin, and what lies in each.

However large a folder is and however slow its disk, what is told of it is bounded in number and in
time; what may not be indexed is not told.
"""

from __future__ import annotations

import os
import string
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote_to_bytes
from urllib.request import url2pathname

from wav2clip.files import MEDIA_SUFFIXES, display
from wav2clip.web.problems import Refusal
from wav2clip.web.schemas import Folder, FolderList
from wav2clip.web.service import Service

MOST_FOLDERS = 500
"""Folders that are told of one."""

MOST_ENTRIES = 100_000
"""Entries of a folder that are looked at."""

SECONDS = 2.0
"""For looking at a folder, and for counting what lies in those that it holds."""

_MOUNTS = ("/media", "/mnt", "/run/media", "/Volumes")
"""Where disks that come and go are mounted, on Linux and macOS."""

_URI = "file://"


def told(path: Path) -> str:
    """A folder as clients are told it and give it back: its path, or a ``file:`` URI where the
    bytes of the path are no text."""
    text = str(path)
    return text if display(path) == text else path.as_uri()


def meant(given: str) -> str:
    """The path that a client means; see :func:`told`. ``~`` is the home folder."""
    if not given.startswith(f"{_URI}/"):
        return os.path.expanduser(given)
    address = given.removeprefix(_URI)
    return url2pathname(address) if os.name == "nt" else os.fsdecode(unquote_to_bytes(address))


def allowed_folder(service: Service, given: str) -> Path:
    """The real path of a folder that may be indexed.

    Raises:
        Refusal: 403 where it lies elsewhere or cannot be looked at, and the same where it does not
            exist: who asks is not told what else there is on this machine.
    """
    path = meant(given)
    if "\0" not in path and os.path.isabs(path):
        real = Path(os.path.realpath(path))
        if service.may_index(real) and os.path.isdir(real):
            return real
    if service.settings.any_folder:
        raise Refusal(403, "that is no folder that can be looked at", "the whole path of a folder")
    raise Refusal(
        403,
        "that folder may not be indexed from here",
        "one of the index_folders of /api/library, or a folder inside of them",
        "start `wav2clip serve` with --folder to allow others",
    )


def list_folder(service: Service, given: str | None, starts: str) -> FolderList:
    """What lies in a folder, by default in the first of those to begin with.

    Args:
        service: says which folders may be looked at.
        given: as a client gives it.
        starts: tell only of folders whose names begin so, in any case of letters.

    Raises:
        Refusal: 403, see :func:`allowed_folder`, or where the folder cannot be listed.
    """
    with service.listings.place():
        # A disk that does not answer may be one of these: whoever knows a path does not ask it.
        places = _places(service) if given is None else {}
        folder = allowed_folder(service, next(iter(places), "") if given is None else given)
        until = time.monotonic() + SECONDS
        try:
            found, sounds, whole = _look(service, folder, starts.casefold(), until)
        except OSError as error:
            reason = error.strerror or str(error)
            raise Refusal(403, f"{display(folder)} cannot be listed: {reason}") from error
        above = folder.parent
        return FolderList(
            places=[Folder(name=name, path=path) for path, name in places.items()],
            folder=Folder(name=display(folder), path=told(folder), sounds=sounds),
            parent=told(above) if above != folder and service.may_index(above) else None,
            folders=[
                Folder(name=display(each.name), path=told(each), sounds=_count(each, until))
                for each in found
            ],
            whole=whole,
        )


def _look(
    service: Service, folder: Path, starts: str, until: float
) -> tuple[list[Path], int | None, bool]:
    """The folders in one, sorted; how many sounds lie beside them, if all was looked at; and
    whether all folders are there."""
    found: list[os.DirEntry[str]] = []
    sounds, whole = 0, True
    with os.scandir(folder) as entries:
        for count, entry in enumerate(entries):
            if count >= MOST_ENTRIES or time.monotonic() > until:
                whole = False
                break
            if entry.name.startswith("."):
                continue
            if not _may_open(service, entry):
                sounds += _is_sound(entry.name)
            elif entry.name.casefold().startswith(starts):
                found.append(entry)
    found.sort(key=lambda entry: (entry.name.casefold(), os.fsencode(entry.name)))
    shown = [Path(entry.path) for entry in found[:MOST_FOLDERS]]
    return shown, sounds if whole else None, whole and len(found) <= MOST_FOLDERS


def _may_open(service: Service, entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one, that may be indexed."""
    try:
        if not entry.is_dir():
            return False
        return not entry.is_symlink() or service.may_index(Path(os.path.realpath(entry.path)))
    except OSError:  # such as a link to itself
        return False


def _count(folder: Path, until: float) -> int | None:
    """Files directly in a folder that are called as sounds are; None where it cannot be looked at
    in time."""
    sounds = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if time.monotonic() > until:
                return None
            sounds += _is_sound(entry.name) and not entry.is_dir(follow_symlinks=False)
        return sounds
    return None


def _is_sound(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in MEDIA_SUFFIXES


def _places(service: Service) -> dict[str, str]:
    """Folders to begin with, as clients give them, and what they are called."""
    home = Path(os.path.expanduser("~"))
    named = [(home, "Home"), *((path, display(path)) for path in _tops(service))]
    found: dict[str, str] = {}
    for path, name in named:
        if path.is_absolute() and os.path.isdir(path):
            real = Path(os.path.realpath(path))
            if service.may_index(real):
                found.setdefault(told(real), name)
    return found


def _tops(service: Service) -> Iterator[Path]:
    """What the library's recordings lie in, and the disks of this machine."""
    yield from service.catalogue.listing().roots[:MOST_FOLDERS]
    if os.name == "nt":
        yield from (Path(f"{letter}:\\") for letter in string.ascii_uppercase)
        return
    user = os.path.basename(os.path.expanduser("~"))
    for mounts in (*_MOUNTS, *(f"{each}/{user}" for each in _MOUNTS)):
        with suppress(OSError), os.scandir(mounts) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
            yield from (Path(mounts, name) for name in names[:MOST_FOLDERS] if name != user)
    yield Path("/")
