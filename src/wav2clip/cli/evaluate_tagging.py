"""`wav2clip evaluate tagging`: several labels per clip."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from wav2clip.cli import console
from wav2clip.cli import evaluate_common as common
from wav2clip.cli.evaluate_probe import FractionsOption, SeedsOption, draws, parse_fractions

if TYPE_CHECKING:
    from wav2clip.evaluation.records import Record


def tagging(
    dataset: common.DatasetOption,
    model: common.ModelOption = "builtin",
    features: common.LayerOption = "embedding",
    probe: Annotated[str, typer.Option(help="linear or mlp.")] = "mlp",
    fractions: FractionsOption = "1",
    seeds: SeedsOption = 3,
    data: common.DataOption = None,
    results: common.ResultsOption = common.RESULTS,
    again: common.AgainOption = False,
    keep_going: common.KeepGoingOption = False,
    device: common.DeviceOption = "cpu",
    as_json: common.JsonOption = False,
) -> None:
    """Train a probe with one output per label on frozen embeddings: mAP and lwlrap.

    Example: `wav2clip evaluate tagging --dataset fsd50k --model builtin`
    """
    shares = parse_fractions(fractions)
    with common.extra():
        from wav2clip.evaluation import rows
        from wav2clip.evaluation.tagging import tagging

        opened = common.open_dataset(dataset, data, keep_going)
        encoder = common.open_encoder(model, features, device)
        embedded = common.embed(encoder, opened, keep_going)
        subject = rows.Subject(encoder, embedded.dataset)
        split = rows.tested_on_folds(embedded.dataset)
        records = []
        with console.progress_bar("probing", None, "folds") as advance:

            def measure(share: float, seed: int) -> list[Record]:
                outcome = tagging(
                    embedded.vectors,
                    embedded.dataset,
                    probe,
                    fraction=share,
                    seed=seed,
                    advance=advance,
                )
                return rows.tagging_rows(subject, outcome, {"probe": probe}, share, seed)

            for share, seed in draws(shares, seeds):
                records += common.measured(
                    subject,
                    results,
                    again,
                    partial(measure, share, seed),
                    task="tagging",
                    split=split,
                    settings={"probe": probe},
                    fraction=share,
                    seed=seed,
                )
    common.finish(records, results, as_json)
