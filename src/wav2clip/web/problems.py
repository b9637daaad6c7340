"""Errors as the API tells them: a status, and what came, what was expected, what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from wav2clip.errors import (
    AudioError,
    ImageError,
    InputError,
    LibraryError,
    MissingExtraError,
    UnknownNameError,
    Wav2ClipError,
)
from wav2clip.web.schemas import Detail, Problem

STATUS: Mapping[type[Wav2ClipError], int] = {
    UnknownNameError: 404,
    InputError: 422,
    AudioError: 415,
    ImageError: 415,
    LibraryError: 409,
    MissingExtraError: 503,
}
"""Statuses of the package's errors, special ones first; any other is the server's own fault."""


class Refusal(HTTPException):
    """A request that is refused, with the reason for people."""

    def __init__(
        self,
        status: int,
        what: str,
        expected: str | None = None,
        do: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, what, dict(headers or {}))
        self.problem = Problem(detail=Detail(what=what, expected=expected, do=do))


def busy(what: str, seconds: float) -> Refusal:
    """429: a client asks for too much, or too many ask at once."""
    whole = max(1, round(seconds))
    return Refusal(429, what, do=f"try again in {whole} s", headers={"Retry-After": str(whole)})


def answer(refusal: Refusal) -> JSONResponse:
    """A refusal as the client sees it."""
    return JSONResponse(refusal.problem.model_dump(), refusal.status_code, refusal.headers)


def install(app: FastAPI) -> None:
    """Let every error of an application take the form of :class:`.schemas.Problem`."""

    @app.exception_handler(HTTPException)
    async def _refused(request: Request, error: HTTPException) -> JSONResponse:
        if not isinstance(error, Refusal):
            error = Refusal(error.status_code, str(error.detail), headers=error.headers)
        return answer(error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return answer(Refusal(422, _first_fault(error.errors()), do="see /docs"))

    @app.exception_handler(Wav2ClipError)
    async def _ours(request: Request, error: Wav2ClipError) -> JSONResponse:
        return answer(as_refusal(error))

    @app.exception_handler(Exception)
    async def _fault(request: Request, error: Exception) -> JSONResponse:
        # Its text may hold anything; who runs the server finds it in the log.
        return answer(Refusal(500, "the server failed", do="its log says why"))


def as_refusal(error: Wav2ClipError) -> Refusal:
    """An error of the package as a refusal."""
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
    return Refusal(status, str(error))


def _first_fault(faults: Sequence[Any]) -> str:
    """Where and what the first fault is; what came is not repeated."""
    first = faults[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}"


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What `/docs` says about errors: these, and those that any request may meet."""
    meanings = {
        400: "Not understood",
        401: "A token is needed",
        403: "Not allowed from there",
        404: "Not found",
        408: "Came too slowly",
        409: "The library is not ready",
        413: "Too large",
        415: "Neither sound nor picture",
        416: "No such range",
        422: "Out of its range",
        429: "Too much at once; see Retry-After",
        503: "Not installed here",
    }
    every = {400, 401, 403, 422, 429, *statuses}
    return {code: {"model": Problem, "description": meanings[code]} for code in sorted(every)}
