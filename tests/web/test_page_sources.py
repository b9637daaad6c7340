"""The page in a real browser: dropping, recording, indexing, the map, painting; what goes wrong."""

from __future__ import annotations

import base64
import re
import shutil
from pathlib import Path

import pytest
from browser import names, watched
from playwright.sync_api import Browser, Page, expect
from web_servers import PATIENT, running

from wav2clip.library import Library, Query

SECONDS = re.compile(r"0:(0[1-9]|[1-3])")
"""A clock that shows a second or more."""


def drop(page: Page, path: Path) -> None:
    """Let go of a file over the page, as a hand does."""
    page.evaluate(
        """([name, data]) => {
          const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], name));
          for (const type of ["dragenter", "dragover", "drop"]) {
            const options = { dataTransfer, bubbles: true, cancelable: true };
            document.body.dispatchEvent(new DragEvent(type, options));
          }
        }""",
        [path.name, base64.b64encode(path.read_bytes()).decode()],
    )


def test_a_dropped_sound_finds_its_like_and_shows_what_it_is_heard_as(
    page: Page, library: Library, recordings: Path
) -> None:
    sound = sorted((recordings / "dogs").iterdir())[0]
    page.goto("/")
    drop(page, sound)
    bars = page.get_by_role("list", name="Heard as").get_by_role("button")
    expect(bars).to_have_count(8)
    shares = [float(text.split("%")[0].split()[-1]) for text in bars.all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    expect(page.locator("#results > li").first).to_be_visible()
    assert names(page)[0] == library.search(Query.audio(sound))[0].path.name or sound.name

    page.get_by_role("button", name=f"Play {sound.name}").first.click()
    expect(page.locator("#player-name")).to_have_text(sound.name)
    page.get_by_label("Other words").fill("a dog barking, rain")
    page.get_by_role("button", name="Listen again").click()
    expect(bars).to_have_count(2)
    expect(bars.first).to_contain_text("a dog barking")
    bars.first.click()
    expect(page.locator("#phrase")).to_have_value("a dog barking")
    page.go_back()
    expect(bars).to_have_count(2)
    expect(page.locator("#sources")).to_contain_text(sound.name)


def test_a_dropped_picture_finds_what_the_library_finds(
    page: Page, library: Library, data: Path
) -> None:
    picture = sorted((data / "clip_vit_b32" / "photos").glob("*.jpg"))[0]
    page.goto("/")
    drop(page, picture)
    expect(page.locator("#results > li")).to_have_count(7)
    assert names(page) == [find.path.name for find in library.search(Query.image(picture))]
    expect(page.locator("#sources img")).to_be_visible()
    assert not page.locator("#heard").is_visible()


def test_the_microphone_is_searched_with(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("dialog")).to_contain_text("Listening")
    expect(page.get_by_role("dialog").locator("h2")).to_have_attribute("data-time", SECONDS)
    page.get_by_role("button", name="Stop and search").click()
    expect(page.locator("#results > li").first).to_be_visible()
    expect(page.locator("#sources")).to_contain_text("recording")


def test_a_refused_microphone_says_what_to_do(page: Page) -> None:
    page.add_init_script(
        "navigator.mediaDevices.getUserMedia = async () => {"
        " throw new DOMException('no', 'NotAllowedError'); }"
    )
    page.goto("/")
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("alert")).to_contain_text("Allow the microphone for this page")


def test_uploads_are_refused_with_the_reason(page: Page, tmp_path: Path) -> None:
    page.goto("/?q=rain")
    expect(page.locator("#results > li")).to_have_count(7)
    text = tmp_path / "notes.wav"
    text.write_text("no sound at all, whatever its name says\n" * 30)
    page.set_input_files("#file", text)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("notes.wav")
    big = tmp_path / "big.wav"
    big.write_bytes(bytes(3_000_000))
    page.set_input_files("#file", big)
    expect(alert).to_contain_text("2,000,000 bytes")
    expect(page.locator("#results > li")).to_have_count(7)  # what was shown stays
    page.get_by_role("button", name="Close this message").click()
    expect(alert).to_have_count(0)


def test_a_server_that_is_gone_or_busy_is_told_and_tried_again(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="7 sounds")).to_be_visible()
    page.context.set_offline(True)
    page.locator("#phrase").fill("rain")
    page.keyboard.press("Enter")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("wav2clip serve")
    page.context.set_offline(False)
    alert.get_by_role("button", name="Try again").click()
    expect(page.locator("#results > li")).to_have_count(7)
    expect(alert).to_have_count(0)

    busy = '{"detail": {"what": "too many requests", "expected": null, "do": "wait a moment"}}'
    page.route(
        "**/api/search?q=dog*",
        lambda route: route.fulfill(status=429, headers={"Retry-After": "1"}, body=busy),
        times=1,
    )
    page.locator("#phrase").fill("dog")
    page.keyboard.press("Enter")
    expect(alert).to_contain_text("Too many requests.")
    expect(alert).to_have_count(0)  # it tried again by itself
    expect(page.locator("#results > li")).to_have_count(7)


def test_an_address_that_is_no_longer_known_says_so(page: Page) -> None:
    page.goto(f"/?upload={'0' * 32}")
    expect(page.get_by_role("alert")).to_contain_text("Send the file again")
    page.goto(f"/?like={'0' * 32}")
    expect(page.get_by_role("alert")).to_be_visible()
    page.goto("/?view=nonsense&min_duration=x&max_duration=-1&q=rain")
    expect(page.locator("#results > li")).to_have_count(7)


def test_the_map_is_lit_by_a_search_and_plays_what_is_clicked(page: Page) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.goto("/?view=map&q=dog")
    canvas = page.get_by_role("application", name="Map")
    expect(canvas).to_be_visible()
    canvas.focus()
    expect(page.locator("#map-name")).to_contain_text("found as number 1")
    assert not axe.run(page).response["violations"]
    page.keyboard.press("PageDown")
    expect(page.locator("#map-name")).to_contain_text("found as number 2")
    page.keyboard.press("Enter")
    expect(page.locator("#player-name")).to_have_text(names(page)[1])
    page.keyboard.press("PageUp")
    expect(page.locator("#status")).to_contain_text("found as number 1")

    page.keyboard.press("0")
    name, left, top = page.evaluate(
        """async () => {
          const { Camera } = await import("/static/camera.js");
          const map = await (await fetch("/api/map")).json();
          const canvas = document.querySelector("#map");
          const camera = new Camera();
          camera.resize(canvas.clientWidth, canvas.clientHeight);
          const [x, y, file] = map.points.at(-1);
          const box = canvas.getBoundingClientRect();
          const [left, top] = camera.toScreen(x, y);
          return [map.names[file], box.left + left, box.top + top];
        }"""
    )
    page.mouse.move(left, top)
    expect(page.locator("#map-name")).to_contain_text(name)
    page.mouse.click(left, top)
    expect(page.locator("#player-name")).to_have_text(name)
    before = page.evaluate("document.querySelector('#map').toDataURL()")
    page.mouse.wheel(0, -400)
    page.wait_for_function(
        "before => document.querySelector('#map').toDataURL() !== before", arg=before
    )


def test_a_folder_is_indexed_while_one_watches(
    chromium: Browser, own_library: tuple[Library, Path], recordings: Path
) -> None:
    library, folder = own_library
    hostile = "<img src=x onerror=alert(1)>.ogg"
    for path in sorted((recordings / "rain").glob("*.ogg")):
        shutil.copy(path, folder)
    shutil.copy(path, folder / hostile)
    (folder / "broken.wav").write_bytes(b"RIFFnothing")
    with running(library, PATIENT) as address, watched(chromium, address) as page:
        page.goto("/?view=library")
        expect(page.get_by_label("Folder", exact=True).last).to_have_value(str(folder))
        page.get_by_role("button", name="Index").click()
        expect(page.locator(".job[data-state=done]")).to_contain_text("added")
        expect(page.locator("#failure-list")).to_contain_text("broken.wav")
        page.locator("#phrase").fill("rain")
        page.keyboard.press("Enter")
        expect(page.locator("#results > li")).to_have_count(len(list(folder.glob("*.ogg"))))
        assert hostile in names(page)  # as text
        page.get_by_role("link", name="Library").click()
        page.locator("#index-folder").fill("/etc")
        page.get_by_role("button", name="Index").click()
        expect(page.get_by_role("alert")).to_contain_text("--folder to allow others")


def test_a_picture_is_painted_while_one_watches(page: Page) -> None:
    page.goto("/?q=dog")
    page.get_by_role("button", name="Make a picture of").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Steps").fill("2")
    dialog.get_by_label("Size").select_option("128")
    dialog.get_by_role("button", name="Make it").click()
    expect(dialog.get_by_role("link", name="Download")).to_be_visible()
    picture = dialog.get_by_role("img", name="Picture of")
    assert picture.evaluate("async (image) => (await image.decode(), image.naturalWidth)") == 128
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
