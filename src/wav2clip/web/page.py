"""The page itself, its scripts and styles, and the API's documentation: all from this server."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates

from wav2clip import __version__
from wav2clip.web.problems import responses
from wav2clip.web.schemas import Health
from wav2clip.web.service import Held

router = APIRouter()

_HERE = Path(__file__).parent
_templates = Jinja2Templates(_HERE / "templates")

_START = """SwaggerUIBundle({
  url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null,
});
"""


@router.get("/", include_in_schema=False)
def page(request: Request, service: Held) -> HTMLResponse:
    """The page; everything that changes it fetches from the API."""
    return _templates.TemplateResponse(request, "index.html", {"version": __version__})


@router.get("/manifest.webmanifest", include_in_schema=False)
def manifest() -> FileResponse:
    """What browsers install the page by. Beside the page, so that its addresses are relative to it;
    not every system knows the type of files that are called so."""
    return FileResponse(_HERE / "manifest.webmanifest", media_type="application/manifest+json")


@router.get("/docs", include_in_schema=False)
def docs(request: Request) -> HTMLResponse:
    """The API's documentation, to read and to try."""
    return _templates.TemplateResponse(request, "docs.html")


@router.get("/docs/start.js", include_in_schema=False)
def docs_start() -> Response:
    """A file of its own, since scripts inside of pages are not run here."""
    return Response(_START, media_type="text/javascript")


@router.get("/api/health", tags=["library"], responses=responses())
def health() -> Health:
    """Whether the server answers; needs no token."""
    return Health(version=__version__)


def mount_files(app: FastAPI) -> None:
    """Serve the page's files, and those of Swagger UI out of the package that carries them."""
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    swagger = Path(str(files("fastapi_offline"))) / "static"
    app.mount("/docs/ui", StaticFiles(directory=swagger), name="docs")
