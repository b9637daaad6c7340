"""What a dataset is here: a data sheet, the clips that it lists, and what is wrong with them.

A sheet says whose the data are and how they lie on disk; its ``read`` lists the clips. Everything
that can be checked without decoding is checked by :func:`open_dataset`, for all sheets alike.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

from wav2clip.errors import DataError
from wav2clip.files import MEDIA_SUFFIXES, decode_text, display, has_suffix

TRAIN, VALIDATION, TEST = "train", "validation", "test"

_EDGE = 1 << 16
_AUDIO_FIRST = (".wav", ".ogg", ".flac", ".mp3")
_SUFFIXES = (*_AUDIO_FIRST, *sorted(MEDIA_SUFFIXES - set(_AUDIO_FIRST)))


@dataclass(frozen=True)
class Event:
    """A sound within a clip: from ``onset`` to ``offset`` in seconds, and its label."""

    onset: float
    offset: float
    label: str


@dataclass(frozen=True)
class Clip:
    """One recording and all that is known about it.

    Attributes:
        key: its name in the dataset's own tables; unique.
        path: its file.
        split: name of its official fold, or "train", "validation" or "test".
        labels: one for classification, any number for tagging.
        group: the recording that it was cut from; clips of one group belong into one split.
        captions: phrases that describe it.
        image: a picture of what is heard.
        events: sounds with their times.
        silent: known to hold none of the dataset's sounds, so that no label is no omission.
    """

    key: str
    path: Path
    split: str
    labels: tuple[str, ...] = ()
    group: str = ""
    captions: tuple[str, ...] = ()
    image: Path | None = None
    events: tuple[Event, ...] = ()
    silent: bool = False


@dataclass(frozen=True)
class Problem:
    """A clip that cannot be used as it is, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{display(self.name)}: {self.reason}"


@dataclass(frozen=True)
class Remote:
    """A file of the official distribution.

    Attributes:
        url: its address.
        filename: what it is called on disk.
        checksum: "md5:..." as the publisher states it, or None where none could be sourced: then
            the first download is recorded.
    """

    url: str
    filename: str
    checksum: str | None = None


@dataclass(frozen=True)
class Sheet:
    """All that is known about a dataset before it is on disk.

    Attributes:
        name: what to type.
        title: its name in prose.
        citation: who made it, where it was published.
        licence: of recordings and annotations.
        homepage: official address.
        tasks: commands of ``wav2clip evaluate`` that it fits.
        metric: what results on it are reported in.
        splits: official folds in their order, or those of train, validation and test that exist;
            empty where the table says.
        folds: whether ``splits`` are folds, each of which is tested on in its turn.
        labels: names of the classes in the order of their numbers; empty where the data tell.
        layout: what lies where below the root, for people.
        marker: a file or folder that only the root of this dataset has.
        read: lists the clips below a root.
        remotes: what can be fetched.
        checksum_source: where the checksums of ``remotes`` were found.
        by_hand: what a download cannot do, and what to do instead.
        folder: its usual folder below the folder of datasets; the name where empty.
        strays: whether an audio file beside the clips that no table mentions is a problem.
        shared_groups: groups that the official folds themselves spread over several folds.
    """

    name: str
    title: str
    citation: str
    licence: str
    homepage: str
    tasks: tuple[str, ...]
    metric: str
    splits: tuple[str, ...]
    folds: bool
    labels: tuple[str, ...]
    layout: str
    marker: str
    read: Callable[[Path], Iterable[Clip | Problem]]
    remotes: tuple[Remote, ...] = ()
    checksum_source: str = ""
    by_hand: str = ""
    folder: str = ""
    strays: bool = True
    shared_groups: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Dataset:
    """A dataset on disk.

    Attributes:
        sheet: what it is.
        root: where it is.
        clips: those that can be used, in the order of the official tables.
        problems: files that are missing, empty or unlabelled, and rows that make no clip.
        labels: names of the classes in their order.
        splits: folds or splits that have clips, in their official order.
    """

    sheet: Sheet
    root: Path
    clips: tuple[Clip, ...]
    problems: tuple[Problem, ...]
    labels: tuple[str, ...]
    splits: tuple[str, ...] = field(default=())

    @cached_property
    def digests(self) -> dict[str, str]:
        """Key of each clip to a digest of its size, its first and its last 64 KiB.

        A whole corpus of videos need not be read for it, and no encoder of audio leaves the head,
        the tail and the size of a file as they were.
        """
        return {clip.key: _digest(clip.path) for clip in self.clips}

    @cached_property
    def checksum(self) -> str:
        """Sixteen hexadecimal digits that change with any clip, label, split or caption."""
        rows = [
            [c.key, c.split, c.labels, c.group, c.captions, [vars(e) for e in c.events], digest]
            for c, digest in zip(self.clips, self.digests.values(), strict=True)
        ]
        return hashlib.sha256(json.dumps(sorted(rows, key=str)).encode()).hexdigest()[:16]

    def require_sound(self, keep_going: bool = False) -> None:
        """Do nothing if every file is there and labelled, or if told to go on without the others.

        Raises:
            DataError: naming what is missing, empty or unlabelled.
        """
        refuse(self.problems, self.sheet.title, keep_going)
        if not self.clips:
            raise DataError(f"{display(self.root)}: {self.sheet.title} has no usable clip here")


def refuse(problems: Sequence[Problem], title: str, keep_going: bool, shown: int = 20) -> None:
    """Raise unless there are no problems, or they are to be left out.

    Raises:
        DataError: naming the first of them.
    """
    if not problems or keep_going:
        return
    lines = [f"  {problem}" for problem in problems[:shown]]
    if len(problems) > shown:
        lines.append(f"  and {len(problems) - shown} more")
    raise DataError(
        f"{title}: {len(problems)} files cannot be used:\n"
        + "\n".join(lines)
        + "\nMend them, or give --keep-going to evaluate on the others"
    )


def open_dataset(sheet: Sheet, root: Path) -> Dataset:
    """List and check a dataset.

    Args:
        sheet: what to expect.
        root: the folder that holds it, or the folder around that (archives often bring one).

    Raises:
        DataError: nothing of the kind there; the message says what to put where.
    """
    root = find_root(sheet, root)
    clips: list[Clip] = []
    problems: list[Problem] = []
    for item in sheet.read(root):
        problem = item if isinstance(item, Problem) else _problem(item, sheet)
        if problem is None:
            clips.append(item)  # type: ignore[arg-type]
        else:
            problems.append(problem)
    clips, doubles = _unique(clips)
    problems += doubles
    if sheet.strays:
        problems += _strays(root, clips, problems)
    found = {clip.split for clip in clips}
    splits = [name for name in sheet.splits if name in found] or sorted(found)
    labels = sheet.labels or tuple(sorted({name for clip in clips for name in clip.labels}))
    return Dataset(sheet, root, tuple(clips), tuple(problems), labels, tuple(splits))


def find_root(sheet: Sheet, root: Path) -> Path:
    """``root``, or the one folder directly in it, that holds the sheet's marker.

    Raises:
        DataError: neither does.
    """
    inner = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    for candidate in (root, *inner):
        if (candidate / sheet.marker).exists():
            return candidate
    raise DataError(
        f"{sheet.title} is not at {display(root)}: there is no {sheet.marker}. {how_to_get(sheet)}"
    )


def how_to_get(sheet: Sheet) -> str:
    """What to do to have the dataset on disk, in sentences."""
    parts = []
    if sheet.remotes:
        parts.append(f"Fetch it with: wav2clip evaluate datasets {sheet.name} --download.")
    if sheet.by_hand:
        parts.append(sheet.by_hand)
    parts.append(f"Expected layout: {sheet.layout}. See {sheet.homepage or 'docs/evaluation.md'}")
    return " ".join(parts)


def find_audio(folder: Path, name: str) -> Path:
    """The file of that name in the folder, or of that name with another suffix of sound or video.

    Datasets circulate re-encoded; where there is neither, the path under the official name.
    """
    path = folder / name
    if path.exists():
        return path
    others = (path.with_name(path.stem + suffix) for suffix in _SUFFIXES)
    return next((other for other in others if other.exists()), path)


def read_rows(path: Path, delimiter: str = ",", names: Sequence[str] = ()) -> Iterator[Any]:
    """Rows of a table as dicts.

    Args:
        path: CSV or TSV, see :func:`wav2clip.files.decode_text`.
        delimiter: between columns.
        names: of the columns where the table has no heading.

    Raises:
        DataError: it cannot be read, or a row is shorter than the heading.
    """
    try:
        file = StringIO(decode_text(path.read_bytes()), newline="")
        reader = csv.DictReader(file, fieldnames=names or None, delimiter=delimiter)
        for row in reader:
            if None in row.values():
                raise DataError(
                    f"{display(path)}, line {reader.line_num}: expected the columns "
                    f"{', '.join(reader.fieldnames or ())}"
                )
            yield row
    except (OSError, csv.Error) as error:
        raise DataError(f"{display(path)} cannot be read as a table: {error}") from error


def column(row: dict[str, str], name: str, table: str) -> str:
    """A cell of a row.

    Raises:
        DataError: the table has no such column.
    """
    try:
        return row[name]
    except KeyError:
        raise DataError(
            f"{table} has no column {name}, only {', '.join(map(str, row))}; is it the official "
            "one?"
        ) from None


def _problem(clip: Clip, sheet: Sheet) -> Problem | None:
    if not clip.path.is_file():
        return Problem(clip.key, f"missing, expected {display(clip.path)}")
    if clip.path.stat().st_size == 0:
        return Problem(clip.key, "the file is empty (0 bytes)")
    if not (clip.labels or clip.captions or clip.events or clip.image or clip.silent):
        return Problem(clip.key, "unlabelled")
    if clip.image is not None and not clip.image.is_file():
        return Problem(clip.key, f"its picture is missing, expected {display(clip.image)}")
    unknown = set(clip.labels) - set(sheet.labels) if sheet.labels else set()
    if unknown:
        return Problem(clip.key, f"its label {sorted(unknown)[0]!r} is not one of {sheet.title}")
    if sheet.splits and clip.split not in sheet.splits:
        return Problem(clip.key, f"its split {clip.split!r} is not one of {sheet.title}")
    return None


def _unique(clips: list[Clip]) -> tuple[list[Clip], list[Problem]]:
    counts = Counter(clip.key for clip in clips)
    twice = [Problem(key, "listed more than once") for key, count in counts.items() if count > 1]
    return [clip for clip in clips if counts[clip.key] == 1], twice


def _strays(root: Path, clips: list[Clip], problems: list[Problem]) -> list[Problem]:
    """Audio files beside the clips that no row mentions."""
    known = {clip.path for clip in clips}
    named = {Path(problem.name).stem for problem in problems}
    found = [
        path
        for folder in sorted({clip.path.parent for clip in clips})
        for path in sorted(folder.iterdir())
        if has_suffix(path) and path not in known and path.stem not in named
    ]
    return [Problem(str(path.relative_to(root)), "unlabelled: in no table") for path in found]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        digest = hashlib.sha256(str(size).encode() + file.read(_EDGE))
        if size > _EDGE:
            file.seek(max(_EDGE, size - _EDGE))
            digest.update(file.read())
    return digest.hexdigest()
