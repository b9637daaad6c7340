"""How tests wait: for what must happen, never for a time in which it should."""

from __future__ import annotations

import time
from collections.abc import Callable

HANGS = 900.0
"""Seconds after which what is waited for is taken to hang, on the slowest and busiest machine."""


def wait_until(happened: Callable[[], object], what: object = "it did not happen") -> None:
    """Return as soon as ``happened`` is true, asked again and again.

    Raises:
        AssertionError: with ``what``, or with what it returns, if it hangs.
    """
    deadline = time.monotonic() + HANGS
    while not happened():
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.02)
