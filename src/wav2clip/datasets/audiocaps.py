"""AudioCaps, captions for clips of AudioSet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wav2clip.datasets.core import (
    TEST,
    TRAIN,
    VALIDATION,
    Clip,
    Remote,
    Sheet,
    column,
    find_audio,
    read_rows,
)

_TABLES = "https://raw.githubusercontent.com/cdjkim/audiocaps/master/dataset"
_SPLITS = {TRAIN: "train", VALIDATION: "val", TEST: "test"}


def _read(root: Path) -> Iterator[Clip]:
    """One clip per recording; those for validation and test have five captions each."""
    for split, name in _SPLITS.items():
        table = root / f"{name}.csv"
        if not table.exists():
            continue
        captions: dict[tuple[str, str], list[str]] = {}
        for row in read_rows(table):
            key = column(row, "youtube_id", table.name), column(row, "start_time", table.name)
            captions.setdefault(key, []).append(column(row, "caption", table.name).strip())
        for (youtube_id, start), phrases in captions.items():
            yield Clip(
                key=f"{youtube_id}_{start}",
                path=find_audio(root / "clips", f"{youtube_id}_{start}.wav"),
                split=split,
                group=youtube_id,
                captions=tuple(filter(None, phrases)),
            )


AUDIOCAPS = Sheet(
    name="audiocaps",
    title="AudioCaps",
    citation="C. D. Kim, B. Kim, H. Lee, G. Kim, AudioCaps: Generating Captions for Audios in "
    "the Wild, NAACL 2019",
    licence="captions for academic use; the videos are those of their uploaders",
    homepage="https://audiocaps.github.io",
    tasks=("retrieval", "captions"),
    metric="R@10",
    splits=(TRAIN, VALIDATION, TEST),
    folds=False,
    labels=(),
    layout="train.csv, val.csv and test.csv, and ten-second clips in clips/ named like "
    "rqfQRErjfk8_170.wav (YouTube id, start second)",
    marker="test.csv",
    read=_read,
    remotes=tuple(Remote(f"{_TABLES}/{name}.csv", f"{name}.csv") for name in _SPLITS.values()),
    by_hand="The tables alone can be fetched: the clips are on YouTube, from where you must cut "
    "them yourself. Some are gone for everybody: --keep-going evaluates on those that you have.",
)
