"""`wav2clip serve`: search a library in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wav2clip.cli.finds import LibraryOption, ModelOption
from wav2clip.cli.loading import DeviceOption


def serve(
    library: LibraryOption = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Any but this machine's own needs the token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    folder: Annotated[
        list[Path] | None,
        typer.Option(
            help="What may be indexed and played, nothing else. Repeatable.",
            show_default="the folders that the library's recordings lie in",
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="WAV2CLIP_TOKEN",
            help="What clients must show.",
            show_default="none on this machine alone, a new one otherwise and without a library",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Further name under which the server is reached. Repeatable."),
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.")
    ] = False,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Search a library in a browser: a page, and a JSON API with its documentation at /docs.

    Only this machine can reach it unless --host says otherwise; then a token is needed, and
    printed with the address. Without a library, the page lets you choose a folder of this machine
    and index it; that needs the token, too. Stop it with Ctrl-C.

    Example: `wav2clip serve --open`

    For others: `wav2clip serve --library /archive/library --host 0.0.0.0 --folder /archive/field`
    """
    import os
    import secrets

    # Requests are answered side by side, each by one thread: threads inside of them would wait for
    # each other (docs/results/web.md). Read when NumPy and torch are loaded.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from wav2clip.cli import console, finds
    from wav2clip.errors import InputError, MissingExtraError

    try:
        from wav2clip.web.app import create_app
        from wav2clip.web.security import is_loopback
        from wav2clip.web.server import listen
        from wav2clip.web.server import serve as run
        from wav2clip.web.settings import Settings
    except ImportError as error:
        raise MissingExtraError(f"the page needs pip install 'wav2clip[web]' ({error})") from error
    for path in folder or []:
        if not path.is_dir():
            raise InputError(f"--folder {path}: is not a folder")
    if token is not None and len(token) < _SHORTEST_TOKEN:
        raise InputError(f"--token has {len(token)} characters, expected {_SHORTEST_TOKEN} or more")
    opened = finds.open_library(library, model, device)
    first = not folder and not len(opened)
    private = is_loopback(host) and not allow_host
    if first and not private:
        opened.store.segments  # noqa: B018  says how to make one
    choosing = first and private
    # Who chooses may choose whatever this user can read: other users of the machine may not.
    if token is None and (choosing or not is_loopback(host)):
        token = secrets.token_urlsafe(24)
    settings = Settings(host, token, tuple(allow_host or ()), tuple(folder or ()), choosing)
    app = create_app(opened, settings)
    with listen(host, port) as listening:
        with console.err.status("loading the model and the library"):
            app.state.service.warm()
        address = _address(host, listening.getsockname()[1], token)
        line = f"{opened.store.name}: {len(opened)} segments at {address}"
        if choosing:
            line = f"{opened.store.name} holds no sound yet: choose a folder at {address}"
        console.out.print(line, markup=False, highlight=False, soft_wrap=True)
        if open_browser:
            import webbrowser

            webbrowser.open(address)
        run(app, listening, settings.limits)


_SHORTEST_TOKEN = 16


def _address(host: str, port: int, token: str | None) -> str:
    """Where a browser on this machine finds the page."""
    import socket
    from urllib.parse import quote

    name = socket.gethostname() if host in ("0.0.0.0", "::") else host  # noqa: S104
    shown = f"[{name}]" if ":" in name else name
    query = f"?token={quote(token, safe='')}" if token else ""
    return f"http://{shown}:{port}/{query}"
