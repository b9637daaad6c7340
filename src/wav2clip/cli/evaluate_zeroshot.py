"""`wav2clip evaluate zeroshot`: accuracy and calibration with no training."""

from __future__ import annotations

from typing import Annotated

import typer

from wav2clip.cli import evaluate_common as common


def zeroshot(
    dataset: common.DatasetOption,
    model: common.ModelOption = "builtin",
    template: Annotated[
        str, typer.Option(help="Prompt with {} for the label, or a named ensemble.")
    ] = "sound",
    center: Annotated[
        bool, typer.Option(help="Centre sounds and words on their means before comparing.")
    ] = True,
    data: common.DataOption = None,
    results: common.ResultsOption = common.RESULTS,
    keep_going: common.KeepGoingOption = False,
    device: common.DeviceOption = "cpu",
    as_json: common.JsonOption = False,
) -> None:
    """Classify by the nearest label, with no training, and say how far probabilities come true.

    Tested on the test split, or on all clips where a dataset has folds. ECE is the expected
    calibration error. Where clips have several labels, mAP and lwlrap are reported.

    Example: `wav2clip evaluate zeroshot --dataset esc50 --model builtin`
    """
    with common.extra():
        from wav2clip.evaluation import rows
        from wav2clip.evaluation.zeroshot import require_text, zeroshot

        opened = common.open_dataset(dataset, data, keep_going)
        encoder = common.open_encoder(model, "embedding", device)
        require_text(encoder)
        features = common.embed(encoder, opened, keep_going)
        outcome = zeroshot(encoder, features, templates=template, center=center)
        subject = rows.Subject(encoder, features.dataset)
        records = rows.zeroshot_rows(subject, outcome, {"template": template, "centred": center})
    common.finish(records, results, as_json)
