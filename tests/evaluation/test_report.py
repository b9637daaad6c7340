"""The report: quoted figures marked, draws merged, one page that needs nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from wav2clip.errors import DataError
from wav2clip.evaluation.records import Record
from wav2clip.evaluation.report import Picture, mistakes, write
from wav2clip.evaluation.tables import efficiency, main_lines, over_seeds, show_value

CLASSES = ["dog", "sea_waves", "hen"]
PROBE = Record(
    task="probe",
    dataset="esc50",
    dataset_checksum="c" * 16,
    model="builtin",
    fingerprint="f" * 16,
    metric="accuracy",
    value=0.6,
    spread=0.02,
    split="5 folds",
    seed=0,
    settings={"train": "frozen", "probe": "linear"},
    details={
        "labels_seen": 1600.0,
        "classes": CLASSES,
        "confusion": [[8, 2, 0], [0, 9, 1], [5, 0, 5]],
    },
    command="wav2clip evaluate probe --dataset esc50",
)
DRAWS = [
    replace(PROBE, fraction=0.1, seed=seed, value=value, details={"labels_seen": 160.0})
    for seed, value in enumerate((0.3, 0.4, 0.5))
]
ZEROSHOT = replace(
    PROBE,
    task="zeroshot",
    value=0.24,
    spread=None,
    seed=None,
    split="all clips",
    settings={"template": "sound", "centred": True},
    details={
        **PROBE.details,
        "reliability": {"said": [0.2, 0.6], "right": [0.1, 0.7], "clips": [20, 10]},
    },
)
ECE = replace(ZEROSHOT, metric="ECE", value=0.104, details={})
HOSTILE = replace(PROBE, model="<script>alert(1)</script>|x", value=0.1)
RETRIEVAL = [
    replace(
        ZEROSHOT,
        task="retrieval",
        dataset="tuxpaint",
        metric=metric,
        value=value,
        details={},
        settings={"direction": "text to sound", "queries": 102, "gallery": 102, "centred": True},
    )
    for metric, value in {"R@1": 0.1, "R@10": 0.4, "median_rank": 17.0, "MRR": 0.2}.items()
]
ROWS = [PROBE, *DRAWS, ZEROSHOT, ECE, HOSTILE, *RETRIEVAL]


class Page(HTMLParser):
    """Collects elements, and addresses that are loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        names = ("src", "xlink:href") if tag != "a" else ()
        self.loaded += [value or "" for key, value in attrs if key in names]


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    png = bytes.fromhex("89504e470d0a1a0a")
    written = write(ROWS, tmp_path / "out", "A & B", [Picture("map-esc50", "a map", png=png)])
    text = written[1].read_text("utf-8")
    page = Page()
    page.feed(text)
    assert page.tags.count("svg") == 4, "efficiency, calibration, two confusions"
    assert page.tags.count("script") == page.tags.count("link") == 0
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.loaded)
    assert "url(http" not in text and "@import" not in text
    assert "A &amp; B" in text and "&lt;script&gt;alert(1)" in text
    assert "wav2clip evaluate probe --dataset esc50" in text
    assert "f" * 16 in text and "c" * 16 in text


def test_markdown_has_the_same_and_its_pictures(tmp_path: Path) -> None:
    markdown, _ = write(ROWS, tmp_path, "Results")
    text = markdown.read_text("utf-8")
    assert "| builtin | linear | 60.0 ± 2.0 |" in text
    assert "| *quoted:* Wav2CLIP (Wu et al. 2022, arXiv 2110.11499) |  | 41.4 |" in text
    assert "102 in 102" in text and "| chance | 1 in 102 | 1.0 |" in text
    assert "| builtin | linear | 40.0 ± 8.2 | 60.0 ± 2.0 |" in text, "10 % and 100 %"
    for link in re.findall(r"!\[.*?\]\((.+?)\)", text):
        assert (tmp_path / link).read_text("utf-8").startswith("<svg")
    assert "\\|x" in text, "a cell cannot break out of its column"


def test_draws_are_merged() -> None:
    (merged,) = over_seeds(DRAWS)
    assert merged.value == pytest.approx(0.4)
    assert merged.spread == pytest.approx(0.0816, abs=1e-3)
    assert show_value(merged) == "40.0 ± 8.2"
    ((name, points),) = efficiency([PROBE, *DRAWS], "esc50").items()
    assert name == "builtin, linear" and [point[0] for point in points] == [160, 1600]


def test_the_control_is_no_result() -> None:
    control = replace(PROBE, settings={**PROBE.settings, "labels": "shuffled"}, value=0.99)
    lines = main_lines([PROBE, control], "probe", "esc50")
    assert any("shuffled" in line.how for line in lines)
    assert "linear, shuffled" not in str(efficiency([control, *DRAWS], "esc50"))


def test_quoted_lines_are_marked() -> None:
    lines = main_lines([PROBE], "probe", "esc50")
    assert lines[0].quoted == "" and all(line.quoted for line in lines[1:])
    assert {line.cells["accuracy"] for line in lines[1:]} == {"86.0", "75.9", "81.3"}


def test_mistakes_are_named() -> None:
    said = mistakes([[8, 2, 0], [0, 9, 1], [5, 0, 5]], CLASSES)
    assert said.startswith("Found least: hen 50, dog 80, sea waves 90.")
    assert "Most often taken: hen for dog 50, dog for sea waves 20" in said


def test_nothing_to_report_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no results to report"):
        write([], tmp_path, "x")
