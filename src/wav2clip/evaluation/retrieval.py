"""Retrieval in all directions between sound, words and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray

from wav2clip import ranking
from wav2clip.datasets.core import Dataset
from wav2clip.errors import InputError
from wav2clip.evaluation.encoders import Encoder, Wav2ClipEncoder
from wav2clip.evaluation.features import Features
from wav2clip.evaluation.zeroshot import phrase, require_text, tested_clips
from wav2clip.models.space import unit
from wav2clip.models.towers.base import Embeddings


@dataclass(frozen=True)
class Side:
    """One modality of a dataset.

    Attributes:
        vectors: (n, d) unit length.
        groups: (n,) what belongs together: the number of the clip, or of the class.
    """

    vectors: Embeddings
    groups: NDArray[np.int64]


@dataclass(frozen=True)
class Direction:
    """Retrieval of one modality by another.

    Attributes:
        query: "sound", "text" or "picture".
        gallery: likewise.
        queries: how many there are.
        candidates: size of the gallery.
        values: ``R@1``, ``R@5``, ``R@10``, ``MRR`` (0 to 1) and ``median_rank``; see
            :func:`wav2clip.ranking.summary`.
    """

    query: str
    gallery: str
    queries: int
    candidates: int
    values: dict[str, float]

    @property
    def name(self) -> str:
        """Such as "text to sound"."""
        return f"{self.query} to {self.gallery}"


def retrieval(
    encoder: Encoder, features: Features, *, center: bool = True, chunk: int | None = None
) -> list[Direction]:
    """Every direction that a dataset allows, on its test split or, without one, on all clips.

    Words are the captions of the clips, each of which is a query of its own and belongs to its
    clip; without captions they are the labels, which belong to every clip of their class.

    Args:
        encoder: with a text side; for pictures, a Wav2CLIP model.
        features: of its sounds.
        center: take each modality's mean off, where it is known.
        chunk: queries compared at once; the result is the same for any.

    Raises:
        InputError: the encoder has no text side, or the dataset neither words nor pictures.
    """
    found = sides(encoder, features, center)
    if len(found) < 2:
        raise InputError(
            f"{features.dataset.sheet.title} has neither captions, labels nor pictures to retrieve"
        )
    directions = []
    for query, gallery in permutations(found, 2):
        a, b = found[query], found[gallery]
        rank = ranking.group_ranks(
            torch.from_numpy(a.vectors),
            torch.from_numpy(b.vectors),
            torch.from_numpy(a.groups),
            torch.from_numpy(b.groups),
            chunk,
        )
        values = ranking.summary(rank)
        directions.append(Direction(query, gallery, len(a.groups), len(b.groups), values))
    return directions


def sides(encoder: Encoder, features: Features, center: bool = True) -> dict[str, Side]:
    """Modalities of a dataset's tested clips, centred on their means where these are known."""
    dataset, tested = features.dataset, tested_clips(features.dataset)
    towers = encoder.model.towers if isinstance(encoder, Wav2ClipEncoder) else None
    means = dict(towers.means) if towers is not None else {}
    if isinstance(encoder, Wav2ClipEncoder) and encoder.model.mean is not None:
        means["sound"] = encoder.model.mean
    texts, text_groups = _words(dataset, tested)
    by_class = bool(texts) and not any(dataset.clips[n].captions for n in tested)
    own = np.arange(len(tested))
    if by_class:
        numbers = {label: number for number, label in enumerate(dataset.labels)}
        own = np.array([numbers[dataset.clips[n].labels[0]] for n in tested])
    found = {"sound": Side(features.vectors[tested], own)}
    if texts:
        found["text"] = Side(require_text(encoder).embed_text(texts), np.array(text_groups))
    pictures = [dataset.clips[n].image for n in tested]
    if towers is not None and all(picture is not None for picture in pictures):
        images = towers.embed_image([picture for picture in pictures if picture is not None])
        found["picture"] = Side(images, own)
    keys = {"sound": "sound", "text": "text", "picture": "image"}
    known = center and all(keys[name] in means for name in found)
    return {
        name: Side(unit(unit(side.vectors) - means[keys[name]]), side.groups)
        if known
        else Side(unit(side.vectors), side.groups)
        for name, side in found.items()
    }


def _words(dataset: Dataset, tested: NDArray[np.int64]) -> tuple[list[str], list[int]]:
    """Phrases and what each belongs to: the place of its clip among the tested, or its class."""
    captions = [
        (caption, place)
        for place, number in enumerate(tested)
        for caption in dataset.clips[number].captions
    ]
    if not captions:
        present = {label for number in tested for label in dataset.clips[number].labels[:1]}
        captions = [(phrase(x), n) for n, x in enumerate(dataset.labels) if x in present]
    return [caption for caption, _ in captions], [group for _, group in captions]
