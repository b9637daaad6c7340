"""Phrases in other languages, and the names of the Universal Category System."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from library_sounds import noise

from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.library import Library, ucs
from wav2clip.library.languages import terms_of, understand
from wav2clip.library.words import stems_of

pytestmark = pytest.mark.everyday

ROOT = Path(__file__).parents[2]
UCS = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data")) / "ucs"

PHRASES = [
    ("Regen auf Blechdach", "rain metal", "German"),
    ("Schritte im Schnee", "snow, footsteps", "German"),
    ("chien qui aboie", "dog", "French"),
    ("porte qui grince", "doors creak", "French"),
    ("lluvia en la ventana", "rain glass", "Spanish"),
    ("cane che abbaia", "dog", "Italian"),
    ("passos na neve", "snow, footsteps", "Portuguese"),
    ("дождь", "rain", "Russian"),
    ("лай собаки", "dog", "Russian"),
    ("犬の鳴き声", "dog", "Japanese"),
    ("ガラスが割れる", "glass break", "Japanese"),
    ("비가", "rain", "Korean"),
    ("雨", "rain", "Chinese"),
    ("玻璃破碎", "glass break", "Chinese"),
]


@pytest.mark.parametrize(("phrase", "english", "language"), PHRASES)
def test_what_is_understood(phrase: str, english: str, language: str) -> None:
    told = understand(phrase)
    assert told is not None
    assert (told.english, told.language) == (english, language)


def test_what_is_not_understood_is_said() -> None:
    told = understand("Hund mit Xylofag")
    assert told is not None
    assert (told.english, told.unknown) == ("dog", ("xylofag",))
    assert str(told) == "understood as dog (German); not understood: xylofag"


def test_english_is_left_alone() -> None:
    phrases = ["rain on a tin roof", "train", "kookaburra", "piano", "applause in a hall", "", "42"]
    for name in ("tools/sound_phrases_train.txt", "benchmarks/sound_phrases.txt"):
        lines = (ROOT / name).read_text("utf-8").splitlines()
        phrases += [line.partition(" = ")[0] for line in lines if line and line[0] != "#"]
    with (ROOT / "benchmarks" / "relevance_phrases.csv").open(encoding="utf-8") as file:
        asked = [row[0] for row in csv.reader(file)][1:]
    assert not [phrase for phrase in asked if understand(phrase)]
    misread = [phrase for phrase in phrases if understand(phrase)]
    assert len(misread) <= 0.01 * len(phrases), misread


@given(st.text(max_size=30))
def test_any_text_may_be_asked(text: str) -> None:
    told = understand(text)
    assert told is None or told.english


def test_the_tables_are_those_of_the_system() -> None:
    import json

    for code in ucs.LANGUAGES:
        own = {"ko": "kr"}.get(code, code)
        source = {row["CatID"]: row for row in json.loads((UCS / f"{own}.json").read_text("utf-8"))}
        table = ucs.categories(code)
        assert [category.id for category in table] == sorted(source)
        for category in table:
            row = source[category.id]
            assert category.category == row["Category"].lower()
            assert set(category.synonyms) == {s.lower() for s in row["Synonyms"]}
        assert ucs.stored_terms(code) == terms_of(code), "run tools/write_ucs_table.py"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CLOTHZipp_Tent Zip_AL_MOOR.wav", None),
        ("ANMLDog_Terrier Bark_AL_MOOR.wav", ("ANMLDog", "Terrier Bark", "AL", "MOOR")),
        ("RAINMetl-Own_Shed.flac", ("RAINMetl", "Shed", "", "")),
        ("/a/RAIN_x.wav", ("RAIN", "x", "", "")),
        ("RAIN.wav", None),
        ("dog_bark_01.wav", None),
    ],
)
def test_names_of_files(name: str, meant: tuple[str, ...] | None) -> None:
    found = ucs.parse_name(name)
    if meant is None:
        assert found is None or found.category.id == "CLOTHZipp"
    else:
        assert found is not None
        assert (found.category.id, found.title, found.creator, found.source) == meant


def test_a_name_in_the_system_says_its_category() -> None:
    assert {"dog", "anim", "terrier"} <= set(stems_of("/x/ANMLDog_Terrier_AL_M.wav").split())


def test_in_a_library(small: Wav2CLIP, tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number, name in enumerate(("ANMLDog_Terrier_AL_M", "plain", "Regen 1", "RAINMetl_Shed_AL")):
        (folder / f"{name}.wav").write_bytes(noise(number))
    library = Library.open(tmp_path / "library", small)
    library.index(folder)
    results = library.search("chien qui aboie", by="words")
    assert [result.path.stem for result in results] == ["ANMLDog_Terrier_AL_M"]
    assert results.notes == ('"chien qui aboie": understood as dog (French)',)
    rain = library.search("Regen", by="words")
    assert {result.path.stem for result in rain} == {"Regen 1", "RAINMetl_Shed_AL"}
    same = library.search("dog", by="sound")
    heard = library.search("chien qui aboie", by="sound")
    assert [r.path for r in heard] == [r.path for r in same]
    assert library.search("dog").notes == ()
    named = library.search("cat:animals")
    assert [result.path.stem for result in named] == ["ANMLDog_Terrier_AL_M"]
