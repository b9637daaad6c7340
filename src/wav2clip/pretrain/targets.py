"""What the teacher says: embeddings of phrases, from tables or the tower, and of pictures."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wav2clip.errors import DataError
from wav2clip.files import display
from wav2clip.models.towers.base import Towers

Embeddings = NDArray[np.float32]

_TEXT_BATCH = 256


@dataclass(frozen=True)
class TextTable:
    """Embeddings that the teacher itself made of some phrases.

    Attributes:
        files: name of each file, and the hash of its content.
        rows: normalised phrase -> unit vector.
    """

    files: dict[str, str]
    rows: dict[str, Embeddings]

    def find(self, phrase: str) -> Embeddings | None:
        """The vector of a phrase, whatever its case and its article (a or an)."""
        return self.rows.get(_normalised(phrase))


def _normalised(phrase: str) -> str:
    """CLIP's tokeniser reads lower case; the tables write "a" before vowels too."""
    words = phrase.lower().split()
    if words[:1] == ["an"]:
        words[0] = "a"
    return " ".join(words)


def read_text_tables(paths: Sequence[Path], dimension: int) -> TextTable:
    """Read ``.npz`` tables: ``names`` (n,), ``embeddings`` (n, dimension), ``prompt`` with {name}.

    A phrase that several tables hold keeps the vector of the first.

    Raises:
        DataError: a file is missing, is no such table, or is of another dimension.
    """
    files: dict[str, str] = {}
    rows: dict[str, Embeddings] = {}
    for path in paths:
        try:
            files[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
            with np.load(path, allow_pickle=False) as table:
                names, vectors = table["names"].tolist(), table["embeddings"].astype(np.float32)
                prompt = str(table["prompt"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise DataError(
                f"{display(path)} is no table of embeddings ({error}); expected an .npz file with "
                "names, embeddings and prompt"
            ) from error
        if vectors.shape != (len(names), dimension):
            raise DataError(
                f"{display(path)} holds embeddings of shape {vectors.shape} for {len(names)} "
                f"names; the teacher's have {dimension} dimensions"
            )
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        for name, vector in zip(names, vectors, strict=True):
            rows.setdefault(_normalised(prompt.format(name=name)), vector)
    return TextTable(files, rows)


def embed_phrases(
    phrases: Collection[str],
    towers: Towers,
    table: TextTable,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Embeddings]:
    """Unit vectors of phrases: the table's where it has them, the text tower's for the rest.

    Returns:
        Phrase -> (d,).
    """
    found = {phrase: row for phrase in phrases if (row := table.find(phrase)) is not None}
    # Sorted, so that batches, and with them the last digits, do not depend on the listing's order.
    rest = sorted(set(phrases) - found.keys())
    for start in range(0, len(rest), _TEXT_BATCH):
        batch = rest[start : start + _TEXT_BATCH]
        found.update(zip(batch, _checked(towers.embed_text(batch), towers), strict=True))
        progress(min(start + _TEXT_BATCH, len(rest)), len(rest))
    return found


def embed_pictures(pictures: Sequence[Sequence[Image.Image]], towers: Towers) -> list[Embeddings]:
    """One unit vector (1, d) per sequence: the mean of its pictures' embeddings, normalised.

    The paper averages CLIP's embeddings of the frames over time; CLIP's are unit length.
    """
    flat = [picture for sequence in pictures for picture in sequence]
    if not flat:
        return []
    vectors = _checked(towers.embed_image(flat), towers)
    ends = np.cumsum([len(sequence) for sequence in pictures])
    means = [part.mean(axis=0, keepdims=True) for part in np.split(vectors, ends[:-1])]
    return [mean / np.linalg.norm(mean) for mean in means]


def _checked(vectors: Embeddings, towers: Towers) -> Embeddings:
    if vectors.shape[1:] != (towers.dimension,) or not np.isfinite(vectors).all():
        raise DataError(
            f"the teacher {towers.name} gave embeddings of shape {vectors.shape} or with NaN, "
            f"expected finite ones of {towers.dimension} dimensions"
        )
    return np.asarray(vectors, np.float32)
