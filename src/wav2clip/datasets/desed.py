"""DESED, sound events in homes: the recorded validation and public evaluation sets, and the
synthetic training set of DCASE 2021 task 4."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wav2clip.datasets.core import (
    TEST,
    TRAIN,
    VALIDATION,
    Clip,
    Event,
    Problem,
    Remote,
    Sheet,
    column,
    find_audio,
    read_rows,
)

_PARTS = (
    (TRAIN, "train/synthetic21_train/soundscapes"),
    (VALIDATION, "validation/validation"),
    (TEST, "eval/public"),
)
"""Split, and the place of its folder below audio/ and of its table below metadata/."""

_TABLES = {TRAIN: f"{_PARTS[0][1]}.tsv", VALIDATION: "validation/validation.tsv"}


def _read(root: Path) -> Iterator[Clip | Problem]:
    for split, place in _PARTS:
        table = root / "metadata" / _TABLES.get(split, f"{place}.tsv")
        if not table.exists():  # the parts are distributed apart, and each is of use alone
            continue
        events: dict[str, list[Event]] = {}
        for row in read_rows(table, "\t"):
            name = column(row, "filename", table.name)
            events.setdefault(name, [])
            if not row["onset"]:  # a clip without any of the ten sounds
                continue
            try:
                times = float(row["onset"]), float(row["offset"])
                events[name].append(Event(*times, column(row, "event_label", table.name)))
            except ValueError as error:
                yield Problem(name, f"its times are no numbers ({error})")
        for name, own in events.items():
            yield Clip(
                key=f"{place}/{name}",
                path=find_audio(root / "audio" / place, name),
                split=split,
                labels=tuple(sorted({event.label for event in own})),
                group=name,
                events=tuple(own),
                silent=not own,
            )


DESED = Sheet(
    name="desed",
    title="DESED",
    citation="N. Turpault, R. Serizel, A. Parag Shah, J. Salamon, Sound Event Detection in "
    "Domestic Environments with Weakly Labeled Data and Soundscape Synthesis, DCASE 2019",
    licence="annotations CC BY 4.0; recordings are those of their uploaders",
    homepage="https://project.inria.fr/desed/",
    tasks=("tagging", "events"),
    metric="event F1",
    splits=(TRAIN, VALIDATION, TEST),
    folds=False,
    labels=(
        *("Alarm_bell_ringing", "Blender", "Cat", "Dishes", "Dog"),
        *("Electric_shaver_toothbrush", "Frying", "Running_water", "Speech", "Vacuum_cleaner"),
    ),
    layout="dataset/ with metadata/eval/public.tsv, metadata/validation/validation.tsv, "
    "metadata/train/synthetic21_train/soundscapes.tsv (any of them), and the clips below audio/ "
    "in folders of the same names",
    marker="metadata",
    read=_read,
    # Zenodo states a checksum, which could not be looked up when this was written.
    remotes=(
        Remote(
            "https://zenodo.org/records/3588172/files/DESEDpublic_eval.tar.gz",
            "DESEDpublic_eval.tar.gz",
        ),
    ),
    by_hand="The public evaluation set alone can be fetched. The training and validation sets are "
    "made and fetched by the package desed of its authors.",
)
