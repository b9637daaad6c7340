"""What `wav2clip map` can show: a dataset, a library, or recordings."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wav2clip.cli import console, finds
from wav2clip.datasets.catalogue import GENERIC, SHEETS, load_dataset
from wav2clip.embedding.engine import Embeddings
from wav2clip.errors import InputError
from wav2clip.evaluation.encoders import Encoder, Wav2ClipEncoder, embed_files, load_encoder
from wav2clip.evaluation.projection import Point
from wav2clip.files import display, find_recordings
from wav2clip.library.store import vectors_of


class Sounds(NamedTuple):
    """What is to be mapped.

    Attributes:
        points: n sounds.
        vectors: (n, d) float32.
        failures: files that gave none, and why.
        encoder: loads what made the vectors, where there are any.
        centred: whether the mean of all sounds has been taken off already.
    """

    points: list[Point]
    vectors: Embeddings
    failures: dict[Path, str]
    encoder: Callable[[], Encoder]
    centred: bool = False

    def sample(self, limit: int, seed: int) -> Sounds:
        """At most ``limit`` of the sounds, drawn at random."""
        if len(self.points) <= limit:
            return self
        chosen = np.sort(np.random.default_rng(seed).permutation(len(self.points))[:limit])
        points = [self.points[row] for row in chosen]
        return self._replace(points=points, vectors=self.vectors[chosen])


def gather(
    sources: Sequence[str], model: str | None, device: str, data: Path | None, keep_going: bool
) -> Sounds:
    """Vectors of whatever the sources are.

    Raises:
        InputError: several sources of which one is a dataset, or nothing to show.
        DataError: a dataset is not there, or has damaged files.
        LibraryError: the library was made with another model.
    """
    if any(name in SHEETS and name not in GENERIC for name in sources):
        if len(sources) > 1:
            raise InputError("one dataset at a time")
        return _from_dataset(sources[0], model or "builtin", device, data, keep_going)
    if data is not None:
        raise InputError(f"--data needs the name of a dataset: {', '.join(SHEETS)}")
    if len(sources) <= 1:
        found = _from_library(sources[0] if sources else None, model, device)
        if found is not None:
            return found
    return _from_files(sources, model or "builtin", device)


def _from_dataset(
    name: str, model: str, device: str, data: Path | None, keep_going: bool
) -> Sounds:
    from wav2clip.evaluation.features import compute

    dataset = load_dataset(name, data)
    dataset.require_sound(keep_going)
    encoder = load_encoder(model, device)
    with console.progress_bar("embedding", len(dataset.clips), "clips") as advance:
        features = compute(encoder, dataset, keep_going=keep_going, advance=advance)
    points = [
        Point(clip.key, next(iter(clip.labels), ""), path=clip.path) for clip in features.clips
    ]
    return Sounds(points, features.vectors, {}, lambda: encoder)


def _from_library(path: str | None, model: str | None, device: str) -> Sounds | None:
    """The segments of a library, or None if it is none."""
    if path is not None and not Path(path).is_dir() and "://" not in path:
        return None
    library = finds.open_library(path, model, device)
    if not library.store.exists:
        if path is None:
            raise InputError(
                "there is no library yet: make one with wav2clip index FOLDER, or name the "
                "recordings to show"
            )
        return None
    if model is not None:
        library.model  # noqa: B018  says so if the library was made with another
    rows = library.to_arrow()
    columns = (rows[name].to_pylist() for name in ("path_bytes", "start", "end", "tags"))
    points = []
    for raw, start, end, tags in zip(*columns, strict=True):
        path_of = Path(os.fsdecode(raw))
        name = f"{display(path_of)} {start:.1f}-{end:.1f} s"
        points.append(Point(name, next(iter(tags or ()), ""), path=path_of, start=start, end=end))
    vectors = vectors_of(rows).astype(np.float32)
    return Sounds(points, vectors, {}, lambda: Wav2ClipEncoder(library.model), centred=True)


def _from_files(sources: Sequence[str], model: str, device: str) -> Sounds:
    paths, failures, left_out = find_recordings(sources)
    console.report_left_out(left_out)
    if not paths:
        return Sounds([], np.zeros((0, 0), np.float32), failures, lambda: load_encoder(model))
    encoder = load_encoder(model, device)
    several = len({path.parent for path in paths}) > 1
    vectors: dict[Path, Embeddings] = {}
    with console.progress_bar("embedding", len(paths)) as advance:
        for path, vector, reason in embed_files(encoder, paths):
            advance()
            if vector is None:
                failures[path] = reason
            else:
                vectors[path] = vector
    kept = [path for path in paths if path in vectors]
    points = [
        Point(display(path), display(path.parent.name) if several else "", path=path)
        for path in kept
    ]
    rows = np.array([vectors[path] for path in kept], np.float32)
    return Sounds(points, rows.reshape(len(kept), encoder.dimension), failures, lambda: encoder)
