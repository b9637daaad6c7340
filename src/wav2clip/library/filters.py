"""Conditions on the finds, as one SQL expression that the store evaluates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from wav2clip.errors import InputError

_WILD = {"*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True)
class Filters:
    """Conditions that a find must meet, all of them.

    Attributes:
        min_duration: seconds of the file, at least.
        max_duration: seconds of the file, at most.
        path: a shell pattern for the end of the path, or for all of it if it begins with a slash:
            ``*.wav``, ``field/**``, ``take[1-3]/*``. ``*`` and ``?`` stop at slashes, ``**`` does
            not.
        after: files changed at or after this; a date begins at midnight UTC.
        before: files changed before this; with a date, before that day's end.
        tags: labels that the segment was tagged with, all of them.
    """

    min_duration: float | None = None
    max_duration: float | None = None
    path: str | None = None
    after: date | None = None
    before: date | None = None
    tags: tuple[str, ...] = ()

    def sql(self) -> str | None:
        """The conditions in LanceDB's SQL (DataFusion), or None if there are none."""
        return " AND ".join(self._conditions()) or None

    def _conditions(self) -> Iterator[str]:
        if self.min_duration is not None:
            yield f"duration >= {_number(self.min_duration)}"
        if self.max_duration is not None:
            yield f"duration <= {_number(self.max_duration)}"
        if self.path is not None:
            yield f"regexp_like(path, {quoted(path_pattern(self.path))})"
        if self.after is not None:
            yield f"mtime_ns >= {_nanoseconds(self.after)}"
        if self.before is not None:
            whole_day = not isinstance(self.before, datetime)
            end = self.before + timedelta(days=1) if whole_day else self.before
            yield f"mtime_ns < {_nanoseconds(end)}"
        for tag in self.tags:
            yield f"array_has(tags, {quoted(tag)})"


def path_pattern(pattern: str) -> str:
    """The regular expression of a shell pattern, in what Python's and Rust's dialects share."""
    if not pattern:
        raise InputError("an empty path pattern, expected one such as '*.wav' or 'field/**'")
    parts = []
    for token in re.findall(r"\*\*/?|\*|\?|\[!?\]?[^\]]*\]|.", pattern, re.DOTALL):
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
    return ("^" if pattern.startswith("/") else "(?:^|/)") + "".join(parts) + "$"


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
