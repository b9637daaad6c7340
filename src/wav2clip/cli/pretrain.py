"""`wav2clip pretrain`: prepare, fit, publish."""

from __future__ import annotations

import typer

from wav2clip.cli.pretrain_fit import fit
from wav2clip.cli.pretrain_prepare import prepare
from wav2clip.cli.pretrain_publish import publish

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command()(prepare)
app.command()(fit)
app.command()(publish)


@app.callback()
def _group() -> None:
    """Train an encoder of your own: prepare the data, fit, publish.

    Example: `wav2clip pretrain prepare videos/ --out shards/`

    Then: `wav2clip pretrain fit --config conf/vggsound.yaml --data shards/ --out run/`
    """
