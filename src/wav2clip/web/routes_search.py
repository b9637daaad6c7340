"""The library as a whole, and searching it."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as Parameter
from pydantic import StringConstraints

from wav2clip.audio.excerpt import excerpt_name
from wav2clip.files import display
from wav2clip.library import Query, Result
from wav2clip.library.languages import understand
from wav2clip.library.query import Modality, Term, parse
from wav2clip.library.search import By
from wav2clip.web.catalogue import Listing
from wav2clip.web.indexing import failures
from wav2clip.web.narrowing import Filtered, count, why_nothing
from wav2clip.web.problems import Refusal, responses
from wav2clip.web.routes_files import addresses, excerpt_address
from wav2clip.web.schemas import Facets, Found, Hit, LibraryInfo, TagCount
from wav2clip.web.service import Held, Service

router = APIRouter(prefix="/api", tags=["library"])

_MOST_TAGS = 500
_JUST_SEEN = 0.05
"""Seconds: the list of files looks for changes first, so the search after it need not."""

_Id = Annotated[str | None, Parameter(pattern="^[0-9a-f]{32}$")]
_PART = re.compile(r"([0-9a-f]{32})(?:@(\d{1,7}(?:\.\d{1,6})?)-(\d{1,7}(?:\.\d{1,6})?))?")
_Part = Annotated[str, StringConstraints(pattern=f"^{_PART.pattern}$")]
_Words = Annotated[
    str | None,
    Parameter(
        min_length=1,
        max_length=1_000,
        description="A phrase. `+` and `-` that stand alone add and subtract phrases; `0.5*phrase` "
        "gives one a weight.",
    ),
]


@router.get("/library", responses=responses())
def library_info(service: Held) -> LibraryInfo:
    """What can be searched, and what this server can do."""
    library, listing = service.library, service.catalogue.listing()
    return LibraryInfo(
        name=display(library.store.name),
        files=len(listing),
        segments=listing.segments,
        seconds=round(listing.seconds, 1),
        model=library.model.name,
        text_model=library.model.towers.name,
        folders=listing.folders(),
        tags=[TagCount(tag=tag, files=files) for tag, files in listing.tags[:_MOST_TAGS]],
        failures=len(failures(service)),
        can_generate=service.can_generate,
        can_map=service.can_map,
        index_folders=[display(root) for root in listing.roots],
        any_folder=service.settings.any_folder,
    )


@router.get("/facets", responses=responses())
def facets(
    service: Held,
    filters: Filtered,
    below: Annotated[
        list[str] | None,
        Parameter(max_length=500, description="Folders whose own folders are wanted."),
    ] = None,
) -> Facets:
    """What the library can be narrowed down to, and how many files each choice would leave."""
    listing = service.catalogue.listing()
    total = int(listing.passing(filters).sum())
    return Facets(total=total, **count(listing, filters, set(below or ())))


@router.get("/search", responses=responses(404, 409))
def search(
    service: Held,
    filters: Filtered,
    q: _Words = None,
    like: Annotated[
        list[_Part] | None,
        Parameter(
            max_length=20,
            description="Recordings of the library, or parts of them from one second to another "
            "(`ID@12.5-20`), that what is wanted is like.",
        ),
    ] = None,
    unlike: Annotated[
        list[_Part] | None, Parameter(max_length=20, description="The same, that it is not like.")
    ] = None,
    upload: Annotated[_Id, Parameter(description="An upload.")] = None,
    limit: Annotated[int, Parameter(ge=1, le=200)] = 20,
    all_segments: Annotated[
        bool, Parameter(description="Every region of a file, not its best one alone.")
    ] = False,
    by: Annotated[
        By,
        Parameter(
            description="What a phrase is compared with: sound, words (names, metadata), or both."
        ),
    ] = "both",
) -> Found:
    """Find sounds by a phrase, a recording, an upload, or their sum: the same as
    `wav2clip search`."""
    started = time.perf_counter()
    marks = [_part(service, each) for each in like or []]
    refused = [_part(service, each) for each in unlike or []]
    query, spoken = _query(service, q, marks, refused, upload)
    listing = service.catalogue.listing()
    results = service.library.search(
        query,
        limit=limit,
        filters=filters,
        per_file=not all_segments,
        by=by,
        max_age=_JUST_SEEN,
    )
    hits = [_hit(service, listing, result) for result in results]
    taken = round(time.perf_counter() - started, 4)
    phrases = [str(term.value) for term in query.terms if term.kind == "text"]
    unread = [phrase for phrase in phrases if understand(phrase) is None]
    warnings = service.library.model.towers.unreadable(unread) if unread else []
    warnings = [*results.notes, *warnings, *([] if hits else why_nothing(listing, filters))]
    return Found(
        seconds_taken=taken, query=spoken, warnings=warnings, likely=results.likely, hits=hits
    )


def _part(service: Service, given: str) -> Query:
    """A recording of the library, or a part of it."""
    match = _PART.fullmatch(given)
    assert match is not None  # the route has looked
    path = service.catalogue.listing().file(match[1]).path
    return Query.audio(path, (float(match[2]), float(match[3])) if match[2] else None)


def _query(
    service: Service,
    q: str | None,
    marks: Sequence[Query],
    refused: Sequence[Query],
    upload: str | None,
) -> tuple[Query, str]:
    """The query, and how it was understood."""
    whole = Query(())
    if q is not None:
        whole += parse(q) or Query(())
    if upload is not None:
        kept = service.uploads.get(upload)
        modality: Modality = "image" if kept.embedding is None else "audio"
        whole += Query.embedding(kept.vector, kept.name, modality)
    if whole.terms:
        whole += Query.marked(marks, refused)
    else:  # more like these: none of them is what is looked for
        whole += sum(marks, Query(())) + Query.marked([], refused)
    if not whole.terms and not whole.conditions:
        raise Refusal(422, "nothing to search for", "one of q, like and upload")
    spoken = [_spoken(place, term) for place, term in enumerate(whole.terms)]
    return whole, " ".join([*spoken, *map(str, whole.conditions)])


def _spoken(place: int, term: Term) -> str:
    sign = "-" if term.weight < 0 else "+" if place else ""
    factor = "" if abs(term.weight) == 1 else f"{abs(term.weight):.3g}*"
    part = "" if term.span is None else " {:g}-{:g} s".format(*term.span)
    value = term.value if term.kind == "text" else f"[{display(Path(term.value).name)}{part}]"
    return f"{sign} {factor}{value}".strip()


def _hit(service: Service, listing: Listing, result: Result) -> Hit:
    id = service.catalogue.id_of(result)
    times = (round(result.start, 3), round(result.end, 3))
    return Hit(
        id=id,
        name=display(result.path.name),
        path=display(result.path),
        folder=listing.folder_of(result.path),
        duration=round(result.duration, 3),
        start=times[0],
        end=times[1],
        peak=round(result.peak, 3),
        confidence=round(result.confidence, 4),
        score=round(result.score, 6),
        similarity=round(result.similarity, 6),
        words=list(result.words),
        tags=list(result.tags),
        excerpt=excerpt_address(id, *times),
        excerpt_name=display(excerpt_name(result.path, result.start)),
        **addresses(id, result.path.suffix),
    )
