"""UrbanSound8K."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wav2clip.datasets.core import Clip, Remote, Sheet, column, find_audio, read_rows

_TABLE = "metadata/UrbanSound8K.csv"


def _read(root: Path) -> Iterator[Clip]:
    for row in read_rows(root / _TABLE):
        fold, filename = column(row, "fold", _TABLE), column(row, "slice_file_name", _TABLE)
        yield Clip(
            key=filename,
            path=find_audio(root / "audio" / f"fold{fold}", filename),
            split=fold,
            labels=tuple(filter(None, [column(row, "class", _TABLE)])),
            group=column(row, "fsID", _TABLE),
        )


URBANSOUND8K = Sheet(
    name="urbansound8k",
    title="UrbanSound8K",
    citation="J. Salamon, C. Jacoby, J. P. Bello, A Dataset and Taxonomy for Urban Sound "
    "Research, ACM MM 2014",
    licence="CC BY-NC 3.0",
    homepage="https://urbansounddataset.weebly.com/urbansound8k.html",
    tasks=("probe", "zeroshot"),
    metric="accuracy",
    splits=tuple(map(str, range(1, 11))),
    folds=True,
    labels=(
        *("air_conditioner", "car_horn", "children_playing", "dog_bark", "drilling"),
        *("engine_idling", "gun_shot", "jackhammer", "siren", "street_music"),
    ),
    layout="metadata/UrbanSound8K.csv, and 8,732 clips of up to 4 s in audio/fold1/ to fold10/",
    marker=_TABLE,
    read=_read,
    remotes=(
        Remote(
            "https://zenodo.org/records/1203745/files/UrbanSound8K.tar.gz",
            "UrbanSound8K.tar.gz",
            "md5:9aa69802bbf37fb986f71ec1483a196e",
        ),
    ),
    checksum_source="Zenodo record 1203745, as the loaders of soundata repeat it",
)
