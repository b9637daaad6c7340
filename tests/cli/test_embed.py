"""The shipped `wav2clip embed`, run as a user runs it."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pyarrow.parquet as pq
import pytest

from media import tone, wav_bytes
from odd_files import mute_video
from wav2clip.embedding.embedder import Wav2CLIP

pytestmark = pytest.mark.everyday

Run = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def sounds(tmp_path: Path, data: Path) -> Path:
    """A folder of good recordings, real and made, in two levels."""
    folder = tmp_path / "sounds"
    (folder / "deep" / "er").mkdir(parents=True)
    for source in sorted((data / "esc10_original").glob("*.ogg"))[:3]:
        shutil.copy(source, folder)
    (folder / "deep" / "a tone.wav").write_bytes(wav_bytes(tone(1.3, 22_050), 22_050))
    (folder / "deep" / "er" / "très 🐕.wav").write_bytes(wav_bytes(tone(0.4)))
    (folder / "notes.txt").write_text("not a recording")
    (folder / ".hidden.wav").write_bytes(wav_bytes(tone(0.4)))
    return folder


def test_clips_in_every_format(
    run_command: Run, sounds: Path, small_checkpoint: Path, small: Wav2CLIP, tmp_path: Path
) -> None:
    for suffix in ("npz", "parquet", "jsonl"):
        done = run_command(
            "embed", sounds, "-o", tmp_path / f"out.{suffix}", "--model", small_checkpoint
        )
        assert done.returncode == 0, done.stderr
        assert "5 embeddings of 5 files" in done.stdout
    arrays = np.load(tmp_path / "out.npz")
    table = pq.read_table(tmp_path / "out.parquet")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    paths = arrays["paths"].tolist()
    assert paths == table["path"].to_pylist() == [line["path"] for line in lines]
    assert [Path(p).name for p in paths[-2:]] != [".hidden.wav"]
    expected = np.stack([small.embed_file(path) for path in paths])
    assert arrays["embeddings"].dtype == np.float32
    np.testing.assert_allclose(arrays["embeddings"], expected, atol=1e-5)
    np.testing.assert_array_equal(table["embedding"].to_pylist(), arrays["embeddings"])
    np.testing.assert_array_equal(
        np.float32([line["embedding"] for line in lines]), arrays["embeddings"]
    )
    np.testing.assert_allclose(arrays["ends"], table["end"].to_pylist())
    assert arrays["starts"].tolist() == [0] * 5
    assert str(arrays["fingerprint"]) == small.fingerprint
    assert table.schema.metadata[b"wav2clip.fingerprint"].decode() == small.fingerprint


def test_frames(
    run_command: Run, sounds: Path, small_checkpoint: Path, small: Wav2CLIP, tmp_path: Path
) -> None:
    tone_file = sounds / "deep" / "a tone.wav"
    out = tmp_path / "frames.npz"
    done = run_command(
        "embed", tone_file, "-o", out, "--model", small_checkpoint,
        "--frames", "0.5", "--hop", "0.25",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    arrays, expected = np.load(out), small.embed_file_frames(tone_file, 0.5, 0.25)
    np.testing.assert_allclose(arrays["embeddings"], expected.embeddings, atol=1e-5)
    np.testing.assert_allclose(arrays["starts"], [0, 0.25, 0.5, 0.75])
    np.testing.assert_allclose(arrays["ends"], [0.5, 0.75, 1.0, 1.25])


def test_globs_and_doubles(
    run_command: Run, sounds: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    pattern = f"{sounds}/**/*.wav"
    done = run_command(
        "embed", pattern, sounds / "deep", "-o", tmp_path / "o.jsonl", "--json",
        "--model", small_checkpoint,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["files"] == 2


def test_every_bad_file_is_listed_and_every_good_one_written(
    run_command: Run, sounds: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    good = wav_bytes(tone(1.0))
    bad = {
        "empty.wav": b"",
        "text.wav": b"hello " * 100,
        "none.wav": wav_bytes(np.zeros(0, np.float32)),
        "nan.wav": wav_bytes(np.full(100, np.nan, np.float32), subtype="FLOAT"),
        "cut.mp4": b"\0\0\0\x20ftypisom\0\0\0\0",
        "bomb.wav": pickle.dumps({"a": os.system}),
    }
    for name, content in bad.items():
        (sounds / name).write_bytes(content)
    (sounds / "short.wav").write_bytes(good[:46])
    out = tmp_path / "out.npz"
    done = run_command(
        "embed", sounds, tmp_path / "nowhere.wav", "-o", out, "--model", small_checkpoint
    )
    assert done.returncode == 1
    assert len(np.load(out)["paths"]) == 6
    for name in (*bad, "nowhere.wav"):
        reasons = [line for line in done.stderr.splitlines() if f"{name}:" in line]
        assert len(reasons) == 1, (name, done.stderr)
        assert reasons[0].startswith("failed ")
    assert "7 failed, 6 done" in done.stderr


def test_damage_is_a_warning(run_command: Run, small_checkpoint: Path, tmp_path: Path) -> None:
    from media import encode

    whole = encode(tmp_path / "whole.flac", tone(3.0, 44_100), 44_100, "flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    done = run_command(
        "embed", tmp_path / "cut.flac", "-o", tmp_path / "o.npz", "--model", small_checkpoint
    )
    assert done.returncode == 0, done.stderr
    assert "warning" in done.stderr and "cut.flac" in done.stderr


def test_nothing_to_do_is_a_failure(
    run_command: Run, small_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "void").mkdir()
    out = tmp_path / "out.npz"
    done = run_command("embed", tmp_path / "void", "-o", out, "--model", small_checkpoint)
    assert done.returncode == 1
    assert "holds no audio or video file" in done.stderr
    assert not out.exists()


def test_a_folder_without_permission(
    run_command: Run, small_checkpoint: Path, tmp_path: Path, unprivileged: None
) -> None:
    """Listed as a failure; what lies beside it is embedded."""
    from wav2clip.files import find_recordings

    closed = tmp_path / "closed"
    closed.mkdir()
    (tmp_path / "open.wav").write_bytes(wav_bytes(tone(0.3)))
    closed.chmod(0)
    try:
        paths, failures, _ = find_recordings([str(closed), str(tmp_path / "open.wav")])
    finally:
        closed.chmod(0o700)
    assert [path.name for path in paths] == ["open.wav"]
    assert failures == {closed: "Permission denied"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x.wav", "-o", "out.csv"], "expected a name ending in .npz, .parquet, .jsonl"),
        (["x.wav", "-o", "missing/out.npz"], "does not exist"),
        (["x.wav", "-o", "out.npz", "--hop", "1"], "--hop needs --frames"),
    ],
)
def test_wrong_arguments(run_command: Run, arguments: list[str], words: str) -> None:
    done = run_command("embed", *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_usage_is_2(run_command: Run) -> None:
    assert run_command("embed").returncode == 2
    assert run_command("embedd", "x").returncode == 2
    assert run_command("embed", "x.wav", "-o", "o.npz", "--workers", "0").returncode == 2


def test_an_unknown_model_lists_the_known(run_command: Run, sounds: Path, tmp_path: Path) -> None:
    done = run_command("embed", sounds, "-o", tmp_path / "o.npz", "--model", "nonsense")
    assert done.returncode == 1
    assert "wav2clip, " in done.stderr or ", wav2clip" in done.stderr


def test_the_published_model_offline_says_where_to_put_it(
    run_command: Run, sounds: Path, tmp_path: Path
) -> None:
    done = run_command("embed", sounds, "-o", tmp_path / "o.npz", "--model", "wav2clip")
    assert done.returncode == 1
    for word in ("Wav2CLIP.pt", "https://", str(tmp_path / "cache")):
        assert word in done.stderr


def test_a_folder_of_everything(run_command: Run, small_checkpoint: Path, tmp_path: Path) -> None:
    """A mute video is passed over, a pipe is named at once, and what is left out is counted."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.wav").write_bytes(wav_bytes(tone(0.3)))
    (folder / "mute.mp4").write_bytes(mute_video())
    (folder / "code.ts").write_text("export {}")
    (folder / "notes.txt").touch()
    arguments = ("embed", folder, "-o", tmp_path / "o.npz", "--model", small_checkpoint, "--json")
    done = run_command(*arguments)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["left_out"] == {".ts": 1, ".txt": 1}
    assert told["skipped"] == {str(folder / "mute.mp4"): "has no audio track, only video"}
    assert "skipped" in done.stderr and "left out 2 files" in done.stderr
    os.mkfifo(folder / "x.wav")
    done = run_command(*arguments)
    assert done.returncode == 1
    assert list(json.loads(done.stdout)["failures"]) == [str(folder / "x.wav")]
