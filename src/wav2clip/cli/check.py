"""`wav2clip check`: recordings that need care."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wav2clip.cli.finds import LibraryOption

if TYPE_CHECKING:
    from wav2clip.library.care import Checked


def check(
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATHS",
            help="Files, folders (searched recursively) or patterns.",
            show_default="the files of the library",
        ),
    ] = None,
    library: LibraryOption = None,
    silence: Annotated[
        float, typer.Option(metavar="DBFS", help="Silent: the peak is at most that.")
    ] = -60.0,
    antiphase: Annotated[
        float, typer.Option(metavar="R", help="Antiphase: left and right correlate so or less.")
    ] = -0.8,
    clipped: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Clipped: so many samples at full scale, in runs of three and more, or more.",
        ),
    ] = 3,
    offset: Annotated[
        float, typer.Option(metavar="DBFS", help="DC offset: the mean is at least that.")
    ] = -40.0,
    everything: Annotated[
        bool, typer.Option("--all", help="List the measures of good files, too.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that decode.", show_default="one per core"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one row a file as CSV.")] = False,
) -> None:
    """List recordings that need care: silent, out of phase, clipped, off centre, cut, unreadable.

    Each is decoded once, whole, and nothing is written. What is found is a report and no failure:
    the exit code is 1 only if a file or folder is not there. Stopped by Ctrl-C it prints what it
    found until then.

    Example: `wav2clip check ~/recordings`

    Example: `wav2clip check --library /archive/library --csv > care.csv`
    """
    from wav2clip.cli import console
    from wav2clip.errors import InputError
    from wav2clip.files import find_recordings
    from wav2clip.library.care import Limits

    if as_json and as_csv:
        raise InputError("give one of --json and --csv")
    limits = Limits(silence, antiphase, clipped, offset)
    if folders:
        paths, failures, left_out = find_recordings(folders)
    else:
        paths, failures, left_out = _files_of(library), {}, Counter[str]()
    seen: list[Checked] = []
    checked = 0
    try:
        with console.progress_bar("checking", len(paths)) as advance:
            from wav2clip.library import care

            for result in care.check(paths, limits, workers):
                checked += 1
                advance()
                if everything or result.findings or result.mute:
                    seen.append(result)
    finally:  # what was found until an interruption is worth as much
        if checked < len(paths):
            console.warn(f"stopped after {checked} of {len(paths)} files")
        _print(seen, checked, as_json, as_csv)
    console.report_left_out(left_out)
    mute = {result.path: result.mute for result in seen if result.mute}
    console.report_failures({**mute, **failures}, checked, may_be_none=True)


def _files_of(library: str | None) -> list[Path]:
    from wav2clip.cli import finds

    return sorted(finds.open_library(library, None).files())


def _print(seen: list[Checked], checked: int, as_json: bool, as_csv: bool) -> None:
    from wav2clip.cli import console
    from wav2clip.files import display
    from wav2clip.library.care import KINDS

    listed = [result for result in seen if not result.mute]
    counts = Counter(kind for result in listed for kind in result.findings)
    if as_json:
        console.print_json(
            {
                "checked": checked,
                "counts": {kind: counts[kind] for kind in KINDS},
                "files": [_row(result) for result in listed],
            }
        )
    elif as_csv:
        _print_csv(listed)
    else:
        for result in listed:
            told = [f"{kind} ({text})" for kind, text in result.findings.items()]
            line = f"{display(result.path)}: {'; '.join(told) or _measures(result)}"
            console.out.print(line, markup=False, soft_wrap=True)
        found = [f"{counts[kind]} {kind}" for kind in KINDS if counts[kind]]
        summary = f"checked {checked} files: {', '.join(found) or 'none needs care'}"
        console.out.print(summary, markup=False, soft_wrap=True)


def _measures(result: Checked) -> str:
    levels = result.levels
    assert levels is not None, "what cannot be read is a finding"
    return f"good (peak {levels.peak:.1f} dBFS, RMS {levels.rms:.1f} dBFS)"


def _row(result: Checked) -> dict[str, Any]:
    """A file with its measures; what cannot be said, as the level of silence, is None."""
    from wav2clip.files import display

    levels = result.levels
    measures: dict[str, Any] = dict.fromkeys(_MEASURES)
    if levels is not None:
        measures = {
            "seconds": round(levels.frames / result.sample_rate, 3),
            "peak_dbfs": _level(levels.peak),
            "rms_dbfs": _level(levels.rms),
            "correlation": None if levels.correlation is None else round(levels.correlation, 4),
            "clipped_samples": levels.clipped,
            "clipped_runs": levels.runs,
            "clipped_share": levels.clipped_share,
            "offset": levels.offset,
            "offset_dbfs": _level(levels.offset_level),
        }
    return {
        "path": display(result.path),
        "findings": dict(result.findings),
        "channels": result.channels,
        "sample_rate": result.sample_rate,
        "codec": result.codec,
        **measures,
        "warnings": list(result.warnings),
    }


_MEASURES = (
    "seconds", "peak_dbfs", "rms_dbfs", "correlation", "clipped_samples", "clipped_runs",
    "clipped_share", "offset", "offset_dbfs",
)  # fmt: skip


def _level(level: float) -> float | None:
    return round(level, 2) if math.isfinite(level) else None


def _print_csv(listed: Iterable[Checked]) -> None:
    import csv
    import io

    columns = ("path", "findings", "channels", "sample_rate", "codec", *_MEASURES, "warnings")
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    for result in listed:
        row = _row(result)
        lists = {name: "; ".join(row[name]) for name in ("findings", "warnings")}
        writer.writerow({**row, **lists})
    typer.echo(text.getvalue(), nl=False)
