"""The application, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from wav2clip import __version__
from wav2clip.library import Library
from wav2clip.web import (
    page,
    problems,
    routes_collections,
    routes_files,
    routes_jobs,
    routes_search,
    routes_uploads,
)
from wav2clip.web.security import Guard
from wav2clip.web.service import Service
from wav2clip.web.settings import Settings

_DESCRIPTION = """Search a library of sounds by words, pictures and sounds.

Every error has the form `{"detail": {"what": ..., "expected": ..., "do": ...}}`. Where the server
needs a token, send it as `Authorization: Bearer TOKEN`.
"""


def create_app(library: Library, settings: Settings | None = None) -> FastAPI:
    """The page and the API of a library, as an ASGI application.

    Args:
        library: what is searched; it may be empty.
        settings: see :class:`Settings`.
    """
    service = Service(library, settings or Settings())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="wav2clip",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    problems.install(app)
    routes = (routes_search, routes_files, routes_uploads, routes_collections, routes_jobs)
    for part in (page, *routes):
        app.include_router(part.router)
    page.mount_files(app)
    app.add_middleware(Guard, settings=service.settings)
    return app
