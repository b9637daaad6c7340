"""Installing the page as an app."""

from __future__ import annotations

import io

from browser import watched
from fastapi.testclient import TestClient
from PIL import Image
from playwright.sync_api import Browser, expect
from web_servers import PATIENT, running

from wav2clip.library import Library

TOKEN = "sesame-sesame-sesame"


def test_what_an_app_is_installed_by(client: TestClient) -> None:
    page = client.get("/").text
    assert '<link rel="manifest" href="manifest.webmanifest"' in page
    answer = client.get("/manifest.webmanifest")
    assert answer.headers["content-type"] == "application/manifest+json"
    assert "manifest-src 'self'" in answer.headers["content-security-policy"]
    told = answer.json()
    assert (told["start_url"], told["scope"], told["display"]) == (".", ".", "standalone")
    purposes = set()
    for icon in told["icons"]:
        sent = client.get(f"/{icon['src']}")
        assert sent.headers["content-type"] == icon["type"]
        purposes.add(icon.get("purpose", "any"))
        if icon["type"] == "image/png":
            size = Image.open(io.BytesIO(sent.content)).size
            assert "{}x{}".format(*size) == icon["sizes"]
    assert purposes == {"any", "maskable"}


def test_a_browser_can_install_it(chromium: Browser, library: Library) -> None:
    """Behind a token, too: the manifest is asked for with the cookie."""
    with (
        running(library, PATIENT, token=TOKEN) as address,
        watched(chromium, address) as page,
    ):
        page.goto(f"/?token={TOKEN}")
        expect(page.get_by_role("heading", name="7 sounds")).to_be_visible()
        devtools = page.context.new_cdp_session(page)
        told = devtools.send("Page.getAppManifest")
        assert (told["url"], told["errors"]) == (f"{address}/manifest.webmanifest", [])
        assert '"standalone"' in told["data"]
        wrong = devtools.send("Page.getInstallabilityErrors")["installabilityErrors"]
        # A window that remembers nothing installs nothing; all else would be ours.
        assert {each["errorId"] for each in wrong} <= {"in-incognito"}
