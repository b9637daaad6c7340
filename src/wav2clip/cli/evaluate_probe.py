"""`wav2clip evaluate probe`: classifiers on frozen embeddings, or the whole network trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from wav2clip.cli import console
from wav2clip.cli import evaluate_common as common

if TYPE_CHECKING:
    from wav2clip.datasets.core import Dataset
    from wav2clip.evaluation.encoders import Encoder
    from wav2clip.evaluation.probes import Outcome

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
        from wav2clip.evaluation import rows

        opened = common.open_dataset(dataset, data, keep_going)
        encoder = common.open_encoder(model, features, device)
        plan = [(share, seed) for share in shares for seed in range(seeds if share < 1 else 1)]
        if train == "frozen":
            kinds = [kind.strip() for kind in probes.split(",")]
            done = _frozen(encoder, opened, kinds, plan, shuffle_labels, keep_going)
        else:
            names = [name for name in folds.split(",") if name]
            done = _network(encoder, opened, train, plan, epochs, names, device)
        records = [
            record
            for subject_dataset, outcome, settings, share, seed in done
            for record in rows.probe_rows(
                rows.Subject(encoder, subject_dataset), outcome, settings, share, seed
            )
        ]
    common.finish(records, results, as_json)


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


Done = list[tuple[Any, "Outcome", dict[str, Any], float, int]]


def _frozen(
    encoder: Encoder,
    dataset: Dataset,
    kinds: list[str],
    plan: list[tuple[float, int]],
    shuffle_labels: bool,
    keep_going: bool,
) -> Done:
    from wav2clip.errors import InputError
    from wav2clip.evaluation.probes import KINDS, probe

    unknown = set(kinds) - set(KINDS)
    if unknown:
        raise InputError(f"got --probe {sorted(unknown)[0]!r}, expected any of {', '.join(KINDS)}")
    features = common.embed(encoder, dataset, keep_going)
    done: Done = []
    with console.progress_bar("probing", None, "folds") as advance:
        for kind in kinds:
            for share, seed in plan:
                outcome = probe(
                    features.vectors,
                    features.dataset,
                    kind,  # type: ignore[arg-type]  # checked above
                    fraction=share,
                    seed=seed,
                    shuffle_labels=shuffle_labels,
                    advance=advance,
                )
                settings = {"train": "frozen", "probe": kind}
                settings |= {"labels": "shuffled"} if shuffle_labels else {}
                done.append((features.dataset, outcome, settings, share, seed))
    return done


def _network(
    encoder: Encoder,
    dataset: Dataset,
    train: str,
    plan: list[tuple[float, int]],
    epochs: int,
    folds: list[str],
    device: str,
) -> Done:
    from wav2clip.evaluation.finetune import Settings, train_network

    done: Done = []
    with console.progress_bar(f"training, {train}", None, "epochs") as advance:
        for share, seed in plan:
            outcome = train_network(
                encoder,
                dataset,
                Settings(start=train, epochs=epochs),
                fraction=share,
                seed=seed,
                folds=folds,
                device=device,
                advance=advance,
            )
            done.append((dataset, outcome, {"train": train, "epochs": epochs}, share, seed))
    return done
