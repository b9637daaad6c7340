"""`wav2clip duplicates`: recordings that are nearly identical."""

from __future__ import annotations

from typing import Annotated

import typer

from wav2clip.cli.finds import LibraryOption


def duplicates(
    library: LibraryOption = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Cosine from which recordings count as nearly identical, up to 1.",
            show_default="see docs/library.md",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the groups as JSON.")] = False,
) -> None:
    """List groups of recordings that are nearly identical: copies, other formats, other levels.

    Nothing is deleted.

    Example: `wav2clip duplicates --threshold 0.99 --json`
    """
    from wav2clip.cli import console, finds
    from wav2clip.files import display
    from wav2clip.library.duplicates import THRESHOLD

    opened = finds.open_library(library, None)
    with finds.steps("comparing", "files") as progress:
        groups = opened.duplicates(THRESHOLD if threshold is None else threshold, progress)
    if as_json:
        console.print_json(
            [
                {
                    "paths": [display(path) for path in group.paths],
                    "identical": group.identical,
                    "similarity": round(group.similarity, 6),
                }
                for group in groups
            ]
        )
        return
    for group in groups:
        how = "the same bytes" if group.identical else f"cosine {group.similarity:.3f} or more"
        console.out.print(f"{len(group.paths)} recordings, {how}", style="bold")
        for path in group.paths:
            console.out.print(f"  {display(path)}", markup=False, soft_wrap=True)
    copies = sum(len(group.paths) - 1 for group in groups)
    console.out.print(f"{len(groups)} groups; {copies} recordings could go")
