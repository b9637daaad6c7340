"""`wav2clip evaluate events`: which sounds begin and end when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from wav2clip.cli import console
from wav2clip.cli import evaluate_common as common

if TYPE_CHECKING:
    from wav2clip.evaluation.records import Record


def events(
    dataset: common.DatasetOption,
    model: common.ModelOption = "builtin",
    frame: Annotated[float, typer.Option(min=0.02, help="Seconds of a window.")] = 0.5,
    hop: Annotated[float, typer.Option(min=0.01, help="Seconds between windows.")] = 0.1,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training frames.")] = 50,
    seeds: Annotated[int, typer.Option(min=1, help="Probes to train; their mean is given.")] = 3,
    data: common.DataOption = None,
    results: common.ResultsOption = common.RESULTS,
    again: common.AgainOption = False,
    keep_going: common.KeepGoingOption = False,
    device: common.DeviceOption = "cpu",
    as_json: common.JsonOption = False,
) -> None:
    """Train a probe on frozen frame embeddings: segment and event F1 (sed_eval), and PSDS.

    Example: `wav2clip evaluate events --dataset desed --model builtin`
    """
    with common.extra():
        from wav2clip.evaluation.events import FrameGrid, evaluate, framed
        from wav2clip.evaluation.features import FrameLevel
        from wav2clip.evaluation.rows import Subject, score_rows, tested_on_folds
        from wav2clip.evaluation.splits import make_folds

        opened = common.open_dataset(dataset, data, keep_going)
        encoder = common.open_encoder(model, "embedding", device)
        embedded = common.embed(encoder, opened, keep_going, FrameLevel(frame, hop))
        grid = FrameGrid(frame, hop)
        clips = framed(embedded, grid)
        labels = sorted({e.label for clip in clips for e in clip.events})
        folds = make_folds(embedded.dataset)
        subject, split = Subject(encoder, embedded.dataset), tested_on_folds(embedded.dataset)
        settings = {"frame": frame, "hop": hop, "epochs": epochs}
        with console.progress_bar("probing", epochs * seeds * len(folds), "epochs") as advance:

            def measure() -> list[Record]:
                outcomes = [
                    evaluate(clips, fold, labels, grid, epochs=epochs, seed=seed, step=advance)
                    for fold in folds
                    for seed in range(seeds)
                ]
                return score_rows(subject, "events", outcomes, split, settings)

            trainings = {"trainings": seeds * len(folds)}
            records = common.measured(
                subject,
                results,
                again,
                measure,
                task="events",
                split=split,
                settings={**settings, **trainings},
            )
    common.finish(records, results, as_json)
