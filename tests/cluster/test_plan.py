"""Blocks: the same for the same files, and what happens to them when files come, change and go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wav2clip.cluster.listing import FILES, Listing
from wav2clip.cluster.plan import (
    BLOCK_BYTES,
    BLOCK_FILES,
    Block,
    Job,
    cut,
    finished,
    make_plan,
    stale,
)
from wav2clip.cluster.storage import Folder
from wav2clip.errors import ClusterError

JOB = Job("fingerprint", "model", sources=("/sounds",))


def listing(files: dict[str, int], failures: dict[str, str] | None = None) -> Listing:
    rows = [
        {"file": f"id {name}", "path": name, "root": "", "inner": name.encode(), "size": size,
         "mtime_ns": 0}
        for name, size in files.items()
    ]  # fmt: skip
    return Listing(pa.Table.from_pylist(rows, FILES), failures or {})


def numbered(count: int, size: int = 1) -> dict[str, int]:
    return {f"{number:04d}.wav": size for number in range(count)}


def members(blocks: list[Block]) -> dict[str, list[str]]:
    return {block.name: block.files["path"].to_pylist() for block in blocks}


@given(st.lists(st.integers(-1, 2 * BLOCK_BYTES), max_size=400))
def test_blocks_are_bounded_and_in_order(sizes: list[int]) -> None:
    numbers = cut(np.array(sizes, np.int64))
    assert numbers.tolist() == sorted(numbers.tolist())
    assert set(numbers.tolist()) == set(range(len(set(numbers.tolist()))))
    for number in set(numbers.tolist()):
        own = np.maximum(np.array(sizes)[numbers == number], 0)
        assert len(own) <= BLOCK_FILES
        assert len(own) == 1 or own.sum() <= BLOCK_BYTES


def test_large_jobs_have_large_blocks_and_small_ones_have_many() -> None:
    assert np.bincount(cut(np.ones(100_000))).max() == BLOCK_FILES
    assert cut(np.ones(128)).max() + 1 == 64


def test_the_same_plan_again_and_new_files_in_new_blocks(tmp_path: Path) -> None:
    output = Folder(str(tmp_path))
    first = members(make_plan(JOB, listing(numbered(130)), output))
    again = members(make_plan(JOB, listing(dict(reversed(numbered(130).items()))), output))
    assert sorted(map(sorted, again.values())) == sorted(map(sorted, first.values()))
    assert members(make_plan(JOB, listing(numbered(130)), output)) == first
    more = members(make_plan(JOB, listing({"0000 new.wav": 1, **numbered(130)}), output))
    assert {name: files for name, files in more.items() if name in first} == first
    assert [files for name, files in more.items() if name not in first] == [["0000 new.wav"]]
    assert members(make_plan(JOB, listing({**numbered(130), "0000 new.wav": 1}), output)) == more


def test_changed_and_gone_files_give_their_block_another_name(tmp_path: Path) -> None:
    output = Folder(str(tmp_path))
    first = make_plan(JOB, listing(numbered(640)), output)
    for block in first:
        output.write(block.name, b"")
    files = {**numbered(640), "0000.wav": 2}
    del files["0639.wav"]
    now = make_plan(JOB, listing(files), output)
    done = finished(now, output, incomplete=False)
    assert [block.name in done for block in now] == [False, *[True] * 62, False]
    assert stale([block.name for block in now], output) == {first[0].name, first[-1].name}


def test_what_cannot_be_listed_is_not_thought_gone(tmp_path: Path) -> None:
    output = Folder(str(tmp_path))
    first = make_plan(JOB, listing(numbered(640)), output)
    for block in first:
        output.write(block.name, b"")
    files = dict(list(numbered(640).items())[:-1])
    now = make_plan(JOB, listing(files, {"/sounds/x": "Permission denied"}), output)
    assert now[-1].name != first[-1].name
    assert finished(now, output, incomplete=True)[now[-1].name] == first[-1].name


def test_names_depend_on_how_files_are_embedded(tmp_path: Path) -> None:
    frames = replace(JOB, frame_seconds=1.0)
    others = [replace(JOB, fingerprint="x"), replace(JOB, engine="onnx")]
    jobs = [JOB, *others, frames, replace(frames, hop_seconds=0.5)]
    names = [
        make_plan(job, listing(numbered(1)), Folder(str(tmp_path / str(i))))[0].name
        for i, job in enumerate(jobs)
    ]
    assert len(set(names)) == len(jobs)
    assert {name.split("-")[1] for name in names} == {"00000000"}


def test_another_job_is_refused(tmp_path: Path) -> None:
    output = Folder(str(tmp_path))
    make_plan(JOB, listing(numbered(3)), output)
    make_plan(replace(JOB, model="the same under another path"), listing(numbered(3)), output)
    for other in (replace(JOB, sources=("/other",)), replace(JOB, frame_seconds=2.0)):
        with pytest.raises(ClusterError, match="another job"):
            make_plan(other, listing(numbered(3)), output)


def test_nothing_to_plan(tmp_path: Path) -> None:
    assert make_plan(JOB, listing({}), Folder(str(tmp_path))) == []
