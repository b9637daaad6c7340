"""A real browser in front of the page, watched for everything that a page may not do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect

from patience import HANGS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

expect.set_options(timeout=HANGS * 1_000)

_FLAGS = (
    "--no-sandbox",  # containers run as root
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",  # a microphone that beeps
    "--use-fake-ui-for-media-stream",
)


def launch(playwright: Playwright) -> Browser:
    """The Chromium of the system, without a window."""
    return playwright.chromium.launch(
        executable_path=CHROMIUM, args=list(_FLAGS), timeout=HANGS * 1_000
    )


@contextmanager
def watched(browser: Browser, address: str, **options: object) -> Iterator[Page]:
    """A page on the server at ``address``.

    Raises:
        AssertionError: at the end, if a script failed, something was written to the console (a
            refusal of the content security policy is), or another host was asked for anything.
            Answers of 4xx are written there by the browser itself, and do not count.
    """
    context: BrowserContext = browser.new_context(base_url=address, **options)
    page = context.new_page()
    page.set_default_timeout(HANGS * 1_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"{error.name}: {error.message} {error.stack}"))
    page.on(
        "console",
        lambda line: line.text.startswith("Failed to load resource") or wrong.append(line.text),
    )

    def asked(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("blob", "data") and f"{parts.scheme}://{parts.netloc}" != address:
            wrong.append(f"asked for {url}")

    page.on("request", lambda request: asked(request.url))
    yield page
    context.close()
    assert not wrong, wrong


def names(page: Page) -> list[str]:
    """What the list of finds holds, in order."""
    return page.locator("#results .name").all_inner_texts()
