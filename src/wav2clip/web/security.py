"""What every request has to pass, and what every answer carries; docs/security.md says why."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import secrets
import socket
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wav2clip.web.gates import Buckets
from wav2clip.web.problems import Refusal, answer, busy
from wav2clip.web.settings import Settings

COOKIE = "wav2clip_session"

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_SAFE = {"GET", "HEAD", "OPTIONS"}
_PAGES = {"/", "/docs"}
"""What other sites may link to."""

_OPEN = {"/api/health"}
"""What needs no token."""

_UPLOADS = "/api/uploads"


class Guard:
    """ASGI middleware around the whole application.

    In this order: the Host header, the site that sent the browser, the token, the rate. Bodies are
    counted and timed while they are read.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._limits = settings.limits
        self._token = settings.token
        self._hosts = _Hosts(settings)
        # The cookie stands for the token while this server runs, and tells nobody what it is.
        key = secrets.token_bytes(32)
        self._session = hashlib.blake2b((self._token or "").encode(), key=key).hexdigest()
        limits = settings.limits
        self._requests = Buckets(limits.requests_per_second, limits.requests_at_once)
        self._works = Buckets(limits.works_per_minute / 60, limits.works_at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # There is no WebSocket here; the server's own start and stop pass.
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        app: ASGIApp
        try:
            app = self._check(scope, Headers(scope=scope)) or self._app
        except Refusal as refusal:
            app = answer(refusal)
        await app(scope, self._measured(scope, receive), _with_headers(send))

    def _check(self, scope: Scope, headers: Headers) -> ASGIApp | None:
        """What answers in place of the application, or None; raises where the request may not."""
        method, path = scope["method"], scope["path"]
        self._hosts.check(headers)
        _check_site(method, path, headers)
        if self._token is not None and path not in _OPEN:
            redirect = self._sign_in(scope) if path == "/" else None
            if redirect is not None:
                return redirect
            if not self._is_known(headers):
                raise Refusal(
                    401,
                    "this server needs its token",
                    "an Authorization header with Bearer and the token, or the address with "
                    "?token= that `wav2clip serve` printed",
                    headers={"WWW-Authenticate": "Bearer"},
                )
        self._count(scope, method)
        return None

    def _sign_in(self, scope: Scope) -> ASGIApp | None:
        """The token of the address becomes a cookie, and leaves the address."""
        (given, *_) = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
        if not self._is_token(given):
            return None
        response = RedirectResponse("/", status_code=303)
        response.set_cookie(
            COOKIE,
            self._session,
            httponly=True,
            samesite="strict",
            secure=scope["scheme"] == "https",
            path="/",
        )
        return response

    def _is_known(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(given.strip()):
            return True
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        return secrets.compare_digest(cookie.encode(), self._session.encode())

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), (self._token or "").encode())

    def _count(self, scope: Scope, method: str) -> None:
        client = (scope.get("client") or ("",))[0]
        wait = self._requests.take(client)
        if not wait and method == "POST":
            wait = self._works.take(client)
        if wait:
            raise busy("too many requests from your address", wait)

    def _measured(self, scope: Scope, receive: Receive) -> Receive:
        """The same body, refused once it is too large or takes too long.

        What the header announces is looked at first, but what counts is what comes.
        """
        limits = self._limits
        upload = scope["path"] == _UPLOADS
        most = limits.upload_bytes if upload else limits.body_bytes
        slack = 10_000 if upload else 0  # what a form has around its file
        arrived, started, ended = 0, asyncio.get_running_loop().time(), False

        async def measured() -> Message:
            nonlocal arrived, ended
            if ended:
                return await receive()  # waits for the client to go away
            left = started + limits.upload_seconds - asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(max(left, 0)):
                    message = await receive()
            except TimeoutError:
                raise Refusal(
                    408,
                    f"the request did not arrive within {limits.upload_seconds:g} s",
                    headers={"Connection": "close"},
                ) from None
            arrived += len(message.get("body", b""))
            ended = message["type"] != "http.request" or not message.get("more_body", False)
            announced = Headers(scope=scope).get("content-length", "0")
            if max(arrived, int(announced) if announced.isdecimal() else 0) > most + slack:
                raise Refusal(
                    413,
                    "the request is too large",
                    f"at most {most:,} bytes",
                    headers={"Connection": "close"},
                )
            return message

        return measured


class _Hosts:
    """Names under which the server may be addressed: no other site's name may point here."""

    def __init__(self, settings: Settings) -> None:
        self._any_address = not is_loopback(settings.host)
        names = {"localhost", "127.0.0.1", "::1", settings.host, *settings.hosts}
        if self._any_address:
            names |= {socket.gethostname(), socket.getfqdn()}
        self._names = {name.lower() for name in names}

    def check(self, headers: Headers) -> None:
        name = host_name(headers.get("host", ""))
        if name in self._names or (self._any_address and _is_address(name)):
            return  # an address in numbers cannot be bent to another machine by its name server
        raise Refusal(
            400, "the Host header names no address of this server", do="add it with --allow-host"
        )


def host_name(header: str) -> str:
    """The host of a Host header, without port and brackets."""
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_site(method: str, path: str, headers: Headers) -> None:
    """Refuse what another site makes a browser send (Fetch Metadata, and Origin before it)."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        linked = method in _SAFE and path in _PAGES and headers.get("sec-fetch-mode") == "navigate"
        allowed = site in ("same-origin", "none") or linked
    else:
        origin = headers.get("origin")
        allowed = method in _SAFE or origin is None or _is_own(origin, headers)
    if not allowed:
        raise Refusal(403, "the request comes from another site's page")


def _is_own(origin: str, headers: Headers) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""
    except ValueError:
        return False


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending
