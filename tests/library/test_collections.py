"""Collections: what is kept of a library under names, whatever happens to files and index."""

from __future__ import annotations

import csv
import io
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from library_sounds import noise

from media import info, with_chunks
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import InputError, LibraryError, UnknownNameError
from wav2clip.library import Item, Library, Part, store
from wav2clip.library.collections import (
    FAVOURITES,
    LONGEST_NAME,
    LONGEST_NOTE,
    Collections,
    checked_name,
)
from wav2clip.library.playlists import write_m3u8, write_table
from wav2clip.library.store import COLLECTIONS

pytestmark = pytest.mark.everyday

ODD = """it's "<b>" 雨 100%_"""
HOSTILE = (
    "",
    " \t ",
    "a\0b",
    "line\nbreak",
    "\x1b[31mred",
    "\u202egnp.exe",
    "\u2066a",
    "\u200b",
    "\udc80",
    "x" * 10_240,
    " " * 10_240 + "x",
    "a" + " " * 10_240 + "b",
)


@pytest.fixture
def kept(library: Library, sounds: Path) -> Collections:
    """The collections of a library of six files."""
    library.index(sounds)
    return library.collections


def told(items: list[Item]) -> list[tuple[str, float, float, bool, bool]]:
    return [(i.path.name, i.start, round(i.end, 3), i.whole, i.missing) for i in items]


def test_files_and_parts_are_kept_in_order(kept: Collections, sounds: Path) -> None:
    long = sounds / "deep" / "long.wav"
    added = kept.add(FAVOURITES, [long, Part(long, 12.3456, 20), sounds / "0.wav"], note=" dusk ")
    assert (added.new, added.failures) == (3, {})
    assert kept.items(FAVOURITES) == added.items
    assert told(added.items) == [
        ("long.wav", 0, 26, True, False),
        ("long.wav", 12.346, 20, False, False),
        ("0.wav", 0, 0.2, True, False),
    ]
    assert {item.note for item in added.items} == {"dusk"}
    assert len({item.id for item in added.items}) == 3
    assert added.items[0].added <= added.items[1].added
    assert kept.summaries() == [(FAVOURITES, 3, 0)]


def test_what_is_there_stays_once(kept: Collections, library: Library, sounds: Path) -> None:
    long = sounds / "deep" / "long.wav"
    first = kept.add("a", [Part(long, 1, 2)], note="owl")
    # Rounded to the millisecond, through a link, as a find, and twice in one call.
    link = sounds.parent / "link"
    link.symlink_to(sounds, target_is_directory=True)
    again = kept.add("a", [Part(link / "deep" / "long.wav", 1.0004, 1.9996), *first.items])
    assert (again.new, again.items) == (0, first.items)
    (find,) = library.search("rain", limit=1)
    assert [kept.add("a", [find, find]).new for _ in range(2)] == [1, 0]
    assert len(kept.items("a")) == 2
    assert kept.add("a", first.items, note="barn owl").new == 0
    assert [item.note for item in kept.items("a")] == ["barn owl", ""]
    assert kept.add("b", first.items).items[0].note == "", "a collection has its own notes"


def test_almost_all_of_a_file_is_all_of_it(kept: Collections, sounds: Path) -> None:
    four = sounds / "deep" / "4.wav"  # 0.3 s
    parts = [four, Part(four), Part(four, 0.05), Part(four, 0, 99), Part(four, 0.01, 0.26)]
    assert kept.add("a", parts).new == 1
    assert kept.add("a", [Part(four, 0.06)]).new == 1
    assert told(kept.items("a"))[1] == ("4.wav", 0.06, 0.3, False, False)


def test_what_cannot_be_added_is_said(kept: Collections, sounds: Path) -> None:
    nan, zero = float("nan"), sounds / "0.wav"
    bad = [Part(zero, 5), Part(zero, -1), Part(zero, 0.1, 0.1), Part(zero, nan), Part(zero, 0, nan)]
    for part in bad:
        added = kept.add("a", [part, sounds / "1.wav"])
        assert [item.path for item in added.items] == [sounds / "1.wav"]
        assert "give a start before the end" in added.failures[zero]
    strangers = [sounds / "nowhere.wav", Path("/etc/passwd"), "a\0b"]
    added = kept.add("b", strangers)
    assert (added.items, added.new) == ([], 0)
    assert all("index its folder" in reason for reason in added.failures.values())
    assert len(added.failures) == 3
    with pytest.raises(UnknownNameError, match="no collection called 'b'"):
        kept.items("b")


def test_items_are_taken_out(kept: Collections, sounds: Path) -> None:
    files = [sounds / f"{i}.wav" for i in range(3)]
    items = kept.add("a", files).items
    other = kept.add("b", files[:1]).items
    assert kept.remove("a", [items[0].id, items[0].id, other[0].id, "' OR true"]) == 1
    assert kept.items("a") == items[1:]
    assert kept.items("b") == other
    assert kept.remove("a", [item.id for item in items]) == 2
    with pytest.raises(UnknownNameError):
        kept.remove("a", [])
    assert kept.summaries() == [("b", 1, 0)]


def test_renamed_and_deleted(kept: Collections, sounds: Path) -> None:
    items = kept.add("a", [sounds / "0.wav", sounds / "1.wav"]).items
    kept.add("B", [sounds / "0.wav"])
    for taken in ("B", "a"):
        with pytest.raises(InputError, match="already"):
            kept.rename("a", taken)
    kept.rename("a", ODD)
    assert kept.items(ODD) == items
    assert [each.name for each in kept.summaries()] == ["B", ODD]
    assert kept.delete(ODD) == 2
    for gone in ("a", ODD):
        for act in (kept.delete, kept.items, lambda name: kept.rename(name, "c")):
            with pytest.raises(UnknownNameError):
                act(gone)
    assert (sounds / "0.wav").exists()
    assert kept.delete("B") == 1
    assert kept.summaries() == []


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_cannot_be_seen(kept: Collections, sounds: Path, name: str) -> None:
    kept.add("a", [sounds / "0.wav"])
    for act in (
        lambda: kept.add(name, [sounds / "0.wav"]),
        lambda: kept.rename("a", name),
        lambda: kept.items(name),
        lambda: kept.delete(name),
        *([lambda: kept.add("a", [sounds / "0.wav"], note=name)] if name.strip() else []),
    ):
        with pytest.raises(InputError, match="expected") as error:
            act()
        assert str(error.value).isprintable() and len(str(error.value)) < 500
    assert kept.summaries() == [("a", 1, 0)]


def test_a_note_may_be_long(kept: Collections, sounds: Path) -> None:
    note = "ü" * LONGEST_NOTE
    kept.add("x" * LONGEST_NAME, [sounds / "0.wav"], note=note)
    assert kept.items("x" * LONGEST_NAME)[0].note == note
    with pytest.raises(InputError, match=r"1001 characters\), expected 0 to 1000"):
        kept.add("a", [sounds / "0.wav"], note=note + "x")


@given(st.text(max_size=300))
def test_a_name_is_one_line_that_can_be_seen(text: str) -> None:
    try:
        name = checked_name(text)
    except InputError:
        return
    assert 1 <= len(name) <= LONGEST_NAME
    assert name.isprintable()
    assert name == checked_name(name) == name.strip()


def test_composed_and_decomposed_are_one_name(kept: Collections, sounds: Path) -> None:
    kept.add("Tür", [sounds / "0.wav"])
    kept.add("Tu\u0308r ", [sounds / "1.wav"])
    assert kept.summaries() == [("Tür", 2, 0)]


# What happens to files ---------------------------------------------------------------------------


def test_an_item_follows_its_file(kept: Collections, library: Library, sounds: Path) -> None:
    kept.add("a", [sounds / "0.wav", Part(sounds / "deep" / "long.wav", 3, 9)])
    other = Library.open(library.store.uri).collections  # as of another process
    assert other.items("a") == kept.items("a")
    (sounds / "0.wav").rename(sounds / "deep" / "zero.wav")
    (sounds / "deep" / "long.wav").rename(sounds / "=long\n.wav")
    assert [item.missing for item in kept.items("a")] == [True, True], "not indexed again"
    assert [item.path.name for item in kept.items("a")] == ["0.wav", "long.wav"]
    assert kept.summaries() == [("a", 2, 2)]
    library.index(sounds)
    items = kept.items("a")
    assert other.items("a") == items
    assert told(items) == [
        ("zero.wav", 0, 0.2, True, False),
        ("=long\n.wav", 3, 9, False, False),
    ]
    assert kept.add("a", [sounds / "deep" / "zero.wav"]).new == 0
    assert kept.remove("a", [items[0].id]) == 1


def test_an_item_stays_where_its_file_is_gone(
    kept: Collections, library: Library, sounds: Path
) -> None:
    kept.add("a", [sounds / "0.wav", Part(sounds / "deep" / "long.wav", 3, 9)], note="n")
    before = kept.items("a")
    content = (sounds / "0.wav").read_bytes()
    (sounds / "0.wav").unlink()
    (sounds / "deep" / "long.wav").unlink()
    library.index(sounds, prune=True)
    assert told(kept.items("a")) == [
        ("0.wav", 0, 0.2, True, True),
        ("long.wav", 3, 9, False, True),
    ]
    assert {item.file for item in kept.items("a")} == {""}
    (sounds / "back.wav").write_bytes(content)
    library.index(sounds)
    assert told(kept.items("a"))[0] == ("back.wav", 0, 0.2, True, False)
    assert kept.remove("a", [before[1].id]) == 1, "what is missing can be taken out"


def test_content_counts_more_than_the_name(
    kept: Collections, library: Library, sounds: Path
) -> None:
    kept.add("a", [sounds / "0.wav", sounds / "1.wav", sounds / "2.wav"])
    (sounds / "0.wav").rename(sounds / "other.wav")
    (sounds / "1.wav").rename(sounds / "0.wav")  # takes its name
    (sounds / "2.wav").write_bytes(
        noise(77, 0.7)
    )  # was worked on, and stays the file that is meant
    shutil.copy(sounds / "3.wav", sounds / "copy.wav")
    library.index(sounds)
    assert told(kept.items("a")) == [
        ("other.wav", 0, 0.2, True, False),
        ("0.wav", 0, 0.3, True, False),
        ("2.wav", 0, 0.7, True, False),
    ]


def test_copies_are_two_and_become_one(kept: Collections, library: Library, sounds: Path) -> None:
    shutil.copy(sounds / "0.wav", sounds / "copy.wav")
    library.index(sounds)
    added = kept.add("a", [sounds / "0.wav", sounds / "copy.wav"])
    assert [item.path.name for item in kept.items("a")] == ["0.wav", "copy.wav"]
    (sounds / "0.wav").unlink()
    library.index(sounds, prune=True)
    (item,) = kept.items("a")
    assert (item.path.name, item.id) == ("copy.wav", added.items[0].id)
    assert kept.summaries() == [("a", 1, 0)]
    assert kept.remove("a", [item.id]) == 1
    assert kept.summaries() == [], "none comes back from behind it"


def test_a_file_with_other_tags_is_the_same(tmp_path: Path, small: Wav2CLIP) -> None:
    """Its words were changed at one time, and it was moved at another."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    plain = noise(1)
    (folder / "a.wav").write_bytes(plain)
    library = Library.open(tmp_path / "library", small)
    library.index(folder)
    library.collections.add("x", [folder / "a.wav"])
    (folder / "a.wav").write_bytes(with_chunks(plain, after=info(INAM=b"gate")))
    assert library.index(folder).retagged == 1
    (folder / "a.wav").rename(folder / "b.wav")
    library.index(folder)
    assert told(library.collections.items("x")) == [("b.wav", 0, 0.3, True, False)]


def test_names_that_are_no_text(kept: Collections, library: Library, sounds: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(sounds) + b"/T\xfcr.wav"))
    odd.write_bytes(noise(9))
    library.index(sounds)
    kept.add("a", [odd])
    assert kept.items("a")[0].path == odd
    assert kept.items("a")[0].to_json()["path"].endswith("T\\xfcr.wav")


# What happens to the library ----------------------------------------------------------------------


def test_a_rebuilt_library_keeps_them(kept: Collections, library: Library, sounds: Path) -> None:
    items = kept.add("a", [sounds / "0.wav", Part(sounds / "deep" / "long.wav", 3, 9)]).items
    library.index(sounds, rebuild=True, segment_seconds=5, overlap_seconds=1)
    assert kept.items("a") == items
    library.store.drop()  # a run that was stopped before it was done
    assert [item.missing for item in kept.items("a")] == [True, True]
    with pytest.raises(LibraryError, match="there is no library"):
        kept.add("a", [sounds / "0.wav"])
    library.index(sounds / "deep")
    assert [item.missing for item in kept.items("a")] == [True, False]
    library.index(sounds)
    assert kept.items("a") == items


def test_a_library_without_any(kept: Collections, library: Library, tmp_path: Path) -> None:
    assert kept.summaries() == []
    assert not (tmp_path / "library" / f"{COLLECTIONS}.lance").exists()
    with pytest.raises(UnknownNameError, match="tells which there are"):
        kept.items(FAVOURITES)
    nowhere = Library.open(tmp_path / "nowhere").collections
    for act in (
        nowhere.summaries,
        lambda: nowhere.items("a"),
        lambda: nowhere.add("a", []),
        lambda: nowhere.remove("a", []),
        lambda: nowhere.delete("a"),
    ):
        with pytest.raises(LibraryError, match="there is no library"):
            act()
    assert not (tmp_path / "nowhere").exists()


def test_a_library_of_an_earlier_version(kept: Collections, library: Library, sounds: Path) -> None:
    """It has no hashes of sound."""
    library.store.segments.drop_columns(["sound", "metadata", "origins"])
    old = Library.open(library.store.uri).collections
    items = old.add("a", [sounds / "0.wav"]).items
    assert old.items("a") == items
    (sounds / "0.wav").rename(sounds / "z.wav")
    library.index(sounds)
    assert told(kept.items("a")) == [("z.wav", 0, 0.2, True, False)]


def test_a_table_that_was_begun_and_not_made(
    kept: Collections, sounds: Path, tmp_path: Path
) -> None:
    """A process was killed while it made it."""
    (tmp_path / "library" / f"{COLLECTIONS}.lance" / "data").mkdir(parents=True)
    assert kept.summaries() == []
    assert kept.add("a", [sounds / "0.wav"]).new == 1
    assert kept.summaries() == [("a", 1, 0)]


def test_kept_while_an_index_is_at_work(kept: Collections, library: Library, sounds: Path) -> None:
    with library.store.lock():
        assert kept.add("a", [sounds / "0.wav"]).new == 1
    assert kept.summaries() == [("a", 1, 0)]


def test_many_at_once(kept: Collections, library: Library, sounds: Path) -> None:
    """Processes and threads that write at the same time lose nothing of each other."""
    long = sounds / "deep" / "long.wav"

    def keep(start: int) -> None:
        mine = Library.open(library.store.uri).collections
        for at in range(start, start + 5):
            mine.add("a", [Part(long, at, at + 1), sounds / "0.wav"])

    threads = [threading.Thread(target=keep, args=(5 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    items = kept.items("a")
    assert sorted(item.start for item in items if not item.whole) == list(range(20))
    assert sum(item.whole for item in items) == 1
    times = [item.added for item in items]
    assert times == sorted(times)


def test_small_parts_are_joined(
    kept: Collections, library: Library, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_PARTS", 4)
    for _ in range(3):
        for i in range(4):
            kept.add("a", [sounds / f"{i}.wav"])
        kept.remove("a", [item.id for item in kept.items("a")[:3]])
    assert len(kept.items("a")) == 1
    table = library.store._latest(COLLECTIONS)
    assert table.stats()["fragment_stats"]["num_fragments"] < 6


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["add", "remove"]), st.integers(0, 3)),
        max_size=12,
    )
)
@settings(max_examples=15)
def test_collections_are_ordered_sets(
    small_library: Library, steps: list[tuple[str, str, int]]
) -> None:
    """Against a dict of lists."""
    collections = small_library.collections
    for name, _, _ in collections.summaries():
        collections.delete(name)
    files = sorted(small_library.files())
    expected: dict[str, list[Path]] = {}
    for name, step, number in steps:
        path, there = files[number], expected.setdefault(name, [])
        if step == "add":
            assert collections.add(name, [path]).new == (path not in there)
            there += [] if path in there else [path]
        elif there:
            ids = [item.id for item in collections.items(name) if item.path == path]
            assert collections.remove(name, ids) == (path in there)
            expected[name] = [each for each in there if each != path]
    expected = {name: paths for name, paths in expected.items() if paths}
    assert {n: [i.path for i in collections.items(n)] for n in expected} == expected
    assert [each.name for each in collections.summaries()] == sorted(expected)


@pytest.fixture(scope="module")
def small_library(tmp_path_factory: pytest.TempPathFactory, small: Wav2CLIP) -> Library:
    folder = tmp_path_factory.mktemp("collected")
    for i in range(4):
        (folder / f"{i}.wav").write_bytes(noise(i))
    library = Library.open(tmp_path_factory.mktemp("library"), small)
    library.index(folder)
    return library


# Playlists and tables -----------------------------------------------------------------------------


def text_of(write: Callable[[io.StringIO], None]) -> str:
    text = io.StringIO(newline="")
    write(text)
    return text.getvalue()


def test_a_playlist(kept: Collections, library: Library, sounds: Path) -> None:
    odd = [Path(os.fsdecode(os.fsencode(sounds) + b"/T\xfcr.wav")), sounds / "line\nbreak.wav"]
    for number, path in enumerate([*odd, sounds / "雨, wind.wav"]):
        path.write_bytes(noise(20 + number))
    library.index(sounds)
    long = sounds / "deep" / "long.wav"
    gone = sounds / "3.wav"
    kept.add("a", [sounds / "雨, wind.wav", Part(long, 12.3456, 20), gone, *odd])
    gone.unlink()
    items = kept.items("a")
    root = sounds.as_uri()
    assert text_of(lambda file: write_m3u8("Rain & 雨", items, file)).splitlines() == [
        "#EXTM3U",
        "#PLAYLIST:Rain & 雨",
        "#EXTINF:1,雨, wind",
        f"{sounds}/雨, wind.wav",
        "#EXTINF:8,long 0m12.3s",
        "#EXTVLCOPT:start-time=12.346",
        "#EXTVLCOPT:stop-time=20.000",
        str(long),
        "#EXTINF:1,T\\xfcr",
        f"{root}/T%FCr.wav",
        "#EXTINF:1,line\\nbreak",
        f"{root}/line%0Abreak.wav",
    ]


def test_a_table(kept: Collections, sounds: Path) -> None:
    kept.add("a", [Part(sounds / "deep" / "long.wav", 1, 2)], note="=HYPERLINK(x)")
    kept.add("a", [sounds / "0.wav"])
    (sounds / "0.wav").unlink()
    text = text_of(lambda file: write_table(kept.items("a"), file))
    first, second = csv.DictReader(io.StringIO(text, newline=""))
    assert first["path"] == str(sounds / "deep" / "long.wav")
    assert (first["start"], first["end"], first["duration"]) == ("1.0", "2.0", "26.0")
    assert first["note"] == "'=HYPERLINK(x)"
    assert (first["whole"], first["missing"]) == ("False", "False")
    assert (second["whole"], second["missing"], second["end"]) == ("True", "True", "0.2")
