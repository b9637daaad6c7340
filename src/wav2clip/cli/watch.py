"""`wav2clip watch`: keeps a library up to date while files come, go and change."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wav2clip.cli.clusters import ThreadsOption
from wav2clip.cli.finds import LibraryOption, ModelOption
from wav2clip.cli.loading import DeviceOption, LibraryEngineOption, LibraryPrecisionOption

if TYPE_CHECKING:
    from wav2clip.library import IndexReport

_LOOK_MS = 1_000
_AT_MOST_MS = 60_000  # as long as files keep changing, they are looked at once a minute


def watch(
    folders: Annotated[
        list[str], typer.Argument(metavar="FOLDERS...", help="Folders, or single files.")
    ],
    library: LibraryOption = None,
    model: ModelOption = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Drop files when they are gone from these folders.")
    ] = False,
    quiet: Annotated[
        float,
        typer.Option(
            min=0.1, max=60, help="Seconds without a change after which changes are looked at."
        ),
    ] = 2.0,
    poll: Annotated[
        bool,
        typer.Option(
            "--poll",
            help="Look at all files again and again: for drives on the network, which tell nothing "
            "of what others write there.",
        ),
    ] = False,
    device: DeviceOption = "cpu",
    engine: LibraryEngineOption = None,
    precision: LibraryPrecisionOption = None,
    workers: ThreadsOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a summary as JSON whenever something was done.")
    ] = False,
) -> None:
    """Index folders, and go on doing so whenever files come, go or change, until Ctrl-C.

    Searches, and a page that is served, see what was added at once. A file that is still being
    written is taken up when it rests. What cannot be read is said once.

    Example: `wav2clip watch ~/recordings`

    A drive on the network: `wav2clip watch /mnt/sounds --poll --prune`
    """
    from wav2clip.cli import console, finds
    from wav2clip.cli.index import print_report
    from wav2clip.errors import InputError

    for folder in folders:
        if not os.path.exists(folder):
            raise InputError(f"{folder}: no such file or folder, expected one to watch")
    opened = finds.open_library(library, model, device, engine=engine, precision=precision)
    opened.load_model(to_index=True)
    told: dict[Path, str] = {}
    for first in _moments(folders, Path(opened.store.uri), quiet, poll):
        with finds.steps("indexing", "files") as progress:
            report = opened.index(folders, prune=prune, wait=True, workers=workers,
                                  progress=progress)  # fmt: skip
        if first or _did_something(report):
            print_report(report, opened, as_json)
        told = _tell_failures(report, told)
        if first:
            console.report_left_out(report.left_out)
            console.err.print("watching for changes, until Ctrl-C")


def _moments(folders: list[str], library: Path, quiet: float, poll: bool) -> Iterator[bool]:
    """When to index: now, which gives True, and after every change.

    Changes are listened for from before the first moment on, so that none is missed meanwhile.
    """
    import watchfiles

    from wav2clip.errors import InputError

    own = Path(os.path.realpath(library))

    def of_others(change: watchfiles.Change, path: str) -> bool:
        return not Path(os.path.realpath(path)).is_relative_to(own)

    batches = watchfiles.watch(
        *folders,
        watch_filter=of_others,
        step=round(1_000 * quiet),
        debounce=_AT_MOST_MS,
        rust_timeout=_LOOK_MS,
        yield_on_timeout=True,
        force_polling=poll,
        poll_delay_ms=_LOOK_MS,
        ignore_permission_denied=True,
    )
    first = True
    try:
        for changes in batches:
            if first or changes:
                yield first
            first = False
    except OSError as error:  # of the system, whose words for it say little
        raise InputError(
            f"changes cannot be watched for ({error}): a system allows so many folders, on Linux "
            "fs.inotify.max_user_watches; --poll needs none"
        ) from error


def _did_something(report: IndexReport) -> bool:
    done = (report.added, report.updated, report.reused, report.retagged, report.pruned)
    return any((*done, report.retold, report.described))


def _tell_failures(report: IndexReport, told: dict[Path, str]) -> dict[Path, str]:
    """Say what failed and was not said; gives all that fails now.

    Nothing is said of a file that is still being written: it is taken up again.
    """
    from rich.markup import escape

    from wav2clip.cli import console
    from wav2clip.files import display
    from wav2clip.library.scan import CHANGED

    failing = {path: reason for path, reason in report.failures.items() if reason != CHANGED}
    new: Iterable[tuple[Path, str]] = failing.items() - told.items()
    for path, reason in sorted(new):
        console.err.print(
            f"[red]failed[/] {escape(display(path))}: {escape(reason)}", soft_wrap=True
        )
    return failing
