"""A folder of pictures, each looked at once: embeddings of what has not changed are kept."""

from __future__ import annotations

import math
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from wav2clip.downloads import cache_folder
from wav2clip.embedding.bulk import ahead
from wav2clip.errors import InputError
from wav2clip.files import NO_FILE, PICTURE_SUFFIXES, display, modified_ns, walk
from wav2clip.models.towers.base import Embeddings, Towers
from wav2clip.models.towers.images import open_image

ENOUGH = 512
"""Pixels of the shorter side that are kept for the tower, which looks at 260 or so: what waits to
be embedded takes little memory, however large the files are."""

_MOST = 2_000_000  # pixels, four times of which are kept at most: of panoramas less than ENOUGH
_BATCH = 16  # pictures that are embedded, and then kept, together: what an interrupt may cost
_AHEAD = 2 * _BATCH
_DECODERS = 4  # at most: a picture of 100 megapixels takes 400 MB while it is decoded

_TABLE = """CREATE TABLE IF NOT EXISTS pictures (
    path BLOB, towers TEXT, size INTEGER, mtime_ns INTEGER, vector BLOB, PRIMARY KEY (path, towers)
) WITHOUT ROWID"""


@dataclass(frozen=True)
class Album:
    """Pictures that could be read.

    Attributes:
        paths: n of them, absolute, in the order of their names.
        vectors: (n, dimension) float32, unit length.
        failures: what could not be read or listed, and why.
        left_out: files that are no pictures by name, by suffix.
        looked_at: how many were embedded now, and not before.
        note: why their embeddings could not be kept for the next time, or "".
    """

    paths: list[Path]
    vectors: Embeddings
    failures: dict[Path, str]
    left_out: Counter[str]
    looked_at: int = 0
    note: str = ""


def open_album(
    source: Path, towers: Towers, advance: Callable[[int, int], None] = lambda done, total: None
) -> Album:
    """Embeddings of all pictures of a folder, or of one file.

    They are kept in ``pictures.sqlite`` in the user's cache folder, by path and towers, after every
    sixteen; a picture counts as known while its size and time are the same. So what is interrupted
    goes on where it was.

    Args:
        source: folder, looked through with all below it, or file.
        towers: whose image tower looks at them.
        advance: called with pictures just done, and all that had to be.

    Raises:
        InputError: no such folder, or nothing in it that can be read.
    """
    root = Path(os.path.abspath(source))
    failures: dict[Path, str] = {}
    left_out: Counter[str] = Counter()
    found = _stamps(_listed(root, failures, left_out), failures)
    rows: dict[Path, Embeddings] = {}
    with closing(_Shelf(towers)) as shelf:
        for path, stamp, vector in shelf.read(root):
            if found.get(path) == stamp:
                rows[path] = vector
            elif path not in found:
                shelf.forget(path)
        unknown = [path for path in found if path not in rows]
        for batch in _batches(_look_at(unknown)):
            seen = {path: look for path, look in batch if not isinstance(look, str)}
            failures |= {path: look for path, look in batch if isinstance(look, str)}
            vectors = dict(zip(seen, towers.embed_image(list(seen.values())), strict=True))
            shelf.keep({path: (found[path], vector) for path, vector in vectors.items()})
            rows |= vectors
            advance(len(batch), len(unknown))
        note = shelf.note
    paths = [path for path in found if path in rows]
    if not paths:
        raise InputError(_nothing(source, failures))
    looked_at = sum(path in rows for path in unknown)
    return Album(paths, np.stack([rows[p] for p in paths]), failures, left_out, looked_at, note)


def _listed(root: Path, failures: dict[Path, str], left_out: Counter[str]) -> Iterable[Path]:
    def unlisted(error: OSError) -> None:
        failures[Path(error.filename)] = error.strerror or str(error)

    if root.is_dir():
        return walk(root, PICTURE_SUFFIXES, unlisted, left_out)
    if root.is_file():
        return [root]
    what = NO_FILE if root.exists() else "no such folder, expected one with pictures in it"
    raise InputError(f"{display(root)}: {what}")


_Stamp = tuple[int, int]
"""Size and time of a file: while they are the same, so is what it shows."""


def _stamps(paths: Iterable[Path], failures: dict[Path, str]) -> dict[Path, _Stamp]:
    stamps = {}
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            failures[path] = error.strerror or str(error)
            continue
        stamps[path] = status.st_size, modified_ns(status)
    return stamps


def _look_at(paths: Iterable[Path]) -> Iterator[tuple[Path, Image.Image | str]]:
    """Pictures in their order, or what is wrong with each; others are decoded meanwhile."""
    calls = (partial(_look, path) for path in paths)
    return ahead(calls, min(_DECODERS, os.cpu_count() or 1), _AHEAD)


def _look(path: Path) -> tuple[Path, Image.Image | str]:
    try:
        picture = open_image(path)
        width, height = picture.size
        factor = max(min(width, height) // ENOUGH, math.isqrt(width * height // _MOST))
        return path, picture.reduce(factor) if factor > 1 else picture
    except Exception as error:  # decoders of strangers' files raise nearly anything
        reason = str(error) or type(error).__name__
        return path, reason.removeprefix(f"{display(path)} ")


def _batches(
    looks: Iterator[tuple[Path, Image.Image | str]],
) -> Iterator[list[tuple[Path, Image.Image | str]]]:
    while batch := list(islice(looks, _BATCH)):
        yield batch


def _nothing(source: Path, failures: dict[Path, str]) -> str:
    told = f"{display(source)} holds no picture that can be read"
    if failures:
        path, reason = next(iter(failures.items()))
        told += f": {len(failures)} failed, the first, {display(path.name)}, {reason}"
    kinds = " ".join(sorted(suffix[1:] for suffix in PICTURE_SUFFIXES))
    return f"{told}. Expected a folder of files that end in one of: {kinds}"


class _Shelf:
    """Embeddings by one pair of towers, on disk where that can be.

    Attributes:
        note: why it is not kept.
    """

    def __init__(self, towers: Towers) -> None:
        self.note = ""
        self._towers = towers.fingerprint
        self._bytes = 4 * towers.dimension
        path = cache_folder() / "pictures.sqlite"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = _open(path)
        except (OSError, sqlite3.Error) as error:
            self._refuse(error)
            self._base = sqlite3.connect(":memory:")
            self._base.execute(_TABLE)

    def close(self) -> None:
        self._base.close()

    def read(self, root: Path) -> list[tuple[Path, _Stamp, Embeddings]]:
        """What is known of a file, or of all below a folder."""
        name, below = os.fsencode(root), os.path.join(os.fsencode(root), b"")
        rows = self._base.execute(
            "SELECT path, size, mtime_ns, vector FROM pictures WHERE towers = ? AND "
            "(path = ? OR path >= ? AND path < ?) AND length(vector) = ?",
            (self._towers, name, below, below[:-1] + bytes([below[-1] + 1]), self._bytes),
        )
        return [
            (Path(os.fsdecode(path)), (size, mtime), np.frombuffer(vector, np.float32))
            for path, size, mtime, vector in rows
        ]

    def keep(self, vectors: dict[Path, tuple[_Stamp, Embeddings]]) -> None:
        """Remember them all, or none."""
        rows = [
            (os.fsencode(path), self._towers, *stamp, np.asarray(vector, np.float32).tobytes())
            for path, (stamp, vector) in vectors.items()
        ]
        try:
            with self._base:
                self._base.executemany("REPLACE INTO pictures VALUES (?, ?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            self._refuse(error)

    def forget(self, path: Path) -> None:
        """A picture that is no longer there."""
        with suppress(sqlite3.Error), self._base:
            self._base.execute("DELETE FROM pictures WHERE path = ?", (os.fsencode(path),))

    def _refuse(self, error: Exception) -> None:
        self.note = (
            f"what the pictures show cannot be kept for the next time in "
            f"{display(cache_folder())}: {error}"
        )


def _open(path: Path) -> sqlite3.Connection:
    """The file, made anew where it is damaged: it holds nothing that cannot be computed again."""
    base = sqlite3.connect(path, timeout=60)
    try:
        whole = base.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
        base.execute(_TABLE)
    except sqlite3.OperationalError:  # such as a folder that cannot be written
        base.close()
        raise
    except sqlite3.DatabaseError:
        whole = False
    if whole:
        return base
    base.close()
    path.unlink()
    return _open(path)
