"""`wav2clip export`: a model as ONNX, in float32 and in 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write.")],
    model: Annotated[
        str, typer.Argument(help="Name (`wav2clip models`) or path of a checkpoint.")
    ] = "builtin",
    calibrate: Annotated[
        list[str] | None,
        typer.Option(help="Recordings for the ranges of 8-bit activations: files or folders."),
    ] = None,
    clips: Annotated[
        int, typer.Option(min=1, help="Recordings to calibrate with, drawn at random (seed 0).")
    ] = 128,
    spectrogram: Annotated[
        bool, typer.Option(help="Graphs that take the standardised spectrogram, not the waveform.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write a model as ONNX, in float32 and, where it is calibrated, with 8-bit convolutions.

    The folder also holds the checkpoint, with the ranges that --calibrate found, so that
    `wav2clip.load(FOLDER, engine="onnx-int8")` takes it.

    Example: `wav2clip export builtin -o exported/`

    For weights of your own: `wav2clip export runs/mine/model -o exported/ --calibrate sounds/`
    """
    import random

    from wav2clip.cli import console
    from wav2clip.embedding import export as exporting
    from wav2clip.errors import InputError
    from wav2clip.files import find_recordings
    from wav2clip.models.checkpoint import load_checkpoint
    from wav2clip.models.registry import locate

    with console.download_bar(f"fetching {model}") as progress:
        checkpoint = load_checkpoint(locate(model, progress))
    failures: dict[Path, str] = {}
    if calibrate:
        paths, failures, left_out = find_recordings(calibrate)
        console.report_left_out(left_out)
        if not paths:
            raise InputError(f"no recording to calibrate with in {', '.join(calibrate)}")
        chosen = random.Random(0).sample(paths, min(clips, len(paths)))  # noqa: S311
        with console.progress_bar("calibrating", len(chosen)) as advance:
            checkpoint = exporting.calibrate(
                checkpoint, chosen, failures.__setitem__, lambda: advance()
            )
    graphs = exporting.export_onnx(checkpoint, output, frontend=not spectrogram)
    if as_json:
        console.print_json(
            {
                "graphs": [str(path) for path in graphs],
                "fingerprint": checkpoint.fingerprint,
                **console.sort_out(failures),
            }
        )
    else:
        for path in graphs:
            size = path.stat().st_size / 1e6
            console.out.print(f"{path}: {size:.1f} MB", soft_wrap=True, highlight=False)
        if len(graphs) == 1:
            console.out.print("no 8-bit graph: the model has no ranges; see --calibrate")
    console.report_failures(failures, len(graphs))
