"""Work that takes a while: indexing, the map, pictures; and watching it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse, Response

from wav2clip.errors import MissingExtraError
from wav2clip.files import display
from wav2clip.web import schemas
from wav2clip.web.folders import allowed_folder, list_folder
from wav2clip.web.gates import GatedStream
from wav2clip.web.indexing import failures, indexing
from wav2clip.web.jobs import ENDED, Job
from wav2clip.web.painting import painting
from wav2clip.web.problems import Refusal, responses
from wav2clip.web.schemas import (
    Failure,
    FailureList,
    FolderList,
    GenerateRequest,
    IndexRequest,
    JobAccepted,
    JobKind,
    MapData,
)
from wav2clip.web.service import Held

router = APIRouter(prefix="/api", tags=["jobs"])

JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]

_HEARTBEAT_SECONDS = 10.0
_POLL_SECONDS = 0.1
# A job may change a thousand times a second; nobody watches that fast.


@router.post("/index", status_code=202, responses=responses(409))
def index(service: Held, request: IndexRequest) -> JobAccepted:
    """Bring the library up to date with a folder."""
    folder = allowed_folder(service, request.folder)
    job = service.jobs.start(JobKind.INDEX, indexing(service, folder))
    return JobAccepted(job=job.describe())


@router.get("/folders", tags=["library"], responses=responses())
def folders(
    service: Held,
    path: Annotated[
        str | None,
        Query(min_length=1, max_length=4096, description="By default the first of `places`."),
    ] = None,
    starts: Annotated[
        str, Query(max_length=255, description="Only folders whose names begin so.")
    ] = "",
) -> FolderList:
    """Folders of this machine that may be indexed: what lies in one, hidden ones left out."""
    return list_folder(service, path, starts)


@router.get("/failures", tags=["library"], responses=responses())
def list_failures(
    service: Held,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> FailureList:
    """What could not be indexed, and why."""
    failed = failures(service)
    some = itertools.islice(failed.items(), offset, offset + limit)
    told = [Failure(name=display(p.name), path=display(p), reason=reason) for p, reason in some]
    return FailureList(total=len(failed), failures=told)


@router.get(
    "/map",
    response_model=MapData,
    responses={202: {"model": JobAccepted, "description": "Being computed"}, **responses(409, 503)},
)
def get_map(service: Held) -> MapData | JSONResponse:
    """The map of the library (UMAP), or, where it is not there yet, the job that computes it."""
    drawn = service.maps.current()
    if drawn is None and service.jobs.active(JobKind.INDEX):
        drawn = service.maps.latest()  # a map of every step would never be done
    if drawn is not None:
        return drawn
    if not service.can_map:
        raise MissingExtraError("maps need pip install 'wav2clip[evaluation]'")
    job = service.jobs.start(JobKind.MAP, service.maps.compute, single=True)
    return JSONResponse(JobAccepted(job=job.describe()).model_dump(mode="json"), 202)


@router.post("/generate", status_code=202, responses=responses(404, 503))
def generate(service: Held, request: GenerateRequest) -> JobAccepted:
    """Paint a picture that a sound is close to in the space of CLIP."""
    if not service.can_generate:
        raise MissingExtraError("pictures need pip install 'wav2clip[generation]'")
    if (request.id is None) == (request.upload is None):
        raise Refusal(422, "got both or neither of id and upload", "one of them")
    kept = None
    if request.upload is not None:
        kept = service.uploads.get(request.upload)
        if kept.embedding is None:
            raise Refusal(422, "that upload is a picture", "a sound")
    else:
        service.catalogue.listing().file(request.id or "")
    work = painting(service.library, service.catalogue, request, kept)
    return JobAccepted(job=service.jobs.start(JobKind.GENERATE, work).describe())


@router.get("/jobs", responses=responses())
def active(service: Held) -> list[schemas.Job]:
    """The jobs that wait or are at work."""
    return [job.describe() for kind in JobKind for job in service.jobs.active(kind)]


@router.get("/jobs/{id}", responses=responses(404))
def job(service: Held, id: JobId) -> schemas.Job:
    """How far a job is."""
    return service.jobs.get(id).describe()


@router.delete("/jobs/{id}", responses=responses(404))
def cancel(service: Held, id: JobId) -> schemas.Job:
    """Cancel a job; what it has done stays."""
    found = service.jobs.get(id)
    found.cancel()
    return found.describe()


@router.get("/jobs/{id}/picture", response_class=Response, responses={
    200: {"content": {"image/png": {}}}, **responses(404),
})  # fmt: skip
def picture(service: Held, id: JobId) -> Response:
    """The picture of a job that paints, as far as it is."""
    found = service.jobs.get(id)
    if found.picture is None:
        raise Refusal(404, "the job has no picture yet")
    return Response(found.picture, media_type="image/png")


@router.get("/jobs/{id}/events", response_class=Response, responses={
    200: {"content": {"text/event-stream": {}}}, **responses(404),
})  # fmt: skip
def events(service: Held, id: JobId) -> Response:
    """Server-sent events: `job` with the job whenever it changes, `preview` with the address of a
    picture; the stream ends with the job."""
    found = service.jobs.get(id)
    return GatedStream(
        service.streams,
        _watched(found),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


async def _watched(job: Job) -> AsyncIterator[str]:
    version, pictures, silent = -1, 0, 0.0
    while True:
        if job.version != version:
            version, silent = job.version, 0.0
            described = job.describe()
            if job.pictures != pictures:
                pictures = job.pictures
                yield _event("preview", {"url": f"/api/jobs/{job.id}/picture?v={pictures}"})
            yield _event("job", described.model_dump(mode="json"))
            if described.state in ENDED:
                return
        elif silent > _HEARTBEAT_SECONDS:
            silent = 0.0
            yield ": still there\n\n"
        await asyncio.sleep(_POLL_SECONDS)
        silent += _POLL_SECONDS


def _event(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
