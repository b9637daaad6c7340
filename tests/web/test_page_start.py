"""The page in a real browser: the first start, without a library."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from browser import names, watched
from playwright.sync_api import Browser, Page, expect
from web_servers import PATIENT, running

from patience import HANGS
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.library import IndexReport, Library
from wav2clip.web import folders

TOKEN = "sesame-sesame-sesame"
ROWS = "#chooser-list button"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recordings: Path) -> Path:
    """A home folder with sounds, one of them broken, and hostile names."""
    home = tmp_path / "home"
    shutil.copytree(recordings / "dogs", home / "sounds" / "dogs")
    (home / "sounds" / "<img src=x onerror=alert(1)>").mkdir()
    (home / "sounds" / "<b>broken.wav").write_bytes(b"RIFFnothing")
    (home / "music").mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(folders, "_MOUNTS", ())
    return home


@pytest.fixture
def first(chromium: Browser, home: Path, builtin: Wav2CLIP, tmp_path: Path) -> Iterator[Page]:
    """The page of a server without a library."""
    library = Library.open(tmp_path / "library", builtin)
    server = running(library, PATIENT, token=TOKEN, any_folder=True)
    with server as address, watched(chromium, address) as page:
        page.goto(f"/?token={TOKEN}")
        expect(page.locator(ROWS)).to_have_count(2)
        yield page


def test_a_folder_is_chosen_and_indexed_on_the_first_start(first: Page, home: Path) -> None:
    page = first
    expect(page.get_by_role("heading", name="No sounds yet")).to_be_visible()
    expect(page.locator("#chooser-here")).to_contain_text(str(home))
    assert page.locator("#index-folder").input_value() == ""  # nothing is chosen unasked
    page.get_by_role("button", name="sounds", exact=False).first.click()
    expect(page.locator("#chooser-here")).to_contain_text("1 sound")
    expect(page.locator("#index-folder")).to_have_value(f"{home}/sounds")
    expect(page.locator(ROWS).first).to_contain_text("<img src=x onerror=alert(1)>")  # as text
    expect(page.locator(ROWS).last).to_contain_text("3 sounds")
    page.get_by_role("button", name="Index", exact=True).click()
    expect(page.get_by_role("heading", name="3 sounds")).to_be_visible()
    expect(page.locator("main")).to_be_focused()
    page.get_by_role("link", name="1 file could not be indexed").click()
    failure = page.locator("#failure-list li")
    expect(failure).to_have_count(1)
    expect(failure.locator(".name")).to_have_text("<b>broken.wav")
    expect(failure.locator(".reason")).not_to_be_empty()
    expect(page.locator(".job[data-state=done]")).to_contain_text("3 added, 1 failed")
    page.locator("#phrase").fill("dog")
    expect(page.locator("#results > li")).to_have_count(3)
    assert len(names(page)) == 3


def test_a_page_that_is_loaded_anew_goes_on_watching(
    first: Page, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = first
    go_on = Event()
    index = Library.index

    def slow(library: Library, folder: Path, **options: Any) -> IndexReport:
        assert go_on.wait(HANGS)
        return index(library, folder, **options)

    monkeypatch.setattr(Library, "index", slow)
    page.locator("#index-folder").fill(f"{home}/sounds")
    page.get_by_role("button", name="Index", exact=True).click()
    expect(page.locator(".job[data-state=running]")).to_be_visible()
    page.reload()
    try:
        expect(page.locator(".job[data-state=running]")).to_contain_text("Indexing")
    finally:
        go_on.set()
    expect(page.get_by_role("heading", name="3 sounds")).to_be_visible()


def test_folders_are_gone_through_by_keyboard(first: Page, home: Path) -> None:
    page = first
    rows = page.locator(ROWS)
    rows.first.focus()
    page.keyboard.press("ArrowDown")
    expect(rows.nth(1)).to_be_focused()
    page.keyboard.press("Home")
    expect(rows.nth(0)).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(page.locator("#chooser-here")).to_contain_text(f"{home}/sounds")
    expect(rows.first).to_be_focused()
    expect(page.locator("#status")).to_contain_text("2 folders, 1 sound")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#chooser-here")).to_contain_text(f"{home}/sounds/dogs")
    expect(page.locator("#chooser-rest")).to_have_text("No folders in it.")
    up = page.get_by_role("button", name="Up to the folder")
    expect(up).to_be_focused()
    page.keyboard.press("Enter")
    expect(rows.nth(1)).to_be_focused()  # where one came from
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#chooser-here")).not_to_contain_text("sounds")
    assert page.locator(f"{ROWS}[tabindex='0']").count() == 1
    page.get_by_role("list", name="Where to begin").get_by_role("button", name="/").last.click()
    expect(page.locator("#index-folder")).to_have_value("/")
    expect(up).to_be_disabled()


def test_typed_paths_are_completed_and_wrong_ones_refused(first: Page, home: Path) -> None:
    page = first
    page.locator("#index-folder").press_sequentially(f"{home}/so")
    expect(page.locator("#index-folders option")).to_have_count(1)
    expect(page.locator("#index-folders option")).to_have_attribute("value", f"{home}/sounds")
    assert page.get_by_role("alert").count() == 0
    page.locator("#index-folder").fill(f"{home}/none")
    page.get_by_role("button", name="Index", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("no folder that can be looked at")


@pytest.mark.parametrize("width", [320, 1440])
def test_the_first_start_with_a_screen_reader_narrow_and_wide(first: Page, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = first
    page.set_viewport_size({"width": width, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        found = axe.run(page).response["violations"]
        assert not found, [(each["id"], [n["html"] for n in each["nodes"]]) for each in found]


def test_where_nothing_may_be_indexed_no_folders_are_offered(
    chromium: Browser, builtin: Wav2CLIP, tmp_path: Path
) -> None:
    library = Library.open(tmp_path / "library", builtin)
    with running(library, PATIENT) as address, watched(chromium, address) as page:
        page.goto("/")
        expect(page.locator("#index-allowed")).to_contain_text("No folder may be indexed")
        expect(page.locator("#chooser")).to_be_hidden()
