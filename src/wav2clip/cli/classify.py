"""`wav2clip classify`: label recordings with any words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wav2clip.cli.loading import DeviceOption, EngineOption, PrecisionOption

if TYPE_CHECKING:
    from wav2clip.embedding.bulk import FileEmbedding
    from wav2clip.embedding.embedder import Wav2CLIP
    from wav2clip.models.towers.base import Embeddings


def classify(
    sources: Annotated[
        list[str], typer.Argument(metavar="FILES...", help="Files, folders or glob patterns.")
    ],
    labels: Annotated[
        str | None,
        typer.Option(
            help='Words, separated by commas ("dog,rain"), a text file with one label a line, or '
            "the name of a list that comes with wav2clip (audioset, esc50, urbansound8k, vggsound)."
        ),
    ] = None,
    labels_file: Annotated[
        Path | None, typer.Option(help="Text file with one label per line.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Labels of a dataset: audioset, esc50, urbansound8k, vggsound."),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Labels to show per recording.")] = 5,
    segments: Annotated[
        float | None, typer.Option(help="Label every so many seconds, with times.")
    ] = None,
    template: Annotated[
        list[str] | None,
        typer.Option(help="Prompt with {} for the label, or a named ensemble. Repeatable."),
    ] = None,
    center: Annotated[
        bool, typer.Option(help="Centre sounds and words on their means before comparing.")
    ] = True,
    model: Annotated[
        str, typer.Option(help="Name (`wav2clip models`) or path of a checkpoint.")
    ] = "builtin",
    towers: Annotated[
        str, typer.Option(help="builtin, or a CLIP by hub name or local folder.")
    ] = "builtin",
    device: DeviceOption = "cpu",
    engine: EngineOption = "auto",
    precision: PrecisionOption = "float32",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Label recordings with any words, without training.

    A recording's probabilities sum to one over all the labels given, not only those shown. Files
    that failed are listed with the reason, and the exit code is then 1.

    Example: `wav2clip classify recordings/ --labels "dog,rain,church bell"`

    Long recordings: `wav2clip classify night.flac --preset audioset --segments 10 --top-k 3`
    """
    from wav2clip.cli import console
    from wav2clip.embedding.bulk import embed_files, embed_segments, start_readers
    from wav2clip.files import display, find_recordings
    from wav2clip.zeroshot import DEFAULT_TEMPLATES, class_weights

    names = _labels(labels, labels_file, preset)
    paths, failures, left_out = find_recordings(sources)
    results: dict[Path, list[dict[str, Any]]] = {}
    if paths:
        with start_readers() as readers:
            readers.start(len(paths))  # while the model is loaded
            loaded = console.load_model(
                model, device=device, engine=engine, precision=precision, towers=towers
            )
            weights = class_weights(loaded.towers, names, _templates(template) or DEFAULT_TEMPLATES)
            embedded = (
                embed_files(loaded, paths, readers=readers)
                if segments is None
                else embed_segments(
                    loaded, paths, segment_seconds=segments, overlap_seconds=0.0, readers=readers
                )
            )
            with console.progress_bar("classifying", len(paths)) as advance:
                for result in embedded:
                    advance()
                    if result.error is None:
                        results[result.path] = _rows(loaded, result, weights, names, top_k, center)
                    else:
                        failures[result.path] = result.error
    results = {path: results[path] for path in paths if path in results}
    if as_json:
        shown = {display(path): rows for path, rows in results.items()}
        console.print_json(
            {
                "labels": len(names),
                "results": [{"file": file, "segments": rows} for file, rows in shown.items()],
                "left_out": left_out,
                **console.sort_out(failures),
            }
        )
    elif results:
        _print_table(results, with_times=segments is not None)
    console.report_left_out(left_out)
    console.report_failures(failures, len(results))


def _labels(labels: str | None, labels_file: Path | None, preset: str | None) -> list[str]:
    """The one list of labels that was asked for, checked."""
    from wav2clip.errors import InputError
    from wav2clip.zeroshot import preset_labels, read_labels, read_labels_file

    given = [option for option in (labels, labels_file, preset) if option is not None]
    if len(given) != 1:
        raise InputError("give one of --labels, --labels-file and --preset")
    if labels is not None:
        return read_labels(labels)
    return read_labels_file(labels_file) if labels_file is not None else preset_labels(str(preset))


def _templates(template: list[str] | None) -> str | list[str] | None:
    """A named ensemble if one word was given, a list of prompts otherwise."""
    return template[0] if template and len(template) == 1 else template


def _rows(
    model: Wav2CLIP,
    result: FileEmbedding,
    weights: Embeddings,
    names: list[str],
    top_k: int,
    center: bool,
) -> list[dict[str, Any]]:
    """One row per segment of a recording: its seconds, and its likeliest labels."""
    from wav2clip.zeroshot import top

    probabilities = model.probabilities(result.embeddings, weights, center=center)
    return [
        {
            "start": round(float(start), 3),
            "end": round(float(end), 3),
            "labels": [
                {"label": label, "probability": share} for label, share in top(row, names, top_k)
            ],
        }
        for start, end, row in zip(result.starts, result.ends, probabilities, strict=True)
    ]


def _print_table(results: dict[Path, list[dict[str, Any]]], *, with_times: bool) -> None:
    """A table with one line per recording or segment."""
    from rich.markup import escape
    from rich.table import Table

    from wav2clip.cli import console
    from wav2clip.files import display

    table = Table(box=None, pad_edge=False)
    table.add_column("file", overflow="fold")
    if with_times:
        table.add_column("seconds", justify="right")
    table.add_column("labels")
    for path, rows in results.items():
        for place, row in enumerate(rows):
            file = escape(display(path)) if place == 0 else ""
            times = [f"{row['start']:.1f}-{row['end']:.1f}"] if with_times else []
            shown = [f"{escape(one['label'])} {one['probability']:.1%}" for one in row["labels"]]
            table.add_row(file, *times, ", ".join(shown))
    console.out.print(table)
