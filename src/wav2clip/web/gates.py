"""How much at once: a token bucket per client, and gates in front of heavy work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any

from cachetools import LRUCache
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from wav2clip.web.problems import busy

_CLIENTS = 10_000


@dataclass
class _Bucket:
    level: float
    filled: float


class Buckets:
    """Token buckets: so many requests at once, so many per second in the long run, per client.

    For use from one thread, as the event loop is.
    """

    def __init__(self, per_second: float, at_once: int) -> None:
        self._per_second, self._at_once = per_second, at_once
        self._buckets: LRUCache[str, _Bucket] = LRUCache(_CLIENTS)

    def take(self, client: str, now: float | None = None) -> float:
        """0 if the request may pass, else the seconds to wait."""
        now = time.monotonic() if now is None else now
        bucket = self._buckets.get(client)
        if bucket is None:
            bucket = self._buckets[client] = _Bucket(self._at_once, now)
        filled = bucket.level + (now - bucket.filled) * self._per_second
        bucket.level, bucket.filled = min(self._at_once, filled), now
        if bucket.level < 1:
            return (1 - bucket.level) / self._per_second
        bucket.level -= 1
        return 0.0


class Gate:
    """Lets so many threads in at once; others wait a little, then are refused with 429."""

    def __init__(self, places: int, wait_seconds: float, what: str) -> None:
        self._places = BoundedSemaphore(places)
        self._wait, self._what = wait_seconds, what

    def enter(self, wait: bool = True) -> None:
        """Take a place, or raise."""
        if not self._places.acquire(timeout=self._wait if wait else 0):
            raise busy(f"too many {self._what} at once", max(self._wait, 1))

    def leave(self) -> None:
        """Give the place back."""
        self._places.release()

    @contextmanager
    def place(self, wait: bool = True) -> Iterator[None]:
        """A place for as long as the block lasts."""
        self.enter(wait)
        try:
            yield
        finally:
            self.leave()


class GatedStream(StreamingResponse):
    """A streamed answer that has a place for as long as it is sent."""

    def __init__(self, gate: Gate, content: Any, **options: Any) -> None:
        super().__init__(content, **options)
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Here, not in the route: a client that leaves in between would keep its place for ever.
        with self._gate.place(wait=False):
            await super().__call__(scope, receive, send)
