"""Running the application with uvicorn, on a socket that is open before anything else happens."""

from __future__ import annotations

import os
import socket

from fastapi import FastAPI
from uvicorn import Config, Server

from wav2clip.errors import InputError
from wav2clip.web.settings import Limits

_BACKLOG = 128
_GRACE_SECONDS = 3
_HEADER_BYTES = 32_768


def listen(host: str, port: int) -> socket.socket:
    """A socket that accepts connections; port 0 takes a free one.

    Raises:
        InputError: the address is not one of this machine, or the port is taken.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        family, kind, protocol, _, address = found[0]
        # With the protocol said, asyncio switches Nagle's algorithm off, which delays an answer of
        # two pieces by 40 ms.
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _refused(host, port, error) from error
    try:
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise _refused(host, port, error) from error
    return listening


def _refused(host: str, port: int, error: OSError) -> InputError:
    return InputError(
        f"cannot listen on {host}, port {port}: {error.strerror or error}; choose another with "
        "--host and --port"
    )


def configuration(app: FastAPI, limits: Limits) -> Config:
    """How uvicorn runs an application."""
    return Config(
        app,
        http="h11",  # which bounds the size of headers
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=limits.connections,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def serve(app: FastAPI, listening: socket.socket, limits: Limits) -> None:
    """Answer requests until interrupted.

    Raises:
        KeyboardInterrupt: when it was, and all answers under way are given.
    """
    server = Server(configuration(app, limits))
    server.run(sockets=[listening])
    # uvicorn raises the signal again, which asyncio turns into this, but not every time: on a busy
    # machine a server that was interrupted came back as if it had ended by itself.
    if server.should_exit:
        raise KeyboardInterrupt
