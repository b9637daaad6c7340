"""What the commands on a library share: opening it, filters, and what to do with the finds."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from wav2clip.library import Filters, Library, Result, Results

LibraryOption = Annotated[
    str | None,
    typer.Option(
        "--library",
        help="Folder of the library, or its address on object storage, such as s3://bucket/sounds.",
        show_default="$WAV2CLIP_LIBRARY, or a folder among your data",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Name (`wav2clip models`) or path of a checkpoint.",
        show_default="the library's own, builtin for a new one",
    ),
]
CountOption = Annotated[int, typer.Option("-n", "--limit", min=1, help="Finds wanted.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the finds as JSON.")]
AllSegmentsOption = Annotated[
    bool,
    typer.Option("--all-segments", help="Every moment of a file, not its best moment alone."),
]
MinDurationOption = Annotated[
    float | None, typer.Option("--min-duration", help="Files of at least so many seconds.")
]
MaxDurationOption = Annotated[
    float | None, typer.Option("--max-duration", help="Files of at most so many seconds.")
]
PathOption = Annotated[
    str | None,
    typer.Option("--path", help="Pattern for the end of the path: '*.wav', 'field/**'."),
]
AfterOption = Annotated[
    datetime | None,
    typer.Option("--after", help="Files changed on this day (UTC) or later.", formats=["%Y-%m-%d"]),
]
BeforeOption = Annotated[
    datetime | None,
    typer.Option(
        "--before", help="Files changed on this day (UTC) or earlier.", formats=["%Y-%m-%d"]
    ),
]
TagOption = Annotated[
    list[str] | None, typer.Option("--tag", help="Segments tagged so. May be given several times.")
]
PlayOption = Annotated[
    bool, typer.Option("--play", help="Play the finds, best first; Ctrl-C goes to the next.")
]


class By(StrEnum):
    """What a phrase is compared with; see :data:`wav2clip.library.search.By`."""

    both = "both"
    sound = "sound"
    words = "words"


CopyOption = Annotated[
    Path | None,
    typer.Option("--copy-to", help="Copy the found files into this folder, replacing none."),
]


def open_library(
    path: str | None, model: str | None, device: str = "cpu", **options: str | None
) -> Library:
    """The library, whose model is loaded with a bar, and only when it is needed.

    Args:
        path: of the library, or None for the usual one.
        model: name or path, or None for the library's own.
        device: of the model.
        options: ``engine`` and ``precision``, or None for the library's own.
    """
    from wav2clip.cli import console
    from wav2clip.library import Library

    given = {name: value for name, value in options.items() if value is not None}
    loader = partial(console.load_model, device=device)
    return Library.open(path, model, options=given or None, loader=loader)


def make_filters(
    min_duration: float | None = None,
    max_duration: float | None = None,
    path: str | None = None,
    after: datetime | None = None,
    before: datetime | None = None,
    tag: list[str] | None = None,
) -> Filters:
    """Filters from options: days are whole days."""
    from wav2clip.library import Filters

    return Filters(
        min_duration,
        max_duration,
        path,
        after.date() if after else None,
        before.date() if before else None,
        tuple(tag or ()),
    )


@contextmanager
def steps(title: str, unit: str) -> Iterator[Any]:
    """A bar for a function that reports (done, in all)."""
    from wav2clip.cli import console

    with console.progress_bar(title, None, unit) as advance:
        done = 0

        def progress(now: int, total: int) -> None:
            nonlocal done
            advance(now - done, total)
            done = now

        yield progress


def show(results: Results, as_json: bool, title: str | None = None) -> None:
    """Print finds as a table or as JSON."""
    from rich.markup import escape
    from rich.table import Table

    from wav2clip.cli import console
    from wav2clip.files import display

    for note in results.notes:
        console.err.print(note, markup=False, soft_wrap=True)
    if as_json:
        console.print_json([result.to_json() for result in results])
        return
    if not results:
        console.out.print("nothing found: loosen the filters, or index more")
        return
    with_tags = any(result.tags for result in results)
    # Long paths make tables hard to read: the folder that all share is said once, below.
    folder = os.path.commonpath([result.path.parent for result in results])
    with_words = any(result.words for result in results)
    table = Table(
        "", "score", "moment", "file", *(["words"] if with_words else []),
        *(["tags"] if with_tags else []),
        title=escape(title or "") or None,
    )  # fmt: skip
    table.columns[3].overflow = "fold"
    for place, result in enumerate(results, start=1):
        name = escape(display(os.path.relpath(result.path, folder)))
        cells = [str(place), f"{result.score:.3f}", moment(result), name]
        cells += [escape(", ".join(result.words))] if with_words else []
        cells += [escape(", ".join(result.tags))] if with_tags else []
        table.add_row(*cells)
    console.out.print(table)
    # Not as the table's caption, which would be broken at its width.
    console.out.print(f"in {display(folder)}", style="dim italic", markup=False, soft_wrap=True)


def moment(result: Result) -> str:
    """Start and end of a find, as minutes and seconds."""
    return f"{clock(result.start)} to {clock(result.end)}"


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}:{rest:04.1f}"


def use(results: Results, play: bool, copy_to: Path | None) -> None:
    """Play or copy what was found."""
    if copy_to is not None:
        copy(results, copy_to)
    if play:
        play_all(results)


def copy(results: Iterable[Result], folder: Path) -> None:
    """Copy the files into a folder, under another name where theirs is taken."""
    from wav2clip.cli import console
    from wav2clip.errors import InputError
    from wav2clip.files import display

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--copy-to {display(folder)}: {error.strerror or error}") from error
    failures: dict[Path, str] = {}
    done = 0
    for path in dict.fromkeys(result.path for result in results):
        try:
            _copy_new(path, folder)
            done += 1
        except OSError as error:
            failures[path] = error.strerror or str(error)
    console.err.print(f"copied {done} files to {display(folder)}", markup=False, soft_wrap=True)
    console.report_failures(failures, done)


def _copy_new(path: Path, folder: Path) -> None:
    """Copy under the first name that is free; the name appears when the copy is whole."""
    import itertools

    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".wav2clip-")
    os.close(handle)
    try:
        shutil.copy2(path, temporary)
        for number in itertools.count(1):
            name = path.name if number == 1 else f"{path.stem} ({number}){path.suffix}"
            try:
                os.link(temporary, folder / name)  # fails where the name is taken, unlike replace
                return
            except FileExistsError:
                continue
    finally:
        os.unlink(temporary)


PLAYERS = (
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"),
    ("paplay",),
    ("aplay", "-q"),
    ("afplay",),
)
"""Programs that play a WAV file, and their options."""


def play_all(results: Iterable[Result]) -> None:
    """Play each find's moment with the first player that this machine has."""
    from wav2clip.cli import console
    from wav2clip.errors import InputError
    from wav2clip.files import display

    player = next((p for p in PLAYERS if shutil.which(p[0])), None)
    if player is None:
        raise InputError(
            f"--play needs one of {', '.join(p[0] for p in PLAYERS)} on the PATH; install FFmpeg, "
            "or take the files with --copy-to DIR"
        )
    with tempfile.TemporaryDirectory(prefix="wav2clip-") as folder:
        for place, result in enumerate(results, start=1):
            label = f"playing {place}: {display(result.path)} from {clock(result.start)}"
            console.err.print(label, markup=False, soft_wrap=True)
            try:
                subprocess.run([*player, str(_moment_file(result, Path(folder)))], check=False)  # noqa: S603
            except KeyboardInterrupt:
                continue


def _moment_file(result: Result, folder: Path) -> Path:
    """The find's moment as a WAV file, which every player reads, whatever the recording is."""
    import soundfile

    from wav2clip.audio.io import cut_audio

    rate, target = 44_100, folder / "moment.wav"
    soundfile.write(
        target, cut_audio(result.path, result.start, result.end - result.start, rate), rate
    )
    return target
