"""Precision, the tables of queries, and answers of a small library, against slow references."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wav2clip import Library, Wav2CLIP
from wav2clip.library import Query
from wav2clip.library.space import centre

Script = Callable[[str], ModuleType]


@given(st.lists(st.booleans(), max_size=15), st.integers(1, 20), st.integers(1, 20))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_precision_is_that_of_its_definition(
    script: Script, hits: list[bool], cutoff: int, relevant: int
) -> None:
    right = 0
    for place, hit in enumerate(hits, 1):
        if place <= cutoff and place <= relevant and hit:
            right += 1
    places = cutoff if cutoff < relevant else relevant
    assert script("relevance").precision(hits, cutoff, relevant) == right / places


def test_a_row_and_the_mean_of_rows(script: Script) -> None:
    relevance = script("relevance")
    one = relevance.scored("a", [False] * 5 + [True] * 5, 40, 400)
    assert (one.p5, one.p10, one.empty, one.chance) == (0, 0.5, 0, 0.1)
    few = relevance.scored("b", [True, False, False, True] + [False] * 6, 2, 400)
    assert (few.p5, few.p10, few.empty) == (0.5, 0.5, 0)
    late = relevance.scored("c", [False] * 9 + [True], 1, 400)
    assert (late.p10, late.empty) == (0, 0)  # found among the first ten, if not where it should
    none = relevance.scored("d", [False] * 10, 10, 400)
    assert (none.p10, none.empty) == (0, 1)
    pair = relevance.mean("ab", [one, few])
    assert (pair.queries, pair.p5, pair.p10, pair.relevant) == (2, 0.25, 0.5, 21)
    every = relevance.mean("all", [pair, none])
    assert (every.queries, every.p10, every.empty) == (3, 0.3333, 0.3333)


def test_every_label_of_the_tables_exists(script: Script, data: Path) -> None:
    sets = script("relevance_sets")
    every = sets.clips(data)
    labels = {clip.label for clip in every}
    assert len(every) == len({clip.path for clip in every}) == 3812
    assert all(clip.path.is_file() for clip in every)
    phrases, pictures = sets.phrases(), sets.pictures()
    assert len(phrases) == len({each.text for each in phrases}) >= 60
    assert len(pictures) == len({(each.source, each.kind) for each in pictures})
    for each in (*phrases, *pictures):
        assert each.labels and each.labels <= labels, each
    classes = {label for label in labels if not label.startswith("tuxpaint:")}
    assert len(classes) == 60
    asked = set().union(*(each.labels for each in phrases))
    assert classes <= asked  # a designer's phrase for every class
    stems = [clip.path.stem for clip in every if clip.collection == "tuxpaint"]
    assert len(stems) == len(set(stems))


def test_every_kind_of_pictures_has_pictures(script: Script, data: Path, tmp_path: Path) -> None:
    sets = script("relevance_sets")
    with np.load(data / "clip_vit_b32/image_cifar10_500.npz") as content:
        images, numbers = content["images"], content["labels"]
    for picture in sets.pictures():
        files = list(sets.files_of(picture, data, tmp_path))
        assert len(files) == (1 if picture.source == "tuxpaint" else sets.PICTURES_OF_A_KIND)
        assert all(path.is_file() for path in files)
    from PIL import Image

    dogs = [i for i, n in zip(images, numbers, strict=True) if n == 5]  # CIFAR-10's number of dog
    assert np.array_equal(np.asarray(Image.open(tmp_path / "dog 3.png")), dogs[3])


def test_a_class_is_of_a_kind_with_its_narrowest_phrase(script: Script) -> None:
    sets = script("relevance_sets")
    typed = [
        sets.Phrase("power tools", frozenset({"esc50:chainsaw", "urbansound8k:drilling"})),
        sets.Phrase("chainsaw", frozenset({"esc50:chainsaw"})),
        sets.Phrase("dog", frozenset({"esc50:dog", "urbansound8k:dog_bark"})),
    ]
    assert sets.kin("esc50:chainsaw", typed) == {"esc50:chainsaw"}
    assert sets.kin("urbansound8k:dog_bark", typed) == {"esc50:dog", "urbansound8k:dog_bark"}


@pytest.fixture
def sounds(script: Script, small: Wav2CLIP, tmp_path: Path) -> tuple[list, Library]:
    """Thirty clips of noise with labels in three collections, and their library."""
    rng, every = np.random.default_rng(3), []
    names = ["esc50:dog", "esc50:rain", "urbansound8k:dog_bark", "tuxpaint:dog", "esc50:wind"]
    for number in range(30):
        path = (tmp_path / f"{number:02}.wav").resolve()
        noise = np.cumsum(rng.normal(size=8_000)) if number % 3 else rng.normal(size=8_000)
        soundfile.write(path, 0.3 * noise / np.abs(noise).max(), 16_000)
        label = names[number % 5]
        recording = str(path) if label.startswith("tuxpaint") else f"r{number // 10}"
        every.append(script("relevance_sets").Clip(path, label, recording))
    library = Library.open(tmp_path / "library", small)
    library.index(tmp_path)
    return every, library


def by_hand(model: Wav2CLIP, every: list, query: np.ndarray) -> list:
    """All clips, the nearest first, one dot product at a time."""
    scores = []
    for clip in every:
        vector = centre(model.embed_file(clip.path)[None], model.mean)[0]
        # Stored vectors are of half precision.
        scores.append(float(vector.astype(np.float16).astype(np.float64) @ query))
    return [every[place] for place in sorted(range(len(every)), key=lambda n: -scores[n])]


def test_answers_are_those_of_a_search_by_hand(
    script: Script, small: Wav2CLIP, sounds: tuple[list, Library]
) -> None:
    every, library = sounds
    collections = script("relevance").Collections(library, every)
    query = np.random.default_rng(5).normal(size=512)
    query /= np.linalg.norm(query)
    wanted = frozenset({"esc50:dog", "urbansound8k:dog_bark", "tuxpaint:dog"})
    row = collections.ask("dogs", Query.embedding(query.astype(np.float32)), wanted)
    expected = [clip.label for clip in by_hand(small, every, query)][:10]
    assert list(row.found) == expected
    assert row.relevant == 18
    assert row.p10 == sum(label in wanted for label in expected) / 10
    assert row.chance == 0.6


def test_a_recording_does_not_find_itself(
    script: Script, small: Wav2CLIP, sounds: tuple[list, Library]
) -> None:
    every, library = sounds
    collections = script("relevance").Collections(library, every)
    wanted = frozenset({"esc50:dog", "urbansound8k:dog_bark"})
    for clip in every[:3]:
        own = centre(small.embed_file(clip.path)[None], small.mean)[0].astype(np.float64)
        left = [
            other
            for other in by_hand(small, every, own)
            if other.recording != clip.recording and not other.label.startswith("tuxpaint:")
        ]
        assert len(left) == 16
        row = collections.like(clip, wanted)
        right = sum(other.label in wanted for other in left)
        assert (row.relevant, row.chance) == (right, right / 16)
        looked_at = left[: min(10, right)]
        assert row.p10 == sum(other.label in wanted for other in looked_at) / len(looked_at)
    assert collections.like(every[0], frozenset({"tuxpaint:dog"})) is None


def test_a_page_has_a_column_for_each_result(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    relevance, columns = script("relevance"), script("columns")
    files = []
    for number, hits in enumerate(([False] * 10, [True] * 10)):
        asked = {
            name: [vars(relevance.scored("a dog", hits, 40, 400)), vars(few)]
            for name in ("phrases", "pictures, tuxpaint", "similar, esc50")
            for few in [relevance.scored("a lion", hits, 1, 400)]
        }
        head = {"benchmark": "relevance", "title": f"model {number}", "model": "builtin"}
        about = {"fingerprint": "0", "sample_rate": 32_000, "date": "", "machine": "", "note": ""}
        result = {**head, **about, "versions": "", "clips": 400, "sets": asked}
        files.append(tmp_path / f"{number}.json")
        columns.save(files[-1], columns.as_json(result))
        assert json.loads(files[-1].read_text()) == json.loads(json.dumps(result))
    written = tmp_path / "page.md"
    monkeypatch.setattr(sys, "argv", ["relevance.py", "--write", str(written), *map(str, files)])
    relevance.main()
    page = written.read_text("utf-8")
    assert "| phrases | 2 | 0.051 | 0.000 | 0.000 | 2 | 1.000 | 1.000 | 0 |" in page
    assert "| a dog | 40 | 0.00 | 1.00 |" in page
    assert "- model 0: 2 of 2: a dog, a lion." in page
    assert "- model 1: 0 of 2: none." in page
    with pytest.raises(SystemExit, match=r"0\.json holds no results of robustness"):
        columns.read(files, "robustness")


def test_tables_are_plain(script: Script) -> None:
    """No stray blanks or columns, which would make labels that do not exist."""
    folder = script("relevance_sets").HERE
    for name in ("relevance_phrases.csv", "relevance_pictures.csv"):
        with (folder / name).open(newline="", encoding="utf-8") as file:
            lines = list(csv.reader(file))
        assert {len(line) for line in lines} == {len(lines[0])}
        assert all(cell == cell.strip() for line in lines for cell in line)
