"""Running the application with uvicorn, on a socket that is open before anything else happens."""

from __future__ import annotations

import socket

from fastapi import FastAPI
from uvicorn import Config, Server

from wav2clip.errors import InputError
from wav2clip.web.settings import Limits

_GRACE_SECONDS = 3
_HEADER_BYTES = 32_768


def listen(host: str, port: int) -> socket.socket:
    """A socket that accepts connections; port 0 takes a free one.

    Raises:
        InputError: the address is not one of this machine, or the port is taken.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise InputError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; choose another "
            "with --host and --port"
        ) from error


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
    """Answer requests until interrupted."""
    Server(configuration(app, limits)).run(sockets=[listening])
