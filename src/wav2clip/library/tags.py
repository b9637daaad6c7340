"""Zero-shot tags and UCS categories stored beside the rows, usable in filters."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from wav2clip import zeroshot
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import InputError
from wav2clip.library import suggest, ucs
from wav2clip.library.filters import quoted
from wav2clip.library.space import Vectors, centre
from wav2clip.library.store import Store, vectors_of
from wav2clip.models.space import unit

_BLOCK = 50_000
_FILES = 5_000


def tag(
    store: Store,
    model: Wav2CLIP,
    labels: Sequence[str],
    top: int = 1,
    min_probability: float = 0.0,
    replace: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Give every segment its likeliest labels, by the scores of :mod:`wav2clip.zeroshot`.

    Args:
        store: whose lock the caller holds.
        model: the one that the library was made with.
        labels: words or phrases. The tags of a segment become the old ones that are not among
            them, and those of them that fit now.
        top: labels per segment at most.
        min_probability: labels below this are not given, in [0, 1].
        replace: drop all old tags.
        progress: called with (segments done, segments in all).

    Returns:
        The number of segments that have a tag now.

    Raises:
        InputError: a label that is empty or given twice, or a number out of its range.
    """
    names = zeroshot.check_labels(labels)
    _check(top, min_probability)
    weights, scale = _class_vectors(store, model, names)
    ids = store.read(["id"])["id"].to_pylist()
    tagged = 0
    for first in range(0, len(ids), _BLOCK):
        rows = store.read(["id", "tags", "vector"], _between(ids, first))
        probabilities = zeroshot.softmax(vectors_of(rows).astype(np.float32) @ weights.T * scale)
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        new = []
        for row, old in enumerate(rows["tags"].to_pylist()):
            kept = [] if replace else [name for name in old or () if name not in names]
            fitting = [names[k] for k in best[row] if probabilities[row, k] >= min_probability]
            new.append([*kept, *fitting])
        store.replace_tags(rows["id"].to_pylist(), new)
        tagged += sum(map(bool, new))
        if progress is not None:
            progress(min(first + _BLOCK, len(ids)), len(ids))
    store.tidy()
    return tagged


class Categorised(NamedTuple):
    """What :func:`tag_ucs` did.

    Attributes:
        files: how many have a category now.
        stated: how many of these say it themselves.
    """

    files: int
    stated: int


def tag_ucs(
    store: Store,
    model: Wav2CLIP,
    top: int = 1,
    min_probability: float = 0.0,
    replace: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Categorised:
    """Tag every file with CatIDs, by :mod:`.suggest`: all of its segments get the same.

    Args:
        store: whose lock the caller holds.
        model: the one that the library was made with.
        top: suggestions per file at most. What a file says itself is no suggestion, and stands
            alone.
        min_probability: suggestions below this are not given, in [0, 1].
        replace: drop all old tags; else only CatIDs.
        progress: called with (files done, files in all).

    Raises:
        InputError: a number out of its range.
    """
    _check(top, min_probability)
    store.upgrade()
    suggester = suggest.Suggester(model, bool(store.settings.centred))
    files = store.read(["file", "path", "metadata"], "segment = 0").sort_by("file")
    tagged = stated = 0
    for first in range(0, files.num_rows, _FILES):
        block = files.slice(first, _FILES)
        keys, paths = block["file"].to_pylist(), block["path"].to_pylist()
        metadata = [json.loads(text or "{}") for text in block["metadata"].to_pylist()]
        rows = store.read(
            ["id", "file", "tags", "vector"], f"file >= '{keys[0]}' AND file <= '{keys[-1]}'"
        )
        sounds = _mean_of_files(rows["file"].to_pylist(), vectors_of(rows), keys)
        ids = suggester.suggest(sounds, paths, metadata, top, min_probability)
        given = dict(zip(keys, ids, strict=True))
        pairs = zip(rows["file"].to_pylist(), rows["tags"].to_pylist(), strict=True)
        new = [
            [*(t for t in old or () if not (replace or ucs.is_id(t))), *given[file]]
            for file, old in pairs
        ]
        store.replace_tags(rows["id"].to_pylist(), new)
        tagged += sum(map(bool, ids))
        stated += sum(map(bool, map(suggest.stated, paths, metadata)))
        if progress is not None:
            progress(first + len(keys), files.num_rows)
    store.tidy()
    return Categorised(tagged, stated)


def _mean_of_files(files: list[str], vectors: np.ndarray, keys: list[str]) -> Vectors:
    """(keys, dimension) of unit length: the direction of all segments of each file."""
    place = {key: row for row, key in enumerate(keys)}
    sums = np.zeros((len(keys), vectors.shape[1]), np.float32)
    np.add.at(sums, [place[file] for file in files], vectors.astype(np.float32))
    return unit(sums)


def _check(top: int, min_probability: float) -> None:
    if top < 1 or not 0 <= min_probability <= 1:
        raise InputError(
            f"top {top} and min_probability {min_probability}, expected at least 1 and 0 to 1"
        )


def untag(store: Store, labels: Sequence[str]) -> int:
    """Take labels from all segments that have them; gives how many segments that were.

    Args:
        store: whose lock the caller holds.
        labels: tags, as they were given.

    Raises:
        InputError: a label that is empty or given twice.
    """
    names = set(zeroshot.check_labels(labels))
    having = " OR ".join(f"array_has(tags, {quoted(name)})" for name in sorted(names))
    rows = store.read(["id", "tags"], having)
    count: int = rows.num_rows
    left = [[tag for tag in tags if tag not in names] for tags in rows["tags"].to_pylist()]
    if count:
        store.replace_tags(rows["id"].to_pylist(), left)
        store.tidy()
    return count


def _between(ids: list[str], first: int) -> str:
    ids.sort()
    last = ids[min(first + _BLOCK, len(ids)) - 1]
    return f"id >= '{ids[first]}' AND id <= '{last}'"


def _class_vectors(store: Store, model: Wav2CLIP, names: list[str]) -> tuple[np.ndarray, float]:
    """(k, dimension) vectors of the labels, comparable with the library's, and their scale."""
    weights = zeroshot.class_weights(model.towers, names)
    scale = model.logit_scale(center=bool(store.settings.centred))
    text_mean = model.towers.means.get("text")
    if not store.settings.centred or model.mean is None or text_mean is None:
        return weights, scale
    return centre(weights, text_mean), scale
