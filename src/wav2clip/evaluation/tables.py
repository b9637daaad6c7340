"""Rows of results as the rows of tables: who did what, in words and percent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from wav2clip.evaluation.quoted import QUOTED, Quoted
from wav2clip.evaluation.records import Record
from wav2clip.ranking import chance

PLAIN = ("median_rank",)
"""Metrics that are no share of one."""

_SILENT = {"labels_seen", "queries", "gallery", "centred", "template", "train"}
TITLES = {
    "probe": "Classification with training",
    "zeroshot": "Zero-shot classification",
    "retrieval": "Retrieval",
    "tagging": "Tagging",
    "events": "Sound events",
    "captions": "Captions",
}
"""Tasks in the order of the report."""


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
        model: who.
        how: probe, features, direction ...
        cells: values as shown, by column.
        quoted: the source, where others measured it.
    """

    model: str
    how: str
    cells: dict[str, str]
    quoted: str = ""


def show_value(record: Record) -> str:
    """ "69.6 ± 3.0" in percent, or a plain number of metrics that are no share."""
    return _number(record.metric, record.value, record.spread)


def show_settings(record: Record) -> str:
    """Settings in words, without those that are the default or said elsewhere."""
    settings = dict(record.settings)
    words = [str(value) for key, value in settings.items() if key not in _SILENT]
    train = settings.get("train", "frozen")
    words += [train] if train != "frozen" else []
    words += ["not centred"] if settings.get("centred") is False else []
    template = settings.get("template", "sound")
    words += [f"template {template}"] if template != "sound" else []
    return ", ".join(words)


def over_seeds(records: Iterable[Record]) -> list[Record]:
    """Rows that differ in the seed alone as one: the mean, and the spread over the seeds.

    Where there is one seed the spread stays that over the folds.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(replace(record, seed=None).identity, []).append(record)
    merged = []
    for group in groups.values():
        if len(group) == 1:
            merged.append(group[0])
            continue
        values = [record.value for record in group]
        details = {**group[-1].details, "seeds": len(group)}
        merged.append(
            replace(
                group[-1],
                value=float(np.mean(values)),
                spread=float(np.std(values)),
                seed=None,
                details=details,
            )
        )
    return merged


def main_lines(records: Sequence[Record], task: str, dataset: str) -> list[Line]:
    """A line per model and setting at all labels, best first, and quoted lines below them."""
    rows = [r for r in records if (r.task, r.dataset, r.fraction) == (task, dataset, 1.0)]
    lines: dict[tuple[str, str], Line] = {}
    first: dict[tuple[str, str], float] = {}
    for row in rows:
        key = (row.model, show_settings(row))
        line = lines.setdefault(key, Line(*key, {}))
        line.cells[row.metric] = show_value(row)
        first.setdefault(key, row.value)
    own = sorted(lines.items(), key=lambda item: -first[item[0]])
    return [line for _, line in own] + [
        Line(one.model, "", {one.metric: _number(one.metric, one.value, None)}, one.source)
        for one in quoted(task, dataset)
    ]


def quoted(task: str, dataset: str) -> list[Quoted]:
    """Published figures for a task on a dataset; people are quoted beside probes."""
    tasks = {task, "people"} if task == "probe" else {task}
    found = [one for one in QUOTED if one.dataset == dataset and one.task in tasks]
    return sorted(found, key=lambda one: -one.value)


def retrieval_lines(records: Sequence[Record], dataset: str) -> list[Line]:
    """A line per model and direction with the size of the gallery, and what chance would give."""
    rows = [r for r in records if (r.task, r.dataset) == ("retrieval", dataset)]
    lines: dict[tuple[str, str], Line] = {}
    galleries = set()
    for row in rows:
        words = f"{show_settings(row)}, {row.settings['queries']} in {row.settings['gallery']}"
        line = lines.setdefault((row.model, words), Line(row.model, words, {}))
        line.cells[row.metric] = show_value(row)
        galleries.add((row.settings["queries"], row.settings["gallery"]))
    for queries, gallery in sorted(galleries):
        if queries == gallery:  # else several may be right
            cells = {name: _number(name, value, None) for name, value in chance(gallery).items()}
            lines["chance", str(gallery)] = Line("chance", f"1 in {gallery}", cells)
    return list(lines.values())


def share_lines(records: Sequence[Record], task: str, dataset: str) -> tuple[list[str], list[Line]]:
    """Columns and lines of what was measured at several shares of the training labels."""
    rows = [
        row
        for row in over_seeds(records)
        if (row.task, row.dataset) == (task, dataset) and row.metric in ("accuracy", "mAP")
    ]
    lines: dict[tuple[str, str], Line] = {}
    for row in sorted(rows, key=lambda row: row.fraction):
        line = lines.setdefault(
            (row.model, show_settings(row)), Line(row.model, show_settings(row), {})
        )
        line.cells[f"{row.fraction:.0%}"] = show_value(row)
    most = {(row.model, show_settings(row)): row.value for row in rows if row.fraction == 1}
    order = sorted(lines, key=lambda key: -most.get(key, 0.0))
    several = [lines[key] for key in order if len(lines[key].cells) > 1]
    columns = {f"{row.fraction:.0%}": row.fraction for row in rows if row.fraction}
    return sorted(columns, key=lambda name: columns[name]), several


def efficiency(
    records: Sequence[Record], dataset: str
) -> dict[str, list[tuple[float, float, float]]]:
    """Curves of accuracy over labels: (labels seen, mean, spread over seeds) by model and probe."""
    curves: dict[str, list[tuple[float, float, float]]] = {}
    for row in over_seeds(records):
        if row.dataset != dataset or row.metric not in ("accuracy", "mAP"):
            continue
        if row.task not in ("probe", "tagging") or "labels" in row.settings:
            continue
        name = ", ".join(filter(None, (row.model, show_settings(row))))
        seen = row.details.get("labels_seen", row.fraction)
        curves.setdefault(name, []).append((seen, row.value, row.spread or 0.0))
    return {name: sorted(points) for name, points in curves.items() if len(points) > 1}


def datasets_of(records: Iterable[Record], task: str) -> list[str]:
    """Datasets of a task, in the order in which they were measured."""
    return list(dict.fromkeys(record.dataset for record in records if record.task == task))


def _number(metric: str, value: float, spread: float | None) -> str:
    if metric in PLAIN:
        return f"{value:.1f}".removesuffix(".0")
    text = f"{100 * value:.1f}"
    return text if spread is None else f"{text} ± {100 * spread:.1f}"
