"""Clotho 2.1, five captions per recording."""

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

_RECORD = "https://zenodo.org/records/4783391/files"
_SPLITS = {TRAIN: "development", VALIDATION: "validation", TEST: "evaluation"}


def _read(root: Path) -> Iterator[Clip]:
    for split, name in _SPLITS.items():
        table = root / f"clotho_captions_{name}.csv"
        if not table.exists():
            continue
        for row in read_rows(table):
            filename = column(row, "file_name", table.name)
            captions = [row.get(f"caption_{n}", "").strip() for n in range(1, 6)]
            yield Clip(
                key=f"{name}/{filename}",
                path=find_audio(root / name, filename),
                split=split,
                group=filename,
                captions=tuple(filter(None, captions)),
            )


def _remote(filename: str, md5: str) -> Remote:
    return Remote(f"{_RECORD}/{filename}", filename, f"md5:{md5}")


CLOTHO = Sheet(
    name="clotho",
    title="Clotho 2.1",
    citation="K. Drossos, S. Lipping, T. Virtanen, Clotho: an Audio Captioning Dataset, ICASSP "
    "2020",
    licence="captions: Tampere University, non-commercial; each clip its own Creative Commons",
    homepage="https://zenodo.org/records/4783391",
    tasks=("retrieval", "captions"),
    metric="R@10",
    splits=(TRAIN, VALIDATION, TEST),
    folds=False,
    labels=(),
    layout="clotho_captions_development.csv, _validation.csv and _evaluation.csv, and clips of "
    "15 to 30 s in development/, validation/ and evaluation/",
    marker="clotho_captions_evaluation.csv",
    read=_read,
    remotes=(
        _remote("clotho_captions_development.csv", "d4090b39ce9f2491908eebf4d5b09bae"),
        _remote("clotho_captions_validation.csv", "5879e023032b22a2c930aaa0528bead4"),
        _remote("clotho_captions_evaluation.csv", "1b16b9e57cf7bdb7f13a13802aeb57e2"),
        _remote("clotho_audio_development.7z", "c8b05bc7acdb13895bb3c6a29608667e"),
        _remote("clotho_audio_validation.7z", "7dba730be08bada48bd15dc4e668df59"),
        _remote("clotho_audio_evaluation.7z", "4569624ccadf96223f19cb59fe4f849f"),
    ),
    checksum_source="Zenodo record 4783391, as the loaders of soundata repeat it",
    by_hand="Its audio archives are of a kind that Python cannot unpack: after the download, "
    "unpack the three .7z files with 7z x.",
)
