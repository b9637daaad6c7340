"""Files read by other processes: the same content and errors, whatever happens to the processes."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hostile
from media import encode, tone, wav_bytes
from odd_files import KINDS, Audio, Kind, muxed
from patience import HANGS, wait_until
from wav2clip.audio import io
from wav2clip.audio.io import AudioStream
from wav2clip.errors import AudioError, DataError, ImageError, InputError, NoSoundError
from wav2clip.models.towers.images import open_image
from wav2clip.reading.readers import SECONDS_VARIABLE, Readers
from wav2clip.reading.video import read_frames

pytestmark = pytest.mark.everyday

LONG = 100.0


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with Readers(2) as readers:
        yield readers


@pytest.fixture
def hostile_readers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Readers]:
    """Those of one process whose decoders are hostile."""
    for name, value in hostile.environment().items():
        monkeypatch.setenv(name, value)
    with Readers(1) as readers:
        yield readers
        assert len(children(readers)) <= 1


def children(readers: Readers) -> set[int]:
    return {child._process.pid for child in readers._all}


def alive(process: int) -> bool:
    """Whether a process runs, and is no zombie."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def good(folder: Path, name: str = "good.wav", seconds: float = 1.0) -> Path:
    path = folder / name
    path.write_bytes(wav_bytes(tone(seconds)))
    return path


# What comes out -----------------------------------------------------------------------------------


def told(stream: AudioStream) -> tuple[object, ...]:
    return stream.track, stream.warnings, stream.whole, stream.seconds, stream.sample_rate


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_comes_is_what_this_process_would_read(
    kind: Kind, tmp_path: Path, readers: Readers, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / kind.name
    kind.make(path)
    expected = failure = None
    try:
        expected = io.stream_audio(path)
        samples = np.concatenate(list(expected))
    except AudioError as error:
        failure = error
    if failure is not None:
        with pytest.raises(type(failure)) as caught:
            readers.load_audio(path)
        assert str(caught.value) == str(failure)
    else:
        assert expected is not None
        stream = readers.stream_audio(path)
        np.testing.assert_array_equal(np.concatenate(list(stream)), samples)
        assert told(stream) == told(expected)
    assert capfd.readouterr() == ("", "")


def test_kinds_of_errors_stay(tmp_path: Path, readers: Readers) -> None:
    (mute,) = [kind for kind in KINDS if kind.name == "mute.mp4"]
    mute.make(tmp_path / "mute.mp4")
    with pytest.raises(NoSoundError):
        readers.stream_audio(tmp_path / "mute.mp4")
    with pytest.raises(InputError, match="sample_rate is 0"):
        readers.stream_audio(tmp_path / "mute.mp4", 0)


def test_odd_names(tmp_path: Path, readers: Readers) -> None:
    for name in ("a b\n'\".wav", os.fsdecode(b"\xff.wav"), "\N{DOG FACE}.wav"):
        path = good(tmp_path, name)
        assert readers.load_audio(path).seconds == 1.0
        assert readers.load_audio(os.fspath(path)).seconds == 1.0
    with pytest.raises(AudioError):
        readers.load_audio("\0.wav")


def test_a_long_file_comes_in_blocks_and_no_faster_than_it_is_taken(
    tmp_path: Path, readers: Readers
) -> None:
    path = tmp_path / "long.flac"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, round(LONG * 44_100)).astype(np.float32)
    encode(path, noise, 44_100, "flac")
    stream = readers.stream_audio(path)
    blocks = []
    for block in stream:
        blocks.append(block)
        assert len(block) <= 16_000
    assert stream.seconds == pytest.approx(LONG)
    np.testing.assert_array_equal(np.concatenate(blocks), io.load_audio(path).samples)


def test_frames_at_their_own_rate_on_the_clock(tmp_path: Path, readers: Readers) -> None:
    path = tmp_path / "late.mkv"
    layout = Audio("flac", layout="stereo", start=3.0)
    path.write_bytes(muxed("matroska", layout, video="mpeg4"))
    stream, expected = readers.stream_audio(path, raw=True), io.stream_audio(path)
    assert stream.start == expected.start == pytest.approx(3.0, abs=0.1)
    frames = [list(each.frames(on_clock=True)) for each in (stream, expected)]
    assert [block.shape for block in frames[0]] == [block.shape for block in frames[1]]
    np.testing.assert_array_equal(np.concatenate(frames[0]), np.concatenate(frames[1]))
    assert told(stream) == told(expected)


def test_reading_ends_where_no_more_is_wanted(tmp_path: Path, readers: Readers) -> None:
    path = good(tmp_path, seconds=10.0)
    before = children(readers)
    recording = readers.stream_audio(path, most=32_000).read()
    assert 2.0 < recording.seconds <= 3.0
    assert children(readers) >= before, "a process was ended"


def test_another_file_under_the_name_is_refused(tmp_path: Path, readers: Readers) -> None:
    path = good(tmp_path)
    with path.open("rb") as file:
        same = os.fstat(file.fileno())
        assert readers.stream_audio(path, same=same).read().seconds == 1.0
        path.unlink()
        good(tmp_path)
        with pytest.raises(AudioError, match="another file"):
            readers.stream_audio(path, same=same)


def test_pictures(tmp_path: Path, readers: Readers) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 53, 4)).astype(np.uint8)
    for name in ("a.png", "a.webp", "a.tiff", "a.gif"):
        Image.fromarray(pixels).save(tmp_path / name)
        expected = np.asarray(open_image(tmp_path / name))
        found = readers.open_image(tmp_path / name)
        assert found.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(found), expected)
        assert readers.image_size(tmp_path / name) == (53, 37)
    assert readers.image_size(good(tmp_path)) is None
    for path in (good(tmp_path), tmp_path / "gone.png"):
        with pytest.raises(ImageError) as expected_error:
            open_image(path)
        with pytest.raises(ImageError) as error:
            readers.open_image(path)
        assert str(error.value) == str(expected_error.value)


def test_frames_of_a_video(tmp_path: Path, readers: Readers) -> None:
    pictures = [np.full((48, 64, 3), shade, np.uint8) for shade in range(0, 250, 25)]
    path = encode(tmp_path / "film.mp4", tone(2.0), 16_000, "aac", pictures)
    found = readers.read_frames(path, 2.0, 2.0)
    expected = read_frames(path, 2.0, 2.0)
    assert len(found) == 4
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    with pytest.raises(DataError, match="no video track"):
        readers.read_frames(good(tmp_path), 1.0, 1.0)


# What happens to processes ------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "signal_name"), hostile.CRASHES.items())
def test_a_crash_costs_one_file(
    how: str, signal_name: str, tmp_path: Path, hostile_readers: Readers
) -> None:
    bad = hostile.make(tmp_path / "bad.wav", wav_bytes(tone()), how)
    for _ in range(2):
        assert hostile_readers.load_audio(good(tmp_path)).seconds == 1.0
        with pytest.raises(AudioError) as caught:
            hostile_readers.load_audio(bad)
        assert str(caught.value).startswith(f"{bad}: the decoder crashed ({signal_name})")
    bad = hostile.make(tmp_path / "bad.mkv", muxed("matroska", Audio("flac")), how)
    with pytest.raises(AudioError, match="crashed"):
        hostile_readers.stream_audio(bad)
    with pytest.raises(DataError, match="crashed"):
        hostile_readers.read_frames(bad, 1.0, 1.0)
    Image.new("RGB", (9, 9)).save(tmp_path / "bad.png")
    bad = hostile.make(tmp_path / "bad.png", (tmp_path / "bad.png").read_bytes(), how)
    with pytest.raises(ImageError, match="crashed"):
        hostile_readers.open_image(bad)


def test_one_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in hostile.environment().items():
        monkeypatch.setenv(name, value)
    bad = hostile.make(tmp_path / "bad.wav", wav_bytes(tone()), "hang")
    with Readers(1, seconds=0.5) as readers, pytest.raises(AudioError) as caught:
        readers.load_audio(bad)
    assert str(caught.value).startswith(f"{bad}: the decoder gave nothing for 0.5 s")


def test_who_takes_long_to_use_it_is_no_reason(tmp_path: Path) -> None:
    """Time counts while somebody waits for a process, not while it waits for somebody."""
    path = good(tmp_path, seconds=120.0)
    with Readers(1, seconds=5.0) as readers:
        blocks = iter(readers.stream_audio(path, 96_000))
        first = next(blocks)
        (child,) = readers._all
        for _ in range(100):
            child.wait_longer(1.0)
        assert len(first) + sum(map(len, blocks)) == pytest.approx(120 * 96_000, abs=10)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory")
def test_one_that_eats_memory_is_ended(tmp_path: Path, hostile_readers: Readers) -> None:
    bad = hostile.make(tmp_path / "bad.wav", wav_bytes(tone()), "memory")
    with pytest.raises(AudioError, match=r"bad\.wav: reading it takes more than the 4 GiB"):
        hostile_readers.load_audio(bad)
    assert hostile_readers.load_audio(good(tmp_path)).seconds == 1.0


@pytest.mark.parametrize(("how", "told"), [("odd", "odd"), ("deep", "recursion")])
def test_any_exception_is_the_failure_of_the_file(
    how: str, told: str, tmp_path: Path, hostile_readers: Readers
) -> None:
    bad = hostile.make(tmp_path / "bad.wav", wav_bytes(tone()), how)
    with pytest.raises(AudioError, match=rf"bad\.wav: .*{told}"):
        hostile_readers.load_audio(bad)
    before = children(hostile_readers)
    with pytest.raises(DataError, match=rf"bad\.wav: .*{told}"):
        hostile_readers.read_frames(bad, 1.0, 1.0)
    assert children(hostile_readers) == before, "an exception needs no new process"


def test_chatter_disturbs_nothing(
    tmp_path: Path, hostile_readers: Readers, capfd: pytest.CaptureFixture[str]
) -> None:
    path = hostile.make(tmp_path / "a.wav", wav_bytes(tone()), "chatter")
    assert hostile_readers.load_audio(path).seconds >= 1.0
    assert capfd.readouterr() == ("", "")


def test_what_another_file_left_behind_costs_nothing(
    tmp_path: Path, hostile_readers: Readers
) -> None:
    """A file that spoils the memory of a process makes it crash in the middle of a good one."""
    bad = hostile.make(tmp_path / "bad.wav", wav_bytes(tone()), "spoil")
    path = good(tmp_path, seconds=8.0)
    hostile_readers.load_audio(bad)
    before = children(hostile_readers)
    stream = hostile_readers.stream_audio(path)
    np.testing.assert_array_equal(np.concatenate(list(stream)), io.load_audio(path).samples)
    assert stream.seconds == 8.0
    assert not children(hostile_readers) & before, "it should have crashed"


def test_a_process_that_was_killed_while_idle_costs_nothing(tmp_path: Path) -> None:
    with Readers(1) as readers:
        for _ in range(2):  # not yet started, and used before
            readers.start(1)
            for process in children(readers):
                os.kill(process, signal.SIGKILL)
            assert readers.load_audio(good(tmp_path)).seconds == 1.0


def test_processes_are_kept_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a while, from wherever it is called, unless it was started from something else."""
    good(tmp_path)
    monkeypatch.setattr("wav2clip.reading.readers._KEPT_SECONDS", HANGS)
    with Readers(1) as readers:
        readers.load_audio(tmp_path / "good.wav")
        first = children(readers)
    monkeypatch.chdir(tmp_path)
    with Readers(1) as readers:
        assert readers.load_audio("good.wav").seconds == 1.0
        assert children(readers) == first
    with monkeypatch.context() as other:
        other.setenv("WAV2CLIP_CACHE", str(tmp_path))  # a child may heed it
        with Readers(1) as readers:
            assert readers.load_audio("good.wav").seconds == 1.0
            assert not children(readers) & first
    monkeypatch.setattr("wav2clip.reading.readers._KEPT_SECONDS", 0.1)  # the while is over
    with Readers(1) as readers:
        assert readers.load_audio("good.wav").seconds == 1.0
        assert children(readers) == first
    wait_until(lambda: not any(map(alive, first)))


READ_TWICE = """
import sys
from wav2clip.reading import child
from wav2clip.reading.readers import Readers
held = b"x" * (child._WORN + 2**24)
assert child._worn()
del held
with Readers(1) as readers:
    for _ in range(2):
        readers.load_audio(sys.argv[1])
        print(*[each._process.pid for each in readers._all])
"""


def test_what_the_parent_once_held_wears_no_process(tmp_path: Path) -> None:
    """Else each file would cost the start of a process, where a large model was loaded."""
    command = [sys.executable, "-c", READ_TWICE, str(good(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANGS)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == second != "", "it was kept, and read the second, too"


def test_leaving_early_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wav2clip.reading.readers._KEPT_SECONDS", 0.1)
    path = good(tmp_path, seconds=120.0)
    with Readers(1) as readers:
        for _ in range(3):
            for _ in readers.stream_audio(path, 96_000):
                break
            readers.stream_audio(path, 96_000)  # not even begun
        gc.collect()
        assert len(children(readers)) <= 1
        assert readers.load_audio(good(tmp_path)).seconds == 1.0
        known = children(readers)
    wait_until(lambda: not any(map(alive, known)))
    with pytest.raises(AudioError, match="ended"):
        readers.load_audio(path)


def test_many_threads(tmp_path: Path, hostile_readers: Readers) -> None:
    paths = [good(tmp_path, f"{n}.wav", 0.1 + n / 50) for n in range(40)]
    for n in range(0, 40, 10):
        hostile.make(paths[n], wav_bytes(tone()), "abort")

    def seconds(path: Path) -> float | str:
        try:
            return hostile_readers.load_audio(path).seconds
        except AudioError as error:
            return str(error)

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(seconds, paths))
    for n, result in enumerate(results):
        if n % 10:
            assert result == pytest.approx(0.1 + n / 50)
        else:
            assert str(paths[n]) in str(result)


def test_stopping_ends_who_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = tmp_path / "hangs"
    for name, value in hostile.environment(HOSTILE_HANGS=str(hangs)).items():
        monkeypatch.setenv(name, value)
    bad = hostile.make(tmp_path / "bad.wav", wav_bytes(tone()), "hang")
    caught: list[Exception] = []

    def wait() -> None:
        try:
            readers.load_audio(bad)
        except AudioError as error:
            caught.append(error)

    with Readers(1) as readers:
        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(hangs.exists)
        readers.stop()
        thread.join(HANGS)
        assert "interrupted" in str(caught[0])
        assert readers.load_audio(good(tmp_path)).seconds == 1.0


_PARENT = """
import sys, time
from wav2clip.reading.readers import Readers
readers = Readers(2)
print(readers.load_audio(sys.argv[1]).seconds, flush=True)
readers.start(2)
print(*(child._process.pid for child in readers._all), flush=True)
readers.load_audio(sys.argv[2])
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_its_parent(ending: signal.Signals, tmp_path: Path) -> None:
    hangs = tmp_path / "hangs"
    bad = hostile.make(tmp_path / "bad.wav", wav_bytes(tone()), "hang")
    environment = {**os.environ, **hostile.environment(HOSTILE_HANGS=str(hangs))}
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, good(tmp_path), bad],
        env=environment, stdout=subprocess.PIPE, text=True,
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        assert parent.stdout.readline() == "1.0\n"
        known = set(map(int, parent.stdout.readline().split()))
        assert len(known) == 2
        wait_until(hangs.exists)
        assert all(map(alive, known))
        parent.send_signal(ending)
    wait_until(lambda: not any(map(alive, known)), "orphans")


def test_it_loads_no_torch_and_starts_in_no_other_folder(tmp_path: Path) -> None:
    """Files that lie where somebody works must not be imported."""
    (tmp_path / "numpy.py").write_text("raise SystemExit('imported from the working directory')")
    code = (
        "import sys; sys.path[:] = [entry for entry in sys.path if entry]\n"
        "from wav2clip.reading.readers import Readers\n"
        "with Readers(1) as readers: print(readers.load_audio(sys.argv[1]).seconds)\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, good(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, timeout=HANGS,
    )  # fmt: skip
    assert done.stdout == "1.0\n", done.stderr


def test_the_limit_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Readers().seconds == 60.0
    monkeypatch.setenv(SECONDS_VARIABLE, "7.5")
    assert Readers().seconds == 7.5
    assert Readers(seconds=2.0).seconds == 2.0
    for nonsense in ("0", "-1", "soon", "inf", "nan"):
        monkeypatch.setenv(SECONDS_VARIABLE, nonsense)
        with pytest.raises(InputError, match=SECONDS_VARIABLE):
            Readers()
