"""`wav2clip similar`: sounds like a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wav2clip.cli import finds as f
from wav2clip.cli import taking
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
    format: f.FormatOption = None,
    rate: f.RateOption = None,
    channels: f.ChannelsOption = None,
    category: f.CategoryOption = None,
    all_regions: f.AllRegionsOption = False,
    collect: f.CollectOption = None,
    play: f.PlayOption = False,
    copy_to: f.CopyOption = None,
    whole: f.WholeOption = False,
    model: f.ModelOption = None,
    device: DeviceOption = "cpu",
    as_json: f.JsonOption = False,
    as_csv: f.CsvOption = False,
    print0: f.NulOption = False,
) -> None:
    """List the sounds of the library that are most like a recording.

    Example: `wav2clip similar door.wav -n 5`
    """
    how = f.Format.of(as_json, as_csv, print0)
    filters = f.make_filters(
        min_duration, max_duration, path, after, before, tag, format, rate, channels, category
    )
    sounds = f.open_library(library, model, device)
    results = sounds.similar(
        recording,
        limit=limit,
        filters=filters,
        per_file=not all_regions,
    )
    f.say_why(results, sounds, filters)
    f.show(results, how)
    taking.use(sounds, results, collect, play, copy_to, whole)
