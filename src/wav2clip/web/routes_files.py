"""Recordings of the library: what is known of them, their sound, their waveform."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from wav2clip.audio.excerpt import excerpt_name
from wav2clip.files import display
from wav2clip.web.browsing import Order, Sort, places
from wav2clip.web.catalogue import File, Listing
from wav2clip.web.media import PLAYABLE, Body, FileBody, WavBody, media_response
from wav2clip.web.narrowing import Filtered, why_nothing
from wav2clip.web.problems import responses
from wav2clip.web.schemas import FileInfo, FileList, Waveform
from wav2clip.web.service import Held

router = APIRouter(prefix="/api/files", tags=["recordings"])

_Seconds = Annotated[float, Query(ge=0, le=1e7, allow_inf_nan=False)]
FileId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]


@router.get("", responses=responses())
def list_files(
    service: Held,
    filters: Filtered,
    sort: Sort = "name",
    order: Order = "asc",
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 40,
) -> FileList:
    """The files of the library that pass the filters, a part of them at a time."""
    started = time.perf_counter()
    listing = service.catalogue.listing()
    found = places(listing, filters, sort, order)
    chosen = found[offset : offset + limit].tolist()
    return FileList(
        seconds_taken=round(time.perf_counter() - started, 4),
        total=len(found),
        offset=offset,
        warnings=[] if len(found) else why_nothing(listing, filters),
        files=[info_of(listing, listing.at(place)) for place in chosen],
    )


@router.get("/{id}", responses=responses(404))
def file_info(service: Held, id: FileId) -> FileInfo:
    """What the library knows of a recording."""
    listing = service.catalogue.listing()
    return info_of(listing, listing.file(id))


def info_of(listing: Listing, file: File) -> FileInfo:
    """A recording as clients see it."""
    modified = datetime.fromtimestamp(file.mtime_ns / 1e9, UTC)
    return FileInfo(
        id=file.id,
        name=display(file.path.name),
        path=display(file.path),
        folder=listing.folder_of(file.path),
        duration=round(file.duration, 3),
        tags=list(file.tags),
        size=file.size,
        modified=modified.isoformat(timespec="seconds"),
        samplerate=file.sample_rate,
        channels=file.channels,
        segments=file.segments,
        **addresses(file.id, file.path.suffix),
    )


@router.get(
    "/{id}/audio",
    response_class=Response,
    responses={
        200: {"content": {"audio/*": {}, "application/octet-stream": {}}},
        206: {"description": "The range that was asked for"},
        304: {"description": "Not changed"},
        **responses(404, 415, 416),
    },
)
def audio(
    service: Held,
    request: Request,
    id: FileId,
    convert: Annotated[
        Literal["wav"] | None, Query(alias="as", description="For what browsers do not play.")
    ] = None,
    download: Annotated[bool, Query(description="As an attachment, under its own name.")] = False,
) -> Response:
    """The recording itself, whole or by ranges; or, with `as=wav`, 16 bits of every sample."""
    file = service.catalogue.listing().file(id)
    opened = service.catalogue.open(file)
    status = os.fstat(opened.fileno())
    name = file.path
    body: Body
    if convert == "wav":
        name = name.with_suffix(".wav")
        body = WavBody(service.readers, file, opened)
    else:
        body = FileBody(opened, PLAYABLE.get(file.path.suffix.lower(), "application/octet-stream"))
    kept_as = name if download else None
    return media_response(body, request.headers, status.st_mtime_ns, service.streams, kept_as)


@router.get(
    "/{id}/excerpt",
    response_class=Response,
    responses={
        200: {"content": {"audio/wav": {}}},
        206: {"description": "The range that was asked for"},
        304: {"description": "Not changed"},
        **responses(404, 415, 416),
    },
)
def excerpt(
    service: Held,
    request: Request,
    id: FileId,
    start: _Seconds,
    end: _Seconds,
    fade: Annotated[float, Query(ge=0, le=60, description="Seconds, at both ends.")] = 0,
    bits: Annotated[
        int | None,
        Query(ge=16, le=32, description="16, 24 or 32 (float); by default what the recording has."),
    ] = None,
) -> Response:
    """A part of the recording as WAV at its own rate, with what its chunks say of it."""
    file = service.catalogue.listing().file(id)
    body = service.excerpt(file, start, end, fade, bits)
    name = excerpt_name(file.path, start)
    return media_response(body, request.headers, file.mtime_ns, service.streams, name)


@router.get("/{id}/waveform", responses=responses(404, 415))
def waveform(
    service: Held,
    id: FileId,
    points: Annotated[int, Query(ge=1, le=2_000, description="Stretches.")] = 300,
) -> Waveform:
    """The largest absolute sample of each of equally long stretches, and how loud it is."""
    return service.waveform(service.catalogue.listing().file(id), points)


@router.get(
    "/{id}/spectrogram",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}, **responses(404, 415)},
)
def spectrogram(
    service: Held,
    id: FileId,
    width: Annotated[int, Query(ge=1, le=2_000, description="Columns.")] = 600,
    height: Annotated[int, Query(ge=1, le=512, description="Rows.")] = 96,
) -> Response:
    """Frequencies over time as a greyscale PNG: mels upwards from 0 Hz to half the sample rate, the
    largest power in each column, white the loudest point, black 80 dB below it."""
    file = service.catalogue.listing().file(id)
    return Response(service.spectrogram(file, width, height), media_type="image/png")


def addresses(id: str, suffix: str) -> dict[str, str]:
    """Where a recording's sound, waveform and bytes are."""
    base = f"/api/files/{id}"
    played = "/audio" if suffix.lower() in PLAYABLE else "/audio?as=wav"
    return {
        "audio": base + played,
        "waveform": f"{base}/waveform",
        "spectrogram": f"{base}/spectrogram",
        "download": f"{base}/audio?download=true",
    }


def excerpt_address(id: str, start: float, end: float) -> str:
    """Where a part of a recording is."""
    return f"/api/files/{id}/excerpt?start={start}&end={end}"
