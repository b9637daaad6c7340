"""`wav2clip pretrain fit`: train an audio encoder on prepared shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from wav2clip.cli.console import err, out, print_json

COLUMNS = {
    "train/loss": "loss",
    "validation/loss": "val loss",
    "validation/R@1": "R@1",
    "validation/R@5": "R@5",
    "validation/R@10": "R@10",
    "validation/median_rank": "median rank",
    "validation/accuracy": "accuracy",
    "validation/tagger_mAP": "tagger mAP",
}


def fit(
    config: Path = typer.Option(..., "--config", "-c", help="YAML file of settings, see conf/."),
    data: Path = typer.Option(..., "--data", "-d", help="Shards from `wav2clip pretrain prepare`."),
    out_: Path = typer.Option(..., "--out", "-o", help="Folder of the run."),
    set_: list[str] = typer.Option(
        [],
        "--set",
        "-s",
        metavar="KEY=VALUE",
        help="Change a setting, e.g. run.epochs=3. Repeatable.",
    ),
    resume: bool = typer.Option(
        False, "--resume", help="Go on after the last finished epoch of a run that was stopped."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Distil frozen teachers, a CLIP or a tagger, into an audio encoder.

    Every epoch is validated, shown as a row of the table and saved; a run that was stopped goes on
    with `--resume`. The finished checkpoint is `OUT/model`, which `wav2clip embed --model` takes.

    Example: `wav2clip pretrain fit --config conf/vggsound.yaml --data shards --out runs/first
    --set run.epochs=20`

    On several GPUs: `torchrun --nproc-per-node 4 -m wav2clip pretrain fit ...`
    """
    try:
        from wav2clip.pretrain.config import load_config
        from wav2clip.pretrain.fit import fit as run_fit
    except ImportError as error:
        from wav2clip.errors import MissingExtraError

        raise MissingExtraError(
            f"training needs {error.name}; install it with: pip install 'wav2clip[pretrain]'"
        ) from error
    settings = load_config(config, set_)
    result = run_fit(
        settings,
        data,
        out_,
        resume=resume,
        callbacks=[_progress_bar()],
        on_epoch=_print_row,
    )
    if as_json:
        print_json({"model": str(result.model), "metrics": result.metrics})
    else:
        out.print(f"checkpoint: {result.model}", soft_wrap=True)


def _progress_bar() -> Any:
    from lightning.pytorch.callbacks import RichProgressBar

    return RichProgressBar(leave=False, console_kwargs={"stderr": True})


def _print_row(report: Any) -> None:
    values = [
        f"{title} {report.metrics[key]:.4g}"
        for key, title in COLUMNS.items()
        if key in report.metrics
    ]
    err.print(
        f"epoch {report.epoch:3d}  {report.seconds:7.1f} s  {'  '.join(values)}", soft_wrap=True
    )
