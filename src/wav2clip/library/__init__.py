"""The sound library: index folders once, then search by words, pictures and sounds."""

from typing import TYPE_CHECKING, Any

from wav2clip.library.collections import Item, Part
from wav2clip.library.filters import Filters
from wav2clip.library.library import Library, default_library
from wav2clip.library.query import Query
from wav2clip.library.results import Result, Results

if TYPE_CHECKING:
    from wav2clip.library.index import IndexReport

__all__ = [
    "Filters",
    "IndexReport",
    "Item",
    "Library",
    "Part",
    "Query",
    "Result",
    "Results",
    "default_library",
]


def __getattr__(name: str) -> Any:
    """What a search does not need is imported when it is asked for."""
    if name != "IndexReport":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from wav2clip.library.index import IndexReport

    return IndexReport
