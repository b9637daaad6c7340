"""Collections: sounds that are kept together under a name."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import StringConstraints

from wav2clip.audio.excerpt import excerpt_name
from wav2clip.files import display
from wav2clip.library import Item, Part
from wav2clip.library.collections import checked_name
from wav2clip.library.playlists import write_m3u8, write_table
from wav2clip.web.catalogue import Listing
from wav2clip.web.problems import responses
from wav2clip.web.routes_files import excerpt_address, info_of
from wav2clip.web.schemas import (
    CollectAnswer,
    Collected,
    CollectedItem,
    CollectionList,
    CollectionSummary,
    CollectRequest,
    Removed,
    RenameRequest,
)
from wav2clip.web.service import Held

router = APIRouter(prefix="/api/collections", tags=["collections"])

# A name may hold anything that can be seen, slashes too: it is a parameter and no part of a path.
Name = Annotated[str, Query(min_length=1, max_length=1_000, description="Of the collection.")]


@router.get("", responses=responses(409))
def list_collections(service: Held) -> CollectionList:
    """The collections of the library."""
    found = service.library.collections.summaries()
    return CollectionList(collections=[CollectionSummary(**each._asdict()) for each in found])


@router.delete("", responses=responses(404, 409))
def delete(service: Held, name: Name) -> Removed:
    """Forget a collection, and no recording."""
    return Removed(items=service.library.collections.delete(name))


@router.post("/rename", responses=responses(404, 409))
def rename(service: Held, request: RenameRequest) -> CollectionList:
    """Give a collection another name."""
    service.library.collections.rename(request.name, request.new)
    return list_collections(service)


@router.get("/items", responses=responses(404, 409))
def items(
    service: Held,
    name: Name,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 200,
) -> Collected:
    """What is in a collection, a part of it at a time."""
    found = service.library.collections.items(name)
    listing = service.catalogue.listing()
    return Collected(
        name=checked_name(name),
        total=len(found),
        offset=offset,
        items=_shown(listing, found[offset : offset + limit]),
    )


@router.post("/items", responses=responses(404, 409))
def add(service: Held, request: CollectRequest) -> CollectAnswer:
    """Add recordings of the library, or parts of them; what is there already stays once."""
    listing = service.catalogue.listing()
    parts = [Part(listing.file(p.id).path, p.start, p.end) for p in request.parts]
    added = service.library.collections.add(request.name, parts, request.note)
    return CollectAnswer(
        new=added.new,
        items=_shown(listing, added.items),
        failures=[f"{display(path.name)}: {why}" for path, why in added.failures.items()],
    )


@router.delete("/items", responses=responses(404, 409))
def remove(
    service: Held,
    name: Name,
    item: Annotated[
        list[Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]],
        Query(min_length=1, max_length=200, description="Items, by their `item`."),
    ],
) -> Removed:
    """Take items out of a collection; no recording is touched."""
    return Removed(items=service.library.collections.remove(name, item))


@router.get(
    "/export",
    response_class=Response,
    responses={
        200: {"content": {"audio/x-mpegurl": {}, "text/csv": {}}},
        **responses(404, 409),
    },
)
def export(
    service: Held,
    name: Name,
    format: Annotated[
        Literal["m3u8", "csv"], Query(description="A playlist (extended M3U), or a table.")
    ],
) -> Response:
    """A collection as a file, with paths as this server has them: for players that run where it
    does, or see the same folders."""
    found = service.library.collections.items(name)
    text = io.StringIO(newline="")
    if format == "m3u8":
        write_m3u8(checked_name(name), found, text)
    else:
        write_table(found, text)
    kind = {"m3u8": "audio/x-mpegurl", "csv": "text/csv; charset=utf-8"}[format]
    called = quote(f"{checked_name(name)}.{format}", safe="")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{called}"}
    return Response(text.getvalue(), media_type=kind, headers=headers)


def _shown(listing: Listing, items: Iterable[Item]) -> list[CollectedItem]:
    """Items as clients see them."""
    return [_item(listing, item) for item in items]


def _item(listing: Listing, item: Item) -> CollectedItem:
    place = None if item.missing else listing.place_of(item.file)
    sound = None if place is None else info_of(listing, listing.at(place))
    start, end = round(item.start, 3), round(item.end, 3)
    return CollectedItem(
        item=item.id,
        name=display(item.path.name),
        path=display(item.path),
        start=start,
        end=end,
        whole=item.whole,
        duration=round(item.duration, 3),
        added=item.added.isoformat(timespec="seconds"),
        note=item.note,
        missing=sound is None,
        sound=sound,
        excerpt=None if sound is None else excerpt_address(sound.id, start, end),
        excerpt_name=display(excerpt_name(item.path, start)),
    )
