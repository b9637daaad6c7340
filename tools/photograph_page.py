"""Take the pictures of the page that docs/web.md and the README show.

    python tools/synthesise_sounds.py sounds/ --takes 6
    wav2clip index sounds/ --library sounds.library
    wav2clip tag --library sounds.library --labels "rain,thunder,wind,waves,bird,bell,engine,siren"
    wav2clip serve --library sounds.library --port 8000 &
    python tools/photograph_page.py http://127.0.0.1:8000 docs/images --sound sounds/rain.ogg

Nobody's recordings are in them. It drives the Chromium of the system (`wav2clip[dev]` brings
Playwright).
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

_WAIT = 120_000  # ms; a map may have to be made first


def photograph(page: Page, target: Path) -> None:
    """Save what is seen."""
    page.wait_for_timeout(800)  # waveforms come a few at a time
    page.screenshot(path=target)


def open_page(browser: Browser, address: str, scheme: str, width: int, height: int) -> Page:
    """A page with a theme and a size in CSS pixels."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    page.set_default_timeout(_WAIT)
    page.goto(address)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("address", help="of a server: http://127.0.0.1:8000")
    parser.add_argument("out", type=Path)
    parser.add_argument("--phrase", default="rain")
    parser.add_argument("--sound", type=Path, required=True, help="to drop on the page")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"),
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        )
        found = f"{chosen.address}/?q={chosen.phrase}"
        page = open_page(browser, found, "dark", 1280, 720)
        page.locator("#phrase").press("ArrowDown")
        page.keyboard.press("ArrowDown")
        photograph(page, chosen.out / "web-search.png")

        page = open_page(browser, f"{found}&view=map", "light", 1280, 720)
        page.locator("#map").wait_for()
        photograph(page, chosen.out / "web-map.png")

        page = open_page(browser, chosen.address, "dark", 1280, 720)
        page.set_input_files("#file", chosen.sound)
        page.locator("#heard .label").first.wait_for()
        photograph(page, chosen.out / "web-sound.png")

        page = open_page(browser, found, "light", 320, 640)
        page.locator("#results .play").first.click()
        photograph(page, chosen.out / "web-narrow.png")
        browser.close()


if __name__ == "__main__":
    main()
