"""`wav2clip similar`: sounds like a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wav2clip.cli import finds as f
from wav2clip.cli.loading import DeviceOption


def similar(
    recording: Annotated[Path, typer.Argument(help="A recording, in the library or not.")],
    library: f.LibraryOption = None,
    limit: f.CountOption = 10,
    min_duration: f.MinDurationOption = None,
    max_duration: f.MaxDurationOption = None,
    path: f.PathOption = None,
    after: f.AfterOption = None,
    before: f.BeforeOption = None,
    tag: f.TagOption = None,
    all_segments: f.AllSegmentsOption = False,
    play: f.PlayOption = False,
    copy_to: f.CopyOption = None,
    model: f.ModelOption = None,
    device: DeviceOption = "cpu",
    as_json: f.JsonOption = False,
) -> None:
    """List the sounds of the library that are most like a recording.

    Example: `wav2clip similar door.wav -n 5`
    """
    results = f.open_library(library, model, device).similar(
        recording,
        limit=limit,
        filters=f.make_filters(min_duration, max_duration, path, after, before, tag),
        per_file=not all_segments,
    )
    f.show(results, as_json)
    f.use(results, play, copy_to)
