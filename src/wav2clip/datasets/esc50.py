"""ESC-50, and its subset ESC-10."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from wav2clip.datasets.core import Clip, Remote, Sheet, column, find_audio, read_rows

_TABLE = "meta/esc50.csv"

LABELS = (
    *("dog", "rooster", "pig", "cow", "frog", "cat", "hen", "insects", "sheep", "crow"),
    *("rain", "sea_waves", "crackling_fire", "crickets", "chirping_birds", "water_drops", "wind"),
    *("pouring_water", "toilet_flush", "thunderstorm", "crying_baby", "sneezing", "clapping"),
    *("breathing", "coughing", "footsteps", "laughing", "brushing_teeth", "snoring"),
    *("drinking_sipping", "door_wood_knock", "mouse_click", "keyboard_typing"),
    *("door_wood_creaks", "can_opening", "washing_machine", "vacuum_cleaner", "clock_alarm"),
    *("clock_tick", "glass_breaking", "helicopter", "chainsaw", "siren", "car_horn", "engine"),
    *("train", "church_bells", "airplane", "fireworks", "hand_saw"),
)
"""In the order of the official targets 0 to 49."""

_ESC10 = {0, 1, 10, 11, 12, 20, 21, 38, 40, 41}


def _rows(root: Path) -> Iterator[tuple[Clip, bool]]:
    for row in read_rows(root / _TABLE):
        filename = column(row, "filename", _TABLE)
        clip = Clip(
            key=filename,
            path=find_audio(root / "audio", filename),
            split=column(row, "fold", _TABLE),
            labels=tuple(filter(None, [column(row, "category", _TABLE)])),
            group=column(row, "src_file", _TABLE),
        )
        yield clip, column(row, "esc10", _TABLE) == "True"


def _read(root: Path) -> Iterator[Clip]:
    return (clip for clip, _ in _rows(root))


def _read_esc10(root: Path) -> Iterator[Clip]:
    return (clip for clip, esc10 in _rows(root) if esc10)


ESC50 = Sheet(
    name="esc50",
    title="ESC-50",
    citation="K. J. Piczak, ESC: Dataset for Environmental Sound Classification, ACM MM 2015",
    licence="CC BY-NC 3.0",
    homepage="https://github.com/karolpiczak/ESC-50",
    tasks=("probe", "zeroshot"),
    metric="accuracy",
    splits=("1", "2", "3", "4", "5"),
    folds=True,
    labels=LABELS,
    layout="meta/esc50.csv, and 2,000 clips of 5 s in audio/",
    marker=_TABLE,
    read=_read,
    # GitHub packs this archive anew from time to time, so no lasting checksum of it exists.
    remotes=(
        Remote("https://github.com/karolpiczak/ESC-50/archive/master.zip", "ESC-50-master.zip"),
    ),
    # Four recordings of Freesound were cut into clips of two classes each (hen and rooster, clock
    # alarm and clock tick) that the official folds keep apart.
    shared_groups=frozenset({"131943", "134049", "209698", "234879"}),
)

ESC10 = replace(
    ESC50,
    name="esc10",
    title="ESC-10",
    labels=tuple(LABELS[target] for target in sorted(_ESC10)),
    layout="that of ESC-50, of which it is the 400 clips marked esc10 in meta/esc50.csv",
    licence="CC BY 3.0",
    read=_read_esc10,
    folder="esc50",
    strays=False,  # the other forty classes lie beside it
    shared_groups=frozenset(),
)
