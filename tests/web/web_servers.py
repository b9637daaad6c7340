"""Real servers on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import uvicorn

from patience import HANGS, wait_until
from wav2clip.library import Library
from wav2clip.web.app import create_app
from wav2clip.web.server import configuration, listen
from wav2clip.web.settings import Limits, Settings

Serve = Callable[..., str]

PATIENT = Limits(decode_seconds=HANGS, wait_seconds=HANGS, upload_seconds=HANGS)
"""Of a server on a machine that may be busy, where none of these limits is what is tested."""


@contextmanager
def running(library: Library, limits: Limits, **options: Any) -> Iterator[str]:
    """A real server on a free port of loopback, for as long as the block lasts."""
    app = create_app(library, Settings(limits=limits, **options))
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(configuration(app, limits))
    thread = Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        assert thread.is_alive()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(HANGS)
        assert not thread.is_alive()
