"""A library of real sounds, made with the built-in model, and servers in front of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient
from web_servers import PATIENT, Serve, running

from wav2clip.embedding.embedder import Wav2CLIP, load
from wav2clip.library import Library
from wav2clip.web.app import create_app
from wav2clip.web.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LOCAL = "http://127.0.0.1:8000"


@pytest.fixture(scope="session")
def builtin() -> Wav2CLIP:
    """The model that ships with the package."""
    return load("builtin")


@pytest.fixture(scope="session")
def recordings(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real recordings in two folders: dogs, rain, and one of 25 s as a stereo AIFF file."""
    root = tmp_path_factory.mktemp("archive") / "field recordings"
    found = sorted((data / "esc10_original").glob("*.ogg"))
    for folder, target in (("dogs", "-0.ogg"), ("rain", "-10.ogg")):
        (root / folder).mkdir(parents=True)
        for path in [path for path in found if path.name.endswith(target)][:3]:
            shutil.copy(path, root / folder)
    pieces = [soundfile.read(path)[0] for path in found[:5]]
    long = np.concatenate(pieces).astype(np.float32)
    soundfile.write(root / "rain" / "long [take 1].aiff", np.stack([long, long / 2], 1), 44_100)
    return root


@pytest.fixture(scope="session")
def library(
    recordings: Path, builtin: Wav2CLIP, tmp_path_factory: pytest.TempPathFactory
) -> Library:
    """What is searched. Tests do not change it."""
    library = Library.open(tmp_path_factory.mktemp("library") / "sounds", builtin)
    report = library.index(recordings)
    assert (report.added, report.failures) == (7, {})
    library.tag(["dog", "rain"])
    return library


@pytest.fixture(scope="session")
def client(library: Library) -> Iterator[TestClient]:
    """A browser on this machine, without a server between."""
    with TestClient(create_app(library, Settings(limits=PATIENT)), LOCAL) as client:
        yield client


@pytest.fixture
def own_library(recordings: Path, builtin: Wav2CLIP, tmp_path: Path) -> tuple[Library, Path]:
    """A library of one folder that tests may change, and the folder."""
    folder = tmp_path / "mine" / "sounds"
    shutil.copytree(recordings / "dogs", folder)
    library = Library.open(tmp_path / "library", builtin)
    library.index(folder)
    return library, folder


@pytest.fixture
def serve(library: Library) -> Iterator[Serve]:
    """Starts real servers; gives their addresses."""
    with ExitStack() as servers:
        yield lambda limits, **options: servers.enter_context(running(library, limits, **options))


# The page in a real browser. Playwright keeps an event loop in its thread: no longer than a module.


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The Chromium of the system."""
    driver = pytest.importorskip("playwright.sync_api", reason="pip install 'wav2clip[dev]'")
    from browser import CHROMIUM, launch

    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with driver.sync_playwright() as playwright, launch(playwright) as launched:
        yield launched


@pytest.fixture(scope="module")
def address(library: Library) -> Iterator[str]:
    """A server that takes uploads of up to 2 MB."""
    with running(library, replace(PATIENT, upload_bytes=2_000_000)) as started:
        yield started


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    """A page of the server, watched for errors and for requests to other hosts."""
    from browser import watched

    with watched(chromium, address) as opened:
        yield opened
