"""Words in names beside what is heard: what they are, what they add, and what they must not."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from library_sounds import noise

from media import info, with_chunks
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import InputError
from wav2clip.library import Library, Query
from wav2clip.library import library as library_module
from wav2clip.library.copy import NAME
from wav2clip.library.query import parse
from wav2clip.library.search import By
from wav2clip.library.words import (
    ONLY,
    WEIGHT,
    WHOLE,
    Condition,
    Names,
    matched,
    split,
    stem,
    stems_of,
)

pytestmark = pytest.mark.everyday

WORDS = ["rain", "roof", "dog", "bark", "door"]


def names_of(*paths: str) -> Names:
    return Names(pa.array(map(stems_of, paths), pa.string()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("WEATRain_5.1 rain on roof", ["weat", "rain", "rain", "roof"]),
        ("DogBark02", ["dog", "bark"]),
        ("FIREBurn-take_3", ["fire", "burn", "take"]),
        ("the sound of a bird", ["bird"]),
        ("Träger über Öl", ["träger", "über", "öl"]),
        ("ｄｏｏｒ", ["door"]),
        ("123 _-_ 4.5", []),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split(text) == words


def test_forms_of_a_word_are_one() -> None:
    assert {stem(word) for word in ("bark", "barks", "barking", "barked")} == {"bark"}
    named = stems_of("/sfx/Animals/dog_bark_01.wav")
    assert matched("dogs barking", named) == ("dogs", "barking")
    assert matched("dogs barking", stems_of("/sfx/cat.barking")) == (), "a suffix is no word"


@given(st.text(max_size=200))
def test_any_text_is_split(text: str) -> None:
    for word in split(text):
        assert word == word.lower()
        assert stem(word)
    there = stems_of(text).split()
    assert sorted(there) == sorted({stem(word) for word in split(os.path.splitext(text)[0])})


def slow_evidence(paths: list[list[str]], phrase: list[str]) -> list[float]:
    """The share of the words, and what all of them are worth, written out."""
    wanted = set(phrase)
    holders = sum(wanted <= set(path) for path in paths)
    worth = []
    for path in paths:
        given = len(wanted & set(path))
        more = ONLY if holders == 1 else WHOLE if len(wanted) > 1 else 0
        whole = wanted and given == len(wanted)
        worth.append(WEIGHT * given / max(1, len(wanted)) + (more if whole else 0))
    return worth


@given(
    st.lists(st.lists(st.sampled_from(WORDS), max_size=4), min_size=1, max_size=12),
    st.lists(st.sampled_from([*WORDS, "train"]), max_size=4),
)
def test_evidence_against_a_slow_one(paths: list[list[str]], phrase: list[str]) -> None:
    names = names_of(*(f"/{'/'.join(path)}/1.wav" for path in paths))
    found = names.evidence(" ".join(phrase))
    np.testing.assert_allclose(found, slow_evidence(paths, phrase), atol=1e-6)
    assert (found >= 0).all()


def test_whole_phrases_and_rare_words_count_for_more() -> None:
    names = names_of("/rain/a.wav", "/rain/b.wav", "/rain/tin.wav", "/wind/tin roof.wav", "/c.wav")
    rain, _, two, also_two, none = names.evidence("rain on a tin roof")
    assert none == 0.0 < rain < two == also_two < WEIGHT
    only = pytest.approx(WEIGHT + ONLY)
    assert names.evidence("tin roof").max() == only
    assert names.evidence("rain").max() == pytest.approx(WEIGHT), "three files have it"
    assert names.evidence("wind").max() == only
    several = names_of("/tin roof 1.wav", "/tin roof 2.wav", "/c.wav")
    assert several.evidence("tin roof").max() == pytest.approx(WEIGHT + WHOLE)


def test_phrases_weigh_as_in_the_query() -> None:
    names = names_of("/rain.wav", "/dog.wav", "/cat.wav")
    query = Query.text("rain") - 0.5 * Query.text("dog") + 0.5 * Query.audio("x.wav")
    assert query.phrases == (("rain", 0.5), ("dog", -0.25))
    one = WEIGHT + ONLY
    np.testing.assert_allclose(names.score(query.phrases), [one / 2, -one / 4, 0.0], rtol=1e-6)
    assert Query.audio("x.wav").phrases == ()


# In a library ---------------------------------------------------------------------------------


@pytest.fixture
def named(tmp_path: Path, library: Library) -> Library:
    """The same kinds of noise under names that say something and under some that do not."""
    folder = tmp_path / "sounds"
    (folder / "Animals").mkdir(parents=True)
    for number, name in enumerate(
        ("a.wav", "b.wav", "Animals/dog_bark_01.wav", "Animals/CatMeow.wav", "tin roof rain.wav")
    ):
        (folder / name).write_bytes(noise(number))
    library.index(folder)
    return library


def test_a_name_lifts_its_file_by_a_known_amount(named: Library) -> None:
    sound = {result.path.name: result for result in named.search("dogs barking", by="sound")}
    both = {result.path.name: result for result in named.search("dogs barking")}
    assert set(sound) == set(both)
    for name, result in both.items():
        assert result.similarity == pytest.approx(sound[name].score, abs=1e-6)
        lifted = WEIGHT + ONLY if name == "dog_bark_01.wav" else 0.0
        assert result.score == pytest.approx(sound[name].score + lifted, abs=1e-6)
        assert result.words == (("dogs", "barking") if lifted else ())
        assert sound[name].words == ()
        assert sound[name].similarity == sound[name].score
    order = [result.score for result in named.search("dogs barking")]
    assert order == sorted(order, reverse=True)


def test_words_alone(named: Library) -> None:
    found = named.search("an animal on a roof", by="words")
    assert found[0].path.name == "tin roof rain.wav"
    assert {result.path.name for result in found} == {
        "tin roof rain.wav", "dog_bark_01.wav", "CatMeow.wav"
    }  # fmt: skip
    assert len(named.search("zanzibar", by="words")) == 0
    assert len(named.search("an animal on a roof", by="words", limit=1)) == 1


def test_what_is_subtracted_falls(named: Library) -> None:
    query = Query.text("rain") - Query.text("dogs barking")
    (dog,) = (r for r in named.search(query) if r.path.name == "dog_bark_01.wav")
    assert dog.score == pytest.approx(dog.similarity - (WEIGHT + ONLY) / 2, abs=1e-6)
    assert dog.words == (), "they are no reason to be there"


def test_pictures_recordings_and_vectors_have_no_words(named: Library, tmp_path: Path) -> None:
    recording = tmp_path / "sounds" / "Animals" / "dog_bark_01.wav"
    for result in named.similar(recording):
        assert (result.words, result.score) == ((), result.similarity)
    with pytest.raises(InputError, match="holds no phrase"):
        named.search(audio=recording, by="words")
    with pytest.raises(InputError, match="expected one of both, sound, words"):
        named.search("rain", by="names")  # type: ignore[arg-type]


def test_the_same_from_a_copy_and_from_one_of_an_older_version(
    named: Library, small: Wav2CLIP
) -> None:
    folder = Path(named.store.uri)
    expected = [(r.id, r.score, r.words) for r in named.search("dogs barking")]
    assert (folder / NAME).exists()
    again = Library.open(folder, small)
    assert [(r.id, r.score, r.words) for r in again.search("dogs barking")] == expected
    with pa.memory_map(str(folder / NAME)) as file:
        rows = pa.ipc.open_file(file).read_all()
    older = rows.drop_columns(["stems"])
    (folder / NAME).unlink()
    with pa.OSFile(str(folder / NAME), "wb") as file, pa.ipc.new_file(file, older.schema) as out:
        out.write_table(older)
    from_older = Library.open(folder, small)
    assert [(r.id, r.score, r.words) for r in from_older.search("dogs barking")] == expected
    assert not from_older.store._tables


@pytest.fixture
def as_if_large(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Searches go through the index from then on."""
    return lambda: monkeypatch.setattr(library_module, "EXACT_ROWS", 2)


@pytest.mark.parametrize(
    ("query", "by"),
    [
        ("dogs barking", "both"),
        ("dogs barking", "words"),
        ("dogs barking", "sound"),
        ("rain - dogs", "both"),
        ("meow folder:animals", "both"),
        ('rain "dog bark"', "both"),
        ("animals -dog", "words"),
        ("folder:animals -dog", "both"),
        ("zanzibar", "words"),
    ],
)
@pytest.mark.parametrize("spelt_out", [0, 1000])
def test_large_libraries_find_words_as_small_ones_do(
    named: Library,
    as_if_large: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    by: By,
    spelt_out: int,
) -> None:
    monkeypatch.setattr("wav2clip.library.directory._SPELT_OUT", spelt_out)
    expected = named.search(query, by=by)
    as_if_large()
    found = named.search(query, by=by)
    assert [(r.id, r.words) for r in found] == [(r.id, r.words) for r in expected]
    assert [r.score for r in found] == pytest.approx([r.score for r in expected], abs=1e-9)
    assert not found.exact


@pytest.mark.parametrize("phrase", ["dog bark", "cat meow", "tin roof"])
def test_files_that_are_called_so_are_looked_at_whatever_they_sound_like(
    named: Library, as_if_large: Callable[[], None], monkeypatch: pytest.MonkeyPatch, phrase: str
) -> None:
    monkeypatch.setattr("wav2clip.library.search._CANDIDATES", 1)
    as_if_large()
    (found,) = named.search(phrase, limit=1)
    assert len(found.words) == 2


def test_words_of_a_large_library_are_kept_beside_it(
    named: Library,
    small: Wav2CLIP,
    as_if_large: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    as_if_large()
    expected = [(r.id, r.words) for r in named.search("dogs barking")]
    folder = Path(named.store.uri)
    looked_for: list[str] = []

    def counted(path: str, metadata: str | None = None) -> str:
        looked_for.append(path)
        return stems_of(path, metadata)

    monkeypatch.setattr("wav2clip.library.directory.stems_of", counted)
    again = Library.open(folder, small)
    assert [(r.id, r.words) for r in again.search("dogs barking")] == expected
    assert looked_for == []
    some = next(iter(named.files()))
    new = some.with_name("a dog that barks anew.wav")
    new.write_bytes(noise(77))
    again.index(some.parent)
    assert new in [r.path for r in again.search("barks anew", by="words")]
    assert looked_for == [str(new)], "the others keep theirs"
    (folder / ".words.arrow").write_bytes(b"broken")
    assert new in [r.path for r in Library.open(folder, small).search("anew", by="words")]


def test_hostile_names(tmp_path: Path, library: Library) -> None:
    folder = tmp_path / "sounds"
    folder.mkdir()
    hostile = ["<script>dog", "dog‮gnp", "dog\x01\n", "dog' OR 1=1 --", "🐕dog", "d" * 200]
    for number, name in enumerate(hostile):
        (folder / f"{name}.wav").write_bytes(noise(number))
    (folder / "z.wav").write_bytes(noise(9))
    library.index(folder)
    found = library.search("a dog", limit=10)
    assert sum("dog" in result.words for result in found) == 5


# Conditions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("-birds", Condition("birds", excluded=True)),
        ('"tin roof"', Condition("tin roof", exact=True)),
        ('-"tin roof"', Condition("tin roof", exact=True, excluded=True)),
        ("creator:lee", Condition("lee", "creator")),
        ('-Folder:"old tapes"', Condition("old tapes", "folder", exact=True, excluded=True)),
        ("rain", None),
        ("12:30", None),
        ("note:rain", None),
        ("creator:", None),
        ("-", None),
        ("-1*dog", None),
        ("-.5*dog", None),
        ('"', None),
    ],
)
def test_what_is_a_condition(typed: str, meant: Condition | None) -> None:
    assert Condition.parse(typed) == meant
    if meant is not None:
        assert Condition.parse(str(meant)) == meant


@given(st.text(max_size=40))
def test_any_text_is_read(text: str) -> None:
    with contextlib.suppress(InputError):
        parse(text)


def test_a_query_of_phrases_and_conditions() -> None:
    query = parse('rain on a "tin roof" -birds + 0.5*thunder - voices creator:lee')
    assert query is not None
    assert [(t.value, t.weight) for t in query.terms] == [
        ("rain on a tin roof", 1.0), ("thunder", 0.5), ("voices", -1.0)
    ]  # fmt: skip
    assert list(map(str, query.conditions)) == ['"tin roof"', "-birds", "creator:lee"]
    for wrong in ("rain +", "rain - + dog", "+"):
        with pytest.raises(InputError, match="operator"):
            parse(wrong)


@pytest.fixture
def described(tmp_path: Path, library: Library) -> Library:
    folder = tmp_path / "described"
    (folder / "Old tapes").mkdir(parents=True)
    files = {
        "tin roof rain.wav": info(IART=b"Ann Lee"),
        "Old tapes/roof of tin.wav": info(ICMT=b"rain, with birds"),
        "Old tapes/DogBark.wav": info(IART=b"Lee Moor", ICMT=b"a bird, far"),
        "plain.wav": b"",
    }
    for number, (name, chunks) in enumerate(files.items()):
        (folder / name).write_bytes(with_chunks(noise(number), chunks))
    library.index(folder)
    return library


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("rain -birds", {"tin roof rain.wav", "plain.wav"}),
        ('rain "tin roof"', {"tin roof rain.wav"}),
        ('-"tin roof"', {"roof of tin.wav", "DogBark.wav", "plain.wav"}),
        ("creator:lee", {"tin roof rain.wav", "DogBark.wav"}),
        ("creator:lee -folder:tapes", {"tin roof rain.wav"}),
        ("description:birds dog", {"roof of tin.wav", "DogBark.wav"}),
        ("name:dog", {"DogBark.wav"}),
        ("cat:weather", set()),
    ],
)
def test_conditions_in_a_library(described: Library, typed: str, found: set[str]) -> None:
    results = described.search(typed)
    assert {result.path.name for result in results} == found
    assert {result.path.name for result in described.search(parse(typed.split()))} == found


def test_conditions_alone_list_by_path(described: Library) -> None:
    names = [result.path.name for result in described.search("-zebra")]
    assert names == ["DogBark.wav", "roof of tin.wav", "plain.wav", "tin roof rain.wav"]
