"""Taking what was found: copying it to a folder, and playing it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from wav2clip.cli.finds import clock

if TYPE_CHECKING:
    from wav2clip.library import Item, Library, Result, Results
    from wav2clip.library.collections import Added

_LONGEST_PLAYED = 60.0
"""Seconds: of a region that lasts for an hour the rest is left to players with a position bar."""


def use(
    library: Library,
    results: Results,
    collect: str | None,
    play: bool,
    copy_to: Path | None,
    whole: bool,
) -> None:
    """Keep, copy or play what was found."""
    if collect is not None:
        keep(library, collect, results)
    if copy_to is not None:
        copy(results, copy_to, whole=whole)
    if play:
        play_all(results)


def keep(library: Library, name: str, results: Results) -> None:
    """Add what was found to a collection."""
    from wav2clip.cli import console

    added = library.collections.add(name, results)
    console.err.print(added_line(name, added), markup=False, soft_wrap=True)


def added_line(name: str, added: Added) -> str:
    """What became of what was to be added, for people."""
    known = len(added.items) - added.new
    return f"added {added.new} to {name}" + (f", {known} were there already" if known else "")


def copy(
    results: Iterable[Result | Item],
    folder: Path,
    *,
    whole: bool,
    lacking: Mapping[Path, str] | None = None,
) -> None:
    """Copy regions as WAV, or whole files, into a folder, under other names where one is taken.

    ``lacking`` is what cannot be copied anyway, and is listed with what failed.
    """
    from wav2clip.audio.excerpt import excerpt_name
    from wav2clip.cli import console
    from wav2clip.errors import InputError, Wav2ClipError
    from wav2clip.files import display

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot copy to {display(folder)}: {reason}") from error
    files: list[Path] = []
    parts: list[Result | Item] = []
    for result in results:
        if whole or _is_whole(result):
            files.append(result.path)
        else:
            parts.append(result)
    failures = dict(lacking or {})
    done = regions = 0
    work: list[tuple[Path, Path, Callable[[Path], object]]] = [
        *((path, Path(path.name), _copying(path)) for path in dict.fromkeys(files)),
        *((part.path, excerpt_name(part.path, part.start), _cutting(part)) for part in parts),
    ]
    with console.progress_bar("copying", len(work), "files") as advance:
        for number, (path, name, write) in enumerate(work):
            try:
                _write_new(folder, name, write)
                done += 1
                regions += number >= len(work) - len(parts)
            except OSError as error:
                failures[path] = error.strerror or str(error)
            except Wav2ClipError as error:
                failures[path] = str(error)
            advance()
    what = f"{done} files, {regions} of them regions," if regions else f"{done} files"
    console.err.print(f"copied {what} to {display(folder)}", markup=False, soft_wrap=True)
    console.report_failures(failures, done)


def _is_whole(result: Result | Item) -> bool:
    from wav2clip.library.collections import EDGE_SECONDS

    return result.start <= EDGE_SECONDS and result.end >= result.duration - EDGE_SECONDS


def _copying(path: Path) -> Callable[[Path], object]:
    return lambda target: shutil.copy2(path, target)


def _cutting(result: Result | Item) -> Callable[[Path], object]:
    from wav2clip.audio.excerpt import write_excerpt
    from wav2clip.audio.io import stream_audio

    def cut(target: Path) -> None:
        write_excerpt(stream_audio(result.path), result.path, target, result.start, result.end)

    return cut


def _write_new(folder: Path, name: Path, write: Callable[[Path], object]) -> None:
    """Write under the first name that is free; it appears when the file is whole."""
    import itertools

    from wav2clip.files import rename_new

    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".wav2clip-")
    os.close(handle)
    try:
        write(Path(temporary))
        for number in itertools.count(1):
            free = name if number == 1 else Path(f"{name.stem} ({number}){name.suffix}")
            try:
                rename_new(Path(temporary), folder / free)
                return
            except FileExistsError:
                continue
    finally:
        Path(temporary).unlink(missing_ok=True)


PLAYERS = (
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"),
    ("paplay",),
    ("aplay", "-q"),
    ("afplay",),
)
"""Programs that play a WAV file, and their options."""


def play_all(results: Iterable[Result]) -> None:
    """Play each region from its best segment on, with the first player that this machine has."""
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
            label = f"playing {place}: {display(result.path)} from {clock(result.peak)}"
            console.err.print(label, markup=False, soft_wrap=True)
            try:
                subprocess.run([*player, str(_moment_file(result, Path(folder)))], check=False)  # noqa: S603
            except KeyboardInterrupt:
                continue


def _moment_file(result: Result, folder: Path) -> Path:
    """What is heard of a region as a WAV file, which every player reads: a minute at most."""
    import soundfile

    from wav2clip.audio.io import cut_audio

    rate, target = 44_100, folder / "moment.wav"
    seconds = min(result.end - result.peak, _LONGEST_PLAYED)
    soundfile.write(target, cut_audio(result.path, result.peak, seconds, rate), rate)
    return target
