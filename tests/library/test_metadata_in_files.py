"""What people wrote into files, in a library: kept, found, shown, and added to older libraries."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from library_sounds import noise

from media import bext, chunk, encode, id3, info, tone, with_chunks
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.library import Library
from wav2clip.library.results import LIKELY
from wav2clip.reading import child
from wav2clip.reading.readers import Readers

pytestmark = pytest.mark.everyday

IXML = "<BWFXML><PROJECT>Harbour</PROJECT><NOTE>{}</NOTE></BWFXML>"

QUERIES = {
    "rain on a roof": "WEATRain_5.1 rain on roof.wav",
    "creaking gate": "T01.wav",  # bext
    "Ann Lee moorland": "T02.wav",  # originator and project
    "winch under load": "T03.wav",  # iXML
    "steam valve hiss": "T04.wav",  # INFO
    "marble rolling": "T05.wav",  # ID3 in WAV
    "Hufgetrappel": "T06.mp3",  # ID3
    "glass harp": "T07.flac",  # Vorbis comments
    "dry ice": "T08.m4a",  # MP4 atoms
    "雷": "雷_遠い.wav",
    "zip tent": "CLOTHZipp_Tent Zip_AL_MOOR.wav",  # UCS
    "ferry horn": "T09.wav",  # of an hour
}
"""A phrase, and the file that it is meant to find."""


@pytest.fixture(scope="module")
def professional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings as sound people name and describe them, beside forty that say nothing."""
    folder = tmp_path_factory.mktemp("professional")
    described = {
        "WEATRain_5.1 rain on roof.wav": b"",
        "T01.wav": bext(b"Gate creaking slowly, iron on iron"),
        "T02.wav": bext(b"", b"Ann Lee") + chunk(b"iXML", IXML.format("moorland").encode()),
        "T03.wav": chunk(b"iXML", IXML.format("winch under heavy load").encode()),
        "T04.wav": info(ICMT=b"steam valve, long hiss"),
        "T05.wav": chunk(b"id3 ", id3(TIT2="Marble rolling on wood")),
        "雷_遠い.wav": b"",
        "CLOTHZipp_Tent Zip_AL_MOOR.wav": b"",
        "A/B/Ambience 01.wav": b"",
    }
    for number, (name, chunks) in enumerate(described.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(with_chunks(noise(number, 0.5), after=chunks))
    for number in range(40):
        (folder / f"untold {number}.wav").write_bytes(noise(100 + number, 0.4))
    plain = encode(folder / "T06.mp3", tone(0.5, 44_100), 44_100, "mp3")
    plain.write_bytes(id3(TIT2="Hufgetrappel im Hof") + plain.read_bytes())
    for name, codec, title in (("T07.flac", "flac", "Glass harp"), ("T08.m4a", "aac", "Dry ice")):
        encode(folder / name, tone(0.5, 44_100, 300.0), 44_100, codec, title=title)
    hour = tone(3600.0, 8_000, 220.0)
    soundfile.write(folder / "T09.wav", hour, 8_000, subtype="PCM_U8")
    content = (folder / "T09.wav").read_bytes()
    (folder / "T09.wav").write_bytes(with_chunks(content, bext(b"Ferry horn, then harbour")))
    return folder


@pytest.fixture(scope="module")
def told(professional: Path, tmp_path_factory: pytest.TempPathFactory) -> Library:
    library = Library.open(tmp_path_factory.mktemp("told") / "library")
    report = library.index(professional)
    assert not report.failures
    return library


@pytest.mark.parametrize("phrase", QUERIES)
def test_what_was_written_is_found_first(told: Library, phrase: str) -> None:
    first = told.search(phrase, limit=3)[0]
    assert first.path.name == QUERIES[phrase]
    assert first.words


def test_finds_say_what_was_written(told: Library) -> None:
    (first,) = told.search("creaking gate", limit=1)
    assert first.metadata == {"description": "Gate creaking slowly, iron on iron"}
    assert first.words == ("creaking", "gate")
    assert first.to_json()["metadata"] == dict(first.metadata)
    (horn,) = told.search("ferry horn", limit=1, per_file=False)
    assert horn.metadata["description"].startswith("Ferry horn"), "whatever the segment"
    assert horn.peak >= 0
    assert horn.confidence > LIKELY


def test_a_library_of_an_earlier_version(
    small: Wav2CLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number in range(5):
        content = with_chunks(noise(number), bext(b"word%s" % (b"abcde"[number : number + 1])))
        (folder / f"{number}.wav").write_bytes(content)
    library = Library.open(tmp_path / "library", small)
    library.index(folder)
    new = library.to_arrow()
    library.store.segments.drop_columns(["metadata", "origins"])
    older = Library.open(tmp_path / "library", small)
    assert len(older.search("wordc", by="words")) == 0
    assert older.search("wordc")[0].metadata == {}

    def decoded(*_: object) -> None:
        raise AssertionError("a file was decoded")

    monkeypatch.setattr(child.io, "stream_audio", decoded)
    report = older.index(folder)
    assert (report.unchanged, report.described, report.added) == (5, 5, 0)
    assert (
        older.to_arrow()
        .sort_by("id")
        .equals(new.sort_by("id").select(older.to_arrow().column_names))
    )
    (found,) = older.search("wordc", by="words")
    assert found.path.name == "2.wav"
    assert older.index(folder).described == 0


def test_a_file_whose_metadata_cannot_be_read_is_there(
    small: Wav2CLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "a.wav").write_bytes(noise(1))

    def crashed(self: Readers, path: object) -> dict[str, str]:
        raise OSError("the disk says no")

    monkeypatch.setattr(Readers, "read_metadata", crashed)
    monkeypatch.setattr(small, "graph_folder", None)  # those that embed, too, do not ask for it
    library = Library.open(tmp_path / "library", small)
    report = library.index(tmp_path / "sounds")
    assert report.added == 1
    (warnings,) = report.warnings.values()
    assert warnings == ("its metadata cannot be read: the disk says no",)


def test_moved_and_copied_files_keep_what_was_written(small: Wav2CLIP, tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    folder.mkdir()
    (folder / "a.wav").write_bytes(with_chunks(noise(1), bext(b"gate")))
    library = Library.open(tmp_path / "library", small)
    library.index(folder)
    (folder / "a.wav").rename(folder / "b.wav")
    assert library.index(folder).reused == 1
    (found,) = library.search("gate", by="words")
    assert (found.path.name, found.metadata) == ("b.wav", {"description": "gate"})
