"""Phrases that the built-in text tower cannot read are told apart and warned of once."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest

from wav2clip.errors import InputError, LanguageWarning
from wav2clip.models.towers import language, load_towers
from wav2clip.models.towers.base import Towers

READABLE = [
    "dog",
    "heavy rain on a tin roof",
    "808 at 60 Hz, 100 % – “loud”…",
    "café crème",
    "Nº 5",
    "Hund und Katze",  # foreign, but nothing in its letters shows it
    "xqzwv",
]
UNREADABLE = {
    "🐶": ["🐶"],
    "dog 🐶🎸 🌧": ["🐶🎸", "🌧"],
    "собака лает": ["собака", "лает"],
    "the sound of собака": ["собака"],
    "犬が吠える": ["犬が吠える"],
    "rain, 雨": ["雨"],
    "كلب": ["كلب"],
    "σκύλος": ["σκύλος"],
    "개": ["개"],
    "a" * 1000: ["a" * 37 + "..."],  # BERT's pieces end at a hundred letters
}


@pytest.fixture(scope="module")
def builtin() -> Towers:
    return load_towers("builtin")


@pytest.fixture
def first_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if nothing had been warned of in this process."""
    monkeypatch.setattr(language, "_warned", language.threading.Event())


def test_what_is_readable(builtin: Towers) -> None:
    assert builtin.unreadable(READABLE) == []
    told = builtin.unreadable([*READABLE, *UNREADABLE])
    assert len(told) == len(UNREADABLE)
    for line, words in zip(told, UNREADABLE.values(), strict=True):
        assert f"cannot read {', '.join(map(repr, words))}: it" in line
        assert "English" in line


def test_a_long_phrase_is_shown_in_short(builtin: Towers) -> None:
    (line,) = builtin.unreadable(["собака " * 100])
    assert len(line) < 300


def test_takes_what_embedding_takes(builtin: Towers) -> None:
    assert builtin.unreadable([]) == []
    with pytest.raises(InputError, match="expected a list of phrases"):
        builtin.unreadable("собака")


def test_warns_once(builtin: Towers, first_time: None) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        builtin.embed_text(READABLE)
        assert caught == []
        vectors = builtin.embed_text(["dog", "собака лает", "🐶"])
        builtin.embed_text(["犬"])
    assert np.isfinite(vectors).all()
    (warning,) = caught
    assert issubclass(warning.category, LanguageWarning)
    assert "'собака', 'лает'" in str(warning.message)


def test_a_warning_that_is_an_error_is_raised_each_time(builtin: Towers, first_time: None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", LanguageWarning)
        for _ in range(2):
            with pytest.raises(LanguageWarning, match="English"):
                builtin.embed_text(["собака"])


def test_one_process_says_it_once_whatever_else_it_does() -> None:
    """Looking at pictures resets what Python itself remembers about warnings."""
    script = (
        "from PIL import Image\n"
        "from wav2clip.models.towers import load_towers\n"
        "towers = load_towers('builtin')\n"
        "for phrase in ('собака', '🐶'):\n"
        "    towers.embed_text([phrase])\n"
        "    towers.embed_image([Image.new('RGB', (32, 32))])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stderr.count("LanguageWarning") == 1
