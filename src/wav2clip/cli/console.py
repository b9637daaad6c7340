"""What commands share: two consoles, progress bars, lists of failures, exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from wav2clip.files import display, is_mute, left_out_line

PathLike = TypeVar("PathLike", Path, str)

out = Console()
"""Results: what a pipe should carry."""

err = Console(stderr=True)
"""Progress, warnings and failures."""


class RateColumn(ProgressColumn):
    """Items per second, one decimal."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} {self.unit}/s" if speed else "", style="progress.data.speed")


@contextmanager
def progress_bar(title: str, total: int | None, unit: str = "files") -> Iterator[Any]:
    """A bar on standard error with rate and time left; gives a function that advances it.

    The function takes the steps, one by default, and the total where it became known later.
    """
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(unit),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    ) as bar:
        task = bar.add_task(title, total=total)
        yield lambda steps=1, total=None: bar.update(task, advance=steps, total=total)


@contextmanager
def download_bar(title: str) -> Iterator[Any]:
    """A bar on standard error that shows once something is fetched; gives its progress function."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    ) as bar:
        task = bar.add_task(title, visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)


def load_model(name: str, **options: Any) -> Any:
    """``wav2clip.load`` with a bar if weights must be fetched."""
    from wav2clip.embedding.embedder import load

    with download_bar(f"fetching {name}") as progress:
        return load(name, progress=progress, **options)


def print_json(value: Any) -> None:
    """One JSON document on standard output, never wrapped or coloured."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def sort_out(failures: Mapping[PathLike, str]) -> dict[str, dict[str, str]]:
    """For summaries in JSON: what failed, and what has no sound and was passed over."""
    told: dict[str, dict[str, str]] = {"failures": {}, "skipped": {}}
    for path, reason in failures.items():
        told["skipped" if is_mute(reason) else "failures"][display(path)] = reason
    return told


def report_failures(
    failures: Mapping[PathLike, str], done: int, *, may_be_none: bool = False
) -> None:
    """List what failed and why on standard error, then exit with 1; nothing if nothing failed.

    Files without sound are listed as passed over. They are no failure, unless nothing was done and
    something had to be (``may_be_none`` is False).
    """
    if not failures:
        return
    failed = 0
    for path, reason in failures.items():
        mute = is_mute(reason)
        failed += not mute
        word = "[yellow]skipped[/]" if mute else "[red]failed[/]"
        err.print(f"{word} {escape(display(path))}: {escape(reason)}", soft_wrap=True)
    if failed:
        err.print(f"{failed} failed, {done} done")
    if failed or not (done or may_be_none):
        raise typer.Exit(1)


def report_left_out(left_out: Mapping[str, int], what: str = "neither sound nor video") -> None:
    """Say on standard error how many files were left out, and of which kinds."""
    line = left_out_line(left_out, what)
    if line:
        err.print(line, markup=False, soft_wrap=True)


def report_warnings(warnings: Mapping[PathLike, tuple[str, ...]]) -> None:
    """What is wrong with files that could be used all the same."""
    for path, reasons in warnings.items():
        for reason in reasons:
            warn(f"{display(path)}: {reason}")


def warn(text: str) -> None:
    """One line on standard error, before or after the results."""
    err.print(f"[yellow]warning[/] {escape(text)}", soft_wrap=True)
