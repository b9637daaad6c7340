"""The Universal Category System 8.2.1: its categories, their names in ten languages, file names.

The table is made by ``tools/write_ucs_table.py`` from what universalcategorysystem.com publishes
under CC0; file names follow its guide: ``CatID-User_FX Name_Creator_Source``.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import unicodedata
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from wav2clip.audio.metadata import plain

LANGUAGES = {
    "de": "German", "en": "English", "es": "Spanish", "fr": "French", "it": "Italian",
    "ja": "Japanese", "ko": "Korean", "pt": "Portuguese", "ru": "Russian", "zh": "Chinese",
}  # fmt: skip

_FORBIDDEN = dict.fromkeys(map(ord, '_<>:"/\\|?*'), " ")  # by some file system, or by the guide
_GENERIC = frozenset({"general", "misc", "miscellaneous", "other"})
_ID = re.compile(r"[A-Z0-9]{3,5}[A-Za-z0-9]{0,6}")


class Category(NamedTuple):
    """A category in one language.

    Attributes:
        id: the CatID, the same in every language, such as ``"ANMLDog"``.
        category: such as ``"animals"``, lower case.
        subcategory: such as ``"dog"``, lower case.
        synonyms: lower case.
    """

    id: str
    category: str
    subcategory: str
    synonyms: tuple[str, ...]

    @property
    def general(self) -> bool:
        """Whether it is what remains of a category, as MISC is."""
        return self.subcategory in _GENERIC

    @property
    def phrase(self) -> str:
        """What to call it: the subcategory, or the category where that says nothing."""
        return self.category if self.general else self.subcategory


class UcsName(NamedTuple):
    """What a file name says that follows the system; parts that are missing are empty."""

    category: Category
    title: str
    creator: str
    source: str


@cache
def _table() -> dict[str, list[list[str]]]:
    content = files("wav2clip.library").joinpath("ucs.json.gz").read_bytes()
    table: dict[str, list[list[str]]] = json.loads(gzip.decompress(content))
    return table


def stored_terms(language: str) -> dict[str, list[int]]:
    """What :func:`wav2clip.library.languages.terms_of` gives, as the package carries it."""
    content = files("wav2clip.library").joinpath("ucs_terms.json.gz").read_bytes()
    lines = gzip.decompress(content).decode().splitlines()
    terms: dict[str, list[int]] = json.loads(lines[sorted(LANGUAGES).index(language)])
    return terms


@cache
def categories(language: str = "en") -> tuple[Category, ...]:
    """All 752, sorted by CatID; ``language`` is one of :data:`LANGUAGES`."""
    table = _table()
    return tuple(
        Category(str(id), category.lower(), sub.lower(), tuple(map(str.lower, synonyms)))
        for id, (category, sub, synonyms) in zip(table["ids"], table[language], strict=True)
    )


@cache
def _by_id() -> dict[str, Category]:
    return {category.id.lower(): category for category in categories()}


def category_of(id: str) -> Category | None:
    """The category with a CatID, in English; None if there is none. Case does not matter."""
    return _by_id().get(id.lower())


def is_id(text: str) -> bool:
    """Whether a text is a CatID as it is written; "rain" is none, RAIN is."""
    category = category_of(text)
    return category is not None and category.id == text


def parse_name(path: str) -> UcsName | None:
    """What a file name says, or None if it does not begin with a CatID and an underscore."""
    parts = os.path.splitext(os.path.basename(path))[0].split("_")
    id = parts[0].partition("-")[0]
    if len(parts) < 2 or not _ID.fullmatch(id):  # most names end here, without the table
        return None
    category = category_of(id)
    if category is None:
        return None
    title, creator, source = (*parts[1:], "", "", "")[:3]
    return UcsName(category, title, creator, source)


def clean(text: str) -> str:
    """Text as a part of a name that all file systems take: one line, no separators, nothing that is
    not seen."""
    kept = unicodedata.normalize("NFC", plain(text)).translate(_FORBIDDEN)
    return plain(kept).strip(" .")
