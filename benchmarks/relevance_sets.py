"""What is asked, and what belongs to it: three labelled collections and queries of three kinds.

A label is written with its collection, as in ``esc50:dog``. Those of Tux Paint are the names of its
recordings. The tables beside this file were written before any model was asked:
``relevance_phrases.csv`` holds what a sound designer types, ``relevance_pictures.csv`` pictures by
what they show. A clip is relevant or not by its label alone: nobody listened.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

COLLECTIONS = ("esc50", "urbansound8k", "tuxpaint")
CLASSIFIED = ("esc50", "urbansound8k")
"""Collections whose labels are classes of many clips."""

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
PICTURES_OF_A_KIND = 10

HERE = Path(__file__).parent

Labels = frozenset[str]


@dataclass(frozen=True)
class Clip:
    """A recording of the library.

    Attributes:
        path: as the library names it.
        label: with its collection.
        recording: what it was cut from; both large collections were cut from recordings of
            Freesound and number them alike.
    """

    path: Path
    label: str
    recording: str

    @property
    def collection(self) -> str:
        """One of :data:`COLLECTIONS`."""
        return self.label.partition(":")[0]


@dataclass(frozen=True)
class Phrase:
    """Words, and the labels that belong to them."""

    text: str
    labels: Labels


@dataclass(frozen=True)
class Picture:
    """A kind of pictures, and the labels that belong to it.

    Attributes:
        source: ``tuxpaint``, ``cifar10`` or ``photos``.
        kind: the name of a stamp, a class of CIFAR-10, or what the names of the photographs begin
            with.
        labels: of sounds of what is shown.
    """

    source: str
    kind: str
    labels: Labels


def rows(path: Path) -> list[dict[str, str]]:
    """Lines of a table."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def folders(data: Path) -> list[Path]:
    """What makes up the library."""
    return [data / "esc50/audio", data / "urbansound8k/audio", data / "tuxpaint"]


def clips(data: Path) -> list[Clip]:
    """Every recording of the three collections."""
    found = []
    for row in rows(data / "esc50/meta/esc50.csv"):
        path = data / "esc50/audio" / row["filename"]
        found.append(Clip(path.resolve(), f"esc50:{row['category']}", row["src_file"]))
    for row in rows(data / "urbansound8k/metadata/UrbanSound8K.csv"):
        path = data / f"urbansound8k/audio/fold{row['fold']}" / row["slice_file_name"]
        found.append(Clip(path.resolve(), f"urbansound8k:{row['class']}", row["fsID"]))
    for row in rows(data / "tuxpaint/pairs.csv"):
        path = data / "tuxpaint" / row["audio"]
        found.append(Clip(path.resolve(), f"tuxpaint:{path.stem}", row["audio"]))
    return found


def labels_of(row: dict[str, str]) -> Labels:
    """The labels of a line of a table of queries."""
    return frozenset(
        f"{collection}:{label}"
        for collection in COLLECTIONS
        for label in row[collection].split(";")
        if label
    )


def phrases() -> list[Phrase]:
    """What is typed."""
    return [Phrase(row["phrase"], labels_of(row)) for row in rows(HERE / "relevance_phrases.csv")]


def pictures() -> list[Picture]:
    """What is shown."""
    return [
        Picture(row["source"], row["picture"], labels_of(row))
        for row in rows(HERE / "relevance_pictures.csv")
    ]


def files_of(picture: Picture, data: Path, scratch: Path) -> Iterator[Path]:
    """Files of a kind of pictures, at most :data:`PICTURES_OF_A_KIND`; CIFAR-10's are written."""
    if picture.source == "tuxpaint":
        for row in rows(data / "tuxpaint/pairs.csv"):
            if Path(row["audio"]).stem == picture.kind:
                yield data / "tuxpaint" / row["image"]
    elif picture.source == "photos":
        found = sorted((data / "clip_vit_b32/photos").glob(f"{picture.kind}[._]*.jpg"))
        yield from found[:PICTURES_OF_A_KIND]
    else:
        with np.load(data / "clip_vit_b32/image_cifar10_500.npz") as content:
            own = content["labels"] == CIFAR10.index(picture.kind)
            images = content["images"][own][:PICTURES_OF_A_KIND]
        for number, image in enumerate(images):
            path = scratch / f"{picture.kind} {number}.png"
            Image.fromarray(image).save(path)
            yield path


def kin(label: str, asked: Sequence[Phrase]) -> Labels:
    """Labels of the same thing: those of the narrowest phrase that a label belongs to.

    So a dog of ESC-50 and a ``dog_bark`` of UrbanSound8K are of one kind.
    """
    return min((each.labels for each in asked if label in each.labels), key=len)
