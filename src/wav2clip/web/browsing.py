"""All files of a library, or those that pass filters, in an order that somebody wants."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wav2clip.files import display
from wav2clip.library import Filters
from wav2clip.web.catalogue import Listing

Sort = Literal["name", "path", "length", "rate", "channels", "modified", "size"]
"""What files are sorted by."""

Order = Literal["asc", "desc"]

_COLUMNS: Mapping[str, str] = {
    "length": "duration",
    "rate": "sample_rate",
    "channels": "channels",
    "modified": "mtime_ns",
    "size": "size",
}


def places(listing: Listing, filters: Filters, sort: Sort, order: Order) -> NDArray[np.int64]:
    """Places in the listing of the files that pass, sorted; equal ones by path."""
    ranks = _ranks(listing, sort)
    ordered = np.argsort(-ranks if order == "desc" else ranks, kind="stable")
    return ordered[listing.passing(filters)[ordered]]


@lru_cache(16)
def _ranks(listing: Listing, sort: Sort) -> NDArray[np.int64]:
    """(files,) numbers that sort as the files do; once for each state of a library."""
    if sort in _COLUMNS:
        values = listing.column(_COLUMNS[sort]).to_numpy()
        return np.unique(values, return_inverse=True)[1].reshape(-1)
    texts = [natural(display(path.name if sort == "name" else path)) for path in listing.paths]
    rank_of = {text: rank for rank, text in enumerate(sorted(set(texts)))}
    return np.array([rank_of[text] for text in texts], np.int64)


def natural(text: str) -> str:
    """A text that sorts as people sort: without case, and "take 2" before "take 10"."""
    return re.sub(r"\d+", lambda digits: digits[0].zfill(12), text.casefold())
