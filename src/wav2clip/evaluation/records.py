"""Results as rows: what was measured on what, by which model, and how to measure it again.

Rows are kept as JSON lines. A row that measures the same thing again replaces the old one.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock

from wav2clip.errors import DataError, InputError
from wav2clip.files import atomic_path, display

_PACKAGES = ("wav2clip", "torch", "numpy", "scikit-learn")
_IDENTITY = (
    "task",
    "dataset",
    "dataset_checksum",
    "model",
    "fingerprint",
    "metric",
    "split",
    "fraction",
    "seed",
    "settings",
)


@dataclass(frozen=True)
class Record:
    """One number that was measured.

    Attributes:
        task: "probe", "zeroshot", "retrieval", "tagging", "events", "captions".
        dataset: name of the data sheet.
        dataset_checksum: of its files and labels, see :class:`wav2clip.datasets.core.Dataset`.
        model: name or path of the encoder.
        fingerprint: of the encoder's weights and preprocessing.
        metric: "accuracy", "mAP", "lwlrap", "R@1", "median_rank", "MRR", "ECE" ...; shares are
            from 0 to 1.
        value: of the metric.
        spread: standard deviation over folds or seeds (ddof 0), None where there is one of them.
        split: what was tested on, such as "5 folds", "folds 1, 10 of 10" or "test".
        fraction: share of the training labels that was used, in (0, 1].
        seed: of what is drawn, None where nothing is.
        settings: whatever else tells rows apart: probe, features, direction of retrieval ... JSON.
        details: what figures are drawn from: values of the folds, confusion, per class ... JSON.
        command: as typed.
        machine: system, architecture, cores.
        versions: package to version.
        date: of the measurement, ISO 8601 in UTC.
    """

    task: str
    dataset: str
    dataset_checksum: str
    model: str
    fingerprint: str
    metric: str
    value: float
    spread: float | None = None
    split: str = ""
    fraction: float = 1.0
    seed: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    command: str = field(default_factory=lambda: command())
    machine: str = field(default_factory=lambda: machine())
    versions: Mapping[str, str] = field(default_factory=lambda: versions())
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def identity(self) -> str:
        """Equal for two measurements of the same thing."""
        return json.dumps([getattr(self, name) for name in _IDENTITY], sort_keys=True)


def command() -> str:
    """The command line that is running, as it can be typed again."""
    program = Path(sys.argv[0]).name
    name = "wav2clip" if program == "__main__.py" else program
    return shlex.join([name, *sys.argv[1:]])


def machine() -> str:
    """System, architecture and number of cores; nothing that names the computer."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def save(path: Path, records: Iterable[Record]) -> None:
    """Add rows to a results file; a row of the same identity is replaced.

    Raises:
        InputError: the folder of ``path`` does not exist.
        DataError: ``path`` exists and is no results file.
    """
    if not path.parent.is_dir():
        raise InputError(f"cannot write {display(path)}: {display(path.parent)} is not a folder")
    with FileLock(path.with_name(f".{path.name}.lock")):
        rows = {record.identity: record for record in (load(path) if path.exists() else [])}
        for record in records:
            rows.pop(record.identity, None)
            rows[record.identity] = record
        with atomic_path(path) as temporary:
            lines = (json.dumps(asdict(row), ensure_ascii=False) for row in rows.values())
            temporary.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def find(path: Path, **wanted: Any) -> list[Record]:
    """Rows of a results file with these attributes, measured with the versions installed now.

    Raises:
        DataError: ``path`` exists and is no results file.
    """
    if not path.exists():
        return []
    wanted = {"versions": versions(), **wanted}
    return [row for row in load(path) if all(getattr(row, k) == v for k, v in wanted.items())]


def load(path: Path) -> list[Record]:
    """Rows of a results file, in the order in which they were measured.

    Raises:
        DataError: it cannot be read, or a line of it is no row; the message gives the line.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{display(path)} cannot be read as results: {error}") from error
    return [_parse(line, f"{display(path)}, line {n}") for n, line in enumerate(lines, 1) if line]


def load_all(paths: Sequence[Path]) -> list[Record]:
    """Rows of several results files; of those with one identity, the last."""
    rows = {record.identity: record for path in paths for record in load(path)}
    return list(rows.values())


def _parse(line: str, place: str) -> Record:
    known = {one.name for one in fields(Record)}
    try:
        content = json.loads(line)
        record = Record(**{key: value for key, value in content.items() if key in known})
        float(record.value)
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(
            f"{place}: no row of results ({error}); expected JSON lines as written by "
            "wav2clip evaluate"
        ) from error
    return record
