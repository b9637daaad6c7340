"""Duplicates, tags, and the corpus of the demo."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from library_sounds import noise

from wav2clip import zeroshot
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import DataError, InputError
from wav2clip.library import Filters, Library, corpus, tags

pytestmark = pytest.mark.everyday


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1, float("nan")])
def test_thresholds_that_are_none(library: Library, sounds: Path, threshold: float) -> None:
    library.index(sounds)
    with pytest.raises(InputError, match="threshold"):
        library.duplicates(threshold)


def test_tags_are_those_of_zero_shot(
    library: Library, sounds: Path, small: Wav2CLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.index(sounds)
    labels = ["rain", "a dog", "an engine"]
    monkeypatch.setattr(tags, "_BLOCK", 4)
    assert library.tag(labels) == len(library) == 9
    towers = small.towers
    weights = zeroshot.class_weights(towers, labels)
    for path in sounds.rglob("?.wav"):
        probabilities = zeroshot.classify_embeddings(
            small.embed_file(path), weights, small.logit_scale(), small.mean, towers.means["text"]
        )
        (best,) = [r for r in library.search("rain") if r.path == path]
        assert best.tags == (labels[int(probabilities.argmax())],)


def test_tags_in_filters_after_moves_and_again(library: Library, sounds: Path) -> None:
    library.index(sounds)
    library.tag(["rain", "it's"], top=2)

    def tagged() -> int:
        return sum(
            {"rain", "it's"} <= set(row or ()) for row in library.to_arrow()["tags"].to_pylist()
        )

    both = Filters(tags=("rain", "it's"))
    assert tagged() == 9
    assert len(library.search("rain", filters=both, limit=50)) == 6
    os.rename(sounds / "0.wav", sounds / "moved.wav")
    library.index(sounds)
    assert tagged() == 9
    (sounds / "new.wav").write_bytes(noise(70))
    library.index(sounds)
    assert tagged() == 9
    library.tag(["a dog"])
    assert len(library.search("rain", filters=Filters(tags=("rain", "a dog")))) == 6
    library.tag(["rain"], min_probability=1.0, replace=True)
    assert len(library.search("rain", filters=Filters(tags=("a dog",)))) == 0
    with pytest.raises(InputError, match="top 0"):
        library.tag(["rain"], top=0)
    with pytest.raises(InputError, match="empty"):
        library.tag([])


def test_pairs_are_those_of_the_list(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stamps"
    (folder / "animals").mkdir(parents=True)
    (folder / "symbols").mkdir()
    for name in ("frog", "frog_desc", "frog_desc_fr", "toad", "mute"):
        (folder / "animals" / f"{name}.wav").write_bytes(noise(len(name)))
        (folder / "animals" / f"{name}.txt").write_text("A frog.\nfr.utf8=Une grenouille.\n")
    for name in ("animals/frog", "animals/frog_desc", "animals/toad", "symbols/a"):
        (folder / f"{name}.png").write_bytes(b"picture")
    (folder / "symbols" / "a.wav").write_bytes(noise(90))
    (folder / "symbols" / "a.txt").write_text("The letter A.")
    (folder / "animals" / "toad.wav").write_bytes(noise(4))  # the same bytes as frog.wav
    (pair,) = corpus.find_pairs(folder)
    assert (pair.audio.name, pair.caption) == ("frog.wav", "A frog.")
    assert pair.image == folder / "animals" / "frog.png"


def test_without_network_or_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAV2CLIP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WAV2CLIP_OFFLINE", "1")
    with pytest.raises(DataError, match="switched off"):
        corpus.stamps()
    monkeypatch.delenv("WAV2CLIP_OFFLINE")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="no apt-get"):
        corpus.stamps()
    assert list((tmp_path / "cache").iterdir()) == [], "nothing half-made stays behind"


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
@pytest.mark.parametrize("updates", [False, True])
def test_from_a_package(updates: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package built here, given by an apt-get that may know it after an update alone."""
    stamps = tmp_path / "build" / "usr" / "share" / "tuxpaint" / "stamps" / "animals"
    stamps.mkdir(parents=True)
    (stamps / "frog.wav").write_bytes(noise(1))
    (stamps / "frog.png").write_bytes(b"picture")
    (stamps / "frog.txt").write_text("A frog.")
    (stamps / "frog_desc.wav").write_bytes(noise(2))
    control = tmp_path / "build" / "DEBIAN" / "control"
    control.parent.mkdir()
    control.write_text(
        f"Package: {corpus.PACKAGE}\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\n"
        "Description: stamps\n"
    )
    package = tmp_path / "stamps.deb"
    assert os.system(f"dpkg-deb -b '{tmp_path / 'build'}' '{package}' > /dev/null") == 0
    tools = tmp_path / "bin"
    tools.mkdir()
    condition = "test -e lists-are-there" if updates else "true"
    (tools / "apt-get").write_text(
        "#!/bin/sh\n"
        "for last; do :; done\n"
        'case "$last" in\n'
        "update) touch lists-are-there ;;\n"
        f"*) if {condition}; then cp '{package}' .; else echo no lists >&2; exit 100; fi ;;\n"
        "esac\n"
    )
    (tools / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("WAV2CLIP_CACHE", str(tmp_path / "cache"))
    for name in ("WAV2CLIP_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    got = corpus.stamps()
    assert [pair.caption for pair in got.pairs] == ["A frog."]
    files = sorted(path.name for path in got.folder.rglob("*") if path.is_file())
    assert files == ["frog.png", "frog.txt", "frog.wav"]
    (tools / "apt-get").write_text("#!/bin/sh\nexit 1\n")
    assert corpus.stamps() == got, "the second time it comes from the cache"


def test_synthesised_sounds_are_sounds(library: Library, tmp_path: Path) -> None:
    made = corpus.synthesise(tmp_path / "made")
    assert library.index(made.folder).added == 10
    assert library.duplicates(0.9999).groups == []
