"""What narrows a library down: filters as the API takes them, and what each would leave."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import numpy as np
from fastapi import Depends
from fastapi import Query as Parameter
from numpy.typing import NDArray
from pydantic import StringConstraints

from wav2clip.library import Filters, ucs
from wav2clip.library.filters import unmet
from wav2clip.web.catalogue import Listing
from wav2clip.web.schemas import FacetValue
from wav2clip.web.service import Held

LENGTHS = {"0-2": "under 2 s", "2-10": "2 to 10 s", "10-60": "10 to 60 s", "60-": "over a minute"}
"""Spans of seconds that the page offers, and what they are called."""

_SPAN = r"\d{1,7}(\.\d{1,3})?-(\d{1,7}(\.\d{1,3})?)?"
_MOST = 50

_Seconds = Annotated[float | None, Parameter(ge=0, le=1e7, allow_inf_nan=False)]
_Text = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]
_Number = Annotated[int, Parameter(ge=1, le=2**31 - 1)]


def given_filters(
    service: Held,
    min_duration: _Seconds = None,
    max_duration: _Seconds = None,
    folder: Annotated[
        list[_Text] | None,
        Parameter(max_length=_MOST, description="With all folders below; of several, one of them."),
    ] = None,
    tag: Annotated[
        list[str] | None, Parameter(max_length=20, description="Segments that have all of these.")
    ] = None,
    format: Annotated[
        list[_Text] | None, Parameter(max_length=_MOST, description="Suffixes, such as `wav`.")
    ] = None,
    rate: Annotated[
        list[_Number] | None, Parameter(max_length=_MOST, description="Sample rates, Hz.")
    ] = None,
    channels: Annotated[
        list[_Number] | None, Parameter(max_length=_MOST, description="How many of them.")
    ] = None,
    category: Annotated[
        list[_Text] | None,
        Parameter(
            max_length=_MOST,
            description="Of the UCS, by name or tag: CatIDs (`ANMLDog`) or categories (`animals`).",
        ),
    ] = None,
    length: Annotated[
        list[Annotated[str, StringConstraints(pattern=f"^{_SPAN}$")]] | None,
        Parameter(
            max_length=_MOST,
            description="Spans of seconds, the end not included: `2-10`, `60-`.",
        ),
    ] = None,
) -> Filters:
    """Filters of the library, from what a request asks for."""
    listing = service.catalogue.listing()
    return Filters(
        min_duration,
        max_duration,
        tuple(map(listing.filter_of, folder or ())),
        tags=tuple(tag or ()),
        formats=tuple(format or ()),
        rates=tuple(rate or ()),
        channels=tuple(channels or ()),
        categories=tuple(category or ()),
        lengths=tuple(map(_span, length or ())),
    )


Filtered = Annotated[Filters, Depends(given_filters)]
"""What a route takes that can be narrowed down."""


def _span(given: str) -> tuple[float, float]:
    first, _, end = given.partition("-")
    return float(first), float(end or "inf")


def why_nothing(listing: Listing, filters: Filters) -> list[str]:
    """Which of the filters nothing passes."""
    conditions = [
        each._replace(told="lies in that folder") if each.field == "path" else each
        for each in filters.conditions()
    ]
    return unmet(conditions, lambda sql: bool(listing.meeting(sql).any()))


# Counting ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Facet:
    """What files are sorted into.

    Attributes:
        values: in the order in which they are shown.
        files: place of a file, for each pair of a file and a value that it has.
        codes: place of that value.
    """

    values: list[str]
    files: NDArray[np.int64]
    codes: NDArray[np.int64]

    @classmethod
    def of(cls, values: Sequence[str | None], order: Iterable[str]) -> _Facet:
        """From the value of each file, where it has one."""
        known = list(order)
        code_of = {value: code for code, value in enumerate(known)}
        codes = np.array([-1 if v is None else code_of[v] for v in values], np.int64)
        return cls(known, np.flatnonzero(codes >= 0), codes[codes >= 0])

    def count(self, passing: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(values,) files that pass and have it."""
        return np.bincount(self.codes[passing[self.files]], minlength=len(self.values))


@lru_cache(4)
def _facets(listing: Listing) -> dict[str, _Facet]:
    """By the parameter of the API that filters by it; once for each state of a library."""
    names = [os.path.splitext(path.name)[1].lower().lstrip(".") or None for path in listing.paths]
    often = Counter(filter(None, names))
    frequent = sorted(often, key=lambda name: (-often[name], name))
    facets = {"format": _Facet.of(names, frequent)}
    for facet, column in (("rate", "sample_rate"), ("channels", "channels")):
        numbers = listing.column(column).to_pylist()
        order = map(str, sorted(set(numbers)))
        facets[facet] = _Facet.of(list(map(str, numbers)), order)
    spans = list(LENGTHS)
    begins = [_span(span)[0] for span in spans]
    places = np.searchsorted(begins, listing.column("duration").to_numpy(), side="right") - 1
    facets["length"] = _Facet(spans, np.arange(len(listing)), places)
    folders = listing.labels
    facets["folder"] = _Facet.of(folders, sorted(set(folders), key=_natural))
    facets["category"] = _categories(listing)
    return facets


def _natural(folder: str) -> tuple[str, ...]:
    return tuple(folder.casefold().split("/"))


def _categories(listing: Listing) -> _Facet:
    """Of the UCS, as the names of files and their tags say; a file may be of several."""
    pairs = set()
    for place, path in enumerate(listing.paths):
        if "_" in path.name and (said := ucs.parse_name(path.name)):
            pairs.add((place, said.category.id))
    tags, files = listing.tagged
    ids = {tag: ucs.is_id(tag) for tag in tags.unique().to_pylist()}
    if any(ids.values()):
        both = zip(files.tolist(), tags.to_pylist(), strict=True)
        pairs.update((place, tag) for place, tag in both if ids[tag])
    values = sorted({id for _, id in pairs}, key=lambda id: _category_name(id))
    code_of = {id: code for code, id in enumerate(values)}
    ordered = sorted(pairs)
    return _Facet(
        values,
        np.array([place for place, _ in ordered], np.int64),
        np.array([code_of[id] for _, id in ordered], np.int64),
    )


def _category_name(id: str) -> tuple[str, str]:
    category = ucs.category_of(id)
    assert category is not None
    return category.category, category.subcategory


_FIELDS = {
    "folder": "path",
    "category": "categories",
    "format": "formats",
    "length": "lengths",
    "rate": "rates",
    "channels": "channels",
}
"""Facets, as the API and :class:`Filters` call them, in the order in which they are shown."""


def count(listing: Listing, filters: Filters, below: set[str]) -> dict[str, list[FacetValue]]:
    """The values of each facet, with the files that have them and pass all other filters.

    Args:
        listing: of the library.
        filters: see :class:`Filters`.
        below: folders whose own folders are wanted; those of a root that is the only one always
            are.
    """
    found = {}
    for name, field in _FIELDS.items():
        facet = _facets(listing)[name]
        counts = facet.count(listing.passing(filters.without(field)))
        pairs = [(value, n) for value, n in zip(facet.values, counts.tolist(), strict=True) if n]
        if name == "folder":
            found[name] = _tree(pairs, below)
        elif name == "category":
            passing = listing.passing(filters.without(field))
            found[name] = _groups(facet, passing, pairs)
        else:
            found[name] = [FacetValue(value=v, name=_called(name, v), files=n) for v, n in pairs]
    return found


def _called(facet: str, value: str) -> str:
    """What people call a value."""
    if facet == "rate":
        return f"{int(value) / 1000:g} kHz"
    if facet == "channels":
        return {"1": "mono", "2": "stereo"}.get(value, f"{value} channels")
    return LENGTHS[value] if facet == "length" else value


def _groups(
    facet: _Facet, passing: NDArray[np.bool_], pairs: list[tuple[str, int]]
) -> list[FacetValue]:
    """Categories, and in each its CatIDs; a file of two CatIDs counts once in their category."""
    named = [_category_name(id) for id in facet.values]
    kept = passing[facet.files]
    both = zip(facet.files[kept].tolist(), facet.codes[kept].tolist(), strict=True)
    files = Counter(category for _, category in {(file, named[code][0]) for file, code in both})
    groups: dict[str, FacetValue] = {}
    for id, n in pairs:
        category, subcategory = _category_name(id)
        if category not in groups:
            groups[category] = FacetValue(
                value=category, name=category, files=files[category], deeper=True, parts=[]
            )
        groups[category].parts.append(FacetValue(value=id, name=subcategory, files=n))
    return list(groups.values())


def _tree(pairs: list[tuple[str, int]], below: set[str]) -> list[FacetValue]:
    """Folders in folders, as deep as they are open; a folder counts what lies below it, too."""
    counts: Counter[str] = Counter()
    inner: dict[str, list[str]] = {"": []}
    for folder, n in pairs:
        parent, path = "", ""
        for part in _steps(folder):
            path = part if not path else f"{path}/{part}"
            if path not in counts:
                inner.setdefault(parent, []).append(path)
            counts[path] += n
            parent = path
    tops = inner[""]
    opened = below | (set(tops) if len(tops) == 1 else set())

    def values(of: str) -> list[FacetValue]:
        return [
            FacetValue(
                value=folder,
                name=folder.removeprefix(f"{of}/") if of else folder,
                files=counts[folder],
                deeper=folder in inner,
                parts=values(folder) if folder in opened and folder in inner else [],
            )
            for folder in inner[of]
        ]

    return values("")


def _steps(folder: str) -> list[str]:
    """The parts of a folder; a root that is called by its path is one."""
    return folder.split("/") if not folder.startswith("/") else [folder]
