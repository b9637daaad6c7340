"""`wav2clip evaluate captions`: describing sounds in sentences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wav2clip.cli import console
from wav2clip.cli import evaluate_common as common

if TYPE_CHECKING:
    from wav2clip.evaluation.records import Record


def captions(
    dataset: common.DatasetOption,
    model: common.ModelOption = "builtin",
    frame: Annotated[float, typer.Option(min=0.02, help="Seconds of a window.")] = 1.0,
    hop: Annotated[float, typer.Option(min=0.01, help="Seconds between windows.")] = 0.5,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the captions at most.")] = 30,
    beam: Annotated[int, typer.Option(min=1, help="Width of the search; 1 is greedy.")] = 4,
    seeds: Annotated[int, typer.Option(min=1, help="Decoders to train; their mean is given.")] = 1,
    written: Annotated[
        Path | None, typer.Option(help="Text file for the captions, one a line.")
    ] = None,
    data: common.DataOption = None,
    results: common.ResultsOption = common.RESULTS,
    again: common.AgainOption = False,
    keep_going: common.KeepGoingOption = False,
    device: common.DeviceOption = "cpu",
    as_json: common.JsonOption = False,
) -> None:
    """Train a small transformer on frozen frame embeddings: BLEU, ROUGE-L and CIDEr-D.

    Example: `wav2clip evaluate captions --dataset clotho --model builtin`
    """
    from wav2clip.files import atomic_path

    with common.extra():
        from wav2clip.evaluation.captions import CaptionConfig, captioned, evaluate
        from wav2clip.evaluation.features import FrameLevel
        from wav2clip.evaluation.rows import Subject, score_rows, tested_on_folds
        from wav2clip.evaluation.splits import make_folds

        opened = common.open_dataset(dataset, data, keep_going)
        encoder = common.open_encoder(model, "embedding", device)
        embedded = common.embed(encoder, opened, keep_going, FrameLevel(frame, hop))
        clips, config = captioned(embedded), CaptionConfig(epochs=epochs)
        folds = make_folds(embedded.dataset)
        subject, split = Subject(encoder, embedded.dataset), tested_on_folds(embedded.dataset)
        settings = {"frame": frame, "hop": hop, "epochs": epochs, "beam": beam}
        with console.progress_bar("training", epochs * seeds * len(folds), "epochs") as advance:

            def measure() -> list[Record]:
                outcomes = [
                    (fold, *evaluate(clips, fold, config, beam=beam, seed=seed, step=advance))
                    for seed in range(seeds)
                    for fold in folds
                ]
                if written is not None:
                    lines = [
                        f"{embedded.clips[row].key}\t{caption}\n"
                        for fold, _, texts in outcomes[: len(folds)]
                        for row, caption in zip(fold.test, texts, strict=True)
                    ]
                    with atomic_path(written) as temporary:
                        temporary.write_text("".join(lines), "utf-8")
                scores = [scores for _, scores, _ in outcomes]
                return score_rows(subject, "captions", scores, split, settings)

            trainings = {"trainings": seeds * len(folds)}
            records = common.measured(
                subject,
                results,
                again
                or written is not None,  # captions are not kept, and someone wants to read them
                measure,
                task="captions",
                split=split,
                settings={**settings, **trainings},
            )
    common.finish(records, results, as_json)
