"""Uploads: what arrives is read in a process apart, embedded, and forgotten but for its vectors."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from cachetools import LRUCache, TTLCache
from numpy.typing import NDArray

from wav2clip import zeroshot
from wav2clip.errors import LibraryError
from wav2clip.files import display
from wav2clip.library import Library, Query
from wav2clip.models.towers.base import Embeddings
from wav2clip.reading.readers import Readers
from wav2clip.web.problems import Refusal
from wav2clip.web.reading import read as read_apart
from wav2clip.web.schemas import LabelShare, Upload
from wav2clip.web.settings import Limits

_LABEL_SETS = 8
_LABELS_SHOWN = 10


@dataclass(frozen=True)
class Kept:
    """What stays of an upload.

    Attributes:
        name: as it was called.
        vector: (dimension,) to search with.
        embedding: (dimension,) of a sound as a whole, to paint from; None of a picture.
    """

    name: str
    vector: NDArray[np.float32]
    embedding: NDArray[np.float32] | None


class Uploads:
    """What was uploaded of late: so many, for so long, in memory."""

    def __init__(self, library: Library, limits: Limits, readers: Readers) -> None:
        self._library, self._limits, self._readers = library, limits, readers
        self._kept: TTLCache[str, Kept] = TTLCache(limits.uploads_kept, limits.uploads_minutes * 60)
        self._weights: LRUCache[tuple[str, ...], Embeddings] = LRUCache(_LABEL_SETS)
        self._lock = Lock()

    def get(self, id: str) -> Kept:
        """An upload.

        Raises:
            Refusal: there is none of that id, or no longer.
        """
        with self._lock:
            kept = self._kept.get(id)
        if kept is None:
            raise Refusal(404, "that upload is not known, or no longer", do="send the file again")
        return kept

    def take(self, file: Path, name: str, labels: Sequence[str]) -> Upload:
        """Read, embed and label an upload, as search and classification do with files.

        Args:
            file: alone in its folder, whose owner deletes it.
            name: for people.
            labels: for a sound.

        Raises:
            Refusal: see :func:`.reading.read`.
            LibraryError: there is no library yet.
        """
        library, limits = self._library, self._limits
        if not library.store.exists:
            raise LibraryError("there is nothing to search yet: index a folder first")
        model = library.model
        read = read_apart(
            self._readers, file, model.sample_rate, limits.sound_seconds, limits.decode_seconds
        )
        query = (Query.audio if read.kind == "sound" else Query.image)(read.path)
        vector = query.vector(model, library.store.settings)
        embedding, shares = None, list[LabelShare]()
        if read.kind == "sound":
            embedding = model.embed_file(read.path)
            shares = self._classify(embedding, labels)
        id = secrets.token_hex(16)
        with self._lock:
            self._kept[id] = Kept(name, vector, embedding)
        return Upload(
            id=id,
            kind="sound" if read.kind == "sound" else "picture",
            name=name,
            seconds=read.seconds,
            labels=shares,
            waveform=read.peaks,
        )

    def weights(self, names: tuple[str, ...]) -> Embeddings:
        """(k, dimension) of labels, kept for the next who asks for the same."""
        with self._lock:
            known = self._weights.get(names)
        if known is not None:
            return known
        made = zeroshot.class_weights(self._library.model.towers, names)
        with self._lock:
            self._weights[names] = made
        return made

    def _classify(self, embedding: Embeddings, labels: Sequence[str]) -> list[LabelShare]:
        names = tuple(zeroshot.check_labels(labels))
        (row,) = self._library.model.probabilities(embedding[None], self.weights(names))
        likeliest = zeroshot.top(row, names, _LABELS_SHOWN)
        return [LabelShare(label=label, probability=min(share, 1.0)) for label, share in likeliest]


def safe_name(name: str) -> str:
    """What an upload is called: the last part of what the client says, as one short line."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return display(last.encode("utf-8", "replace").decode())[:200] or "upload"


def folder() -> tempfile.TemporaryDirectory[str]:
    """Where an upload lies while it is worked on; nobody else can look into it."""
    return tempfile.TemporaryDirectory(prefix="wav2clip-upload-", ignore_cleanup_errors=True)
