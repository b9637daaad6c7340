"""`wav2clip search`: find sounds by words, pictures and sounds."""

from __future__ import annotations

from typing import Annotated

import typer

from wav2clip.cli import finds as f
from wav2clip.cli import taking
from wav2clip.cli.loading import DeviceOption


def search(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PHRASE] [+|- PHRASE]...",
            help="What to find. + and - that stand alone add and subtract phrases; "
            "0.5*phrase gives one a weight.",
            show_default=False,
        ),
    ] = None,
    audio: Annotated[
        list[str] | None,
        typer.Option("--audio", help="A recording, or 0.5*FILE, or -1*FILE. Added to the query."),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option("--image", help="A picture, or 0.5*FILE, or -1*FILE. Added to the query."),
    ] = None,
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
    by: Annotated[
        f.By,
        typer.Option(
            "--by",
            help="What a phrase is compared with: sound, words (names, metadata), or both.",
        ),
    ] = f.By.both,
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
    """Find sounds by a phrase, a picture, another sound, or a sum of them.

    A phrase is looked for in what is heard, in the names of files and folders, and in the metadata
    in files (bext, iXML, INFO, ID3 ...). Each file is listed once, with the region that fits best:
    neighbouring segments that fit are one region. "Sure" is the probability that what was asked for
    is heard in it. The query's own recording is left out. Where nobody looks, as in a pipe, finds
    are lines of path, start, end and confidence, with tabs between.

    Conditions on words stand in quotes with the phrase: -birds leaves out files that were given the
    word, "tin roof" in double quotes wants these words in a row, and creator:lee wants them in one
    field (name, folder, title, description, creator, library, cat).

    Example: `wav2clip search "rain on a tin roof" + 0.5*thunder - voices`

    Example: `wav2clip search 'rain "tin roof" -birds creator:lee'`

    Example: `wav2clip search --image harbour.jpg --path field --rate 48000 --min-duration 5 --play`
    """
    from wav2clip.errors import InputError
    from wav2clip.library.query import Query, parse, weighted

    how = f.Format.of(as_json, as_csv, print0)
    query = parse(words or []) or Query(())
    for value in audio or []:
        query += weighted(value, Query.audio)
    for value in image or []:
        query += weighted(value, Query.image)
    if not query.terms and not query.conditions:
        raise InputError("nothing to search for: give a phrase, --audio or --image; see --help")
    filters = f.make_filters(
        min_duration, max_duration, path, after, before, tag, format, rate, channels, category
    )
    sounds = f.open_library(library, model, device)
    results = sounds.search(
        query,
        limit=limit,
        filters=filters,
        per_file=not all_regions,
        by=by.value,
    )
    f.say_why(results, sounds, filters)
    f.show(results, how)
    taking.use(sounds, results, collect, play, copy_to, whole)
