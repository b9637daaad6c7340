"""VGGSound."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wav2clip.datasets.core import TEST, TRAIN, Clip, Remote, Sheet, find_audio, read_rows

_TABLE = "vggsound.csv"
_COLUMNS = ("youtube_id", "start", "label", "split")


def _read(root: Path) -> Iterator[Clip]:
    for row in read_rows(root / _TABLE, names=_COLUMNS):
        name = f"{row['youtube_id']}_{row['start']:0>6}"
        yield Clip(
            key=name,
            path=find_audio(root / "clips", f"{name}.mp4"),
            split=row["split"],
            labels=tuple(filter(None, [row["label"]])),
            group=row["youtube_id"],
        )


VGGSOUND = Sheet(
    name="vggsound",
    title="VGGSound",
    citation="H. Chen, W. Xie, A. Vedaldi, A. Zisserman, VGGSound: A Large-scale Audio-Visual "
    "Dataset, ICASSP 2020",
    licence="annotations CC BY 4.0; the videos are those of their uploaders",
    homepage="https://www.robots.ox.ac.uk/~vgg/data/vggsound/",
    tasks=("probe", "zeroshot"),
    metric="accuracy",
    splits=(TRAIN, TEST),
    folds=False,
    labels=(),  # 309, all of which the table names
    layout="vggsound.csv (no heading: YouTube id, start second, label, split), and ten-second "
    "clips, sound or video, in clips/ named like --0PQM4-hqg_000030.mp4",
    marker=_TABLE,
    read=_read,
    remotes=(
        Remote(
            "https://raw.githubusercontent.com/hche11/VGGSound/master/data/vggsound.csv",
            "vggsound.csv",
        ),
    ),
    by_hand="The table alone can be fetched: the clips are on YouTube, from where you must cut "
    "them yourself. Some are gone for everybody: --keep-going evaluates on those that you have.",
)
