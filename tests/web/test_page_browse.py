"""The page in a real browser, without a query: browsing, narrowing down, spectrograms."""

from __future__ import annotations

import re

import pytest
from browser import names
from playwright.sync_api import Page, expect

from wav2clip.library import Library

ROWS = "#file-rows > .sound"


def shown(page: Page) -> list[str]:
    return page.locator(f"{ROWS} .name").all_inner_texts()


def test_files_are_browsed_sorted_and_heard(page: Page, library: Library) -> None:
    page.goto("/")
    page.get_by_role("link", name="browse all of them").click()
    expect(page.locator(ROWS)).to_have_count(7)
    expect(page.get_by_role("heading", name="7 sounds")).to_be_visible()
    assert page.locator(".bar:visible").count() == 0
    lengths = page.get_by_role("columnheader", name="Length")
    expect(lengths).to_have_attribute("aria-sort", "none")
    lengths.get_by_role("button").click()
    expect(lengths).to_have_attribute("aria-sort", "ascending")
    lengths.get_by_role("button").click()
    expect(lengths).to_have_attribute("aria-sort", "descending")
    expect(page.locator(f"{ROWS} .name").first).to_have_text("long [take 1].aiff")
    assert "view=browse" in page.url and "sort=length" in page.url and "order=desc" in page.url
    expect(lengths.get_by_role("button")).to_be_focused()
    page.keyboard.press("ArrowDown")
    first = page.locator(f"{ROWS} .play").first
    expect(first).to_be_focused()
    expect(first).to_have_accessible_name(re.compile("^Pause long"))  # it plays
    page.keyboard.press("g")  # a mark is a query
    expect(page.locator("#results > li")).to_have_count(6)
    page.go_back()
    expect(page.locator(ROWS)).to_have_count(7)


def test_more_files_come_when_they_are_asked_for(page: Page) -> None:
    page.route(
        "**/api/files?*", lambda route: route.continue_(url=route.request.url.replace("=40", "=3"))
    )
    page.goto("/?view=browse&sort=size")
    expect(page.locator(ROWS)).to_have_count(3)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(ROWS)).to_have_count(6)
    expect(page.locator(f"{ROWS} .play").nth(3)).to_be_focused()
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(ROWS)).to_have_count(7)
    expect(page.locator("#more")).to_be_hidden()
    assert len(set(shown(page))) == 7


def test_facets_narrow_down_and_chips_take_it_back(page: Page) -> None:
    page.goto("/?view=browse")
    formats = page.get_by_role("group", name="Format")
    ogg = formats.get_by_role("checkbox", name="ogg 6 files")
    ogg.check()
    expect(page.locator(ROWS)).to_have_count(6)
    expect(formats.get_by_role("checkbox", name="ogg")).to_be_focused()
    formats.get_by_role("checkbox", name="aiff").check()
    expect(page.locator(ROWS)).to_have_count(7)
    assert "format=ogg&format=aiff" in page.url
    page.get_by_role("group", name="Channels").get_by_role("checkbox", name="stereo").check()
    expect(page.locator(ROWS)).to_have_count(1)
    chips = page.get_by_role("list", name="Chosen filters").get_by_role("button")
    expect(chips).to_have_text([re.compile("format ogg"), re.compile("aiff"), re.compile("stereo")])
    page.reload()
    expect(page.locator(ROWS)).to_have_count(1)
    chips.last.click()
    expect(page.locator(ROWS)).to_have_count(7)
    page.locator("#phrase").fill("dog")
    expect(page.locator("#results > li")).to_have_count(7)
    page.get_by_role("group", name="Folder").get_by_role("checkbox", name="dogs").check()
    expect(page.locator("#results > li")).to_have_count(3)
    page.get_by_label("At least, in seconds").press_sequentially("20")  # acts while one types
    expect(page.locator("#found-title")).to_contain_text("No sound passes the filters")
    expect(page.get_by_role("alert")).to_contain_text("all together by none")
    assert names(page) == []


def test_spectrograms_take_the_place_of_waveforms(page: Page) -> None:
    page.goto("/?q=rain&min_duration=20&all_segments=true")
    canvas = page.locator("#results canvas").first
    expect(canvas).to_be_visible()
    colours = """(canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      const seen = new Set();
      for (let at = 0; at < data.length; at += 4) seen.add(data.slice(at, at + 3).join());
      return seen.size;
    }"""
    assert page.evaluate("matchMedia('(prefers-color-scheme: light)').matches")
    with page.expect_response(lambda answer: "/spectrogram?" in answer.url) as answered:
        page.keyboard.press("S")
    assert answered.value.headers["content-type"] == "image/png"
    button = page.get_by_role("button", name="Spectrograms instead of waveforms")
    expect(button).to_have_attribute("aria-pressed", "true")
    page.wait_for_function(f"(canvas) => ({colours})(canvas) > 50", arg=canvas.element_handle())
    page.reload()
    expect(button).to_have_attribute("aria-pressed", "true")
    status = page.locator("#status")
    expect(status).to_contain_text("found")  # otherwise what was found is said after what follows
    button.click()
    expect(status).to_contain_text("Waveforms")


@pytest.mark.parametrize("width", [320, 1440])
def test_browsing_with_a_screen_reader_narrow_and_wide(page: Page, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.set_viewport_size({"width": width, "height": 700})
    page.goto("/?view=browse&channels=1")
    expect(page.locator(ROWS)).to_have_count(6)
    if width == 320:
        page.get_by_text("Narrow down").click()
    expect(page.get_by_role("group", name="Channels")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        found = axe.run(page).response["violations"]
        assert not found, [(each["id"], [n["html"] for n in each["nodes"]]) for each in found]


def test_nothing_to_narrow_down_takes_no_room(page: Page) -> None:
    """A library of which all files are alike; a choice that was made can still be taken back."""
    one = [{"value": "wav", "name": "wav", "files": 7, "deeper": False, "parts": []}]
    facets = {name: [] for name in ("folder", "category", "length", "rate", "channels")}
    alike = {"total": 7, **facets, "format": one}
    page.route("**/api/facets*", lambda route: route.fulfill(json=alike))
    page.goto("/?q=dog")
    expect(page.locator("#results > li").first).to_be_visible()
    expect(page.locator("#facets")).to_be_hidden()
    page.goto("/?q=dog&format=wav")
    expect(page.locator("#facets").get_by_text("Format")).to_be_visible()
