"""The page in a real browser: levels that are matched, speed and pitch."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from browser import watched
from playwright.sync_api import Browser, Page, expect
from web_servers import PATIENT, running

from media import tone
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.library import Library

GAIN = "import('/static/player.js').then(({ player }) => player.gain)"
AUDIO = "import('/static/player.js').then(({ player }) => [player.speed, player.keepsPitch])"


@pytest.fixture(scope="module")
def levels(builtin: Wav2CLIP, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of sounds that are loud, quiet, almost all pause, and silent."""
    folder = tmp_path_factory.mktemp("levels")
    wave = tone(2.0)
    for name, sound in {
        "loud": 2 * wave,
        "quiet": 0.02 * wave,
        "pause": np.concatenate([0.02 * wave, np.zeros(16_000 * 6, np.float32)]),
        "peak": np.concatenate([0.004 * wave, np.full(8, 0.9, np.float32)]),
        "silent": 0 * wave,
    }.items():
        soundfile.write(folder / f"{name}.wav", sound, 16_000, subtype="FLOAT")
    library = Library.open(tmp_path_factory.mktemp("library") / "sounds", builtin)
    library.index(folder)
    with running(library, PATIENT) as address:
        yield address


def play(page: Page, name: str) -> None:
    page.get_by_role("button", name=f"Play {name}.wav").first.click()
    expect(page.locator("#player-name")).to_have_text(f"{name}.wav")


def test_levels_are_matched_when_told_so(chromium: Browser, levels: str) -> None:
    with watched(chromium, levels) as page:
        page.goto("/?view=browse")
        expect(page.locator("#file-rows > .sound")).to_have_count(5)
        play(page, "loud")
        assert page.evaluate(GAIN) == 1
        page.get_by_role("button", name="Play all at about the same loudness").click()
        expect(page.locator("#status")).to_have_text("Levels are matched")
        # A sine has 3.01 dB less by RMS than at its peak; -23 dBFS is aimed at.
        for name, gain in {
            "loud": -23 + 3.01, "quiet": 24.0, "pause": 24.0, "peak": 20 * math.log10(1 / 0.9),
            "silent": 0.0,
        }.items():  # fmt: skip
            play(page, name)
            page.wait_for_function(
                f"async wanted => Math.abs(20 * Math.log10(await {GAIN}) - wanted) < 0.1", arg=gain
            )
        page.reload()
        play(page, "quiet")  # it is remembered
        page.wait_for_function(f"async () => await {GAIN} > 10")
        page.keyboard.press("m")
        expect(page.locator("#status")).to_have_text("Levels are as recorded")
        assert page.evaluate(GAIN) == 1


def test_a_matched_sound_is_heard(chromium: Browser, levels: str) -> None:
    """It goes through a graph of its own, which begins suspended."""
    with watched(chromium, levels) as page:
        page.add_init_script("localStorage['wav2clip.match'] = 'true'")
        page.goto("/?view=browse")
        play(page, "quiet")
        page.wait_for_function(
            """async () => {
              const { player } = await import("/static/player.js");
              return player.time > 0.2 && player.gain > 10;
            }"""
        )


def test_no_sample_is_raised_beyond_full_scale(page: Page) -> None:
    page.goto("/")
    gains = page.evaluate(
        """async () => {
          const { gainOf } = await import("/static/audition.js");
          const given = [[-60, 0.5], [-60, 0.01], [-23, 1], [-10, 1.5], [-3, 1], [-40, 0.2]];
          return given.map(([level, peak]) => {
            const gain = gainOf({ level, peak });
            return [peak * gain, gain];
          });
        }"""
    )
    assert all(peak <= 1 for peak, _ in gains)
    assert [round(20 * math.log10(gain), 1) for _, gain in gains] == [
        6.0, 24.0, 0.0, -13.0, -20.0, 14.0
    ]  # fmt: skip


def test_speed_and_pitch_by_mouse_and_keyboard_are_remembered(page: Page) -> None:
    page.goto("/?q=rain")
    page.locator("#results .play").first.click()
    speed = page.get_by_label("Speed")
    expect(speed).to_have_value("1")
    speed.select_option("0.25")
    assert page.evaluate(AUDIO) == [0.25, True]
    pitch = page.get_by_role("button", name="Keep the pitch at other speeds")
    pitch.click()
    expect(pitch).to_have_attribute("aria-pressed", "false")
    assert page.evaluate(AUDIO) == [0.25, False]
    page.locator("#results .play").nth(1).click()  # another sound
    expect(page.locator("#player-name")).to_have_text(
        page.locator("#results .name").nth(1).inner_text()
    )
    assert page.evaluate(AUDIO) == [0.25, False]
    page.keyboard.press("<")
    expect(speed).to_have_value("0.25")  # the slowest
    page.keyboard.press(">")
    expect(speed).to_have_value("0.5")
    expect(page.locator("#status")).to_have_text("Speed 0.5")
    page.keyboard.press("p")
    expect(pitch).to_have_attribute("aria-pressed", "true")
    page.reload()
    page.locator("#results .play").first.click()
    expect(speed).to_have_value("0.5")
    assert page.evaluate(AUDIO) == [0.5, True]
    page.locator("#phrase").press_sequentially("<>pm")  # in a field they are letters
    expect(speed).to_have_value("0.5")
    page.get_by_role("button", name="Keyboard shortcuts").click()
    page.get_by_label("Letters and signs are shortcuts").uncheck()
    page.keyboard.press("Escape")
    page.locator("#results .play").first.focus()
    page.keyboard.press(">")
    expect(speed).to_have_value("0.5")


@pytest.mark.parametrize("held", ['"fast"', "7", "null", "{}", "nonsense"])
def test_whatever_is_remembered_does_no_harm(page: Page, held: str) -> None:
    page.add_init_script(
        "for (const name of ['speed', 'pitch', 'match'])"
        f" localStorage[`wav2clip.${{name}}`] = `{held}`"
    )
    page.goto("/?q=rain")
    page.locator("#results .play").first.click()
    expect(page.get_by_label("Speed")).to_have_value("1")
    assert page.evaluate(AUDIO)[0] == 1


@pytest.mark.parametrize("width", [320, 800, 1440])
def test_the_player_fits_and_reads_narrow_and_wide(page: Page, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.set_viewport_size({"width": width, "height": 700})
    page.goto("/?q=rain")
    page.locator("#results .play").first.click()
    expect(page.get_by_role("group", name="Auditioning")).to_be_visible()
    assert page.locator("#player-name").bounding_box()["width"] > 80
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        found = axe.run(page).response["violations"]
        assert not found, [(each["id"], [n["html"] for n in each["nodes"]]) for each in found]
