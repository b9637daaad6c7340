"""Names of models: where their weights come from, under which licence, and how they are verified.

A download goes to the user's cache under a temporary name, resumes where it stopped, and takes its
final name only when its SHA-256 is right. Where the publisher states no hash, the first download is
recorded and every later one must match it.
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

from wav2clip.errors import RegistryError
from wav2clip.files import display

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes expected in all (None where unknown)."""

_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Model:
    """A name that ``wav2clip.load`` understands.

    Attributes:
        name: what to type.
        summary: one line about it.
        licence: of the weights.
        url: address of the file, or None for a model that ships inside the package.
        filename: its name in the cache, or its folder below ``wav2clip/weights``.
        sha256: 64 hexadecimal digits, or None where the publisher states none.
    """

    name: str
    summary: str
    licence: str
    url: str | None
    filename: str
    sha256: str | None = None

    @property
    def path(self) -> Path:
        """Where its weights are, or will be once fetched."""
        if self.url is None:
            return Path(__file__).parent.parent / "weights" / self.filename
        return cache_folder() / self.filename

    @property
    def available(self) -> bool:
        """Whether its weights are on this machine."""
        return self.path.exists()


MODELS = {
    model.name: model
    for model in (
        Model(
            name="builtin",
            summary="audio, text and image towers in the space of CLIP ViT-B/32; no download",
            licence="see docs/model-card-builtin.md",
            url=None,
            filename="builtin/audio",
        ),
        Model(
            name="wav2clip",
            summary="the weights published with the paper, trained on VGGSound",
            licence="CC-BY-4.0",
            url="https://github.com/descriptinc/lyrebird-wav2clip/releases/download/"
            "v0.1.0-alpha/Wav2CLIP.pt",
            filename="Wav2CLIP.pt",
        ),
    )
}


def cache_folder() -> Path:
    """``$WAV2CLIP_CACHE``, or the platform's cache folder for ``wav2clip``."""
    configured = os.environ.get("WAV2CLIP_CACHE")
    return Path(configured) if configured else user_cache_path("wav2clip")


def offline() -> bool:
    """Whether ``WAV2CLIP_OFFLINE`` or ``HF_HUB_OFFLINE`` forbids the network."""
    names = ("WAV2CLIP_OFFLINE", "HF_HUB_OFFLINE")
    return any(os.environ.get(name, "").lower() in {"1", "true", "yes", "on"} for name in names)


def locate(name_or_path: str | Path, progress: Progress | None = None) -> Path:
    """Path of the weights behind a name (fetched if need be) or a path.

    Raises:
        RegistryError: neither a known name nor an existing path; or see :func:`fetch`.
    """
    model = MODELS.get(str(name_or_path))
    if model is not None:
        return fetch(model, progress)
    path = Path(name_or_path).expanduser()
    if not path.exists():
        raise RegistryError(
            f"{display(path)}: neither a known model ({', '.join(MODELS)}) nor an existing path"
        )
    return path


def fetch(model: Model, progress: Progress | None = None) -> Path:
    """Path of a model's weights, downloaded and verified if they are not there yet.

    Raises:
        RegistryError: offline or unreachable with nothing cached, a broken transfer (which the next
            call resumes), or content of another hash than expected.
    """
    if model.url is None:
        if not model.available:
            raise RegistryError(
                f"the weights of {model.name!r} are missing from this installation "
                f"({display(model.path)}); reinstall wav2clip"
            )
        return model.path
    try:
        model.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_beside(model.path, ".lock")):
            if not model.path.exists():
                part = _beside(model.path, ".part")
                _download(model, part, progress)
                _verify(model, part)
                os.replace(part, model.path)
            else:
                _verify(model, model.path)
    except OSError as error:
        raise RegistryError(f"cannot write to {display(model.path.parent)}: {error}") from error
    return model.path


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _by_hand(model: Model) -> str:
    return f"Download {model.url} elsewhere and put it at {display(model.path)}"


def _download(model: Model, part: Path, progress: Progress | None) -> None:
    """Fetch into ``part``, going on from what is there if the server's file is still the same."""
    if offline():
        raise RegistryError(
            f"{model.filename} of model {model.name!r} is not cached and the network is switched "
            f"off by WAV2CLIP_OFFLINE or HF_HUB_OFFLINE. {_by_hand(model)}"
        )
    assert model.url is not None
    etag_file = _beside(part, ".etag")
    request = urllib.request.Request(model.url, headers={"User-Agent": "wav2clip"})  # noqa: S310
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
        raise _unreachable(model, error) from error
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise _unreachable(model, error) from error
    if total is not None and have < total:
        raise RegistryError(
            f"{model.url}: the connection ended after {have} of {total} bytes; "
            "run the same command again to resume"
        )
    etag_file.unlink(missing_ok=True)


def _unreachable(model: Model, error: Exception) -> RegistryError:
    return RegistryError(
        f"{model.filename} of model {model.name!r} is not cached and {model.url} cannot be "
        f"fetched ({error}). Try again with a network, or: {_by_hand(model)}"
    )


def _verify(model: Model, file: Path) -> None:
    """Compare with the publisher's hash or with the recorded one; record the first."""
    record = _beside(model.path, ".sha256")
    expected = model.sha256 or (record.read_text("ascii").strip() if record.exists() else None)
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if expected is None:
        temporary = _beside(record, ".part")
        temporary.write_text(found + "\n", "ascii")
        os.replace(temporary, record)
    elif found != expected:
        if file != model.path:
            file.unlink()
        source = "the publisher's" if model.sha256 else f"the one recorded in {display(record)}"
        raise RegistryError(
            f"{display(model.path)}: SHA-256 is {found}, expected {expected}, {source}. "
            "The file is damaged or was replaced: delete it and try again; if the publisher "
            "changed it, delete the record too"
        )
