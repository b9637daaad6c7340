"""UCS categories as tags: what files say themselves, what is suggested, and how they are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from library_sounds import noise

from media import chunk, with_chunks
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import InputError
from wav2clip.library import Filters, Library, suggest, tags, ucs
from wav2clip.library.space import centre

pytestmark = pytest.mark.everyday

CATID = b"<BWFXML><USER><CATID>GUNAuto</CATID></USER></BWFXML>"

SAID = {
    "WEATRain_no such id.wav": None,
    "ANMLDog_Terrier_AL_MOOR.wav": "ANMLDog",
    "T01.wav": "GUNAuto",  # iXML
}
NAMED = {
    "Hund.wav": "ANMLDog",
    "thunder 3.wav": "THUN",
    "door creak.wav": "DOORCreak",
    "Regen.wav": "RAIN",
    "雷.wav": "THUN",
}


@pytest.fixture
def named(tmp_path: Path) -> Path:
    folder = tmp_path / "named"
    folder.mkdir()
    for number, name in enumerate([*SAID, *NAMED, "T02.wav"]):
        content = noise(number)
        extra = chunk(b"iXML", CATID) if name == "T01.wav" else b""
        (folder / name).write_bytes(with_chunks(content, after=extra))
    (folder / "T03.wav").write_bytes(noise(77, 26.0))
    return folder


def tags_of(library: Library) -> dict[str, tuple[str, ...]]:
    found = library.search("sound", by="sound", limit=99, per_file=False)
    told: dict[str, tuple[str, ...]] = {}
    for each in found:
        assert told.setdefault(each.path.name, each.tags) == each.tags, "one for all segments"
    return told


@pytest.mark.parametrize(("name", "id"), NAMED.items())
def test_names_in_many_languages(name: str, id: str) -> None:
    words = suggest.evidence(f"/sfx/{name}", {})
    assert ucs.categories()[int(words.argmax())].id == id


def test_words_that_say_nothing() -> None:
    for name in ("/T01.wav", "/sfx/23.wav", "/", "/🐶/雷雷雷xyz.wav/q.wav"):
        assert suggest.evidence(name, {}).max() < 0.5, name
    assert suggest.evidence("/a/b.wav", {"note": "rain " * 500}).max() <= suggest.MOST
    assert suggest.evidence("/a/b.wav", {"album": "Thunder", "artist": "Dog"}).max() == 0


def test_every_category_is_its_own_best_name() -> None:
    every = ucs.categories()
    right = 0
    for row, category in enumerate(every):
        words = suggest.evidence(f"/{category.category} {category.subcategory}.wav", {})
        right += int(words.argmax()) == row
    assert right > 0.8 * len(every)


def test_what_is_said_and_what_is_suggested(
    library: Library, named: Path, small: Wav2CLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.index(named)
    library.tag(["rain", "a dog"])
    monkeypatch.setattr(tags, "_FILES", 3)
    steps: list[tuple[int, int]] = []
    done = library.tag_ucs(progress=lambda *step: steps.append(step))
    assert done == (10, 2)
    assert steps == [(3, 10), (6, 10), (9, 10), (10, 10)]
    told = {
        name: [t for t in given if t not in ("rain", "a dog")]
        for name, given in tags_of(library).items()
    }
    assert all(len(given) == 1 for given in told.values())
    assert all(len(given) == 2 for given in tags_of(library).values()), "labels stay"
    for name, id in {**SAID, **NAMED}.items():
        assert id is None or told[name] == [id] or name not in SAID
    heard = centre(small.embed_file(named / "T02.wav")[None], small.mean)
    vectors = centre(suggest.category_vectors(small.towers), small.towers.means["text"])
    best = int((heard @ vectors.T).argmax())
    assert told["T02.wav"] == [ucs.categories()[best].id]


def test_conditions_find_them(library: Library, named: Path) -> None:
    library.index(named)
    ids = library.store.read(["id", "path"], "segment = 0").to_pylist()
    (key,) = [row["id"] for row in ids if row["path"].endswith("T02.wav")]
    library.store.replace_tags([key], [["ANMLDog", "rain"]])

    def names(query: str) -> set[str]:
        return {find.path.name for find in library.search(query, limit=99)}

    assert names("cat:dog") == names("cat:animals") == {"T02.wav", "ANMLDog_Terrier_AL_MOOR.wav"}
    assert names("cat:ANMLDog") == names("cat:dog")
    assert names("cat:rain") == set(), "a label in other letters is no CatID"
    assert names('cat:"dog"') == names("cat:dog")
    assert names("dog -cat:dog") == {p.name for p in named.iterdir()} - names("cat:dog")
    only = Filters(tags=("ANMLDog",))
    assert [f.path.name for f in library.search("x", filters=only)] == ["T02.wav"]


def test_limits_again_and_away(library: Library, named: Path) -> None:
    library.index(named)
    library.tag_ucs(top=3)
    told = tags_of(library)
    assert {len(given) for name, given in told.items() if name not in SAID} == {3}
    assert told["ANMLDog_Terrier_AL_MOOR.wav"] == ("ANMLDog",)
    assert library.tag_ucs(min_probability=1.0) == (2, 2)
    assert tags_of(library)["T02.wav"] == ()
    library.tag(["rain", "a dog"])
    library.tag_ucs(min_probability=1.0, replace=True)
    assert tags_of(library)["T02.wav"] == ()
    assert library.untag(["GUNAuto"]) == 1
    assert tags_of(library)["T01.wav"] == ()
    with pytest.raises(InputError, match="top 0"):
        library.tag_ucs(top=0)


def test_more_sound_counts_than_one_segment(library: Library, named: Path) -> None:
    """A file's vector is the mean of its segments', of unit length."""
    library.index(named)
    rows = library.store.read(["file", "vector"], "path LIKE '%T03.wav'")
    keys = rows["file"].to_pylist()
    vectors = np.array(rows["vector"].to_pylist(), np.float16)
    assert len(keys) > 1
    mean = tags._mean_of_files(keys, vectors, keys[:1])[0]
    expected = vectors.astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(mean, expected / np.linalg.norm(expected), atol=1e-5)
