"""A picture of an embedding space: vectors into two dimensions by UMAP.

UMAP: McInnes, Healy and Melville 2018 (arXiv 1802.03426). Neighbours are by cosine, as everywhere
in this project.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wav2clip.embedding.engine import Embeddings
from wav2clip.errors import InputError, MissingExtraError
from wav2clip.evaluation.encoders import Encoder, TextEncoder, Wav2ClipEncoder
from wav2clip.models.space import unit
from wav2clip.zeroshot import DEFAULT_TEMPLATES, TEMPLATES

Coordinates = NDArray[np.float32]

SOUND, TEXT = "sound", "text"

_SPECTRAL = 10
"""UMAP's spectral start needs some more points than dimensions."""


@dataclass(frozen=True)
class Point:
    """Something on a map.

    Attributes:
        name: what people are shown; any string.
        label: the class that gives it its colour; empty for none.
        kind: "sound" or "text".
        path: the recording, to listen to.
        start: seconds into the recording at which it begins.
        end: seconds at which it ends, or None for the end of the recording.
    """

    name: str
    label: str = ""
    kind: str = SOUND
    path: Path | None = None
    start: float = 0.0
    end: float | None = None


@dataclass(frozen=True)
class Map:
    """Points and where they are.

    Attributes:
        points: n of them.
        coordinates: (n, 2) float32; only nearness means something.
        title: what is shown.
    """

    points: Sequence[Point]
    coordinates: Coordinates
    title: str

    @property
    def labels(self) -> list[str]:
        """The classes in the order in which they come first; without the empty one."""
        return list(dict.fromkeys(point.label for point in self.points if point.label))


def project(
    vectors: Embeddings,
    others: Embeddings | None = None,
    *,
    neighbors: int = 15,
    min_dist: float = 0.1,
    seed: int = 0,
) -> Coordinates:
    """Two coordinates (n + m, 2) float32 per vector; the same for the same seed.

    Args:
        vectors: n >= 0 of them (n, d), of any length; equal ones are allowed.
        others: (m, d) that take no part in the layout: each is put at the median of the
            ``neighbors`` vectors that are nearest to it. Words are nearer to words than to any
            sound, so laid out together with sounds they would make an island and say nothing.
        neighbors: size of the neighbourhoods that are kept together, at least 2; fewer points have
            fewer. UMAP's own default is 15.
        min_dist: how closely points may lie, in [0, 1]; UMAP's own default is 0.1.
        seed: of the optimisation.

    Raises:
        InputError: a number out of its range, or vectors that are not finite.
        MissingExtraError: umap-learn is not installed.
    """
    vectors = np.asarray(vectors, np.float32)
    others = np.zeros((0, *vectors.shape[1:]), np.float32) if others is None else others
    if neighbors < 2 or not 0 <= min_dist <= 1:
        raise InputError(
            f"neighbors {neighbors} and min_dist {min_dist}, expected at least 2 and 0 to 1"
        )
    if vectors.ndim != 2 or not (np.isfinite(vectors).all() and np.isfinite(others).all()):
        raise InputError(f"expected finite vectors (n, d), got shape {vectors.shape}")
    count = len(vectors)
    if count < 3:  # no neighbourhoods: a row
        total = count + len(others)
        return np.stack([np.arange(total), np.zeros(total)], axis=1).astype(np.float32)
    try:
        from umap import UMAP
    except ImportError as error:
        raise MissingExtraError(
            "maps need umap-learn: pip install 'wav2clip[evaluation]'"
        ) from error
    reducer = UMAP(
        n_neighbors=min(neighbors, count - 1),
        min_dist=min_dist,
        metric="cosine",
        init="spectral" if count >= _SPECTRAL else "random",
        random_state=seed,
        n_jobs=1,  # what a seed demands
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "n_neighbors|Graph is not fully connected")
        placed = reducer.fit_transform(vectors)
    nearest = np.argsort(-(unit(others) @ unit(vectors).T), axis=1)[:, :neighbors]
    among = [np.median(placed[rows], axis=0) for rows in nearest]
    return np.concatenate([placed, np.reshape(among, (-1, 2))]).astype(np.float32)


def one_space(
    parts: Mapping[str, Embeddings], means: Mapping[str, Embeddings | None]
) -> dict[str, Embeddings]:
    """Embeddings of several modalities, unit length, without the gap between the modalities.

    Each modality lies around a mean of its own (Liang et al. 2022, arXiv 2203.02053); without
    taking it away, a map shows the modalities and nothing else.

    Args:
        parts: modality to (n, d) embeddings.
        means: modality to its (d,) mean of unit vectors. Where one is not known, that of the
            given vectors takes its place.
    """
    centred = {}
    for name, vectors in parts.items():
        rows, mean = unit(vectors), means.get(name)
        if mean is None and len(rows):
            mean = rows.mean(axis=0)
        centred[name] = rows if mean is None else unit(rows - mean)
    return centred


def add_words(
    points: Sequence[Point],
    vectors: Embeddings,
    encoder: Encoder,
    words: Sequence[str] | None = None,
    *,
    centred: bool = False,
) -> tuple[list[Point], Embeddings, Embeddings]:
    """Sounds and words in one space: points of the words, vectors of the sounds and of the words.

    Args:
        points: n sounds.
        vectors: (n, d) embeddings of them.
        encoder: what made the vectors.
        words: labels; by default those of the points.
        centred: whether the mean of sounds has been taken off the vectors already.

    Raises:
        InputError: no words, or an encoder that knows none.
    """
    names = list(words or sorted({point.label for point in points if point.label}))
    if not names:
        raise InputError("the sounds have no labels to show; name some words")
    if not isinstance(encoder, TextEncoder):
        raise InputError(f"{encoder.name} knows no words; choose a model that does")
    (template,) = TEMPLATES[DEFAULT_TEMPLATES]
    spoken = [name.replace("_", " ") for name in names]
    embedded = encoder.embed_text([template.replace("{}", name) for name in spoken])
    means: dict[str, Embeddings | None] = {}
    if isinstance(encoder, Wav2ClipEncoder):
        means = {SOUND: encoder.model.mean, TEXT: encoder.model.towers.means.get("text")}
    parts = one_space({SOUND: vectors, TEXT: embedded}, means)
    sounds = vectors if centred else parts[SOUND]
    shown = [Point(phrase, name, TEXT) for phrase, name in zip(spoken, names, strict=True)]
    return shown, sounds, parts[TEXT]
