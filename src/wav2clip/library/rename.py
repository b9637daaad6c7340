"""File names of the Universal Category System, given to the files of a library.

``CatID_Title_Creator_Source.ext``, as the system's guide has it. The category is the file's tag of
``wav2clip tag --ucs``, the title its old name. Renaming never takes a name that something has. A
journal of all renames is on disk before the first is made, so whatever stops it, each file has its
old name or its new one, and :func:`undo` finds it under both.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from platformdirs import user_data_path

from wav2clip.errors import InputError
from wav2clip.files import display, has_suffix, rename_new
from wav2clip.library import ucs
from wav2clip.library.beside import texts_of
from wav2clip.library.origins import shown
from wav2clip.library.store import Store

LONGEST = 240
"""Bytes of a new name in UTF-8; with a number and a sidecar's suffix it stays below 255."""

_LONGEST_PART = 80  # bytes of creator, and of source
_NONE = "NONE"  # the guide's word for a part that is missing before another
_FORMAT = "wav2clip renamed files, 1"

Progress = Callable[[int, int], None]
Pair = tuple[Path, Path]
"""Old and new path."""


@dataclass(frozen=True)
class Move:
    """A sound and what it is to be called, with the texts beside it that go with it."""

    old: Path
    new: Path
    beside: tuple[Pair, ...] = ()


@dataclass
class Plan:
    """What is to be renamed.

    Attributes:
        moves: in the order of the old paths.
        named: how many files follow the system already.
        left: files that cannot be named, with the reason.
    """

    moves: list[Move] = field(default_factory=list)
    named: int = 0
    left: dict[Path, str] = field(default_factory=dict)


@dataclass
class Renamed:
    """What was done: how many sounds have their new name, and what failed, with the reason."""

    done: int = 0
    failures: dict[Path, str] = field(default_factory=dict)


# Planning -----------------------------------------------------------------------------------------


def plan(
    store: Store,
    folders: Collection[str | os.PathLike[str]] = (),
    creator: str = "",
    source: str = "",
) -> Plan:
    """New names for the files of a library.

    Args:
        store: of the library.
        folders: only files in these; all by default.
        creator: who made the sounds; by default as each file's metadata say.
        source: the library or project; by default as each file's metadata say.

    Raises:
        InputError: no file of the library is in the folders.
    """
    roots = [Path(os.path.realpath(folder)) for folder in folders]
    made, names = Plan(), _Names()
    columns = ["path_bytes", "tags", *(["metadata"] if store.has_metadata else [])]
    rows = store.read(columns, "segment = 0").sort_by("path_bytes").to_pylist()
    found = False
    for row in rows:
        path = Path(os.fsdecode(row["path_bytes"]))
        if roots and not any(path.is_relative_to(root) for root in roots):
            continue
        found = True
        if ucs.parse_name(path.name):
            made.named += 1
        elif not os.path.lexists(path):
            made.left[path] = "no such file; index its folder again"
        elif (id := next((tag for tag in row["tags"] or () if ucs.is_id(tag)), None)) is None:
            made.left[path] = "has no category; run `wav2clip tag --ucs` first"
        else:
            told = json.loads(row.get("metadata") or "{}")
            parts = [creator or shown(told, "creator"), source or shown(told, "library")]
            made.moves.append(names.move(path, id, parts))
    made.left |= dict.fromkeys(sorted(names.shared), "belongs to several sounds, stays")
    if roots and not found:
        raise InputError(
            f"no file of the library is in {', '.join(map(display, folders))}; index it first"
        )
    return made


class _Names:
    """The names in folders: those that are taken, and those that were given meanwhile."""

    def __init__(self) -> None:
        self.shared: set[Path] = set()  # texts that belong to several sounds
        self._listed: dict[Path, dict[str, str]] = {}
        self._stems: dict[Path, defaultdict[str, int]] = {}

    def move(self, path: Path, id: str, parts: Sequence[str]) -> Move:
        """The first name that is free, for a sound and for what goes with it."""
        taken = self._names_in(path.parent)
        texts = list(self._texts(path))
        for number in itertools.count(1):
            name = new_name(path, id, parts, number)
            new = path.with_name(name)
            beside = [(text, text.with_name(called(name) + text.suffix)) for text, called in texts]
            wanted = [_key(each.name) for each in (new, *(to for _, to in beside))]
            if not any(key in taken for key in wanted):
                taken.update(dict.fromkeys(wanted, name))
                return Move(path, new, tuple(beside))
        raise AssertionError  # there are more numbers than files

    def _names_in(self, folder: Path) -> dict[str, str]:
        if folder not in self._listed:
            names = os.listdir(folder)
            self._listed[folder] = {_key(name): name for name in names}
            self._stems[folder] = defaultdict(int)
            for name in names:
                self._stems[folder][os.path.splitext(name)[0]] += has_suffix(folder / name)
        return self._listed[folder]

    def _texts(self, path: Path) -> Iterator[tuple[Path, Callable[[str], str]]]:
        """Texts beside a sound, and what they are called after its name; who has two, stays."""
        there = self._listed[path.parent].values()
        for name, called in zip(texts_of(path.name), (_whole, _stem), strict=True):
            for suffix in (".txt", ".TXT"):
                text = path.with_name(name + suffix)
                if text.name not in there:
                    continue
                if called is _stem and self._stems[path.parent][name] > 1:
                    self.shared.add(text)
                else:
                    yield text, called


def _whole(name: str) -> str:
    return name


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def _key(name: str) -> str:
    """What a name is compared by: some systems do not tell case or composition apart."""
    return unicodedata.normalize("NFC", name).casefold()


def new_name(path: Path, id: str, parts: Sequence[str] = (), number: int = 1) -> str:
    """What a file is called in the system.

    Args:
        path: of the file; its name is the title, its suffix is kept.
        id: its CatID.
        parts: creator and source; what is empty is left out, or is NONE before what is not.
        number: put behind the title from 2 on.
    """
    rest = [_cut(ucs.clean(part), _LONGEST_PART) for part in parts]
    while rest and not rest[-1]:
        rest.pop()
    counted = f" {number}" if number > 1 else ""
    tail = "".join(f"_{part or _NONE}" for part in rest)
    room = LONGEST - len(os.fsencode(id + "_" + counted + tail + path.suffix))
    title = _cut(ucs.clean(path.stem), max(room, 1))
    return f"{id}_{title or 'Untitled'}{counted}{tail}{path.suffix}"


def _cut(text: str, most: int) -> str:
    """As much of a text as so many bytes of UTF-8 hold."""
    return text.encode()[:most].decode("utf-8", "ignore").strip(" .")


# Doing and undoing --------------------------------------------------------------------------------


def carry_out(plan: Plan, journal: Path, progress: Progress | None = None) -> Renamed:
    """Rename the files of a plan. A file that fails keeps its name, and the others go on.

    Args:
        plan: of :func:`plan`.
        journal: a file that :func:`undo` takes, which is written first and must not be there.
        progress: called with (files done, files in all).

    Raises:
        InputError: the journal cannot be written; then nothing was renamed.
    """
    renamed = Renamed()
    _write_journal(journal, (pair for move in plan.moves for pair in _pairs(move)))
    for number, move in enumerate(plan.moves, start=1):
        done: list[Pair] = []
        try:
            for old, new in _pairs(move):
                rename_new(old, new)
                done.append((old, new))
            renamed.done += 1
        except OSError as error:
            renamed.failures[move.old] = _reason(error, move.new)
            _take_back(done, renamed)
        if progress is not None:
            progress(number, len(plan.moves))
    return renamed


def _pairs(move: Move) -> list[Pair]:
    """Texts first: should it be stopped between, they lie where the sound will be renamed to."""
    return [*move.beside, (move.old, move.new)]


def _take_back(done: Iterable[Pair], renamed: Renamed) -> None:
    for old, new in done:
        try:
            rename_new(new, old)
        except OSError as error:
            renamed.failures[new] = _reason(error, old)


def undo(journal: Path, progress: Progress | None = None) -> Renamed:
    """Give files the names back that they had. What has its old name already is left alone.

    Raises:
        InputError: the journal cannot be read, or is none.
    """
    pairs, renamed = list(reversed(_read_journal(journal))), Renamed()
    for number, (old, new) in enumerate(pairs, start=1):
        try:
            if (
                os.path.lexists(old)
                and os.path.lexists(new)
                and os.path.samestat(os.lstat(old), os.lstat(new))
            ):
                os.unlink(new)  # it was stopped between a link and its removal
                renamed.done += 1
            elif os.path.lexists(new):
                rename_new(new, old)
                renamed.done += 1
            elif not os.path.lexists(old):
                renamed.failures[new] = "no such file, and none of its old name"
        except OSError as error:
            renamed.failures[new] = _reason(error, old)
        if progress is not None:
            progress(number, len(pairs))
    return renamed


def _reason(error: OSError, target: Path) -> str:
    if error.errno == errno.EEXIST:
        return f"something is called {display(target.name)} by now; nothing was overwritten"
    return error.strerror or str(error)


def new_journal(store: Store) -> Path:
    """Where the next journal goes: beside the library, or among the user's data."""
    folder = user_data_path("wav2clip") if store.remote else Path(store.uri)
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    return folder / "renamed" / f"{moment}.jsonl"


def _write_journal(journal: Path, pairs: Iterable[Pair]) -> None:
    """A JSON list [old, new] a line, on disk before this returns."""
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        with journal.open("x", encoding="ascii") as file:
            file.write(json.dumps(_FORMAT) + "\n")
            for pair in pairs:  # bytes that are no UTF-8 are kept as lone surrogates, escaped
                file.write(json.dumps(list(map(os.fspath, pair))) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(
            f"cannot write {display(journal)}: {error.strerror or error}; without it nothing is "
            "renamed"
        ) from error


def _read_journal(journal: Path) -> list[Pair]:
    try:
        head, *lines = journal.read_text("ascii").splitlines()
        if json.loads(head) != _FORMAT:
            raise ValueError
        pairs = [(Path(old), Path(new)) for old, new in map(json.loads, lines)]
    except OSError as error:
        raise InputError(f"cannot read {display(journal)}: {error.strerror or error}") from error
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{display(journal)} is no list of renamed files; expected one that `wav2clip rename` "
            "wrote"
        ) from error
    if not all(old.is_absolute() and old.parent == new.parent for old, new in pairs):
        raise InputError(f"{display(journal)} moves files between folders, which no renaming does")
    return pairs
