"""`wav2clip duplicates`: recordings that are there twice."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from wav2clip.cli.finds import LibraryOption

if TYPE_CHECKING:
    from wav2clip.library.duplicates import Duplicates


def duplicates(
    library: LibraryOption = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Cosine from which two recordings are compared, up to 1.", show_default="0.7"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the groups as JSON.")] = False,
) -> None:
    """List recordings that are there twice: copies, other formats, other levels, and parts.

    Recordings that sound alike are compared by their waveforms, and only what holds the same
    recording is listed. Those that share a stretch are listed below. Nothing is deleted.

    Example: `wav2clip duplicates --json`
    """
    from wav2clip.cli import console, finds
    from wav2clip.files import display
    from wav2clip.library.duplicates import THRESHOLD

    opened = finds.open_library(library, None)
    with finds.steps("comparing", "pairs") as progress:
        found = opened.duplicates(THRESHOLD if threshold is None else threshold, progress)
    if as_json:
        console.print_json(
            {
                "groups": [
                    {**asdict(group), "paths": [display(path) for path in group.paths]}
                    for group in found.groups
                ],
                "overlaps": [
                    {**asdict(overlap), "paths": [display(path) for path in overlap.paths]}
                    for overlap in found.overlaps
                ],
            }
        )
    else:
        for line in _lines(found):
            console.out.print(line, markup=False, soft_wrap=True)
    console.report_failures(found.unread, 1)


def _lines(found: Duplicates) -> list[str]:
    from wav2clip.files import display

    lines = []
    for group in found.groups:
        lines.append(display(group.paths[0]))
        for path, relation in zip(group.paths[1:], group.relations[1:], strict=True):
            lines.append(f"  {display(path)}: {relation}")
    for overlap in found.overlaps:
        one, other = map(display, overlap.paths)
        lines.append(f"{one} and {other} share {overlap.seconds:.1f} s")
    copies = sum(len(group.paths) - 1 for group in found.groups)
    lines.append(f"copies: {copies}; overlaps: {len(found.overlaps)}")
    return lines
