"""TAU Urban Acoustic Scenes 2020 Mobile, the development set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from wav2clip.datasets.core import TEST, TRAIN, Clip, Remote, Sheet, column, find_audio, read_rows

_NAME = "TAU-urban-acoustic-scenes-2020-mobile-development"
_SETUP = {TRAIN: "fold1_train.csv", TEST: "fold1_evaluate.csv"}
_RECORD = "https://zenodo.org/records/3819968/files"
_AUDIO_MD5 = (
    *("b1e85b8a908d3d6a6ab73268f385d5c8", "4310a13cc2943d6ce3f70eba7ba4c784"),
    *("ed38956c4246abb56190c1e9b602b7b8", "97ab8560056b6816808dedc044dcc023"),
    *("b50f5e0bfed33cd8e52cb3e7f815c6cb", "fbf856a3a86fff7520549c899dc94372"),
    *("0dbffe7b6e45564da649378723284062", "bb6f77832bf0bd9f786f965beb251b2e"),
    *("a65596a5372eab10c78e08a0de797c9e", "2ad595819ffa1d56d2de4c7ed43205a6"),
    *("0ad29f7040a4e6a22cfd639b3a6738e5", "e5f4400c6b9697295fab4cf507155a2f"),
    *("8855ab9f9896422746ab4c5d89d8da2f", "092ad744452cd3e7de78f988a3d13020"),
    *("4b5eb85f6592aebf846088d9df76b420", "2e0a89723e58a3836be019e6996ae460"),
)
_META_MD5 = "6eae9db553ce48e4ea246e34e50a3cf5"


def _read(root: Path) -> Iterator[Clip]:
    """Clips of the official training and evaluation lists; the others are not for use."""
    places = {
        column(row, "filename", "meta.csv"): column(row, "identifier", "meta.csv")
        for row in read_rows(root / "meta.csv", "\t")
    }
    for split, table in _SETUP.items():
        for row in read_rows(root / "evaluation_setup" / table, "\t"):
            filename = column(row, "filename", table)
            yield Clip(
                key=filename,
                path=find_audio(root / Path(filename).parent, Path(filename).name),
                split=split,
                labels=tuple(filter(None, [column(row, "scene_label", table)])),
                group=places.get(filename, filename),
            )


def _remote(part: str, md5: str) -> Remote:
    return Remote(f"{_RECORD}/{_NAME}.{part}.zip", f"{_NAME}.{part}.zip", f"md5:{md5}")


TAU2020 = Sheet(
    name="tau2020",
    title="TAU Urban Acoustic Scenes 2020 Mobile",
    citation="T. Heittola, A. Mesaros, T. Virtanen, Acoustic Scene Classification in DCASE 2020 "
    "Challenge: Generalization Across Devices and Low Complexity Solutions, DCASE 2020",
    licence="Tampere University, non-commercial use",
    homepage="https://zenodo.org/records/3819968",
    tasks=("probe", "zeroshot"),
    metric="accuracy",
    splits=(TRAIN, TEST),
    folds=False,
    labels=(
        *("airport", "bus", "metro", "metro_station", "park", "public_square"),
        *("shopping_mall", "street_pedestrian", "street_traffic", "tram"),
    ),
    layout="meta.csv, evaluation_setup/fold1_train.csv and fold1_evaluate.csv, and clips of 10 s "
    "in audio/",
    marker="evaluation_setup/fold1_train.csv",
    read=_read,
    remotes=(
        _remote("meta", _META_MD5),
        *(_remote(f"audio.{n}", md5) for n, md5 in enumerate(_AUDIO_MD5, 1)),
    ),
    checksum_source="Zenodo record 3819968, as the loaders of soundata repeat it",
    strays=False,  # clips in neither list lie in the same folder
)
