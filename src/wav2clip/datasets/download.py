"""Fetch a dataset's official files, verify them, and unpack what Python can unpack."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from wav2clip import downloads
from wav2clip.datasets.core import Sheet
from wav2clip.downloads import Download, Progress
from wav2clip.errors import DataError
from wav2clip.files import display

_UNPACKED = ".unpacked"
_CHUNK = 1 << 20


def download(sheet: Sheet, root: Path, progress: Progress | None = None) -> list[Path]:
    """Fetch what a sheet lists into ``root`` and unpack it there.

    Files that are there are verified and not fetched again, archives that were unpacked are not
    unpacked again, and a transfer that broke off is resumed.

    Args:
        sheet: whose ``remotes`` are wanted.
        root: a folder, made if need be.
        progress: called with the bytes that are there, and that are expected, of each file in turn.

    Returns:
        Archives that must be unpacked by hand: of several parts, or of another kind.

    Raises:
        DataError: there is nothing to fetch, or an archive is damaged or unsafe.
        DownloadError: see :func:`wav2clip.downloads.fetch`.
    """
    if not sheet.remotes:
        raise DataError(f"{sheet.title} cannot be fetched. {sheet.by_hand} Layout: {sheet.layout}")
    left = []
    parts = {remote.filename for remote in sheet.remotes}
    for remote in sheet.remotes:
        path = root / remote.filename
        wanted = Download(f"{remote.filename} of {sheet.title}", remote.url, path, remote.checksum)
        downloads.fetch(wanted, progress)
        if path.suffix in (".zip", ".gz") and f"{path.stem}.z01" not in parts:
            unpack(path, root)
        elif path.suffix in (".zip", ".7z"):
            left.append(path)
    return left


def unpack(archive: Path, root: Path) -> None:
    """Unpack a .zip or .tar.gz once.

    Names that lead out of ``root``, links that do, and devices are refused, as
    :func:`tarfile.data_filter` defines it. What was unpacked in part is unpacked again.

    Raises:
        DataError: it is damaged, unsafe, or cannot be written.
    """
    mark = archive.with_name(archive.name + _UNPACKED)
    state = f"{archive.stat().st_size} {archive.stat().st_mtime_ns}"
    if mark.exists() and mark.read_text("ascii") == state:
        return
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as content:
                _unpack_zip(content, root)
        else:
            with tarfile.open(archive) as content_tar:
                content_tar.extractall(root, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
        raise DataError(
            f"{display(archive)} cannot be unpacked ({error}); if it is damaged, delete it and "
            "download it again"
        ) from error
    mark.write_text(state, "ascii")


def _unpack_zip(content: zipfile.ZipFile, root: Path) -> None:
    """All or nothing of what is unsafe: names are checked before the first file is written."""
    for member in content.infolist():
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in member.filename:
            raise zipfile.BadZipFile(f"{display(member.filename)} leads out of the folder")
    for member in content.infolist():
        target = root / member.filename
        if member.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.part")
        with content.open(member) as source, temporary.open("wb") as copy:
            shutil.copyfileobj(source, copy, _CHUNK)
        os.replace(temporary, target)
