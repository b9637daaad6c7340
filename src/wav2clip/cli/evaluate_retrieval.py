"""`wav2clip evaluate retrieval`: sounds, words and pictures that find each other."""

from __future__ import annotations

from typing import Annotated

import typer

from wav2clip.cli import evaluate_common as common


def retrieval(
    dataset: common.DatasetOption,
    model: common.ModelOption = "builtin",
    center: Annotated[
        bool, typer.Option(help="Centre each modality on its mean before comparing.")
    ] = True,
    data: common.DataOption = None,
    results: common.ResultsOption = common.RESULTS,
    keep_going: common.KeepGoingOption = False,
    device: common.DeviceOption = "cpu",
    as_json: common.JsonOption = False,
) -> None:
    """Retrieve in every direction that a dataset allows: R@1, R@5, R@10, median rank, MRR.

    Words are captions, or labels where there are none. Every row states its number of queries and
    the size of its gallery.

    Example: `wav2clip evaluate retrieval --dataset clotho --model builtin`
    """
    with common.extra():
        from wav2clip.evaluation import rows
        from wav2clip.evaluation.retrieval import retrieval
        from wav2clip.evaluation.zeroshot import require_text

        opened = common.open_dataset(dataset, data, keep_going)
        encoder = common.open_encoder(model, "embedding", device)
        require_text(encoder)
        features = common.embed(encoder, opened, keep_going)
        directions = retrieval(encoder, features, center=center)
        subject = rows.Subject(encoder, features.dataset)
        records = rows.retrieval_rows(subject, directions, {"centred": center})
    common.finish(records, results, as_json)
