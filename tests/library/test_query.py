"""The query language of the command line, and filters."""

from __future__ import annotations

import fnmatch
import os
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wav2clip.errors import InputError
from wav2clip.library import Library, ucs
from wav2clip.library.filters import Filters, path_pattern
from wav2clip.library.query import Query, Term, parse, weighted
from wav2clip.library.words import Condition

pytestmark = pytest.mark.everyday


def is_plain(text: str) -> bool:
    """Whether a phrase holds no operator, weight or condition."""
    words = text.split(" ")
    return not any(w in "+-" or '"' in w or "*" in w or Condition.parse(w) for w in words)


PHRASES = (
    st.text(st.characters(codec="utf-8"), min_size=1)
    .map(lambda text: " ".join(text.split()))  # as a shell gives words
    .filter(is_plain)
)
TERMS = st.lists(
    st.tuples(st.sampled_from("+-"), st.one_of(st.none(), st.floats(0.01, 100)), PHRASES),
    min_size=1,
)


@given(TERMS)
def test_what_is_written_is_read(terms: list[tuple[str, float | None, str]]) -> None:
    words = []
    for sign, weight, phrase in terms:
        words += [sign, phrase if weight is None else f"{weight!r}*{phrase}"]
    if words[0] == "+":
        words = words[1:]
    query = parse(words)
    assert query is not None
    expected = [
        Term("text", phrase, (1 if sign == "+" else -1) * (1 if weight is None else weight))
        for sign, weight, phrase in terms
    ]
    assert list(query.terms) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rain"], [("rain", 1)]),
        (["rain", "on", "a", "roof"], [("rain on a roof", 1)]),
        (["rain on a roof", "+", "0.5*thunder", "-", "2 * voices"],
         [("rain on a roof", 1), ("thunder", 0.5), ("voices", -2)]),
        (["-", "voices"], [("voices", -1)]),
        (["808", "kick"], [("808 kick", 1)]),
        (["c++"], [("c++", 1)]),
        (["-0.5*rain"], [("rain", -0.5)]),
        (["1e-1*rain"], [("rain", 0.1)]),
    ],
)  # fmt: skip
def test_examples(words: list[str], expected: list[tuple[str, float]]) -> None:
    query = parse(words)
    assert query is not None
    assert [(term.value, term.weight) for term in query.terms] == expected


@pytest.mark.parametrize("words", [["rain", "+"], ["rain", "-", "-", "dog"], ["-"], [" "], [""]])
def test_half_a_query(words: list[str]) -> None:
    with pytest.raises(InputError, match=r"operator|empty"):
        parse(words)


def test_no_words() -> None:
    assert parse([]) is None


def test_a_file_whose_name_looks_like_a_weight(tmp_path: Path) -> None:
    os.chdir(tmp_path)
    Path("2*a.wav").touch()
    assert weighted("2*a.wav", Query.audio).terms == (Term("audio", Path("2*a.wav")),)
    assert weighted("2*b.wav", Query.audio).terms == (Term("audio", Path("b.wav"), 2.0),)


@given(st.floats(-9, 9), st.floats(-9, 9))
def test_algebra(a: float, b: float) -> None:
    rain, dog = Query.text("rain"), Query.image("dog.jpg")
    assert (a * rain + b * dog).terms == ((rain * a) - (dog * -b)).terms
    negative = -rain
    assert (-negative).terms == rain.terms


@given(st.text("ab.?*[]!-", min_size=1, max_size=8), st.text("ab.-!]", min_size=1, max_size=8))
def test_patterns_of_names_are_those_of_the_shell(pattern: str, name: str) -> None:
    if "**" in pattern or re.search(r"\[[^\]]*-", pattern) or "[!]" in pattern or "[]" in pattern:
        return  # where shells and Python differ, or ranges run backwards
    matched = re.search(path_pattern(pattern), f"/folder/{name}") is not None
    assert matched == fnmatch.fnmatchcase(name, pattern)


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.wav", "/a/b.wav", True),
        ("*.WAV", "/a/b.wav", True),
        ("field", "/a/Field/b/c.wav", True),
        ("FIELD/b", "/a/field/b/c.wav", True),
        ("/a", "/a/field/b.wav", True),
        ("field/", "/a/field/b.wav", True),
        ("field/", "/a/field", False),
        ("field", "/a/fields/b.wav", False),
        ("field", "/a/my field/b.wav", False),
        ("f_eld", "/a/field/b.wav", False),
        ("100%", "/a/100 percent/b.wav", False),
        ("/field", "/a/field/b.wav", False),
        ("*.wav", "/a/b.wav.ogg", False),
        ("a/*", "/a/b.wav", True),
        ("a/*", "/a/b/c.wav", False),
        ("a/**", "/a/b/c.wav", True),
        ("**/c.wav", "/a/b/c.wav", True),
        ("/a/*", "/a/b.wav", True),
        ("/b.wav", "/a/b.wav", False),
        ("b.wav", "/a/ab.wav", False),
        ("take[1-3].wav", "/take2.wav", True),
        ("take[!1-3].wav", "/take2.wav", False),
        ("100%_'.wav", "/100%_'.wav", True),
        ("(x).wav", "/(x).wav", True),
    ],
)
def test_patterns_of_paths(pattern: str, path: str, matches: bool) -> None:
    assert bool(re.search(path_pattern(pattern), path)) == matches


def test_sql() -> None:
    assert Filters().sql() is None
    day = Filters(after=date(2024, 2, 28), before=date(2024, 2, 28)).sql()
    start = int(datetime(2024, 2, 28, tzinfo=UTC).timestamp()) * 10**9
    assert day == f"mtime_ns >= {start} AND mtime_ns < {start + 86_400 * 10**9}"
    tagged = Filters(tags=("it's",)).sql()
    assert tagged == "regexp_like(array_to_string(tags, '\n'), '(?im)^it''s$')"
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="seconds"):
            Filters(min_duration=bad).sql()
    with pytest.raises(InputError, match="empty path pattern"):
        Filters(path="").sql()
    with pytest.raises(InputError, match="empty format"):
        Filters(formats=(".",)).sql()
    with pytest.raises(InputError, match=r"'anmldig' is no category .* did you mean ANML"):
        Filters(categories=("anmldig",)).sql()


_ID = st.sampled_from([category.id for category in ucs.categories()])


@given(
    id=_ID.flatmap(lambda id: st.sampled_from([id, id.lower(), id.upper(), id[:4] + "x"])),
    rest=st.text("aA-_.", max_size=8),
)
def test_the_categories_of_names_are_those_that_names_say(id: str, rest: str) -> None:
    """What SQL looks for in a path is what :func:`ucs.parse_name` reads."""
    path = f"/sounds/{id}{rest}.wav"
    said = ucs.parse_name(path)
    for wanted in {id[:7], said.category.id if said else "RAINMetl"}:
        category = ucs.category_of(wanted)
        if category is None:
            continue
        (condition,) = Filters(categories=(category.id,)).conditions()
        pattern = condition.sql.partition("'")[2].partition("')")[0]
        assert bool(re.search(pattern, path)) == (said is not None and said.category == category)


def test_conditions_alone_by_words(library: Library, sounds: Path) -> None:
    library.index(sounds)
    found = [r.path for r in library.search("folder:deep", by="words")]
    assert found == sorted((sounds / "deep").glob("*.wav"))
    assert [r.confidence for r in library.search("folder:deep")] == [1.0] * len(found)
