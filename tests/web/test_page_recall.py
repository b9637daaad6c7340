"""The page in a real browser: the last searches and saved ones, in the search box and a dialog."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

OPTIONS = "#recall-list [role=option]"


def opened(page: Page, address: str) -> None:
    """Open the page, and wait until it has taken its state from the address."""
    page.goto(address)
    expect(page.locator("body")).to_have_attribute("data-view", re.compile("."))


def searched(page: Page, phrase: str) -> None:
    page.locator("#phrase").fill(phrase)
    page.locator("#phrase").press("Enter")
    expect(page).to_have_title(f"{phrase} · wav2clip")


def kept(page: Page, name: str) -> object:
    return page.evaluate("name => JSON.parse(localStorage.getItem(`wav2clip.${name}`))", name)


def test_the_last_searches_are_recalled_by_keyboard(page: Page) -> None:
    opened(page, "/")
    box = page.get_by_role("combobox", name="Search for a sound in words")
    for phrase in ("rain", "dog", "wind", "rain"):
        searched(page, phrase)
    assert kept(page, "last") == ["?q=rain", "?q=wind", "?q=dog"]  # no search twice
    box.press("ArrowUp")
    expect(box).to_have_attribute("aria-expanded", "true")
    expect(page.locator(OPTIONS)).to_have_text(
        [re.compile(each) for each in ("rain", "wind", "dog")]
    )
    assert box.get_attribute("aria-activedescendant") is None
    box.press("ArrowDown")
    box.press("ArrowDown")
    chosen = page.locator(f"{OPTIONS}[aria-selected=true]")
    expect(chosen).to_contain_text("wind")
    expect(box).to_have_attribute("aria-activedescendant", chosen.get_attribute("id") or "")
    expect(box).to_be_focused()
    box.press("Enter")
    expect(page).to_have_title("wind · wav2clip")
    expect(box).to_have_value("wind")
    expect(box).to_have_attribute("aria-expanded", "false")
    box.press("Alt+ArrowDown")
    box.press("ArrowUp")  # the last of them
    expect(chosen).to_contain_text("dog")
    box.press("Escape")
    expect(page.locator("#recall")).to_be_hidden()
    expect(box).to_have_value("wind")
    expect(page.locator("#results > li").first).to_be_visible()
    box.press("ArrowDown")  # closed, it leads into the finds as ever
    expect(page.locator("#results .play").first).to_be_focused()
    page.reload()
    box.press("ArrowUp")
    expect(page.locator(OPTIONS).first).to_contain_text("wind")


def test_the_last_searches_are_recalled_by_mouse_with_their_filters(page: Page) -> None:
    opened(page, "/?q=rain&format=ogg&min_duration=1")
    expect(page.locator("#results > li").first).to_be_visible()
    searched(page, "dog")
    page.locator("#clear-filters").click()
    expect(page).to_have_url(re.compile(r"/\?q=dog$"))
    page.get_by_role("button", name="Saved and last searches").click()
    expect(page.get_by_role("group", name="Last searches")).to_be_visible()
    first = page.locator(OPTIONS, has_text="rain")
    expect(first).to_contain_text("at least 1 s, format ogg")
    first.click()
    expect(page).to_have_url(re.compile(r"\?q=rain&min_duration=1&format=ogg$"))
    expect(page.locator("#phrase")).to_be_focused()
    page.get_by_role("button", name="Saved and last searches").click()
    page.locator("#results .play").last.click()  # elsewhere
    expect(page.locator("#recall")).to_be_hidden()


def test_what_is_typed_is_remembered_when_one_leaves_it(page: Page) -> None:
    opened(page, "/")
    page.locator("#phrase").press_sequentially("rain")
    expect(page).to_have_title("rain · wav2clip")
    assert not kept(page, "last")
    page.locator("#phrase").blur()
    assert kept(page, "last") == ["?q=rain"]


def test_searches_are_saved_opened_and_removed(page: Page) -> None:
    opened(page, "/?q=dog&format=ogg&view=map")
    expect(page.locator("#results > li").first).to_be_visible()
    page.get_by_role("button", name="Saved and last searches").click()
    page.get_by_role("button", name="Save or remove searches").click()
    dialog = page.get_by_role("dialog", name="Searches")
    expect(dialog.locator("#save-what")).to_have_text("dog, format ogg, on the map")
    hostile = "<img src=x onerror=alert(1)>"
    name = dialog.get_by_label("Save this search as")
    expect(name).to_be_focused()
    name.fill(f" {hostile} ")
    name.press("Enter")
    expect(page.locator("#status")).to_contain_text("Saved")
    link = dialog.get_by_role("list", name="Saved").get_by_role("link")
    expect(link).to_have_text(hostile)  # as text
    name.fill(hostile)
    name.press("Enter")
    expect(page.locator("#status")).to_contain_text("Replaced")
    expect(link).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("#phrase")).to_be_focused()

    opened(page, "/")
    page.locator("#phrase").press("ArrowUp")
    page.locator("#phrase").press("ArrowDown")
    expect(page.locator(f"{OPTIONS}[aria-selected=true]")).to_contain_text(hostile)
    page.locator("#phrase").press("Enter")
    expect(page).to_have_url(re.compile(r"\?q=dog&format=ogg&view=map$"))
    page.get_by_role("button", name="Saved and last searches").click()
    page.get_by_role("button", name="Save or remove searches").click()
    dialog.get_by_role("button", name=f"Remove {hostile}").click()
    expect(link).to_have_count(0)
    assert kept(page, "saved") == []
    dialog.get_by_role("list", name="Last searches").get_by_role("link").first.click()
    expect(dialog).to_be_hidden()
    expect(page).to_have_url(re.compile(r"\?q=dog&format=ogg$"))


def test_the_last_searches_are_forgotten_when_told_so_and_bounded(page: Page) -> None:
    opened(page, "/")
    expect(page.get_by_role("heading", name="7 sounds")).to_be_visible()
    page.evaluate(
        """async () => {
          const { remember } = await import("/static/recalls.js");
          const { read } = await import("/static/state.js");
          for (let at = 0; at < 40; at += 1) remember(read(`?q=number ${at}`));
        }"""
    )
    last = kept(page, "last")
    assert isinstance(last, list) and len(last) == 30 and last[0] == "?q=number+39"
    page.locator("#phrase").press("ArrowUp")
    page.get_by_role("button", name="Save or remove searches").click()
    dialog = page.get_by_role("dialog", name="Searches")
    expect(dialog.locator("#save-search")).to_be_hidden()  # nothing is searched for
    dialog.get_by_role("button", name="Forget the last searches").click()
    expect(dialog.locator("#last-list")).to_be_hidden()
    assert kept(page, "last") == []
    page.keyboard.press("Escape")
    page.locator("#phrase").press("ArrowUp")
    expect(page.locator(OPTIONS)).to_have_text("No searches yet")
    page.locator("#phrase").press("ArrowDown")
    page.locator("#phrase").press("Enter")
    expect(page.locator("#recall")).to_be_hidden()


def test_addresses_that_the_server_forgets_are_not_kept(page: Page) -> None:
    opened(page, "/?q=dog")
    page.get_by_role("button", name="Right").first.click()
    expect(page.locator("#sources")).to_contain_text("like")
    assert kept(page, "last") == ["?q=dog"]
    page.get_by_role("button", name=re.compile("^More like")).first.click()
    expect(page).to_have_title("more like this · wav2clip")
    assert kept(page, "last") == ["?q=dog"]


@pytest.mark.parametrize(
    "held",
    ["nonsense", "{}", "null", "3", '[1, null, {}, "javascript:alert(1)", ["?q=a"]]',
     '[{"name": 3, "address": "?q=a"}, {"name": "a", "address": "//evil.example"}, {"name": ""}]'],
)  # fmt: skip
def test_whatever_the_browser_holds_does_no_harm(page: Page, held: str) -> None:
    page.add_init_script(
        "for (const name of ['last', 'saved'])"
        f" localStorage[`wav2clip.${{name}}`] = {json.dumps(held)}"
    )
    opened(page, "/")
    expect(page.get_by_role("heading", name="7 sounds")).to_be_visible()
    page.locator("#phrase").press("ArrowUp")
    expect(page.locator(OPTIONS)).to_have_text("No searches yet")


@pytest.mark.parametrize("width", [320, 1440])
def test_recalling_with_a_screen_reader_narrow_and_wide(page: Page, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.set_viewport_size({"width": width, "height": 700})
    opened(page, "/?q=dog&format=ogg")
    searched(page, "rain")
    page.evaluate(
        "localStorage['wav2clip.saved'] = JSON.stringify([{ name: 'mine', address: '?q=a' }])"
    )
    page.locator("#phrase").press("ArrowUp")
    page.locator("#phrase").press("ArrowDown")
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        found = axe.run(page).response["violations"]
        assert not found, [(each["id"], [n["html"] for n in each["nodes"]]) for each in found]
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.get_by_role("button", name="Save or remove searches").click()
    found = axe.run(page).response["violations"]
    assert not found, [(each["id"], [n["html"] for n in each["nodes"]]) for each in found]
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
