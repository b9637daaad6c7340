"""All data sheets by name, and datasets by name or path."""

from __future__ import annotations

import os
from pathlib import Path

from wav2clip.datasets.audiocaps import AUDIOCAPS
from wav2clip.datasets.clotho import CLOTHO
from wav2clip.datasets.core import Dataset, Sheet, open_dataset
from wav2clip.datasets.desed import DESED
from wav2clip.datasets.esc50 import ESC10, ESC50
from wav2clip.datasets.fsd50k import FSD50K
from wav2clip.datasets.table import CSV, FOLDER, TUXPAINT, folder_sheet, table_sheet
from wav2clip.datasets.tau2020 import TAU2020
from wav2clip.datasets.urbansound8k import URBANSOUND8K
from wav2clip.datasets.vggsound import VGGSOUND
from wav2clip.downloads import cache_folder
from wav2clip.errors import DataError

SHEETS = {
    sheet.name: sheet
    for sheet in (
        *(ESC50, ESC10, URBANSOUND8K, VGGSOUND, TAU2020, FSD50K),
        *(DESED, CLOTHO, AUDIOCAPS, TUXPAINT, FOLDER, CSV),
    )
}
"""Name to sheet, in the order in which they are listed."""

GENERIC = (FOLDER.name, CSV.name)
"""Sheets for data of the user's own, which are named by path."""


def datasets_folder() -> Path:
    """``$WAV2CLIP_DATASETS``, or a folder in the cache: each dataset lies in a folder of it."""
    configured = os.environ.get("WAV2CLIP_DATASETS")
    return Path(configured) if configured else cache_folder() / "datasets"


def usual_root(sheet: Sheet) -> Path:
    """Where a dataset is looked for, and downloaded to, unless another place is named."""
    return datasets_folder() / (sheet.folder or sheet.name)


def find_sheet(name: str) -> Sheet:
    """The sheet of that name.

    Raises:
        DataError: there is none.
    """
    if name not in SHEETS:
        raise DataError(f"{name}: no such dataset; known are {', '.join(SHEETS)}")
    return SHEETS[name]


def load_dataset(name_or_path: str, root: Path | None = None) -> Dataset:
    """A dataset by name, or a folder or a .csv file of the user's by its path.

    Args:
        name_or_path: one of :data:`SHEETS`, a folder, or a table.
        root: where a dataset of that name lies; by default :func:`usual_root`.

    Raises:
        DataError: neither known nor a path, or not there; the message says what to put where.
    """
    path = Path(name_or_path).expanduser()
    if name_or_path in SHEETS and name_or_path not in GENERIC:
        sheet = SHEETS[name_or_path]
        return open_dataset(sheet, root or usual_root(sheet))
    if path.is_dir():
        return open_dataset(folder_sheet(path.resolve()), path)
    if path.suffix.lower() == ".csv" and path.is_file():
        return open_dataset(table_sheet(path), path.parent)
    raise DataError(
        f"{name_or_path}: neither a known dataset ({', '.join(SHEETS)}) nor a folder or .csv file"
    )
