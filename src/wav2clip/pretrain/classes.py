"""The classes of a tagger in the space of text: what its probabilities mean for CLIP."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wav2clip.errors import DataError
from wav2clip.files import atomic_path, display
from wav2clip.models.towers.base import Towers
from wav2clip.pretrain.shards import TaggerRecord, disk_errors
from wav2clip.pretrain.targets import Embeddings, TextTable, embed_phrases

CLASSES = "classes.npz"
"""File beside the manifest: ``labels`` (k,) and ``embeddings`` (k, d) float32, unit length."""

_COLUMNS = ("class", "phrases")


@dataclass(frozen=True)
class Phrases:
    """What may be said for a class; a class that is not listed is called by its name.

    Attributes:
        of: class -> its phrases, at least one.
    """

    of: Mapping[str, tuple[str, ...]]

    def __call__(self, label: str) -> tuple[str, ...]:
        """The phrases of a class."""
        return self.of.get(label, (label,))


def read_phrases(path: Path, labels: Sequence[str]) -> Phrases:
    """Read a CSV table with the columns ``class`` and ``phrases`` (separated by ";").

    Several rows of one class add up. The phrases stand in place of the class's name.

    Raises:
        DataError: not such a table, or it names a class that the tagger does not have.
    """
    found: dict[str, tuple[str, ...]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not set(_COLUMNS) <= set(reader.fieldnames or ()):
                raise ValueError(f"its columns are {', '.join(reader.fieldnames or ()) or 'none'}")
            for row in reader:
                label, text = ((row[column] or "").strip() for column in _COLUMNS)
                phrases = [" ".join(phrase.split()) for phrase in text.split(";")]
                found[label] = found.get(label, ()) + tuple(filter(None, phrases))
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
        raise DataError(
            f"{display(path)} is no table of phrases ({error}); expected a .csv file with the "
            f"columns {' and '.join(_COLUMNS)}, the phrases separated by ;"
        ) from error
    unknown = [label for label in found if label not in set(labels)]
    if unknown:
        raise DataError(
            f"{display(path)} has phrases for {unknown[0]!r} ({len(unknown)} unknown classes), "
            f"expected classes of the tagger such as {labels[0]!r}"
        )
    return Phrases({label: phrases for label, phrases in found.items() if phrases})


def embed_classes(
    labels: Sequence[str], phrases: Phrases, towers: Towers, table: TextTable
) -> Embeddings:
    """One unit vector per class (k, d): the mean of its phrases' unit embeddings, normalised.

    Averaging over phrasings is the prompt ensembling of CLIP (Radford et al. 2021, arXiv
    2103.00020, section 3.1.4). Phrases that ``table`` holds are taken from it.
    """
    vectors = embed_phrases({p for label in labels for p in phrases(label)}, towers, table)
    means = [np.mean([vectors[p] for p in phrases(label)], axis=0) for label in labels]
    rows = np.stack(means).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def write_classes(folder: Path, labels: Sequence[str], embeddings: Embeddings) -> None:
    """Write :data:`CLASSES`; it appears only when it is whole."""
    path = folder / CLASSES
    with disk_errors(path), atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, labels=np.array(labels), embeddings=embeddings)


def read_classes(folder: Path, tagger: TaggerRecord, dimension: int) -> Embeddings:
    """The embeddings (k, d) of a tagger's classes that lie beside the manifest.

    Raises:
        DataError: missing, damaged, or of other classes or another dimension than the manifest's.
    """
    path = folder / CLASSES
    advice = "run `wav2clip pretrain prepare` again with the same arguments"
    try:
        with np.load(path, allow_pickle=False) as content:
            labels, rows = tuple(content["labels"].tolist()), content["embeddings"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{display(path)} is missing or damaged ({error}); {advice}") from error
    if labels != tagger.labels or rows.shape != (len(labels), dimension):
        raise DataError(
            f"{display(path)} holds {len(labels)} classes of shape {rows.shape}, the manifest "
            f"names {len(tagger.labels)} of {dimension} dimensions; {advice}"
        )
    if not np.isfinite(rows).all():
        raise DataError(f"{display(path)} holds NaN or infinity; {advice}")
    return np.asarray(rows, np.float32)
