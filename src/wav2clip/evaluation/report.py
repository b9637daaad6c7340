"""Results as a report: Markdown, and one page that needs nothing but itself."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined

from wav2clip.errors import DataError
from wav2clip.evaluation import figures, tables
from wav2clip.evaluation.records import Record
from wav2clip.evaluation.tables import Line
from wav2clip.files import atomic_path

MISTAKES = 8
"""Confusions and classes that are listed beneath the matrix."""


LEGEND = (
    "Percent, ± one standard deviation over the folds, or over draws of a share of the labels. "
    "Lines marked as quoted are figures that others published."
)


@dataclass(frozen=True)
class Table:
    """Lines under columns.

    Attributes:
        title: what it shows.
        columns: metrics.
        lines: in their order.
        note: what it was tested on.
        ranked: whether the first line is the best.
    """

    title: str
    columns: list[str]
    lines: list[Line]
    note: str = ""
    ranked: bool = True


@dataclass(frozen=True)
class Picture:
    """A figure: an ``<svg>`` element, or the bytes of a PNG, and words beneath it."""

    name: str
    caption: str
    svg: str = ""
    png: bytes = b""

    @property
    def data(self) -> str:
        """Address that holds the PNG itself."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Section:
    """A task: tables, and pictures below them."""

    title: str
    tables: list[Table]
    pictures: list[Picture]


def build(records: Sequence[Record], maps: Sequence[Picture] = ()) -> list[Section]:
    """Sections of a report, one per task that was measured, and one for maps.

    Raises:
        DataError: there are no rows.
    """
    if not records:
        raise DataError("there are no results to report; run a task of wav2clip evaluate first")
    merged = tables.over_seeds(records)
    sections = []
    for task, title in tables.TITLES.items():
        names = tables.datasets_of(merged, task)
        if not names:
            continue
        made = [table for name in names for table in _tables(merged, task, name)]
        shown = [picture for name in names for picture in _pictures(merged, task, name)]
        sections.append(Section(title, [table for table in made if table.lines], shown))
    if maps:
        sections.append(Section("The space", [], list(maps)))
    return sections


def write(
    records: Sequence[Record],
    folder: Path,
    title: str,
    maps: Sequence[Picture] = (),
    note: str = "",
) -> tuple[Path, Path]:
    """Write ``report.md`` with its pictures beside it, and ``report.html`` with them inside.

    Args:
        records: rows of any tasks.
        folder: made if need be.
        title: of the report.
        maps: pictures of embedding spaces.
        note: what readers must know of the data or the run, shown below the title.

    Returns:
        Both files.

    Raises:
        DataError: there are no rows.
    """
    sections = build(records, maps)
    folder.mkdir(parents=True, exist_ok=True)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = (files("wav2clip.evaluation") / "report.html.j2").read_text("utf-8")
    context: dict[str, Any] = {"title": title, "note": note, "runs": runs(records)}
    context |= {"sections": sections, "legend": LEGEND}
    page = environment.from_string(template).render(context)
    for picture in (picture for section in sections for picture in section.pictures):
        _save(folder / _file(picture), picture.png or picture.svg.encode())
    _save(folder / "report.md", markdown(sections, title, runs(records), note).encode())
    _save(folder / "report.html", page.encode())
    return folder / "report.md", folder / "report.html"


def runs(records: Sequence[Record]) -> dict[str, list[str]]:
    """How to measure it again: commands, models, datasets, machines, versions, dates."""
    days = sorted(record.date[:10] for record in records)
    facts = {
        "commands": [record.command for record in records],
        "models": [f"{record.model}: {record.fingerprint}" for record in records],
        "datasets": [f"{record.dataset}: {record.dataset_checksum}" for record in records],
        "machines": [record.machine for record in records],
        "versions": [", ".join(f"{k} {v}" for k, v in r.versions.items()) for r in records],
        "dates": [days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"],
    }
    return {name: list(dict.fromkeys(values)) for name, values in facts.items()}


def markdown(
    sections: Sequence[Section], title: str, facts: dict[str, list[str]], note: str = ""
) -> str:
    """The report as Markdown; pictures are linked."""
    parts = [f"# {title}", LEGEND, *([f"**{note}**"] if note else [])]
    for section in sections:
        parts.append(f"## {section.title}")
        for table in section.tables:
            parts += [f"### {table.title}", *([table.note] if table.note else []), _lines(table)]
        for picture in section.pictures:
            parts += [f"![{picture.name}]({_file(picture)})", f"*{picture.caption}*"]
    parts.append("## How it was measured")
    parts.append("```console\n" + "\n".join(f"$ {line}" for line in facts["commands"]) + "\n```")
    for name in ("models", "datasets", "machines", "versions", "dates"):
        parts.append(f"{name.capitalize()}: {'; '.join(facts[name])}")
    return "\n\n".join(parts) + "\n"


def _lines(table: Table) -> str:
    heading = ["", "how", *table.columns]
    rows = [heading, ["---", "---", *["---:"] * len(table.columns)]]
    for line in table.lines:
        who = f"*quoted:* {line.model} ({line.quoted})" if line.quoted else line.model
        rows.append([who, line.how, *(line.cells.get(name, "") for name in table.columns)])
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in r) + " |" for r in rows)


def _tables(records: Sequence[Record], task: str, dataset: str) -> list[Table]:
    tested = {r.split for r in records if (r.task, r.dataset) == (task, dataset)}
    note = f"Tested on: {'; '.join(sorted(tested))}."
    ranked = task != "retrieval"
    if ranked:
        lines = tables.main_lines(records, task, dataset)
    else:
        lines = tables.retrieval_lines(records, dataset)
    columns = list(dict.fromkeys(name for line in lines for name in line.cells))
    made = [Table(dataset, columns, lines, note, ranked)]
    shares, lines = tables.share_lines(records, task, dataset)
    if lines:
        note = (
            "At least one label of each class is seen, so a small share can be more than it says."
        )
        made.append(Table(f"{dataset}, by share of the training labels", shares, lines, note))
    return made


def _pictures(records: Sequence[Record], task: str, dataset: str) -> list[Picture]:
    rows = [r for r in records if (r.task, r.dataset) == (task, dataset)]
    found = []
    curves = tables.efficiency(rows, dataset)
    if curves:
        caption = (
            f"{dataset}: accuracy over the number of training labels, mean and standard deviation "
            "over draws (over folds at all labels)."
        )
        found.append(Picture(f"{task}-{dataset}-efficiency", caption, figures.efficiency(curves)))
    trust = {
        ", ".join(filter(None, (row.model, tables.show_settings(row)))): row.details["reliability"]
        for row in rows
        if "reliability" in row.details
    }
    if trust:
        caption = f"{dataset}: how often a probability comes true."
        found.append(Picture(f"{task}-{dataset}-calibration", caption, figures.calibration(trust)))
    whole = [r for r in rows if r.fraction == 1 and "confusion" in r.details]
    whole = [r for r in whole if "labels" not in r.settings]  # not of the shuffled control
    if whole:
        best = max(whole, key=lambda row: row.value)
        counts, classes = best.details["confusion"], best.details["classes"]
        who = ", ".join(filter(None, (best.model, tables.show_settings(best))))
        caption = f"{dataset}, {who}: shares of each class, in percent. {mistakes(counts, classes)}"
        svg = figures.confusion(counts, classes)
        found.append(Picture(f"{task}-{dataset}-confusion", caption, svg))
    return found


def mistakes(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """The most frequent confusions, and the classes that are found least, in a sentence each."""
    matrix = np.asarray(counts, float)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    names = [label.replace("_", " ") for label in classes]
    hardest = np.argsort(np.diag(shares), kind="stable")[:MISTAKES]
    least = ", ".join(f"{names[i]} {100 * shares[i, i]:.0f}" for i in hardest)
    wrong = shares - np.diag(np.diag(shares))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MISTAKES]
    pairs = [np.unravel_index(place, wrong.shape) for place in order]
    common = ", ".join(f"{names[a]} for {names[b]} {100 * wrong[a, b]:.0f}" for a, b in pairs)
    return f"Found least: {least}. Most often taken: {common}."


def _file(picture: Picture) -> str:
    name = re.sub(r"[^\w.-]+", "_", picture.name)
    return f"{name}.{'png' if picture.png else 'svg'}"


def _save(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
