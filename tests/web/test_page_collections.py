"""The page in a real browser: the star, the dialog, and the view of the collections."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import names, watched
from playwright.sync_api import Browser, Page, expect
from web_servers import PATIENT, running

from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.library import Library, Part
from wav2clip.library.collections import Collections

PRESSED = "aria-pressed"


@pytest.fixture(scope="module")
def own(library: Library, builtin: Wav2CLIP, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """A copy of the library, in which tests keep what they like."""
    copy = tmp_path_factory.mktemp("own") / "sounds"
    return Library.open(shutil.copytree(library.store.uri, copy), builtin)


@pytest.fixture(scope="module")
def address(own: Library) -> Iterator[str]:
    with running(own, PATIENT) as started:
        yield started


@pytest.fixture
def kept(own: Library) -> Collections:
    """The collections of the server's library, none of them yet."""
    for name, _, _ in own.collections.summaries():
        own.collections.delete(name)
    return own.collections


def searched(page: Page) -> list[str]:
    """Search for dogs; gives what was found."""
    page.goto("/?q=dog")
    expect(page.locator("#results > li")).to_have_count(7)
    return names(page)


def paths(kept: Collections, name: str) -> list[str]:
    return [item.path.name for item in kept.items(name)]


def test_a_star_keeps_a_find_and_is_remembered(page: Page, kept: Collections) -> None:
    best = searched(page)[0]
    first = page.locator("#results > li").first
    star = first.get_by_role("button", name=f"Favourite: {best}")
    expect(star).to_have_attribute(PRESSED, "false")
    star.click()
    expect(star).to_have_attribute(PRESSED, "true")
    expect(page.locator("#status")).to_contain_text(f"{best} is a favourite")
    assert paths(kept, "Favourites") == [best]
    page.goto("/?view=browse")  # all of the file was found: there it is the same
    listed = page.locator("#file-rows > .sound").filter(has_text=best)
    expect(listed.get_by_role("button", name="Favourite")).to_have_attribute(PRESSED, "true")
    searched(page)
    expect(star).to_have_attribute(PRESSED, "true")
    page.keyboard.press("/")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("f")
    expect(star).to_have_attribute(PRESSED, "false")
    assert kept.summaries() == []


def test_the_star_of_the_player_is_that_of_the_row(page: Page, kept: Collections) -> None:
    page.goto("/?q=dog&min_duration=20")
    row = page.locator("#results > li").first
    row.locator(".play").click()
    star = page.locator("#player-star")
    star.click()
    expect(star).to_have_attribute(PRESSED, "true")
    expect(row.get_by_role("button", name="Favourite")).to_have_attribute(PRESSED, "true")
    (item,) = kept.items("Favourites")
    assert not item.whole and item.end - item.start < item.duration - 1, "a part of it"
    row.get_by_role("button", name="Favourite").click()
    expect(star).to_have_attribute(PRESSED, "false")
    page.locator("#player-collect").click()
    expect(page.locator("#collect-name")).to_have_text(item.path.name)


def test_a_sound_goes_into_a_new_collection_and_one_that_is_there(
    page: Page, kept: Collections
) -> None:
    best, second = searched(page)[:2]
    button = page.get_by_role("button", name=f"Add {best} to a collection")
    button.click()
    dialog = page.get_by_role("dialog", name="Add to a collection")
    expect(dialog.get_by_label("New collection")).to_be_focused()
    page.keyboard.type("<b>Scene</b> 12 / 雨")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.locator("#status")).to_contain_text(f"Added {best} to <b>Scene</b> 12 / 雨")
    expect(button).to_be_focused()
    page.locator("#results .play").nth(1).focus()
    page.keyboard.press("a")
    dialog.get_by_role("button", name="<b>Scene</b> 12 / 雨 1 sound").click()
    expect(page.locator("#status")).to_contain_text(f"Added {second} to")
    assert paths(kept, "<b>Scene</b> 12 / 雨") == [best, second]
    page.keyboard.press("a")
    dialog.get_by_role("button", name="2 sounds").click()
    expect(page.locator("#status")).to_contain_text("already")
    page.keyboard.press("a")
    dialog.get_by_label("New collection").fill("\u202egnp")
    dialog.get_by_role("button", name="Add").click()
    expect(dialog.get_by_role("alert")).to_contain_text("expected 1 to 100")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert [each.name for each in kept.summaries()] == ["<b>Scene</b> 12 / 雨"]


def test_a_collection_is_a_list_that_plays(page: Page, kept: Collections, own: Library) -> None:
    (long,) = [path for path in own.files() if path.suffix == ".aiff"]
    files = sorted(path for path in own.files() if path != long)
    kept.add("b", [Part(long, 12, 17), *files[:2]], note="<i>owl</i>")
    kept.add("a", files[2:4])
    page.goto("/")
    page.get_by_role("link", name="Collections").click()
    expect(page.locator("#results > li")).to_have_count(2)
    assert page.title() == "a · collections · wav2clip"
    page.get_by_role("link", name=re.compile("^b 3")).click()
    expect(page.locator("#results > li")).to_have_count(3)
    assert "view=collections" in page.url and "collection=b" in page.url
    assert names(page) == [long.name, files[0].name, files[1].name]
    row = page.locator("#results > li").first
    expect(row).to_contain_text("0:12.0 to 0:17.0")
    expect(row.locator(".note")).to_have_text("<i>owl</i>")
    row.locator(".play").click()
    expect(row.locator(".play")).to_have_accessible_name(f"Pause {long.name}")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#results .play").nth(1)).to_be_focused()
    page.keyboard.press("Delete")
    expect(page.locator("#results > li")).to_have_count(2)
    expect(page.locator("#results .play").nth(1)).to_be_focused()
    assert paths(kept, "b") == [long.name, files[1].name]
    row.get_by_role("button", name="out of the collection").click()
    expect(page.locator("#results > li")).to_have_count(1)
    page.go_back()
    expect(page.get_by_role("heading", name="a 2 sounds")).to_be_visible()
    page.locator("#phrase").fill("dog")
    expect(page.locator("#results > li")).to_have_count(7)
    expect(page.locator("#collections")).to_be_hidden()
    page.go_back()
    expect(page.locator("#results > li")).to_have_count(2)


def test_a_collection_is_renamed_exported_and_deleted(
    page: Page, kept: Collections, own: Library
) -> None:
    files = sorted(own.files())
    kept.add("Rain", files[:2])
    kept.add("Other", files[2:3])
    page.goto("/?view=collections&collection=Rain")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Playlist").click()
    assert downloading.value.suggested_filename == "Rain.m3u8"
    lines = Path(downloading.value.path()).read_text("utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == [str(f) for f in files[:2]]
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Table").click()
    assert downloading.value.suggested_filename == "Rain.csv"
    page.get_by_role("button", name="Rename").click()
    dialog = page.get_by_role("dialog", name="Rename the collection")
    field = dialog.get_by_label("Name")
    expect(field).to_have_value("Rain")
    field.fill("Other")
    field.press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("already")
    field.fill("Rain 2")
    field.press("Enter")
    expect(page.get_by_role("heading", name="Rain 2 2 sounds")).to_be_visible()
    assert "collection=Rain+2" in page.url
    page.get_by_role("button", name="Delete").click()
    sure = page.get_by_role("dialog", name="Delete the collection?")
    expect(sure).to_contain_text("Rain 2: 2 sounds")
    sure.get_by_role("button", name="Keep it").click()
    page.get_by_role("button", name="Delete").click()
    sure.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Other 1 sound")).to_be_visible()
    assert [each.name for each in kept.summaries()] == ["Other"]
    page.goto("/?view=collections&collection=Rain")
    expect(page.locator("#no-collections")).to_have_text("There is no collection called Rain.")


def test_without_its_star_a_sound_leaves_the_favourites(
    page: Page, kept: Collections, own: Library
) -> None:
    files = sorted(own.files())[:2]
    kept.add("Favourites", files)
    page.goto("/?view=collections")
    stars = page.locator("#results [data-act=star]")
    expect(stars).to_have_count(2)
    expect(stars.first).to_have_attribute(PRESSED, "true")
    stars.first.click()
    expect(stars).to_have_count(1)
    expect(page.locator("#results .play")).to_be_focused()
    stars.first.click()
    expect(page.locator("#no-collections")).to_contain_text("Nothing is kept here yet")
    expect(page.locator("#collection-tools")).to_be_hidden()
    assert kept.summaries() == []


def test_what_is_missing_is_shown_and_can_be_taken_out(
    chromium: Browser, own_library: tuple[Library, Path]
) -> None:
    library, _ = own_library
    files = sorted(library.files())
    library.collections.add("Favourites", files[:2])
    files[0].unlink()
    with running(library, PATIENT) as started, watched(chromium, started) as page:
        page.goto("/?view=collections")
        gone = page.locator("#results > li").first
        expect(gone).to_contain_text("Missing")
        play = gone.get_by_role("button", name=f"Missing: {files[0].name}")
        expect(play).to_have_attribute("aria-disabled", "true")
        play.click(force=True)
        expect(page.locator("#status")).to_contain_text(f"{files[0].name} is missing")
        expect(page.locator("#player")).to_be_hidden()
        for key in "fagbld":  # of what is missing there is nothing to do that with
            page.keyboard.press(key)
        expect(page.locator("#results > li")).to_have_count(2)
        page.keyboard.press("Delete")
        expect(page.locator("#results > li")).to_have_count(1)
        assert [item.path for item in library.collections.items("Favourites")] == files[1:2]


@pytest.mark.parametrize("width", [320, 1440, 3840])
def test_collections_with_a_screen_reader_narrow_and_wide(
    page: Page, kept: Collections, own: Library, width: int
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    (long,) = [path for path in own.files() if path.suffix == ".aiff"]
    kept.add("Favourites", [Part(long, 12, 17), *own.files()], note="n" * 200)
    kept.add("W" * 100, [long])
    page.set_viewport_size({"width": width, "height": 700})
    page.goto("/?view=collections")
    expect(page.locator("#results > li")).to_have_count(8)
    page.locator("#results .play").first.click()
    expect(page.locator("#player")).to_be_visible()
    dialog = page.get_by_role("dialog", name="Add to a collection")
    for scheme, opens in (("dark", False), ("dark", True), ("light", True), ("light", False)):
        page.emulate_media(color_scheme=scheme)
        if opens and not dialog.is_visible():
            page.locator("#results .play").first.focus()
            page.keyboard.press("a")
            expect(dialog.locator("#collect-names button")).to_have_count(2)
        elif not opens:
            page.keyboard.press("Escape")
        expect(dialog).to_be_visible(visible=opens)
        found = axe.run(page).response["violations"]
        assert not found, [(each["id"], [n["html"] for n in each["nodes"]]) for each in found]
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
