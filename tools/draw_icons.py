"""Draw the icons of the page as an app from its logo, src/wav2clip/web/static/logo.svg.

    python tools/draw_icons.py

Systems put the icon of an installed page on grounds of any colour, and some cut it to a shape of
their own: for those there is one that fills its square, with the logo inside of the circle that
none of them cuts into. It drives the Chromium of the system (`wav2clip[dev]` brings Playwright).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

STATIC = Path(__file__).parent.parent / "src" / "wav2clip" / "web" / "static"

_GROUND = "#15181b"  # of the page in its dark theme
_SAFE = 0.56
"""Width of the logo in the icon that is cut. The safe circle has a radius of 40 % of the width
(W3C Web App Manifest, section 'Icon masks and safe zone'): a square of 0.56 lies inside of it."""


def draw(page: Page, target: Path, size: int, share: float, ground: str) -> None:
    """Save the logo as a PNG.

    Args:
        page: of a browser.
        target: where to.
        size: pixels across.
        share: width of the logo as a share of that.
        ground: CSS colour behind it.
    """
    logo = (STATIC / "logo.svg").read_text("utf-8")
    page.set_viewport_size({"width": size, "height": size})
    page.set_content(
        f"<style>body {{ margin: 0; height: {size}px; display: grid; place-items: center;"
        f" background: {ground} }} svg {{ width: {size * share}px }}</style>{logo}"
    )
    page.screenshot(path=target, omit_background=True)


def main() -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("chromium-browser"),
            args=["--no-sandbox"],
        )
        page = browser.new_page()
        for size in (192, 512):
            draw(page, STATIC / f"icon-{size}.png", size, 1.0, "transparent")
        draw(page, STATIC / "icon-whole-512.png", 512, _SAFE, _GROUND)
        browser.close()


if __name__ == "__main__":
    main()
