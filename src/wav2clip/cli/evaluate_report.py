"""`wav2clip evaluate report`: rows of results as Markdown and as one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wav2clip.cli import console
from wav2clip.cli import evaluate_common as common

if TYPE_CHECKING:
    from wav2clip.evaluation.report import Picture


def report(
    results: Annotated[
        list[Path] | None, typer.Argument(help="Files of results; by default results.jsonl.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the report.")] = Path(
        "report"
    ),
    title: Annotated[str, typer.Option(help="Title of the report.")] = "wav2clip, evaluated",
    note: Annotated[
        str, typer.Option(help="What readers must know of the data, shown below the title.")
    ] = "",
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map", help="Draw the UMAP of a dataset: NAME, or NAME=MODEL. May be given often."
        ),
    ] = None,
    device: common.DeviceOption = "cpu",
) -> None:
    """Gather results into report.md and report.html; the page needs no other file.

    Published figures stand beside the measured ones, marked as quoted. Several draws of labels are
    one line. Every row's command, machine and versions are at the end.

    Example: `wav2clip evaluate report results.jsonl --out report/ --map esc50`
    """
    with common.extra():
        from wav2clip.evaluation.records import load_all
        from wav2clip.evaluation.report import write

        rows = load_all(results or [common.RESULTS])
        drawn = [_map(text, device) for text in maps or ()]
        for path in write(rows, out, title, drawn, note):
            console.out.print(str(path), soft_wrap=True, markup=False, highlight=False)


def _map(text: str, device: str) -> Picture:
    """The UMAP of a dataset by a model, from the embeddings that the tasks kept."""
    import tempfile

    from wav2clip.evaluation import map_picture
    from wav2clip.evaluation.projection import Map, Point, project
    from wav2clip.evaluation.report import Picture

    name, _, model = text.partition("=")
    encoder = common.open_encoder(model or "builtin", "embedding", device)
    features = common.embed(encoder, common.open_dataset(name, None, True), True)
    points = [
        Point(clip.key, (clip.labels[0] if clip.labels else "").replace("_", " "), path=clip.path)
        for clip in features.clips
    ]
    with console.err.status(f"laying out {len(points)} sounds"):
        coordinates = project(features.vectors)
    title = features.dataset.sheet.title
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "map.png"
        map_picture.draw(Map(points, coordinates, f"{title}, {encoder.name}"), target)
        png = target.read_bytes()
    caption = f"UMAP of the {len(points)} clips of {title} by {encoder.name}; only nearness counts."
    return Picture(f"map-{features.dataset.sheet.name}", caption, png=png)
