"""`wav2clip models`: what can be loaded by name."""

from __future__ import annotations

from typing import Annotated

import typer


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the models that can be loaded by name, and what is cached.

    Example: `wav2clip models --json`
    """
    from rich.table import Table

    from wav2clip.cli import console
    from wav2clip.downloads import cache_folder
    from wav2clip.models.registry import MODELS

    rows = [
        {
            "name": model.name,
            "summary": model.summary,
            "licence": model.licence,
            "available": model.available,
            "path": str(model.path),
            "url": model.url,
            "sha256": model.sha256,
        }
        for model in MODELS.values()
    ]
    if as_json:
        console.print_json(rows)
        return
    table = Table("name", "here", "licence", "what")
    for model in MODELS.values():
        here = "ships with wav2clip" if model.url is None else "cached"
        table.add_row(
            model.name, here if model.available else "not cached", model.licence, model.summary
        )
    console.out.print(table)
    console.out.print(f"cache: {cache_folder()}", soft_wrap=True)
