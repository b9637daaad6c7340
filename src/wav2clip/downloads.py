"""Files from the network: to a temporary name, resumed where they stopped, verified, then named.

Where the publisher states no checksum, that of the first download is recorded beside the file and
every later one must match it.
"""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from wav2clip.errors import DownloadError
from wav2clip.files import display

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes expected in all (None where unknown)."""

_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 30.0
_TITLES = {"sha256": "SHA-256", "md5": "MD5"}


@dataclass(frozen=True)
class Download:
    """A file to fetch.

    Attributes:
        what: name of it in messages.
        url: its address.
        path: where it goes.
        checksum: "sha256:" or "md5:" and the hexadecimal digits that the publisher states, or None
            where none are stated.
    """

    what: str
    url: str
    path: Path
    checksum: str | None = None


def cache_folder() -> Path:
    """``$WAV2CLIP_CACHE``, or the platform's cache folder for ``wav2clip``."""
    configured = os.environ.get("WAV2CLIP_CACHE")
    return Path(configured) if configured else user_cache_path("wav2clip")


def offline() -> bool:
    """Whether ``WAV2CLIP_OFFLINE`` or ``HF_HUB_OFFLINE`` forbids the network."""
    names = ("WAV2CLIP_OFFLINE", "HF_HUB_OFFLINE")
    return any(os.environ.get(name, "").lower() in {"1", "true", "yes", "on"} for name in names)


def fetch(download: Download, progress: Progress | None = None) -> Path:
    """Path of the file, downloaded if it is not there yet, and verified in any case.

    Raises:
        DownloadError: offline or unreachable with nothing there, a broken transfer (which the next
            call resumes), content of another checksum than expected, or a folder that cannot be
            written.
    """
    path = download.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_beside(path, ".lock")):
            if not path.exists():
                part = _beside(path, ".part")
                _transfer(download, part, progress)
                _verify(download, part)
                os.replace(part, path)
            else:
                _verify(download, path)
    except OSError as error:
        raise DownloadError(f"cannot write to {display(path.parent)}: {error}") from error
    return path


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _by_hand(download: Download) -> str:
    return f"Download {download.url} elsewhere and put it at {display(download.path)}"


def _transfer(download: Download, part: Path, progress: Progress | None) -> None:
    """Fetch into ``part``, going on from what is there if the server's file is still the same."""
    if offline():
        raise DownloadError(
            f"{download.what} is not cached and the network is switched "
            f"off by WAV2CLIP_OFFLINE or HF_HUB_OFFLINE. {_by_hand(download)}"
        )
    etag_file = _beside(part, ".etag")
    request = urllib.request.Request(  # noqa: S310
        download.url, headers={"User-Agent": "wav2clip"}
    )
    have = part.stat().st_size if part.exists() else 0
    etag = etag_file.read_text("latin-1") if etag_file.exists() else ""
    if have and etag:  # without a validator two halves of different files could be joined
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", etag)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
            resumed = response.status == 206
            have = have if resumed else 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length else None
            etag_file.write_text(response.headers.get("ETag") or "", "latin-1")
            with part.open("ab" if resumed else "wb") as file:
                while block := response.read(_CHUNK):
                    file.write(block)
                    have += len(block)
                    if progress is not None:
                        progress(have, total)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # what is there is no prefix of the file: start again next time
            part.unlink(missing_ok=True)
        raise _unreachable(download, error) from error
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise _unreachable(download, error) from error
    if total is not None and have < total:
        raise DownloadError(
            f"{download.url}: the connection ended after {have} of {total} bytes; "
            "run the same command again to resume"
        )
    etag_file.unlink(missing_ok=True)


def _unreachable(download: Download, error: Exception) -> DownloadError:
    return DownloadError(
        f"{download.what} is not cached and {download.url} cannot be "
        f"fetched ({error}). Try again with a network, or: {_by_hand(download)}"
    )


def _verify(download: Download, file: Path) -> None:
    """Compare with the publisher's checksum or with the recorded one; record the first."""
    record = _beside(download.path, ".sha256")
    stated = download.checksum
    if stated is None and record.exists():
        stated = f"sha256:{record.read_text('ascii').strip()}"
    algorithm, _, expected = (stated or "sha256:").partition(":")
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, algorithm).hexdigest()
    if not expected:
        temporary = _beside(record, ".part")
        temporary.write_text(found + "\n", "ascii")
        os.replace(temporary, record)
    elif found != expected:
        if file != download.path:
            file.unlink()
        recorded = f"the one recorded in {display(record)}"
        source = "the publisher's" if download.checksum else recorded
        raise DownloadError(
            f"{display(download.path)}: {_TITLES[algorithm]} is {found}, expected {expected}, "
            f"{source}. The file is damaged or was replaced: delete it and try again; if the "
            "publisher changed it, delete the record too"
        )
