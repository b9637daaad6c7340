"""Zero-shot tags stored beside the rows, usable in filters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from wav2clip import zeroshot
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import InputError
from wav2clip.library.filters import quoted
from wav2clip.library.space import centre
from wav2clip.library.store import Store, vectors_of

_BLOCK = 50_000


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
    if top < 1 or not 0 <= min_probability <= 1:
        raise InputError(
            f"top {top} and min_probability {min_probability}, expected at least 1 and 0 to 1"
        )
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
