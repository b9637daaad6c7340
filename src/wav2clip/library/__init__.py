"""The sound library: index folders once, then search by words, pictures and sounds."""

from wav2clip.library.filters import Filters
from wav2clip.library.index import IndexReport
from wav2clip.library.library import Library, default_library
from wav2clip.library.query import Query
from wav2clip.library.results import Result, Results

__all__ = [
    "Filters",
    "IndexReport",
    "Library",
    "Query",
    "Result",
    "Results",
    "default_library",
]
