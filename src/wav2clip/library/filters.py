"""Conditions on the finds, as one SQL expression that the store evaluates."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from wav2clip.errors import InputError
from wav2clip.library import ucs

_WILD = {"*": "[^/]*", "?": "[^/]"}


class Condition(NamedTuple):
    """One condition.

    Attributes:
        field: of :class:`Filters`, that asks for it.
        told: in words, to go on with "no file of the library".
        sql: in LanceDB's SQL (DataFusion), to be joined with AND.
    """

    field: str
    told: str
    sql: str


@dataclass(frozen=True)
class Filters:
    """Conditions that a find must meet, all of them. Of several values of a field one is enough,
    but of ``tags``, of which all have to be there. Case does not matter.

    Attributes:
        min_duration: seconds of the file, at least.
        max_duration: seconds of the file, at most.
        path: the name of the file, or of a folder that holds it, however deep: ``rain.wav``,
            ``field``. Or a shell pattern for the end of the path: ``*.wav``, ``field/**``,
            ``take[1-3]/*``; ``*`` and ``?`` stop at slashes, ``**`` does not. What begins with a
            slash is for the whole path. One, or several.
        after: files changed at or after this; a date begins at midnight UTC.
        before: files changed before this; with a date, before that day's end.
        tags: labels that the segment was tagged with, all of them.
        formats: suffixes of the file, such as ``wav``, with or without the dot.
        rates: sample rates of the file, Hz.
        channels: how many channels the file has.
        categories: of the Universal Category System, a CatID such as ``ANMLDog`` or a category such
            as ``animals``: what the file's name says, or the segment's tags.
        lengths: spans of seconds, the end not included, in which the file's duration lies.
    """

    min_duration: float | None = None
    max_duration: float | None = None
    path: str | tuple[str, ...] | None = None
    after: date | None = None
    before: date | None = None
    tags: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    rates: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()
    categories: tuple[str, ...] = ()
    lengths: tuple[tuple[float, float], ...] = ()

    def sql(self) -> str | None:
        """The conditions in LanceDB's SQL (DataFusion), or None if there are none."""
        return " AND ".join(condition.sql for condition in self.conditions()) or None

    def without(self, *names: str) -> Filters:
        """The same, but for some fields."""
        empty: Any = {field.name: field.default for field in fields(self) if field.name in names}
        return replace(self, **empty)

    def conditions(self) -> Iterator[Condition]:
        """Each condition by itself.

        Raises:
            InputError: a value that can be none.
        """
        yield from self._numbers()
        paths = (self.path,) if isinstance(self.path, str) else self.path or ()
        if paths:
            pattern = _either(map(path_pattern, paths))
            yield Condition("path", f"has {_told(paths)} in its path", _matches(pattern))
        yield from self._times()
        for tag in self.tags:
            sql = f"regexp_like(array_to_string(tags, '\n'), {quoted(f'(?im)^{re.escape(tag)}$')})"
            yield Condition("tags", f"is tagged {_told([tag])}", sql)
        if self.formats:
            suffixes = [suffix.strip("*. ") for suffix in self.formats]
            if not all(suffixes):
                raise InputError("an empty format, expected one such as 'wav'")
            pattern = rf"(?i)[^/]\.{_either(map(re.escape, suffixes))}$"
            yield Condition("formats", f"has the format {_told(suffixes)}", _matches(pattern))
        if self.categories:
            ids = sorted({id for name in self.categories for id in catids(name)})
            named = _matches(rf"(?:^|/){_either(map(_spelled, ids))}(?:-[^/_]*)?_[^/]*$")
            tagged = " OR ".join(f"array_has(tags, {quoted(id)})" for id in ids)
            told = f"is of the category {_told(self.categories)}"
            yield Condition("categories", told, f"({named} OR {tagged})")

    def _numbers(self) -> Iterator[Condition]:
        if self.min_duration is not None:
            least = _number(self.min_duration)
            yield Condition("min_duration", f"is as long as {least} s", f"duration >= {least}")
        if self.max_duration is not None:
            most = _number(self.max_duration)
            yield Condition("max_duration", f"is as short as {most} s", f"duration <= {most}")
        if self.lengths:
            spans = [
                f"duration >= {_number(first)}"
                + ("" if end == float("inf") else f" AND duration < {_number(end)}")
                for first, end in self.lengths
            ]
            told = " or ".join(f"{first:g} to {end:g} s" for first, end in self.lengths)
            sql = " OR ".join(f"({span})" for span in spans)
            yield Condition("lengths", f"lasts {told}", f"({sql})")
        if self.rates:
            told = " or ".join(map(str, self.rates))
            yield Condition("rates", f"has {told} Hz", _among("sample_rate", self.rates))
        if self.channels:
            told = " or ".join(map(str, self.channels))
            yield Condition("channels", f"has {told} channels", _among("channels", self.channels))

    def _times(self) -> Iterator[Condition]:
        if self.after is not None:
            sql = f"mtime_ns >= {_nanoseconds(self.after)}"
            yield Condition("after", f"was changed on {self.after} or later", sql)
        if self.before is not None:
            whole_day = not isinstance(self.before, datetime)
            end = self.before + timedelta(days=1) if whole_day else self.before
            told = f"was changed on {self.before} or earlier"
            yield Condition("before", told, f"mtime_ns < {_nanoseconds(end)}")


def unmet(conditions: Iterable[Condition], met: Callable[[str], bool]) -> list[str]:
    """Why nothing passes: each condition that no file meets, or that none meets all of them.

    Args:
        conditions: that nothing passes.
        met: whether something meets an SQL condition.
    """
    conditions = list(conditions)
    alone = [f"no file of the library {each.told}" for each in conditions if not met(each.sql)]
    if alone or len(conditions) < 2:
        return alone
    return ["each filter alone is passed by files of the library, all together by none"]


def catids(name: str) -> Sequence[str]:
    """The CatIDs of a category's name, or the CatID that is given, whatever their case. What can be
    both is the CatID only as that is written: RAIN, not rain.

    Raises:
        InputError: there is no such category.
    """
    name = name.strip()
    ids = [name] if ucs.is_id(name) else _categories().get(name.lower())
    if ids is None and (found := ucs.category_of(name)):
        ids = [found.id]
    if ids is None:
        known = {id.lower(): id for id in [*_categories(), *(c.id for c in ucs.categories())]}
        near = [known[id] for id in difflib.get_close_matches(name.lower(), known, 3)]
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        raise InputError(
            f"{name!r} is no category of the UCS: expected a CatID such as ANMLDog or a category "
            f"such as animals{meant}"
        )
    return ids


@cache
def _categories() -> dict[str, list[str]]:
    known: dict[str, list[str]] = {}
    for category in ucs.categories():
        known.setdefault(category.category, []).append(category.id)
    return known


def _spelled(id: str) -> str:
    """The pattern of a CatID in a file name, where its first three letters are large."""
    return f"{id[:3].upper()}(?i:{id[3:]})"


def _matches(pattern: str) -> str:
    return f"regexp_like(path, {quoted(pattern)})"


def _either(patterns: Iterable[str]) -> str:
    return f"(?:{'|'.join(patterns)})"


def _among(column: str, values: Sequence[int]) -> str:
    return f"{column} IN ({', '.join(str(int(value)) for value in values)})"


def _told(names: Iterable[str]) -> str:
    return " or ".join(map(repr, names))


def path_pattern(pattern: str) -> str:
    """The regular expression of a shell pattern, in what Python's and Rust's dialects share.

    Without wildcards it is a name: of a file, or of a folder and so of all that it holds.
    """
    if not pattern:
        raise InputError("an empty path pattern, expected one such as '*.wav' or 'field/**'")
    parts, plain = [], True
    for token in re.findall(r"\*\*/?|\*|\?|\[!?\]?[^\]]*\]|.", pattern, re.DOTALL):
        plain = plain and token not in _WILD and len(token) == 1
        if token.startswith("**"):
            parts.append("(?s:.*/)?" if token.endswith("/") else "(?s:.*)")
        elif token in _WILD:
            parts.append(_WILD[token])
        elif token.startswith("[") and len(token) > 2:
            negated, members = token[1] == "!", token[1:-1].removeprefix("!")
            escaped = "".join(c if c == "-" or c.isalnum() else re.escape(c) for c in members)
            parts.append(f"[{'^' if negated else ''}{escaped}]")
        else:
            parts.append(re.escape(token))
    if plain:
        parts = [
            re.escape(pattern.rstrip("/")),
            "/(?s:.*)" if pattern.endswith("/") else "(?:/(?s:.*))?",
        ]
    begin = "^" if pattern.startswith("/") else "(?:^|/)"
    return f"(?i){begin}{''.join(parts)}$"


def quoted(text: str) -> str:
    """A string literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def _number(value: float) -> str:
    number = float(value)
    if not 0 <= number < float("inf"):
        raise InputError(f"a duration of {value}, expected seconds of at least 0")
    return repr(number)


def _nanoseconds(moment: date) -> int:
    """Nanoseconds since 1970 UTC; a moment without a zone is taken as UTC."""
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) * 1000
