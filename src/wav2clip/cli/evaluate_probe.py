"""`wav2clip evaluate probe`: classifiers on frozen embeddings, or the whole network trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wav2clip.cli import console
from wav2clip.cli import evaluate_common as common

if TYPE_CHECKING:
    from wav2clip.datasets.core import Dataset
    from wav2clip.evaluation.encoders import Encoder
    from wav2clip.evaluation.probes import Outcome
    from wav2clip.evaluation.records import Record
    from wav2clip.evaluation.rows import Subject

FractionsOption = Annotated[
    str, typer.Option(help="Shares of the training labels, such as 0.01,0.1,1.")
]
SeedsOption = Annotated[
    int, typer.Option(min=1, help="Draws per share below 1, with the seeds 0, 1 ...")
]


def probe(
    dataset: common.DatasetOption,
    model: common.ModelOption = "builtin",
    features: common.LayerOption = "embedding",
    probes: Annotated[
        str, typer.Option("--probe", help="linear, mlp, svm; several with commas.")
    ] = "linear",
    fractions: FractionsOption = "1",
    seeds: SeedsOption = 3,
    train: Annotated[
        str,
        typer.Option(
            help="frozen: a probe on embeddings; finetune: the audio network with it; scratch: the "
            "same network from random weights."
        ),
    ] = "frozen",
    epochs: Annotated[int, typer.Option(min=1, help="At most, of finetune and scratch.")] = 50,
    folds: Annotated[
        str, typer.Option(help="Only these folds, such as 1,2, of finetune and scratch.")
    ] = "",
    shuffle_labels: Annotated[
        bool, typer.Option("--shuffle-labels", help="The control: must land at chance.")
    ] = False,
    data: common.DataOption = None,
    results: common.ResultsOption = common.RESULTS,
    again: common.AgainOption = False,
    keep_going: common.KeepGoingOption = False,
    device: common.DeviceOption = "cpu",
    as_json: common.JsonOption = False,
) -> None:
    """Train a classifier on the official folds and report the accuracy and its spread.

    Embeddings are computed once and kept. Scaler, classifier and its settings are fitted on
    training folds alone, and a recording that is on both sides stops the run.

    Example: `wav2clip evaluate probe --dataset esc50 --model builtin --probe linear,mlp`

    Data efficiency: `wav2clip evaluate probe --dataset esc50 --fractions 0.01,0.1,1`

    Comparison: `wav2clip evaluate probe --dataset esc50 --train scratch --device cuda`
    """
    shares = parse_fractions(fractions)
    with common.extra():
        from wav2clip.evaluation.rows import probe_rows, tested_on, tested_on_folds

        opened = common.open_dataset(dataset, data, keep_going)
        encoder = common.open_encoder(model, features, device)
        if train == "frozen":
            kinds = [kind.strip() for kind in probes.split(",")]
            subject, trials = _frozen(encoder, opened, kinds, shuffle_labels, keep_going)
            split = tested_on_folds(subject.dataset)
        else:
            names = [name for name in folds.split(",") if name]
            subject, trials = _network(encoder, opened, train, epochs, names, device)
            split = tested_on(opened, names) if names else tested_on_folds(opened)
        records = []
        title, unit = (
            ("probing", "folds") if train == "frozen" else (f"training, {train}", "epochs")
        )
        with console.progress_bar(title, None, unit) as advance:

            def measure(trial: Trial, share: float, seed: int) -> list[Record]:
                outcome = trial.run(fraction=share, seed=seed, advance=advance)
                return probe_rows(subject, outcome, trial.settings, share, seed)

            for trial, (share, seed) in product(trials, draws(shares, seeds)):
                records += common.measured(
                    subject,
                    results,
                    again,
                    partial(measure, trial, share, seed),
                    task="probe",
                    split=split,
                    settings=trial.settings,
                    fraction=share,
                    seed=seed,
                )
    common.finish(records, results, as_json)


def draws(shares: Iterable[float], seeds: int) -> list[tuple[float, int]]:
    """Shares and seeds to train with: of all labels there is but one draw."""
    return [(share, seed) for share in shares for seed in range(seeds if share < 1 else 1)]


def parse_fractions(text: str) -> list[float]:
    """Shares as typed.

    Raises:
        InputError: one is no number, or out of range.
    """
    from wav2clip.errors import InputError

    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if not shares or not all(0 < share <= 1 for share in shares):
        raise InputError(f"got --fractions {text!r}, expected shares such as 0.01,0.1,1")
    return shares


@dataclass(frozen=True)
class Trial:
    """One way to classify: its settings as rows keep them, and what trains and tests it."""

    settings: dict[str, Any]
    run: Callable[..., Outcome]


def _frozen(
    encoder: Encoder, dataset: Dataset, kinds: list[str], shuffle_labels: bool, keep_going: bool
) -> tuple[Subject, list[Trial]]:
    from wav2clip.errors import InputError
    from wav2clip.evaluation.probes import KINDS, probe
    from wav2clip.evaluation.rows import Subject

    unknown = set(kinds) - set(KINDS)
    if unknown:
        raise InputError(f"got --probe {sorted(unknown)[0]!r}, expected any of {', '.join(KINDS)}")
    features = common.embed(encoder, dataset, keep_going)
    control = {"labels": "shuffled"} if shuffle_labels else {}
    run = partial(probe, features.vectors, features.dataset, shuffle_labels=shuffle_labels)
    trials = [
        Trial({"train": "frozen", "probe": kind, **control}, partial(run, kind=kind))
        for kind in kinds
    ]
    return Subject(encoder, features.dataset), trials


def _network(
    encoder: Encoder, dataset: Dataset, train: str, epochs: int, folds: list[str], device: str
) -> tuple[Subject, list[Trial]]:
    from wav2clip.evaluation.finetune import Settings, train_network
    from wav2clip.evaluation.rows import Subject

    start = Settings(start=train, epochs=epochs)
    run = partial(train_network, encoder, dataset, start, folds=folds, device=device)
    return Subject(encoder, dataset), [Trial({"train": train, "epochs": epochs}, run)]
