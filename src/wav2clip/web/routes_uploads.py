"""Sending a sound or a picture to search with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from wav2clip.web.problems import Refusal, responses
from wav2clip.web.schemas import Label, Upload
from wav2clip.web.service import DEFAULT_PRESET, Held, Service
from wav2clip.web.uploads import folder, safe_name
from wav2clip.zeroshot import PRESETS, preset_labels

router = APIRouter(prefix="/api", tags=["uploads"])

_BYTES: dict[str, Any] = {"type": "string", "format": "binary"}
_BODY = {
    "required": True,
    "description": "The bytes of a sound, a video with sound, or a picture; its content decides, "
    "not its name or type. Or a form with one `file`.",
    "content": {
        "application/octet-stream": {"schema": _BYTES},
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"file": _BYTES}, "required": ["file"]}
        },
    },
}


@router.post(
    "/uploads",
    status_code=201,
    responses=responses(408, 409, 413, 415),
    openapi_extra={"requestBody": _BODY},
)
async def upload(
    service: Held,
    request: Request,
    name: Annotated[str, Query(max_length=1_000, description="What to call it.")] = "",
    preset: Annotated[
        str, Query(pattern=f"^({'|'.join(PRESETS)})$", description="Labels of a dataset.")
    ] = DEFAULT_PRESET,
    label: Annotated[
        list[Label] | None, Query(max_length=600, description="Labels, in place of the preset's.")
    ] = None,
) -> Upload:
    """Read a sound or picture, so that it can be searched with, and label a sound.

    The file is deleted before the answer is sent; its vectors are kept for an hour in memory.
    """
    labels = preset_labels(preset) if label is None else label
    with service.receiving.place(wait=False), folder() as place:
        file = Path(place, "upload")
        called = await _receive(request, file)
        taken = safe_name(name or called)
        return await run_in_threadpool(_take, service, file, taken, labels)


def _take(service: Service, file: Path, name: str, labels: list[str]) -> Upload:
    with service.heavy.place():
        return service.uploads.take(file, name, labels)


async def _receive(request: Request, file: Path) -> str:
    """Write what arrives to a file, a piece at a time; gives the name in a form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    called = ""
    with file.open("wb") as target:
        if kind == "multipart/form-data":
            async with request.form(max_files=1, max_fields=8, max_part_size=10_000) as form:
                part = form.get("file")
                if not isinstance(part, UploadFile):
                    raise Refusal(422, "the form holds no file", "one part named file")
                called = part.filename or ""
                while piece := await part.read(2**20):
                    await run_in_threadpool(target.write, piece)
        else:
            async for piece in request.stream():
                await run_in_threadpool(target.write, piece)
        size = target.tell()
    if size == 0:
        raise Refusal(422, "the upload is empty", "the bytes of a sound or picture")
    return called
