"""The page in a real browser: search, hear, filter, keyboard, address."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import soundfile
from browser import names, watched
from playwright.sync_api import Browser, Page, Route, expect

from patience import wait_until
from wav2clip.library import Filters, Library
from wav2clip.library.query import parse

NONZERO = re.compile(r"^(?!0\.0$)\d+\.\d$")


def search(page: Page, phrase: str) -> None:
    page.goto(f"/?q={phrase}")
    expect(page.locator("#results > li").first).to_be_visible()


def test_a_phrase_finds_what_the_library_finds_and_the_address_tells_it(
    page: Page, library: Library
) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="7 sounds")).to_be_visible()
    box = page.get_by_role("combobox", name="Search for a sound in words")
    box.fill("a dog + 0.5*rain")
    box.press("Enter")
    expect(page.locator("#results > li")).to_have_count(7)
    query = parse(["a", "dog", "+", "0.5*rain"])
    assert query is not None
    expected = [find.path.name for find in library.search(query, limit=40)]
    assert names(page) == expected
    assert page.url.endswith("/?q=a+dog+%2B+0.5*rain")
    assert page.title() == "a dog + 0.5*rain · wav2clip"

    page.go_back()
    expect(page.get_by_role("heading", name="7 sounds")).to_be_visible()
    expect(box).to_have_value("")
    page.go_forward()
    expect(page.locator("#results > li")).to_have_count(7)
    expect(box).to_have_value("a dog + 0.5*rain")


def test_typing_searches_and_half_a_query_is_no_error(page: Page) -> None:
    page.goto("/")
    box = page.locator("#phrase")
    box.press_sequentially("rain", delay=20)
    expect(page.locator("#results > li")).to_have_count(7)
    with page.expect_response(lambda answer: answer.status == 422) as answered:
        box.press_sequentially(" -", delay=20)
    assert "/api/search" in answered.value.url
    expect(page.locator("#results > li")).to_have_count(7)
    assert page.locator(".notice").count() == 0
    box.press("Enter")  # now it is meant
    expect(page.get_by_role("alert")).to_contain_text("without a phrase after it")


def test_what_is_typed_while_the_page_loads_is_kept(page: Page) -> None:
    asked: list[Route] = []
    page.route("**/api/library", lambda route: asked.append(route))
    page.goto("/")
    wait_until(lambda: page.evaluate("1") and asked)
    page.locator("#phrase").press_sequentially("rain")
    asked.pop().continue_()
    expect(page.locator("#results > li")).to_have_count(7)
    expect(page.locator("#phrase")).to_have_value("rain")


def test_the_keyboard_moves_plays_pauses_and_seeks(page: Page) -> None:
    search(page, "rain")
    page.keyboard.press("/")
    page.keyboard.press("ArrowDown")
    first, second = page.locator("#results .play").nth(0), page.locator("#results .play").nth(1)
    expect(first).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(second).to_be_focused()
    expect(second).to_have_accessible_name(f"Pause {names(page)[1]}")  # it plays
    expect(page.locator("#player-name")).to_have_text(names(page)[1])
    expect(page.locator("#player-position")).to_have_attribute("aria-valuenow", NONZERO)
    page.keyboard.press("Space")
    expect(second).to_have_accessible_name(f"Play {names(page)[1]}")
    position = page.locator("#player-position")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    before = float(position.get_attribute("aria-valuenow") or -1)
    page.keyboard.press("ArrowRight")
    expect(position).to_have_attribute("aria-valuenow", f"{before + 1:.1f}")
    page.keyboard.press("End")
    expect(page.locator("#results .play").last).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#results .play").last).to_be_focused()
    assert page.locator("#results [tabindex='0']").count() == 9  # of the current row alone


def test_a_file_plays_from_its_best_moment_which_is_marked(page: Page, library: Library) -> None:
    finds = library.search("rain", per_file=False, limit=40)
    index, long = next(
        (index, find) for index, find in enumerate(finds) if find.path.suffix == ".aiff"
        if find.peak > 0 and find.end - find.start < 15
    )  # fmt: skip
    page.goto("/?q=rain&all_segments=true")
    row = page.locator("#results > li").nth(index)
    row.scroll_into_view_if_needed()
    row.locator(".play").click()
    position = page.locator("#player-position")
    expect(row.locator(".play")).to_have_accessible_name(f"Pause {long.path.name}")
    heard = "element => Number(element.getAttribute('aria-valuenow'))"
    seconds: list[float] = []  # looked at once: while the sound loads it may be 0 again
    wait_until(lambda: seconds.append(position.evaluate(heard)) or seconds[-1] > 0)
    assert long.peak <= seconds[-1] <= long.duration
    # The middle of the best moment, and a place as far away from it as the file allows.
    inside = (long.start + long.end) / 2 / long.duration
    colours = row.locator("canvas").evaluate(
        """(canvas, places) => {
          const { width, height } = canvas;
          const { data } = canvas.getContext("2d").getImageData(0, height - 1, width, 1);
          return places.map((place) => [...data.slice(4 * Math.floor(place * width)).slice(0, 4)]);
        }""",
        [inside, (inside + 0.5) % 1],
    )
    assert colours[0] != colours[1]


def test_sound_is_heard(page: Page) -> None:
    """How soon is measured by benchmarks/web.py."""
    search(page, "dog")
    heard = page.evaluate(
        """async () => {
          const { player } = await import("/static/player.js");
          const started = new Promise((done) => player.addEventListener("time", () => {
            if (player.time > player.sound.start) done(player.sound.name);
          }));
          document.querySelector("#results .play").click();
          return await started;
        }"""
    )
    assert heard == names(page)[0]


def test_more_like_this_copy_and_download(page: Page, library: Library) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    search(page, "dog")
    row = page.locator("#results > li").first
    best = library.search("dog")[0].path
    row.get_by_role("button", name="Copy the path").click()
    expect(page.locator("#status")).to_contain_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == str(best)
    with page.expect_download() as downloading:
        row.get_by_role("link", name=f"Download {best.name}").click()
    assert Path(downloading.value.path()).read_bytes() == best.read_bytes()
    assert downloading.value.suggested_filename == best.name

    row.get_by_role("button", name=f"More like {best.name}").click()
    expect(page.locator("#sources")).to_contain_text(f"like {best.name}")
    expect(page.locator("#results > li")).to_have_count(6)  # without itself
    assert "like=" in page.url
    page.get_by_role("button", name="Take this away").click()
    expect(page.get_by_role("heading", name="7 sounds")).to_be_visible()


def test_a_part_is_downloaded_and_dragged_out(page: Page, library: Library) -> None:
    """A row is handed to other programs as what was found in it."""
    page.goto("/?q=dog&min_duration=20")
    row = page.locator("#results > li").first
    (find,) = library.search("dog", filters=Filters(min_duration=20))
    assert find.end - find.start < find.duration - 1, "a part of it"
    with page.expect_download() as downloading:
        row.get_by_role("link", name="Download this part").click()
    name = downloading.value.suggested_filename
    assert name == f"long [take 1] 0m{find.start:04.1f}s.wav"
    info = soundfile.info(downloading.value.path())
    assert info.duration == pytest.approx(find.end - find.start, abs=0.01)
    dragged = row.evaluate(
        """(row) => {
          const event = new DragEvent("dragstart", { dataTransfer: new DataTransfer() });
          row.dispatchEvent(event);
          return event.dataTransfer.getData("DownloadURL");
        }"""
    )
    kind, called, address = dragged.split(":", 2)
    assert (kind, called) == ("audio/wav", name)
    sent = page.request.get(address)
    assert sent.ok and sent.body()[:4] == b"RIFF"


def test_finds_are_marked_as_right_and_wrong(page: Page) -> None:
    search(page, "dog")
    best, second = names(page)[:2]
    row = page.locator("#results > li").first
    row.get_by_role("button", name="Right").click()
    expect(page.locator("#sources")).to_contain_text(f"like {best}")
    expect(page.locator("#results > li").first.locator(".name")).to_have_text(best)
    good = page.locator("#results > li").first.get_by_role("button", name="Right")
    expect(good).to_have_attribute("aria-pressed", "true")
    other = page.locator("#results > li").filter(has_text=second)
    other.get_by_role("button", name="Wrong").click()
    expect(page.locator("#results > li")).to_have_count(6)
    expect(page.locator("#sources")).to_contain_text(f"not {second}")
    page.keyboard.press("/")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("g")  # takes the mark back
    expect(page.locator("#sources")).not_to_contain_text(f"like {best}")
    page.locator("#sources").get_by_role("button", name="Take this away").click()
    expect(page.locator("#results > li")).to_have_count(7)
    expect(page.locator("#unlikely")).to_be_hidden()
    page.goto("/?q=xqzvkw")
    expect(page.locator("#unlikely")).to_be_visible()


def test_filters_narrow_and_can_be_cleared(page: Page, library: Library) -> None:
    search(page, "rain")
    page.get_by_label("At least, in seconds").fill("20")
    page.get_by_label("At least, in seconds").press("Enter")
    expect(page.locator("#results > li")).to_have_count(1)
    assert names(page) == ["long [take 1].aiff"]
    page.get_by_label("At most, in seconds").fill("21")
    page.get_by_label("At most, in seconds").press("Tab")
    expect(page.locator("#found-title")).to_contain_text("No sound passes the filters")
    page.locator("#found-title button").click()
    expect(page.locator("#results > li")).to_have_count(7)

    folders = page.locator("#filters").get_by_label("Folder")
    folder = folders.locator("option").filter(has_text="dogs")
    folders.select_option(folder.get_attribute("value"))
    expect(page.locator("#results > li")).to_have_count(3)
    folders.select_option("")
    page.locator("#tags").select_option("dog")
    tagged = library.search("rain", filters=Filters(tags=("dog",)), limit=40)
    expect(page.locator("#results > li")).to_have_count(len(tagged))
    expect(page.get_by_role("list", name="Chosen filters")).to_contain_text("dog")
    assert "tag=dog" in page.url
    page.reload()
    expect(page.locator("#results > li")).to_have_count(len(tagged))
    page.get_by_role("list", name="Chosen filters").get_by_role("button").click()
    expect(page.locator("#results > li")).to_have_count(7)


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("width", [320, 3840])
def test_it_fits_narrow_and_wide_in_both_themes(
    chromium: Browser, address: str, width: int, scheme: str
) -> None:
    size = {"width": width, "height": 640 if width == 320 else 2160}
    with watched(
        chromium, address, viewport=size, color_scheme=scheme, reduced_motion="reduce"
    ) as page:
        search(page, "rain")
        light = (
            page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(245, 244, 241)"
        )
        assert light == (scheme == "light")
        page.locator("#results .play").first.click()
        expect(page.locator("#player")).to_be_visible()
        for view in ("List", "Library"):
            page.get_by_role("link", name=view).click()
            beyond = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert beyond <= 0, view
        page.get_by_role("button", name="Theme").click()  # as the system -> dark
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 27)"


def test_it_can_be_used_with_a_screen_reader(page: Page) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    search(page, "rain")
    page.locator("#results .play").first.click()
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        for open_view in (
            lambda: page.get_by_role("link", name="Library").click(),
            lambda: page.get_by_role("link", name="List").click(),
            lambda: page.get_by_role("button", name="Keyboard shortcuts").click(),
        ):
            open_view()
            found = axe.run(page).response["violations"]
            assert not found, [(each["id"], [n["html"] for n in each["nodes"]]) for each in found]
        page.keyboard.press("Escape")
    for landmark in ("banner", "search", "navigation", "main"):
        expect(page.get_by_role(landmark).first).to_be_visible()
    expect(page.get_by_role("region", name="Player")).to_be_visible()
