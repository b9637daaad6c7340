"""What is listed: folders, manifests in every format, addresses."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from media import tone, wav_bytes
from wav2clip.cluster.listing import list_files, read_manifest
from wav2clip.cluster.plan import Job, make_plan
from wav2clip.cluster.storage import Folder, open_location, public_name
from wav2clip.cluster.worker import fetch
from wav2clip.errors import InputError
from wav2clip.library.store import file_id


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "so unds ü"
    (folder / "deep").mkdir(parents=True)
    for name in ("b.wav", "a.wav", "deep/c d%20#?.wav", ".hidden.wav"):
        (folder / name).write_bytes(wav_bytes(tone(0.1)))
    (folder / "notes.txt").write_text("not a recording")
    return folder


def names(rows: pa.Table) -> list[str]:
    return [path.rpartition("/")[2] for path in rows["path"].to_pylist()]


def test_a_folder_by_path_and_by_address_is_the_same(sounds: Path) -> None:
    by_path, by_address = list_files([str(sounds)]), list_files([f"file://{sounds}"])
    assert names(by_path.files) == names(by_address.files) == ["a.wav", "b.wav", "c d%20#?.wav"]
    for column in ("inner", "size", "mtime_ns"):
        assert by_path.files[column].to_pylist() == by_address.files[column].to_pylist()
    assert by_address.files["path"].to_pylist()[0] == f"file://{sounds}/a.wav"
    assert by_path.files["file"].to_pylist() == [
        file_id(os.fsdecode(inner)) for inner in by_path.files["inner"].to_pylist()
    ]
    assert by_path.failures == by_address.failures == {}
    system, _ = open_location(by_address.files["root"][0].as_py())
    for inner in by_address.files["inner"].to_pylist():
        assert system.open_input_stream(inner.decode()).read(4) == b"RIFF"


def test_doubles_count_once_and_failures_have_reasons(sounds: Path) -> None:
    empty = sounds.parent / "empty"
    empty.mkdir()
    sources = [str(sounds / "b.wav"), str(sounds), str(empty), "gone.wav", f"file://{empty}",
               f"file://{sounds}/none"]  # fmt: skip
    found = list_files(sources)
    assert names(found.files) == ["b.wav", "a.wav", "c d%20#?.wav"]
    assert found.failures == {
        str(empty): "the folder holds no audio or video file",
        "gone.wav": "no such file, folder or pattern",
        f"file://{empty}": "the folder holds no audio or video file",
        f"file://{sounds}/none": "no such object or folder",
    }
    with pytest.raises(InputError, match="expected a path, or an address"):
        list_files(["gopher://host/sounds"])


def test_names_that_are_no_utf_8(tmp_path: Path) -> None:
    odd = os.fsdecode(b"od\xffd.wav")
    (tmp_path / odd).write_bytes(wav_bytes(tone(0.1)))
    row = list_files([str(tmp_path)]).files
    assert row["path"].to_pylist() == [f"{tmp_path}/od\\xffd.wav"]
    assert os.fsdecode(row["inner"][0].as_py()) == str(tmp_path / odd)
    (tmp_path / "even.wav").write_bytes(wav_bytes(tone(0.1)))
    by_address = list_files([f"file://{tmp_path}"])
    assert names(by_address.files) == ["even.wav"]
    assert "1 names in it are no UTF-8" in by_address.failures[f"file://{tmp_path}"]


@pytest.mark.parametrize("where", ["{}", "file://{}"])
def test_manifests_in_every_format(tmp_path: Path, where: str) -> None:
    paths = ["sub/a.wav", "/abs/b, c.wav", "s3://bucket/d e.wav", "ünï.wav"]
    (tmp_path / "list.txt").write_text("\n".join([*paths[:2], "", *paths[2:], ""]))
    quoted = "".join(f'x,"{path}"\n' for path in paths)
    (tmp_path / "list.csv").write_text("label,path\n" + quoted)
    lines = [json.dumps({"path": path, "label": 1}) for path in paths[1:]]
    (tmp_path / "list.jsonl").write_text("\n".join([json.dumps(paths[0]), *lines]))
    pq.write_table(pa.table({"label": [1] * 4, "path": paths}), tmp_path / "list.parquet")
    folder = where.format(tmp_path)
    for suffix in ("txt", "csv", "jsonl", "parquet"):
        assert read_manifest(f"{folder}/list.{suffix}") == [
            f"{folder}/sub/a.wav", "/abs/b, c.wav", "s3://bucket/d e.wav", f"{folder}/ünï.wav"
        ]  # fmt: skip


def test_manifests_are_not_looked_at_and_bad_ones_are_told(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("gone.wav\nfile:///gone too.wav\ngone.wav\n")
    rows = list_files([], [str(tmp_path / "list.txt")]).files
    assert rows["path"].to_pylist() == [str(tmp_path / "gone.wav"), "file:///gone too.wav"]
    assert rows["inner"].to_pylist()[1] == b"/gone too.wav"
    assert rows["size"].to_pylist() == [-1, -1]
    (tmp_path / "bad.csv").write_text("name,label\na,b\n")
    with pytest.raises(InputError, match="expected one named path"):
        read_manifest(str(tmp_path / "bad.csv"))
    (tmp_path / "bad.jsonl").write_text("{no json\n")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and nothing else")
    for name in ("bad.jsonl", "bad.parquet", "none.txt"):
        with pytest.raises(InputError, match=rf"{name}: cannot be read as a manifest"):
            read_manifest(str(tmp_path / name))


def test_keys_in_addresses_are_not_shown() -> None:
    assert public_name("s3://key:secret@bucket/a?endpoint_override=x") == "s3://bucket/a"
    assert public_name("abfs://container@account.host/a") == "abfs://container@account.host/a"


def test_files_appear_when_whole_and_parts_go(tmp_path: Path) -> None:
    folder = Folder(f"file://{tmp_path}/new/er")
    assert folder.names() == set()
    folder.write("a", b"one")
    folder.write("a", b"two")
    assert folder.open("a").read() == b"two"
    with pytest.raises(TypeError):
        folder.write("b", object())
    assert folder.names() == {"a"}
    folder.delete(["a", "none"])
    assert folder.names() == set()


def test_a_hundred_thousand_files_are_listed_and_planned(tmp_path: Path) -> None:
    """How long it takes is measured by benchmarks/cluster.py."""
    for number in range(100):
        folder = tmp_path / "sounds" / str(number)
        folder.mkdir(parents=True)
        (folder / "0.wav").write_bytes(b"")
        for other in range(1, 1_000):
            os.link(folder / "0.wav", folder / f"{other}.wav")
    listing = list_files([str(tmp_path / "sounds")])
    blocks = make_plan(Job("", ""), listing, Folder(str(tmp_path / "out")))
    assert listing.files.num_rows == sum(block.files.num_rows for block in blocks) == 100_000
    assert len(blocks) == 391


def test_objects_of_s3(s3_server: str, tmp_path: Path) -> None:
    endpoint = s3_server.replace(":", "%3A")
    query = f"?endpoint_override={endpoint}&scheme=http&region=us-east-1"
    bucket = f"s3://key:secret@sounds{query}&allow_bucket_creation=true"
    open_location(bucket)[0].create_dir("sounds")
    output = Folder(f"s3://key:secret@sounds/out{query}")
    output.write("a b#?.wav", wav_bytes(tone(0.1)))
    output.write("deep.wav", b"")
    found = list_files([f"s3://key:secret@sounds/out{query}"])
    assert found.failures == {}
    assert found.files["path"].to_pylist() == ["s3://sounds/out/a b#?.wav",
                                               "s3://sounds/out/deep.wav"]  # fmt: skip
    assert found.files["size"].to_pylist() == [3244, 0]
    paths = [path for path, _ in fetch(found.files, [0, 1], str(tmp_path))]
    assert [path.suffix for path in paths] == [".wav", ".wav"]
    assert paths[0].read_bytes() == wav_bytes(tone(0.1))
    blocks = make_plan(Job("", ""), found, output)
    assert blocks[0].files["path"].to_pylist() == found.files["path"].to_pylist()[:1]
    assert make_plan(Job("", ""), found, output)[1].name == blocks[1].name
    output.delete(["deep.wav"])
    assert output.names() == {"a b#?.wav", "_plan-000000.parquet"}
    assert b"secret" not in output.open("_plan-000000.parquet").read()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_manifests_as_spreadsheets_save_them(tmp_path: Path, encoding: str) -> None:
    """With a mark, in Latin-1, and with names that look like numbers."""
    names = ["007", "1e3", "café.wav", "2020-01-01"]
    for name in names:
        (tmp_path / name).touch()
    wanted = [f"{tmp_path}/{name}" for name in names]
    content = {
        "txt": "\n".join(names),
        "csv": "path,label\n" + "".join(f"{name},1\n" for name in names),
        "jsonl": "\n".join(json.dumps({"path": name}, ensure_ascii=False) for name in names),
    }
    for suffix, text in content.items():
        (tmp_path / f"list.{suffix}").write_bytes(text.encode(encoding))
        assert read_manifest(f"{tmp_path}/list.{suffix}") == wanted


def test_bytes_of_names_are_kept(tmp_path: Path) -> None:
    """On a disk whose names are in Latin-1, so is its manifest."""
    name = b"caf\xe9.wav"
    (tmp_path / os.fsdecode(name)).touch()
    (tmp_path / "list.txt").write_bytes(name + b"\n")
    (entry,) = read_manifest(f"{tmp_path}/list.txt")
    assert os.fsencode(entry).endswith(name)


def test_what_is_left_out(tmp_path: Path) -> None:
    for name in ("a.wav", "b.txt", "c.txt"):
        (tmp_path / name).touch()
    for source in (str(tmp_path), f"file://{tmp_path}"):
        assert list_files([source]).left_out == {".txt": 2}
