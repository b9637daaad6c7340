"""What a search finds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wav2clip.files import display

if TYPE_CHECKING:
    import pandas as pd

RESULT_COLUMNS = [
    "id", "file", "segment", "path", "path_bytes", "start", "end", "duration", "channels",
    "sample_rate", "size", "mtime_ns", "hash", "tags",
]  # fmt: skip

LIKELY = 0.1
"""Least confidence of a find that answers a query. Where no find has it, nothing is said to be
found; docs/results/confidence.md has how often that is right."""


@dataclass(frozen=True)
class Result:
    """One find: a region of a recording.

    Attributes:
        path: the file.
        start: seconds from the start of the file to the region, see
            :mod:`wav2clip.library.regions`.
        end: seconds to the region's end.
        peak: seconds to the segment of the region that fits best.
        score: what the finds are sorted by: what the similarity is worth in a file of so many
            segments, see :mod:`wav2clip.library.chances`, and for a phrase what words in the path
            and metadata add to it, see :mod:`wav2clip.library.words`.
        confidence: probability that what was asked for can be heard in it, in [0, 1], fitted to
            what a tagger heard in other sounds; 1 where all that was asked for are conditions.
        similarity: cosine of the best segment with the query, in [-1, 1].
        words: those of the query's words that the path or the file's metadata hold in some form.
        metadata: texts in the file by the name of their field, such as ``"description"``.
        duration: seconds of the file.
        channels: channels of the file.
        sample_rate: Hz of the file.
        size: bytes.
        modified: when the file was last changed, UTC.
        hash: SHA-256 of the file.
        tags: labels that the segment was tagged with.
        id: key of the segment in the library.
    """

    path: Path
    start: float
    end: float
    score: float
    duration: float
    channels: int
    sample_rate: int
    size: int
    modified: datetime
    hash: str
    tags: tuple[str, ...]
    id: str
    peak: float = 0.0
    confidence: float = 0.0
    similarity: float = 0.0
    words: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``path`` is as :func:`wav2clip.files.display` shows it."""
        return {
            "path": display(self.path),
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "peak": round(self.peak, 3),
            "confidence": round(self.confidence, 4),
            "score": round(self.score, 6),
            "similarity": round(self.similarity, 6),
            "words": list(self.words),
            "duration": round(self.duration, 3),
            "channels": self.channels,
            "sample_rate": self.sample_rate,
            "size": self.size,
            "modified": self.modified.isoformat(),
            "hash": self.hash,
            "tags": list(self.tags),
            "metadata": dict(self.metadata),
        }


class Results(Sequence[Result]):
    """Finds, best first.

    Attributes:
        exact: whether every segment was compared, or an index of approximate search asked.
        notes: how a phrase in another language was understood.
    """

    def __init__(
        self,
        rows: pa.Table,
        scores: NDArray[np.float64],
        *,
        exact: bool,
        confidences: NDArray[np.float64] | None = None,
        similarities: NDArray[np.float64] | None = None,
        starts: pa.Array | None = None,
        ends: pa.Array | None = None,
        words: Sequence[Sequence[str]] | None = None,
        metadata: Sequence[str | None] | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        """``rows`` are the best segments; their own times and their scores stand for what is not
        given. ``metadata`` are JSON."""
        count = rows.num_rows
        columns = {
            "start": rows["start"] if starts is None else starts,
            "end": rows["end"] if ends is None else ends,
            "peak": rows["start"],
            "score": pa.array(scores),
            "confidence": pa.array(np.zeros(count) if confidences is None else confidences),
            "similarity": pa.array(scores if similarities is None else similarities),
            "words": pa.array(words or [()] * count, pa.list_(pa.string())),
            "metadata": pa.array(metadata or [None] * count, pa.string()),
        }
        plain = {name: rows[name] for name in RESULT_COLUMNS}
        self._rows = pa.table({**plain, **columns})
        self._results = [_result(row) for row in self._rows.to_pylist()]
        self.exact = exact
        self.notes = notes

    @property
    def likely(self) -> bool:
        """Whether one at least may well be what was asked for, by ear or by its words."""
        return any(result.confidence >= LIKELY or result.words for result in self)

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Result]: ...
    def __getitem__(self, index: int | slice) -> Result | Sequence[Result]:
        return self._results[index]

    def __repr__(self) -> str:
        return f"<Results: {len(self)}, {'exact' if self.exact else 'approximate'}>"

    def to_arrow(self) -> pa.Table:
        """One row per find: the columns of the library but the vector, with the times of the
        region, and ``peak``, ``score``, ``confidence``, ``similarity``, ``words``, ``metadata``."""
        return self._rows

    def to_pandas(self) -> pd.DataFrame:
        """:meth:`to_arrow` as a data frame, with ``modified`` as a time."""
        frame: pd.DataFrame = self._rows.to_pandas()
        frame["modified"] = [result.modified for result in self]
        return frame


def _result(row: dict[str, Any]) -> Result:
    return Result(
        path=Path(os.fsdecode(row["path_bytes"])),
        start=row["start"],
        end=row["end"],
        peak=row["peak"],
        score=row["score"],
        confidence=row["confidence"],
        duration=row["duration"],
        channels=row["channels"],
        sample_rate=row["sample_rate"],
        size=row["size"],
        modified=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row["mtime_ns"] // 1000),
        hash=row["hash"],
        tags=tuple(row["tags"] or ()),
        id=row["id"],
        similarity=row["similarity"],
        words=tuple(row["words"]),
        metadata=json.loads(row["metadata"] or "{}"),
    )
