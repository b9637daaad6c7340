"""`wav2clip map`: a library, a folder or a dataset as a picture or a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from wav2clip.evaluation.projection import Map


def map(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="A library's folder, files and folders of recordings, or the name of a dataset "
            "(`wav2clip evaluate datasets`). Default: your library.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="A name ending in .png or .html.")
    ] = Path("map.html"),
    model: Annotated[
        str | None,
        typer.Option(
            help="Any encoder: builtin, wav2clip, a checkpoint, logmel, mfcc, random ... A library "
            "has its own.",
            show_default="builtin",
        ),
    ] = None,
    texts: Annotated[
        bool, typer.Option("--texts", help="Show the words of the labels in the same space.")
    ] = False,
    labels: Annotated[
        str | None,
        typer.Option(help="With --texts: other words, separated by commas, or a list by name."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Where the dataset lies, if not in its usual place.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="Show at most so many sounds, drawn at random.")
    ] = 10_000,
    neighbors: Annotated[int, typer.Option(min=2, help="UMAP: size of neighbourhoods.")] = 15,
    min_dist: Annotated[
        float, typer.Option(min=0, max=1, help="UMAP: how close points may lie.")
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="Of UMAP and of --limit.")] = 0,
    embed_audio: Annotated[
        bool,
        typer.Option("--embed-audio", help="Put the sounds into the page, to send it to others."),
    ] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Leave out damaged files of a dataset.")
    ] = False,
    title: Annotated[str | None, typer.Option(help="Title of the map.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Draw a map of sounds: what is alike lies close together (UMAP).

    A name in .png gives a still picture, one in .html a page that needs no network: hover over a
    point for its name, click it to listen. Colours are classes: a dataset's labels, a library's
    tags, or the folders that recordings lie in.

    Example: `wav2clip map ~/recordings -o map.html`

    A dataset and its words in one space: `wav2clip map esc50 --texts -o esc50.png`
    """
    from wav2clip.cli import console
    from wav2clip.errors import InputError

    if output.suffix.lower() not in (".png", ".html"):
        raise InputError(f"{output}: expected a name ending in .png or .html")
    if not output.absolute().parent.is_dir():
        raise InputError(f"{output}: the folder to write to does not exist")
    if labels is not None and not texts:
        raise InputError("--labels needs --texts")
    from wav2clip.cli.map_sources import gather
    from wav2clip.evaluation.projection import Map, add_words, project
    from wav2clip.zeroshot import read_labels

    found = gather(sources or [], model, device, data, keep_going)
    sounds = found.sample(limit, seed)
    failures = dict(found.failures)
    shown = None
    if sounds.points:
        points, vectors, others = sounds.points, sounds.vectors, None
        if texts:
            names = read_labels(labels, least=1) if labels else None
            encoder = sounds.encoder()
            words, vectors, others = add_words(
                points, vectors, encoder, names, centred=sounds.centred
            )
            points = [*points, *words]
        with console.err.status("drawing the map (UMAP compiles itself when first used)"):
            coordinates = project(
                vectors, others, neighbors=neighbors, min_dist=min_dist, seed=seed
            )
        name = title or f"{', '.join(sources or ['your library'])}: {len(sounds.points)} sounds"
        shown = Map(points, coordinates, name)
        failures |= _draw(shown, output, embed_audio)
    if as_json:
        console.print_json(
            {
                "output": str(output) if shown else None,
                "sounds": len(sounds.points),
                "words": len(shown.points) - len(sounds.points) if shown else 0,
                "labels": shown.labels if shown else [],
                **console.sort_out(failures),
            }
        )
    elif shown:
        console.out.print(f"{len(sounds.points)} sounds in {output}", soft_wrap=True)
    console.report_failures(failures, len(sounds.points))


def _draw(shown: Map, output: Path, embed_audio: bool) -> dict[Path, str]:
    """Write the map; gives the recordings that could not be put into it."""
    from wav2clip.evaluation import map_page, map_picture

    if output.suffix.lower() == ".png":
        map_picture.draw(shown, output)
        return {}
    return map_page.draw(shown, output, embed_audio=embed_audio)
