"""What can be trained on: folders of videos or sounds, and tables of sounds with what is known."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

from wav2clip.errors import DataError
from wav2clip.files import MEDIA_SUFFIXES, VIDEO_SUFFIXES, decode_text, display, walk
from wav2clip.pretrain.shards import Failure

TABLE_SUFFIXES = (".csv", ".jsonl")
TRAIN, VALIDATION = "train", "validation"

_SOUND_COLUMNS = ("audio", "video")
_WORD_COLUMNS = ("captions", "caption", "label")
_COLUMNS = (*_SOUND_COLUMNS, "image", *_WORD_COLUMNS, "source", "split")


@dataclass(frozen=True)
class Item:
    """A sound, and the words or pictures that the teacher looks at, if there are any.

    Attributes:
        key: name of the sample, from its place in the listing.
        name: the file as the listing names it.
        audio: file with the sound; of a video, the video.
        picture: a picture, or a video whose frames are taken, or None.
        video: whether ``picture`` is a video.
        captions: phrases for the sound.
        label: class of the sound, if it has one.
        source: where it came from, for people.
        split: "train", "validation", or "" while that is open.
    """

    key: str
    name: str
    audio: Path
    picture: Path | None
    video: bool
    captions: tuple[str, ...]
    label: str | None
    source: str
    split: str = ""


@dataclass(frozen=True)
class Listing:
    """All items of a source in their fixed order, and rows that make no item."""

    items: list[Item]
    failures: list[Failure]

    @property
    def fingerprint(self) -> str:
        """Hash of everything that is listed; a changed table or folder changes it."""
        content = [asdict(item) | {"size": _size(item.audio)} for item in self.items]
        return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Wanted:
    """What a clip must offer, and what of it is used.

    Attributes:
        sound_alone: a clip needs neither words nor pictures, because a tagger listens to it, and a
            folder may hold recordings beside videos.
        pictures: pictures and frames are looked at; without, a video is its sound.
    """

    sound_alone: bool = False
    pictures: bool = True


def list_source(
    source: Path, validation: int | None = None, wanted: Wanted | None = None
) -> Listing:
    """List what a source offers.

    Args:
        source: a folder (searched to the bottom), or a CSV or JSONL file with the columns
            ``audio`` (or ``video``), and one of ``captions`` (in a CSV separated by ";"),
            ``caption``, ``label``, or ``image``; ``source`` and ``split`` are optional. Relative
            paths are relative to the file.
        validation: how many items without a split go to the validation split; they are picked by
            a hash of their names, so the choice does not depend on their order. By default 500, but
            at most 5 %.
        wanted: see :class:`Wanted`.

    Raises:
        DataError: nothing there, not a table of this kind, or nothing in it that can be used.
    """
    wanted = wanted or Wanted()
    if source.is_dir():
        rows: Iterator[tuple[str, dict[str, Any]]] = _folder_rows(source, wanted)
        base = source
    elif source.suffix.lower() in TABLE_SUFFIXES and source.is_file():
        rows, base = _table_rows(source), source.parent
    else:
        what = "holds no table" if source.exists() else "does not exist"
        raise DataError(
            f"{display(source)} {what}; expected a folder of videos (of any sounds with a tagger), "
            f"or a .csv or .jsonl file with the columns {', '.join(_COLUMNS)} (audio or video, and "
            "words or an image)"
        )
    items, failures = [], []
    for number, (place, row) in enumerate(rows):
        try:
            items.append(_item(f"{number:08d}", row, base, wanted))
        except ValueError as error:
            failures.append(Failure(place, str(error)))
    if not items:
        reason = f"; the first row: {failures[0].reason}" if failures else ""
        raise DataError(f"{display(source)} holds nothing to train on{reason}")
    return Listing(_with_splits(items, validation), failures)


def _folder_rows(folder: Path, wanted: Wanted) -> Iterator[tuple[str, dict[str, Any]]]:
    suffixes = MEDIA_SUFFIXES if wanted.sound_alone else VIDEO_SUFFIXES
    odd: list[OSError] = []
    paths = list(walk(folder, suffixes, on_error=odd.append))
    for error in odd:
        yield display(error.filename), {"error": error.strerror or str(error)}
    if not paths:
        what = "sound" if wanted.sound_alone else "video"
        advice = (
            ""
            if wanted.sound_alone
            else ". Sounds with captions or pictures are listed in a .csv "
            "or .jsonl file; a folder of sounds needs a tagger"
        )
        raise DataError(
            f"{display(folder)} holds no {what}; looked for {' '.join(sorted(suffixes))}{advice}"
        )
    for path in paths:
        name = str(path.relative_to(folder))
        seen = wanted.pictures and path.suffix.lower() in VIDEO_SUFFIXES
        yield name, {"video" if seen else "audio": name}


def _table_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        file = StringIO(decode_text(path.read_bytes()), newline="")
        if path.suffix.lower() == ".csv":
            reader = csv.DictReader(file)
            _check_columns(path, reader.fieldnames or [])
            for row in reader:
                yield f"{path.name}, line {reader.line_num}", _split_captions(row)
        else:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield f"{path.name}, line {number}", _json_row(line)
    except (OSError, csv.Error) as error:
        raise DataError(f"{display(path)} cannot be read as a table: {error}") from error


def _check_columns(path: Path, columns: Any) -> None:
    if not set(columns) & set(_SOUND_COLUMNS):
        raise DataError(
            f"{display(path)} has the columns {', '.join(columns) or 'none'}; expected one named "
            f"audio or video, and further ones of {', '.join(_COLUMNS[2:])}"
        )


def _split_captions(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"captions": (row.get("captions") or "").split(";")}


def _json_row(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        return {"error": f"not JSON: {error}"}
    return row if isinstance(row, dict) else {"error": "not a JSON object"}


def _item(key: str, row: dict[str, Any], base: Path, wanted: Wanted) -> Item:
    """Turn a row into an item; ValueError says what is wrong with it."""
    if "error" in row:
        raise ValueError(row["error"])
    audio, video, image = (_path(row, name, base) for name in ("audio", "video", "image"))
    sound, picture = audio or video, (image or video) if wanted.pictures else None
    if sound is None:
        raise ValueError("names neither audio nor video")
    captions = _captions(row)
    if picture is None and not captions and not wanted.sound_alone:
        raise ValueError(f"has no picture and none of {', '.join(_WORD_COLUMNS)}")
    split = str(row.get("split") or "")
    if split not in ("", TRAIN, VALIDATION):
        raise ValueError(f"its split is {split!r}, expected {TRAIN} or {VALIDATION}")
    name = display(row.get("audio") or row["video"])
    return Item(
        key=key,
        name=name,
        audio=sound,
        picture=picture,
        video=picture is not None and image is None,
        captions=captions,
        label=str(row.get("label") or "").strip() or None,
        source=str(row.get("source") or name),
        split=split,
    )


def _path(row: dict[str, Any], column: str, base: Path) -> Path | None:
    value = row.get(column)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"its {column} is {value!r}, expected a path")
    return base / value


def _captions(row: dict[str, Any]) -> tuple[str, ...]:
    """The phrases of a row, once each; the label stands in where there are none."""
    captions = row.get("captions") or []
    if isinstance(captions, str):
        captions = [captions]
    if not isinstance(captions, list) or not all(isinstance(c, str) for c in captions):
        raise ValueError(f"its captions are {captions!r}, expected text or a list of texts")
    phrases = [*captions, str(row.get("caption") or "")]
    phrases = [phrase for text in phrases if (phrase := " ".join(text.split()))]
    label = str(row.get("label") or "").strip()
    return tuple(dict.fromkeys(phrases or filter(None, [label])))


def _with_splits(items: list[Item], validation: int | None) -> list[Item]:
    undecided = [item for item in items if not item.split]
    if validation is None:
        validation = min(500, len(undecided) // 20)
    if len(undecided) == len(items) and validation >= len(items):
        raise DataError(
            f"{validation} of {len(items)} clips were asked for validation; none are left to train"
        )
    undecided.sort(key=lambda item: hashlib.sha256(item.name.encode()).digest())
    held_out = {item.key for item in undecided[:validation]}
    return [
        item if item.split else replace(item, split=VALIDATION if item.key in held_out else TRAIN)
        for item in items
    ]


def _size(path: Path) -> int:
    """Bytes of a file, -1 where there is none: a file that came later is a change."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
