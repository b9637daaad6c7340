"""FSD50K."""

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

_TRUTH = "FSD50K.ground_truth"
_RECORD = "https://zenodo.org/records/4060432/files"
_SPLITS = {"train": TRAIN, "val": VALIDATION}


def _read(root: Path) -> Iterator[Clip]:
    for table, folder in (("dev.csv", "FSD50K.dev_audio"), ("eval.csv", "FSD50K.eval_audio")):
        for row in read_rows(root / _TRUTH / table):
            name = column(row, "fname", table)
            yield Clip(
                key=f"{folder}/{name}",
                path=find_audio(root / folder, f"{name}.wav"),
                split=_SPLITS.get(row.get("split", ""), TEST),
                labels=tuple(filter(None, column(row, "labels", table).split(","))),
                group=name,
            )


def _remote(filename: str, md5: str) -> Remote:
    return Remote(f"{_RECORD}/{filename}", filename, f"md5:{md5}")


FSD50K = Sheet(
    name="fsd50k",
    title="FSD50K",
    citation="E. Fonseca, X. Favory, J. Pons, F. Font, X. Serra, FSD50K: An Open Dataset of "
    "Human-Labeled Sound Events, IEEE/ACM TASLP 2022",
    licence="annotations CC BY 4.0; each clip its own of CC0, CC BY, CC BY-NC, CC Sampling+",
    homepage="https://zenodo.org/records/4060432",
    tasks=("tagging",),
    metric="mAP",
    splits=(TRAIN, VALIDATION, TEST),
    folds=False,
    labels=(),  # 200, all of which the tables name
    layout="FSD50K.ground_truth/dev.csv and eval.csv, and clips in FSD50K.dev_audio/ and "
    "FSD50K.eval_audio/",
    marker=f"{_TRUTH}/dev.csv",
    read=_read,
    remotes=(
        _remote("FSD50K.ground_truth.zip", "ca27382c195e37d2269c4c866dd73485"),
        _remote("FSD50K.dev_audio.z01", "faa7cf4cc076fc34a44a479a5ed862a3"),
        _remote("FSD50K.dev_audio.z02", "8f9b66153e68571164fb1315d00bc7bc"),
        _remote("FSD50K.dev_audio.z03", "1196ef47d267a993d30fa98af54b7159"),
        _remote("FSD50K.dev_audio.z04", "d088ac4e11ba53daf9f7574c11cccac9"),
        _remote("FSD50K.dev_audio.z05", "81356521aa159accd3c35de22da28c7f"),
        _remote("FSD50K.dev_audio.zip", "c480d119b8f7a7e32fdb58f3ea4d6c5a"),
        _remote("FSD50K.eval_audio.z01", "3090670eaeecc013ca1ff84fe4442aeb"),
        _remote("FSD50K.eval_audio.zip", "6fa47636c3a3ad5c7dfeba99f2637982"),
    ),
    checksum_source="Zenodo record 4060432, as the loaders of soundata repeat it",
    by_hand="Its audio archives come in several parts, which Python cannot join: after the "
    "download, unpack FSD50K.dev_audio.zip and FSD50K.eval_audio.zip with 7z x.",
)
