"""The copy beside a library: the next process answers from it, and never with what is stale."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from library_sounds import noise

from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.library import Filters, Library
from wav2clip.library.copy import NAME
from wav2clip.library.index import Here
from wav2clip.reading.readers import InProcess

pytestmark = pytest.mark.everyday


@pytest.fixture
def searched(library: Library, sounds: Path) -> Path:
    """The folder of a library that was searched once."""
    library.index(sounds)
    library.search("rain")
    return Path(library.store.uri)


def ids(library: Library, phrase: str = "rain") -> list[tuple[str, float]]:
    return [(result.id, result.score) for result in library.search(phrase, limit=50)]


def test_the_same_answers_without_the_tables(searched: Path, small: Wav2CLIP) -> None:
    with_copy = Library.open(searched, small)
    found = ids(with_copy)
    assert not with_copy.store._tables, "the tables were opened"
    (searched / NAME).unlink()
    without = Library.open(searched, small)
    assert ids(without) == found
    assert without.store._tables
    assert (searched / NAME).exists(), "the next process has one again"


def test_a_process_that_searches_imports_no_lancedb_and_no_torch(searched: Path) -> None:
    code = (
        "import json, sys, wav2clip\n"
        f"library = wav2clip.Library.open({str(searched)!r})\n"
        "vector = [1.0] + [0.0] * (library.store.open_copy().settings.dimension - 1)\n"
        "found = [str(result.path) for result in library.search(vector, limit=3)]\n"
        "print(json.dumps([found, sorted({'lancedb', 'torch', 'scipy'} & set(sys.modules))]))\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    found, imported = json.loads(answer.stdout)
    assert len(found) == 3
    assert imported == []


def test_what_another_process_adds_is_found(searched: Path, sounds: Path, small: Wav2CLIP) -> None:
    before = Library.open(searched, small)
    assert len(ids(before)) == 6
    (sounds / "new.wav").write_bytes(noise(77))
    Library.open(searched, small).index(sounds)
    assert len(ids(before)) == 7, "the one that has answered from the copy"
    assert len(ids(Library.open(searched, small))) == 7, "and one that begins with it"


def test_filters_and_more_open_the_tables(searched: Path, sounds: Path, small: Wav2CLIP) -> None:
    library = Library.open(searched, small)
    assert len(library.search("rain", filters=Filters(path="deep/*"), limit=50)) == 2
    assert len(library) == 9
    assert len(library.search(audio=sounds / "0.wav", limit=50)) == 5
    assert library.tag(["dog", "rain"]) == 9
    assert all(result.tags for result in Library.open(searched, small).search("rain"))


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "other", "gone"])
def test_a_copy_that_is_damaged_is_none(searched: Path, small: Wav2CLIP, damage: str) -> None:
    found, copy = ids(Library.open(searched, small)), searched / NAME
    content = copy.read_bytes()
    if damage == "cut":
        copy.write_bytes(content[: len(content) // 2])
    elif damage == "text":
        copy.write_text("no Arrow")
    elif damage == "empty":
        copy.write_bytes(b"")
    elif damage == "other":
        with pa.OSFile(str(copy), "wb") as file, pa.ipc.new_file(file, pa.schema([])):
            pass
    else:
        copy.unlink()
    assert ids(Library.open(searched, small)) == found
    assert ids(Library.open(searched, small)) == found


def test_a_library_that_cannot_be_written(
    small: Wav2CLIP, unprivileged: None, library: Library, sounds: Path
) -> None:
    library.index(sounds, executor=Here(small, readers=InProcess()))
    folder = Path(library.store.uri)
    folder.chmod(0o555)
    try:
        assert len(ids(Library.open(folder, small))) == 6
        assert not (folder / NAME).exists()
        assert not [name for name in os.listdir(folder) if name.endswith(".part")]
    finally:
        folder.chmod(0o755)


def test_made_anew_with_another_model(searched: Path, sounds: Path, small: Wav2CLIP) -> None:
    """What is dropped takes its copy along."""
    library = Library.open(searched, small)
    ids(library)
    library.index(sounds / "deep", rebuild=True)
    assert len(ids(Library.open(searched, small))) == 2
