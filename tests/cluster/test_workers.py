"""Real recordings on a real cluster of two workers: dead workers, dead drivers, bad files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import lancedb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from media import tone, wav_bytes
from patience import HANGS, wait_until
from wav2clip.cluster.embed import EmbedReport, embed_on_cluster
from wav2clip.cluster.index import index_on_cluster
from wav2clip.cluster.session import Cluster, connected, import_ray
from wav2clip.cluster.worker import BLAMED, Worker, share_model, start_ledger
from wav2clip.embedding.bulk import FileEmbedding, embed_files
from wav2clip.embedding.embedder import Wav2CLIP, load
from wav2clip.errors import ClusterError
from wav2clip.files import find_recordings
from wav2clip.library import Library

pytestmark = pytest.mark.xdist_group("ray")

Run = Callable[..., "CompletedProcess[str]"]
ONE, TWO = Cluster(workers=1), Cluster(workers=2)


def processes() -> dict[int, tuple[int, str]]:
    """Every process: its parent and its command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        found[int(folder.name)] = (int(parent), command)
    return found


def below() -> set[int]:
    """Processes below this one, Ray's own and its workers."""
    known = processes()

    def ours(process: int) -> bool:
        while process in known and process != os.getpid():
            process = known[process][0]
        return process == os.getpid()

    return {process for process in known.keys() - {os.getpid()} if ours(process)}


def workers() -> set[int]:
    """Those that hold a model."""
    known = processes()
    return {process for process in below() if "ray::MapWorker" in known.get(process, (0, ""))[1]}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of two cores that the tests share; nothing of it is left after them."""
    before = below()
    with connected(Cluster()):
        yield import_ray().get_runtime_context().gcs_address
        own = below() - before
    assert own

    def left() -> set[int]:
        return own & {process for process, (_, command) in processes().items() if command}

    wait_until(lambda: not left(), left)


@pytest.fixture(scope="module")
def model(small_checkpoint: Path) -> Wav2CLIP:
    """The small model, loaded by path, as a cluster needs it."""
    return load(small_checkpoint)


@pytest.fixture
def sounds(tmp_path: Path, data: Path) -> Path:
    """Forty real recordings, a made one with an odd name, and three bad files."""
    folder = tmp_path / "sounds"
    shutil.copytree(data / "esc10_original", folder, ignore=shutil.ignore_patterns("[!0-9]*"))
    (folder / os.fsdecode(b"od\xffd \xf0\x9f\x90\x95.wav")).write_bytes(
        wav_bytes(tone(1.3), 22_050)
    )
    (folder / "bad.wav").write_bytes(b"no sound")
    (folder / "empty.flac").write_bytes(b"")
    (folder / "silent.wav").write_bytes(wav_bytes(tone(0)))
    return folder


def on_one_machine(model: Wav2CLIP, folder: Path, **options: float) -> list[FileEmbedding]:
    paths, *_ = find_recordings([str(folder)])
    results = list(embed_files(model, paths, **options))
    return sorted(results, key=lambda result: paths.index(result.path))


def assert_same(folder: Path, expected: list[FileEmbedding]) -> None:
    """Each good file exactly once, in order, with what one machine gives."""
    good = [result for result in expected if result.error is None]
    table = pq.read_table(folder)
    names = [os.fsencode(result.path).decode("utf-8", "backslashreplace") for result in good]
    counts = [len(result.embeddings) for result in good]
    assert table["path"].to_pylist() == np.repeat(names, counts).tolist()
    assert len(set(table["file"].to_pylist())) == len(good)
    vectors = np.array(table["embedding"].to_pylist(), np.float32)
    np.testing.assert_allclose(
        vectors, np.concatenate([r.embeddings for r in good]), atol=1e-5, rtol=1e-5
    )
    np.testing.assert_allclose(table["start"], np.concatenate([r.starts for r in good]))
    np.testing.assert_allclose(table["end"], np.concatenate([r.ends for r in good]))


def assert_told(report: EmbedReport, expected: list[FileEmbedding]) -> None:
    reasons = {Path(path).name: reason for path, reason in report.failures.items()}
    assert reasons == {r.path.name: r.error for r in expected if r.error is not None}
    assert set(reasons) == {"bad.wav", "empty.flac", "silent.wav"}


@pytest.mark.usefixtures("address")
def test_a_worker_that_dies_costs_nothing(model: Wav2CLIP, sounds: Path, tmp_path: Path) -> None:
    killed: set[int] = set()
    seen: list[int] = []

    def progress(done: int, total: int) -> None:
        seen.append(done)
        assert total == 44
        if done and not killed:
            victim = min(workers())
            os.kill(victim, signal.SIGKILL)
            killed.add(victim)

    report = embed_on_cluster(model, [str(sounds)], str(tmp_path / "out"), TWO, progress=progress)
    assert killed
    assert not killed & workers()
    assert seen == sorted(seen)
    assert seen[0] == 0 < seen[1] < seen[-1] == 44
    expected = on_one_machine(model, sounds)
    assert (report.files, report.rows, report.kept) == (41, 41, 0)
    assert_told(report, expected)
    assert_same(tmp_path / "out", expected)


@pytest.mark.usefixtures("address")
def test_again_with_files_that_came_changed_and_went(
    model: Wav2CLIP, sounds: Path, tmp_path: Path
) -> None:
    clips = sorted(sounds.glob("*.ogg"))
    for clip in clips[6:]:
        clip.unlink()
    out = tmp_path / "out"
    first = embed_on_cluster(model, [str(sounds)], str(out), ONE)
    assert (first.files, first.kept) == (7, 0)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    # A second run finds everything finished, and needs no cluster.
    nowhere = Cluster("127.0.0.1:1")
    again = embed_on_cluster(model, [str(sounds)], str(out), nowhere)
    assert again == EmbedReport(**{**vars(first), "kept": first.blocks})
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")} == before

    (sounds / "bad.wav").write_bytes(wav_bytes(tone(0.7)))
    (sounds / "aaa new.wav").write_bytes(wav_bytes(tone(0.9)))
    clips[0].unlink()
    whole = sorted(out.glob("block-*"))[3]
    whole.write_bytes(whole.read_bytes()[:-100])  # a disk that lost the end of a file
    (out / f".{whole.name}.123.part").write_bytes(b"PAR1 half of a block")
    third = embed_on_cluster(model, [str(sounds)], str(out), ONE, retry_failed=True)
    # Ten blocks of a file each: new, mended, damaged, and two that failed are done.
    assert (third.files, third.blocks, third.kept) == (8, 10, 5)
    assert set(third.failures) == set(first.failures) - {str(sounds / "bad.wav")}
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
    assert len(after.items() & before.items()) == 6  # what was kept, and the plan
    assert not list(out.glob("*.part")) + list(out.glob(".*.part"))
    expected = on_one_machine(model, sounds)
    last = [result for result in expected if result.path.name == "aaa new.wav"]
    assert_same(out, [r for r in expected if r.path.name != "aaa new.wav"] + last)

    with pytest.raises(ClusterError, match="another job"):
        embed_on_cluster(model, [str(sounds), "gone"], str(out), ONE)


@pytest.mark.usefixtures("address")
def test_frames_of_objects_into_lance(model: Wav2CLIP, data: Path, tmp_path: Path) -> None:
    clips = sorted((data / "esc10_original").glob("*.ogg"))[:3]
    manifest = tmp_path / "list.csv"
    lines = [f"file://{clip}" for clip in clips] + [f"file://{tmp_path}/gone.wav"]
    manifest.write_text("\n".join(["path", *lines]))
    out = tmp_path / "out.lance"
    for kept in (0, 4):
        report = embed_on_cluster(
            model, [], f"file://{out}", ONE, manifests=[str(manifest)],
            frame_seconds=1.0, hop_seconds=0.5,
        )  # fmt: skip
        assert (report.files, report.blocks, report.kept) == (3, 4, kept)
        assert list(report.failures) == [f"file://{tmp_path}/gone.wav"]
        table = lancedb.connect(tmp_path).open_table("out")
        rows = table.to_arrow()
        assert len(table.list_versions()) == 1
        frames = [model.embed_file_frames(clip, 1.0, 0.5) for clip in clips]
        counts = [len(each.starts) for each in frames]
        assert report.rows == rows.num_rows == sum(counts)
        assert rows["path"].to_pylist() == np.repeat(lines[:3], counts).tolist()
        vectors = np.array(rows["embedding"].to_pylist(), np.float32)
        np.testing.assert_allclose(
            vectors, np.concatenate([each.embeddings for each in frames]), atol=1e-5, rtol=1e-5
        )
        assert rows.schema.metadata[b"wav2clip.fingerprint"].decode() == model.fingerprint


def test_drivers_that_die_lose_nothing(
    address: str, run_command: Run, data: Path, tmp_path: Path, small_checkpoint: Path
) -> None:
    out = tmp_path / "out"
    # Twenty seconds of network, in blocks of two files, so that there is a middle to die in.
    folders = [data / "esc10_original"]
    for number in range(2):
        folders.append(tmp_path / f"more {number}")
        shutil.copytree(data / "esc10_original", folders[-1])
    arguments = ["embed", *folders, "--cluster", address, "--cluster-workers", "1", "-o", out,
                 "--json"]  # fmt: skip

    def stopped_by(sign: signal.Signals, blocks: int) -> int:
        command = [sys.executable, "-m", "wav2clip", *map(str, arguments)]
        with subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as driver:
            wait_until(
                lambda: len(list(out.glob("block-*"))) >= blocks or driver.poll() is not None
            )
            assert driver.poll() is None, driver.stderr.read()
            driver.send_signal(sign)
            return driver.wait(HANGS)

    assert stopped_by(signal.SIGINT, 2) == 130
    interrupted = {path.name: path.stat().st_mtime_ns for path in out.glob("block-*")}
    assert 2 <= len(interrupted) < 50
    assert stopped_by(signal.SIGKILL, len(interrupted) + 2) == -signal.SIGKILL
    done = run_command(*arguments)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["files"], summary["rows"], summary["blocks"]) == (120, 120, 60)
    assert len(interrupted) + 2 <= summary["blocks_kept"] < 60
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("block-*")}
    assert len(after) == 60
    assert interrupted.items() <= after.items()
    table = pq.read_table(out)
    assert len(set(table["file"].to_pylist())) == table.num_rows == 120
    vectors = np.array(table["embedding"].to_pylist(), np.float32).reshape(3, 40, -1)
    clips = [Path(path).name for path in table["path"].to_pylist()[:40]]
    expected = load().embed_file(data / "esc10_original" / clips[7])
    for copy in vectors:
        np.testing.assert_allclose(copy[7], expected, atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(copy, vectors[0], atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("address")
def test_a_file_that_kills_its_workers_is_blamed_and_costs_no_other(sounds: Path) -> None:
    class Death(BaseException):
        """What no worker survives."""

    class Mortal(Worker):
        def __init__(self, ledger: object, deaths: list[str]) -> None:
            self.model, self._ledger, self._embed, self._readers = None, ledger, self.embed, None
            self.deaths = deaths

        def embed(
            self, model: object, paths: Iterator[Path], readers: object
        ) -> Iterator[FileEmbedding]:
            for path in paths:
                if path.name == "poison.ogg" or (path.name == "unlucky.ogg" and not self.deaths):
                    self.deaths.append(path.name)
                    raise Death
                yield FileEmbedding(path, np.ones((1, 2), np.float32), np.zeros(1), np.ones(1))

    names = ["a.ogg", "unlucky.ogg", "poison.ogg", "b.ogg"]
    files = pa.table({"root": [""] * 4, "inner": [name.encode() for name in names]})
    ledger, deaths = start_ledger(), []
    for _ in range(10):
        try:
            results = Mortal(ledger, deaths).results("block", files)
            break
        except Death:
            continue
    assert deaths == ["unlucky.ogg", *["poison.ogg"] * 3]
    errors = [result.error for result in results]
    assert errors == [None, None, BLAMED.format(2), None]


@pytest.mark.usefixtures("address")
def test_a_library_is_the_same(model: Wav2CLIP, sounds: Path, tmp_path: Path) -> None:
    here, there = (Library.open(tmp_path / name, model) for name in ("here", "there"))
    (sounds / "long.wav").write_bytes(wav_bytes(tone(26.0)))
    titles: list[str] = []
    killed: list[int] = []

    class Bar:
        def __init__(self, title: str, unit: str) -> None:
            self.title = title
            titles.append(f"{title} {unit}")

        def __enter__(self) -> Callable[[int, int], None]:
            return self.progress

        def __exit__(self, *error: object) -> None:
            pass

        def progress(self, done: int, total: int) -> None:
            if self.title == "indexing" and done == 5 and not killed:
                killed.append(min(workers()))
                os.kill(killed[0], signal.SIGKILL)

    def both(cluster: Cluster) -> None:
        one = here.index([str(sounds)], prune=True)
        many = index_on_cluster(there, [str(sounds)], cluster, watch=Bar, prune=True)
        one.seconds = many.seconds = 0
        assert many == one
        assert there.failures() == here.failures() != {}
        tables = [
            library.store.read(library.store.segments.schema.names) for library in (here, there)
        ]
        tables = [table.sort_by([("id", "ascending")]) for table in tables]
        vectors = [np.array(table["vector"].to_pylist(), np.float32) for table in tables]
        np.testing.assert_allclose(*vectors, atol=2e-3)  # stored in half precision
        assert tables[0].drop(["vector"]).equals(tables[1].drop(["vector"]))

    both(TWO)
    assert killed
    assert titles == ["reading files", "indexing files"]
    both(Cluster("127.0.0.1:1"))  # nothing is new: nothing is asked of a cluster
    clips = sorted(sounds.glob("*.ogg"))
    clips[0].rename(sounds / "moved.ogg")
    clips[1].unlink()
    (sounds / "new.wav").write_bytes(wav_bytes(tone(0.4)))
    (sounds / "bad.wav").write_bytes(wav_bytes(tone(0.5)))
    both(ONE)


@pytest.mark.usefixtures("address")
def test_workers_round_as_the_model_does(
    small_checkpoint: Path, model: Wav2CLIP, data: Path, tmp_path: Path
) -> None:
    coarse = load(small_checkpoint, precision="bfloat16", compiled=True, standardize="batch")
    assert share_model(coarse, ONE).load().options == coarse.options != model.options
    coarse = load(small_checkpoint, precision="bfloat16")
    clips = sorted((data / "esc10_original").glob("*.ogg"))[:2]
    embed_on_cluster(coarse, [str(clip) for clip in clips], str(tmp_path / "out"), ONE)
    table = pq.read_table(tmp_path / "out")
    assert table.schema.metadata[b"wav2clip.fingerprint"].decode() == coarse.fingerprint
    vectors = np.array(table["embedding"].to_pylist(), np.float32)
    expected = np.stack([coarse.embed_file(clip) for clip in clips])
    exact = np.stack([model.embed_file(clip) for clip in clips])
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert np.abs(vectors - exact).max() > 1e-4


def test_options_and_addresses_that_cannot_be(run_command: Run, tmp_path: Path, data: Path) -> None:
    clips = data / "esc10_original"
    cases = {
        "no Ray cluster at 127.0.0.1:1": ["--cluster", "127.0.0.1:1", "-o", "out"],
        "a folder of Parquet": ["--cluster", "local", "-o", "out.npz"],
        "expected cpu or cuda": ["--cluster", "local", "-o", "out", "--device", "mps"],
        "--cluster-workers needs --cluster": ["--cluster-workers", "2", "-o", "out.npz"],
        "--retry-failed needs --cluster": ["--retry-failed", "-o", "out.npz"],
    }
    for message, options in cases.items():
        done = run_command("embed", clips, *options)
        assert done.returncode == 1, message
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    done = run_command("embed", "-o", "out.npz")
    assert done.returncode == 1
    assert "give PATHS or --manifest" in done.stderr
