"""The map of the library: computed by a process apart, kept beside the library by its version."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Lock

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wav2clip.downloads import cache_folder
from wav2clip.errors import LibraryError
from wav2clip.files import atomic_path, display
from wav2clip.library.store import file_id, vectors_of
from wav2clip.web.catalogue import Catalogue, Listing
from wav2clip.web.jobs import Job
from wav2clip.web.schemas import MapData

MOST = 20_000
"""Moments on a map; of a larger library a part drawn at random (seed 0)."""

_POLL_SECONDS = 0.2


class Maps:
    """The map of one library, as it is now."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._library = catalogue.library
        self._lock = Lock()
        self._drawn: tuple[str, MapData] | None = None

    def current(self) -> MapData | None:
        """The map of the library as it is, if it was computed before."""
        listing = self._catalogue.listing()
        name = self._name()
        with self._lock:
            if self._drawn is None or self._drawn[0] != name:
                kept = _load(self._folder() / "map.npz", name)
                if kept is None:
                    return None
                self._drawn = (name, draw(listing, *kept))
            return self._drawn[1]

    def latest(self) -> MapData | None:
        """The map that was asked for last, of whatever state of the library."""
        with self._lock:
            return self._drawn[1] if self._drawn is not None else None

    def compute(self, job: Job) -> str:
        """Compute the map and keep it. UMAP cannot be interrupted, so its process is ended."""
        store = self._library.store
        name = self._name()
        rows = store.read(["file", "path_bytes", "segment", "start", "vector"])
        rows = sample(rows.sort_by([("path_bytes", "ascending"), ("segment", "ascending")]))
        job.change(message=f"laying out {rows.num_rows:,} moments")
        places = _project_apart(vectors_of(rows).astype(np.float32), job)
        target = self._folder() / "map.npz"
        with atomic_path(target) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file,
                name=name,
                places=places,
                files=np.array(rows["file"].to_pylist(), dtype="S32"),
                starts=rows["start"].to_numpy(),
                total=store.count(),
            )
        return "/api/map"

    def _name(self) -> str:
        """Another one for every state of the library."""
        store = self._library.store
        if not store.exists:
            raise LibraryError("there is nothing to draw yet: index a folder first")
        return f"1 {store.refresh()} {store.count()} {store.settings.fingerprint}"

    def _folder(self) -> Path:
        """Beside the library, or among the user's caches where that is elsewhere or read-only."""
        store = self._library.store
        if not store.remote and os.access(store.uri, os.W_OK):
            return Path(store.uri)
        folder = cache_folder() / "maps" / file_id(store.uri)
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def sample(rows: pa.Table, most: int = MOST) -> pa.Table:
    """At most so many rows, in their order, drawn as `wav2clip map` does."""
    if rows.num_rows <= most:
        return rows
    chosen = np.sort(np.random.default_rng(0).permutation(rows.num_rows)[:most])
    return rows.take(pa.array(chosen))


def draw(
    listing: Listing,
    places: NDArray[np.float32],
    files: NDArray[np.bytes_],
    starts: NDArray[np.float64],
    total: int,
) -> MapData:
    """What the page needs of a map: both axes by the same factor into [0, 1].

    Groups are the first tags of files where any file has one, and their folders otherwise.
    """
    keys = [key.decode() for key in files.tolist()]
    found = {key: listing.place_of(key) for key in dict.fromkeys(keys)}
    known = [place for place in found.values() if place is not None]
    there = (key for key, place in found.items() if place is not None)
    shown = {key: index for index, key in enumerate(there)}
    low = places.min(axis=0, initial=np.inf) if len(places) else np.zeros(2)
    span = float((places - low).max(initial=0)) or 1.0
    scaled = ((places - low) / span).round(4).clip(0, 1)
    points = [
        (float(x), float(y), shown[key], round(float(start), 2))
        for (x, y), key, start in zip(scaled.tolist(), keys, starts.tolist(), strict=True)
        if key in shown  # files may have gone meanwhile
    ]
    paths = [listing.paths[place] for place in known]
    if listing.tags:
        groups = [next(iter(listing.tags_of(place)), "") for place in known]
    else:
        groups = [listing.folder_of(path) for path in paths]
    return MapData(
        points=points,
        ids=[listing.ids[place] for place in known],
        names=[display(path.name) for path in paths],
        groups=groups,
        total=total,
    )


def _load(
    path: Path, name: str
) -> tuple[NDArray[np.float32], NDArray[np.bytes_], NDArray[np.float64], int] | None:
    """A map that was kept, if it is that of this state."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            if str(kept["name"]) != name:
                return None
            return kept["places"], kept["files"], kept["starts"], int(kept["total"])
    except (OSError, ValueError, KeyError, EOFError):
        return None


def _project_apart(vectors: NDArray[np.float32], job: Job) -> NDArray[np.float32]:
    with tempfile.TemporaryDirectory(prefix="wav2clip-map-") as folder:
        source, target = Path(folder, "vectors.npy"), Path(folder, "places.npy")
        np.save(source, vectors)
        command = [sys.executable, "-m", "wav2clip.web.maps", str(source), str(target)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:  # noqa: S603
            try:
                while process.poll() is None:
                    job.check()
                    time.sleep(_POLL_SECONDS)
            finally:
                process.kill()
        if process.returncode:
            raise LibraryError("the map could not be computed; the server's log says why")
        places: NDArray[np.float32] = np.load(target, allow_pickle=False)
    return places


def _main(source: Path, target: Path) -> None:
    """In the process apart: project, at a lower priority than searches have."""
    from wav2clip.evaluation.projection import project

    if hasattr(os, "nice"):
        os.nice(10)
    np.save(target, project(np.load(source, allow_pickle=False)))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
