"""`wav2clip pretrain publish`: from a finished run to a folder for a hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def publish(
    run: Annotated[
        Path, typer.Argument(help="Folder of a run of `wav2clip pretrain fit`.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.", show_default=False)],
    name: Annotated[
        str | None, typer.Option(help="Title of the card.", show_default="name of the folder")
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            help="Licence of the weights (SPDX identifier).", show_default="what the run states"
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what an earlier call wrote.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write the folder of a model for a hub: weights, config and a card filled from the run.

    The folder is what `wav2clip.load` takes, and what is uploaded as it stands. Nothing is sent
    anywhere.

    Example: `wav2clip pretrain publish runs/vggsound --out hub/my-wav2clip --licence CC-BY-4.0`
    """
    from wav2clip.cli import console
    from wav2clip.pretrain.publish import publish as write_folder

    folder = write_folder(run, out, name, licence, overwrite)
    files = sorted(path.name for path in folder.iterdir())
    if as_json:
        console.print_json({"folder": str(folder), "files": files})
    else:
        typer.echo(f"{folder}: {', '.join(files)}")
