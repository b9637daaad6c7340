"""`wav2clip evaluate`: datasets, tasks, report."""

from __future__ import annotations

import typer

from wav2clip.cli.evaluate_captions import captions
from wav2clip.cli.evaluate_datasets import datasets
from wav2clip.cli.evaluate_events import events
from wav2clip.cli.evaluate_probe import probe
from wav2clip.cli.evaluate_report import report
from wav2clip.cli.evaluate_retrieval import retrieval
from wav2clip.cli.evaluate_tagging import tagging
from wav2clip.cli.evaluate_zeroshot import zeroshot

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command()(datasets)
app.command()(probe)
app.command()(zeroshot)
app.command()(retrieval)
app.command()(tagging)
app.command()(events)
app.command()(captions)
app.command()(report)


@app.callback()
def _group() -> None:
    """Measure any encoder as the literature does: datasets, tasks, report.

    Example: `wav2clip evaluate probe --dataset esc50 --model builtin`

    Then: `wav2clip evaluate report results.jsonl --out report/`
    """
