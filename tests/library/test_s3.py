"""A library on object storage, spoken to as S3."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest
from library_sounds import noise, rows_of

from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.library import Library, Part


@pytest.fixture
def storage(s3_server: str) -> dict[str, str]:
    """Options for a server of the S3 protocol that runs here, with a bucket named sounds."""
    endpoint = f"http://{s3_server}"
    bucket = urllib.request.Request(f"{endpoint}/sounds", method="PUT")
    with urllib.request.urlopen(bucket) as answer:
        assert answer.status == 200
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    return {**keys, "endpoint": endpoint, "region": "us-east-1", "allow_http": "true"}


def test_the_same_as_on_disk(
    storage: dict[str, str], library: Library, sounds: Path, small: Wav2CLIP, tmp_path: Path
) -> None:
    remote = Library.open("s3://sounds/library", small, storage_options=storage)
    assert len(remote) == 0
    (sounds / "bad.wav").write_bytes(b"no sound")
    for _ in range(2):
        for each in (library, remote):
            each.index(sounds, prune=True)
        (sounds / "0.wav").write_bytes(noise(80))
        (sounds / "1.wav").rename(sounds / "moved.wav")
        (sounds / "2.wav").unlink()
        (sounds / "1.wav").write_bytes(noise(81))
        (sounds / "2.wav").write_bytes(noise(82))
    assert rows_of(remote) == rows_of(library)
    assert remote.failures() == library.failures() != {}
    reader = Library.open("s3://sounds/library", small, storage_options=storage)
    here = library.search("rain", limit=5)
    there = reader.search("rain", limit=5)
    assert [find.id for find in there] == [find.id for find in here]
    reader.tag(["rain", "a dog"])
    assert all(find.tags for find in reader.search("rain"))


def test_collections(storage: dict[str, str], sounds: Path, small: Wav2CLIP) -> None:
    remote = Library.open("s3://sounds/library", small, storage_options=storage)
    remote.index(sounds)
    assert remote.collections.summaries() == []
    long = sounds / "deep" / "long.wav"
    for _ in range(2):
        added = remote.collections.add("a", [sounds / "0.wav", Part(long, 3, 9)], note="owl")
    assert added.new == 0
    (sounds / "0.wav").rename(sounds / "moved.wav")
    remote.index(sounds, rebuild=True)
    reader = Library.open("s3://sounds/library", storage_options=storage).collections
    first, second = reader.items("a")
    assert (first.path, second.start, second.end) == (sounds / "moved.wav", 3, 9)
    assert reader.remove("a", [first.id]) == 1
    reader.rename("a", "b")
    assert remote.collections.items("b") == [second]
    assert remote.collections.delete("b") == 1
    assert reader.summaries() == []
