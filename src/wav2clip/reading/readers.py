"""Files read by processes of their own: one that crashes, hangs or eats memory costs one file.

The processes (:mod:`wav2clip.reading.child`) are started when they are needed and read one file
after the other. What they decode comes through a pipe, so that memory does not grow with the length
of a recording, and decoding leaves the interpreter's lock to others.

Those that are left over when the work is done are kept for some seconds, for the next that
begins: to start one takes half a second.

A process that dies is replaced. Where it had read other files before, one of them may have left it
damaged: the file is tried again in a new process, and blamed if that dies too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event, Lock, RLock, Thread, Timer
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from PIL import Image

from wav2clip import errors
from wav2clip.audio import io
from wav2clip.audio.io import SAMPLE_RATE, AudioStream, Recording
from wav2clip.audio.metadata import read_metadata
from wav2clip.audio.track import Decoder, Samples, Track
from wav2clip.errors import AudioError, InputError
from wav2clip.files import display
from wav2clip.reading import wire

SECONDS = 60.0
"""How long a process may give nothing while it reads a file, unless :data:`SECONDS_VARIABLE` says
otherwise."""

SECONDS_VARIABLE = "WAV2CLIP_READ_SECONDS"

_START_SECONDS = 300.0
"""The same while a process starts, which says nothing about a file."""

_KEPT_SECONDS = 20.0

READING = "wav2clip.reading.child"
"""The program that processes run: a module whose ``main`` answers requests."""

_START = (
    "import sys, importlib; program, *sys.path[:] = sys.argv[1:]; "
    "importlib.import_module(program).main()"
)
_BUFFER = 2**17
_PIPE = 2**20
"""Bytes that a process may be ahead, where the system can be asked for it."""

Path_ = str | os.PathLike[str]


class Reader(Protocol):
    """Who decodes recordings."""

    def stream_audio(
        self, path: Path_, sample_rate: int = SAMPLE_RATE, *, most: int | None = None
    ) -> AudioStream:
        """As :func:`wav2clip.audio.io.stream_audio`; may end after more than ``most`` samples."""

    def read_metadata(self, path: Path_) -> dict[str, str]:
        """As :func:`wav2clip.audio.metadata.read_metadata`."""


class InProcess:
    """Decodes in this process: no start to wait for, and no protection."""

    def stream_audio(
        self, path: Path_, sample_rate: int = SAMPLE_RATE, *, most: int | None = None
    ) -> AudioStream:
        """As :func:`wav2clip.audio.io.stream_audio`."""
        return io.stream_audio(path, sample_rate)

    def read_metadata(self, path: Path_) -> dict[str, str]:
        """As :func:`wav2clip.audio.metadata.read_metadata`."""
        return read_metadata(path)


class Readers:
    """Processes that read files, for any number of threads; a context manager.

    A thread takes a process for as long as it reads a file.

    Args:
        count: processes that are kept while nobody needs them; by default one per core.
        seconds: how long one may give nothing while somebody waits for it; then it is ended, and
            the file has failed. By default :data:`SECONDS`.
        program: what they run; another one may answer to more than this class asks for.
    """

    def __init__(
        self, count: int | None = None, seconds: float | None = None, program: str = READING
    ) -> None:
        self.count = count or os.cpu_count() or 1
        self.program = program
        self.seconds = _seconds() if seconds is None else seconds
        self._lock = RLock()  # a generator may be collected, and end its process, at any moment
        self._all: set[_Child] = set()
        self._idle: list[_Child] = []
        self._closed = Event()
        self._watching = False

    def __enter__(self) -> Readers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self, files: int) -> None:
        """Start processes for so many files before they are needed."""
        while len(self._all) < min(self.count, files):
            child = self._new()
            with self._lock:
                self._idle.append(child)

    def stop(self) -> None:
        """Files that are being read fail, and their processes end. Others start when needed."""
        with self._lock:
            for child in self._all.difference(self._idle):
                child.stop()

    def close(self) -> None:
        """The same for good; processes that nobody uses are there for other readers for a while."""
        self._closed.set()
        self.stop()
        with self._lock:
            idle, self._idle = self._idle, []
            self._all.difference_update(idle)
        for child in idle:
            _SPARE.put(child)

    # Reading --------------------------------------------------------------------------------------

    def stream_audio(
        self,
        path: Path_,
        sample_rate: int = SAMPLE_RATE,
        *,
        most: int | None = None,
        raw: bool = False,
        same: os.stat_result | None = None,
    ) -> AudioStream:
        """As :func:`wav2clip.audio.io.stream_audio`, of a path alone.

        Who leaves the iteration early ends the process.

        Args:
            path: a file.
            sample_rate: Hz wanted.
            most: samples after which reading may end.
            raw: give what :meth:`AudioStream.frames` needs.
            same: refuse another file than this one, which the path led to before.

        Raises:
            AudioError: as there, or the process crashed, hung, or needed too much memory.
        """
        io.check_rate(sample_rate)
        identity = None if same is None else [same.st_dev, same.st_ino]
        options = {"rate": sample_rate, "most": most, "raw": raw, "same": identity}
        answer = self.ask(wire.AUDIO, path, options)
        decoder = Decoder(Track(**next(answer)[1]))
        decoder.blocks = _blocks(answer, decoder)
        kind = AudioStream if raw else _Mono
        return kind(sample_rate, decoder.track, decoder, io.source_name(path))

    def load_audio(self, path: Path_, sample_rate: int = SAMPLE_RATE) -> Recording:
        """As :func:`wav2clip.audio.io.load_audio`, of a path alone."""
        return self.stream_audio(path, sample_rate).read()

    def read_metadata(self, path: Path_) -> dict[str, str]:
        """As :func:`wav2clip.audio.metadata.read_metadata`.

        Raises:
            AudioError: it cannot be read, or the process crashed, hung, or needed too much memory.
        """
        ((_, told),) = self.ask(wire.METADATA, path, {})
        return dict(told["metadata"])

    def open_image(self, path: Path_) -> Image.Image:
        """As :func:`wav2clip.models.towers.images.open_image`.

        Raises:
            ImageError: as there, or the process crashed, hung, or needed too much memory.
        """
        (picture,) = self._pictures(wire.IMAGE, path, {})
        return picture

    def image_size(self, path: Path_) -> tuple[int, int] | None:
        """Width and height of a picture in a common format, None if it is none.

        Raises:
            ImageError: the process crashed, hung, or needed too much memory.
        """
        ((_, told),) = self.ask(wire.IMAGE_SIZE, path, {})
        return None if told["size"] is None else (told["size"][0], told["size"][1])

    def read_frames(
        self, path: Path_, rate: float, seconds: float, begin: float = 0.0
    ) -> list[Image.Image]:
        """As :func:`wav2clip.reading.video.read_frames`.

        Raises:
            DataError: as there, or the process crashed, hung, or needed too much memory.
        """
        options = {"rate": rate, "seconds": seconds, "begin": begin}
        return self._pictures(wire.FRAMES, path, options)

    def _pictures(self, what: str, path: Path_, options: dict[str, Any]) -> list[Image.Image]:
        answer = self.ask(what, path, options)
        return [Image.fromarray(content) for kind, content in answer if kind == wire.PIXELS]

    # Processes ------------------------------------------------------------------------------------

    def ask(self, what: str, path: Path_, options: dict[str, Any]) -> Iterator[Frame]:
        """The frames of an answer up to the last, through whatever happens to the process.

        Args:
            what: its program knows, with a class of errors in :data:`wav2clip.reading.wire.FAULTS`.
            path: a file.
            options: plain values.

        Raises:
            Wav2ClipError: of that class, or what the program raises.
        """
        fault = getattr(errors, wire.FAULTS[what])
        name, given, fresh = display(path), 0, False
        path = os.fsdecode(path)
        folder = None if os.path.isabs(path) else os.getcwd()  # a process may be older than that
        request = json.dumps({"what": what, "path": path, "folder": folder, **options}).encode()
        while True:
            child = self._take(fresh)
            last: dict[str, Any] | None = None
            try:
                for number, (kind, content) in enumerate(child.ask(request)):
                    if kind in (wire.END, wire.FAILED):
                        last = content
                    elif number == given:  # what came before a crash does not come twice
                        given += 1
                        yield kind, content
            except _LostError as lost:
                self._end(child)
                if fresh or child.stopped or child.read_nothing_else:
                    raise fault(f"{name}: {lost}") from None
                fresh = True
                continue
            except BaseException:
                self._end(child)
                raise
            assert last is not None
            self._give_back(child, last["worn"])
            if kind == wire.FAILED:
                raise getattr(errors, last["kind"])(last["message"])
            yield kind, last
            return

    def _take(self, fresh: bool) -> _Child:
        with self._lock:
            if self._closed.is_set():
                raise AudioError("reading has ended")
            if self._idle and not fresh:
                return self._idle.pop()
        return self._new(fresh)

    def _new(self, fresh: bool = False) -> _Child:
        child = (None if fresh else _SPARE.take(self.program)) or _Child(self.program)
        child.seconds = self.seconds
        with self._lock:
            self._all.add(child)
            watching, self._watching = self._watching, True
        if not watching:
            Thread(target=self._watch, name="wav2clip-readers", daemon=True).start()
        return child

    def _give_back(self, child: _Child, worn: bool) -> None:
        with self._lock:
            of_use = not (worn or child.stopped or self._closed.is_set())
            if of_use and len(self._idle) < self.count:
                self._idle.append(child)
                return
        self._end(child)

    def _end(self, child: _Child) -> None:
        with self._lock:
            self._all.discard(child)
        child.end()

    def _watch(self) -> None:
        """Count for how long somebody has waited for each process.

        Turns are counted and no clock is read, so that the time in which all of this was suspended
        is nobody's fault.
        """
        turn = min(1.0, self.seconds / 10)
        while not self._closed.wait(turn):
            with self._lock:
                children = list(self._all)
            for child in children:
                child.wait_longer(turn)


Frame = tuple[bytes, Any]
"""Kind and content: a dictionary or an array."""


class _LostError(Exception):
    """A process is of no more use, and why."""


class _Child:
    """A process that reads one file at a time.

    Attributes:
        program: what it runs.
        seconds: how long it may give nothing.
        origin: what it was started from; another one would be another process.
        asked: files that it was asked to read.
        ready: whether it has started.
        stopped: whether it was ended for reasons of our own.
    """

    def __init__(self, program: str) -> None:
        self.program, self.seconds, self.origin = program, SECONDS, _origin()
        self.asked, self.ready, self.stopped = 0, False, False
        self._late = False
        self._waiting, self._waited = False, 0.0
        self._ended, self._owner = Lock(), os.getpid()
        path, _ = self.origin
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-c", _START, program, *path],
            bufsize=_BUFFER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if sys.flags.dev_mode else subprocess.DEVNULL,
            env={**os.environ, **threads, "MALLOC_ARENA_MAX": "2"},
        )
        _widen(self._process.stdout)

    @property
    def read_nothing_else(self) -> bool:
        """Whether it has lived for one file alone, which is to blame for what happened."""
        return self.ready and self.asked == 1

    def ask(self, request: bytes) -> Iterator[Frame]:
        """The frames of its answer.

        Raises:
            _LostError: it is to be ended; the reason says what happened to it.
        """
        self.asked += 1
        try:
            if not self.ready:
                self._receive()
                self.ready = True
            assert self._process.stdin is not None
            self._process.stdin.write(request + b"\n")
            self._process.stdin.flush()
            while True:
                kind, content = self._receive()
                if kind == wire.FAILED and content["kind"] == "MemoryError":
                    raise _LostError(
                        f"reading it takes more than the {wire.MEMORY // 2**30} GiB of memory that "
                        "a file may take; is it damaged?"
                    )
                yield kind, content
                if kind in (wire.END, wire.FAILED):
                    return
        except (OSError, EOFError, ValueError):
            raise _LostError(self._obituary()) from None

    def wait_longer(self, seconds: float) -> None:
        """Note that somebody waited for it so much longer; ends it where that is too long."""
        if not self._waiting:
            return
        self._waited += seconds
        if self._waited > (self.seconds if self.ready else max(self.seconds, _START_SECONDS)):
            self._late = True
            self._process.kill()

    def stop(self) -> None:
        """End it, whoever uses it."""
        self.stopped = True
        self._process.kill()

    def end(self) -> None:
        """End it and clear up, once; for whoever has it to themselves."""
        if not self._ended.acquire(blocking=False) or os.getpid() != self._owner:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except OSError:  # a request that it did not take
                continue

    def _receive(self) -> Frame:
        """The next frame.

        Raises:
            EOFError: it has ended.
            ValueError: it sends nonsense.
        """
        header = np.empty(wire.HEADER.size, np.uint8)
        self._fill(header)
        kind, size, columns = wire.HEADER.unpack(header.data)
        if size > wire.LARGEST:
            raise ValueError(f"a frame of {size} bytes")
        content = np.empty(size, np.uint8)
        self._fill(content)
        if kind == wire.SAMPLES:
            samples = content.view("<f4")
            return kind, samples.reshape(-1, columns) if columns else samples
        if kind == wire.PIXELS:
            return kind, content.reshape(-1, columns, 3)
        return kind, json.loads(content.tobytes())

    def _fill(self, target: np.ndarray[Any, Any]) -> None:
        assert self._process.stdout is not None
        self._waited, self._waiting = 0.0, True
        try:
            read = self._process.stdout.readinto(target.data) if len(target) else 0  # type: ignore[attr-defined]
        finally:
            self._waiting = False
        if read < len(target):
            raise EOFError

    def _obituary(self) -> str:
        """What happened to it."""
        self._process.kill()
        code = self._process.wait()
        if self.stopped:
            return "reading it was interrupted"
        if not self.ready:
            return "the process that was to read it did not start; try `wav2clip doctor`"
        if self._late:
            return (
                f"the decoder gave nothing for {self.seconds:g} s and was stopped; where the disk "
                f"is that slow, set {SECONDS_VARIABLE} to more seconds"
            )
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"the decoder crashed ({how}) while reading it; the file is damaged or hostile"


@dataclass
class _Mono(AudioStream):
    """Blocks that were mixed and resampled elsewhere."""

    def __iter__(self) -> Iterator[Samples]:
        for block in self._decoder.blocks:
            self.seconds += len(block) / self.sample_rate
            yield block


def _blocks(answer: Iterator[Frame], decoder: Decoder) -> Iterator[Samples]:
    for kind, content in answer:
        if kind == wire.SAMPLES:
            yield content
        else:
            decoder.warnings, decoder.whole = content["warnings"], content["whole"]


def _seconds() -> float:
    given = os.environ.get(SECONDS_VARIABLE, "")
    try:
        seconds = float(given or SECONDS)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InputError(f"{SECONDS_VARIABLE} is {given!r}, expected seconds, such as 60")
    return seconds


def _origin() -> tuple[list[str], dict[str, str]]:
    """Where modules are found, without the working directory, and what a reader heeds besides."""
    heeded = ("PYTHON", "WAV2CLIP", "LD_", "PATH", "HOME", "TMP")
    environment = {n: value for n, value in os.environ.items() if n.startswith(heeded)}
    return [entry for entry in sys.path if entry], environment


class _Spare:
    """Processes that nobody needs at the moment; each ends when nobody did for some seconds."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._children: list[_Child] = []

    def put(self, child: _Child) -> None:
        with self._lock:
            self._children.append(child)
            count = len(self._children) - (os.cpu_count() or 1)
            oldest = self._children[: max(0, count)]
            del self._children[: len(oldest)]
        for each in oldest:
            each.end()
        timer = Timer(_KEPT_SECONDS, self._expire, [child])
        timer.daemon = True
        timer.start()

    def take(self, program: str) -> _Child | None:
        kind = program, _origin()
        with self._lock:
            fitting = [each for each in self._children if (each.program, each.origin) == kind]
            if not fitting:
                return None
            self._children.remove(fitting[-1])
            return fitting[-1]

    def forget(self) -> None:
        """In a process that was forked: they belong to another."""
        self.__init__()  # type: ignore[misc]

    def _expire(self, child: _Child) -> None:
        with self._lock:
            if child not in self._children:
                return
            self._children.remove(child)
        child.end()


_SPARE = _Spare()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_SPARE.forget)


def _widen(pipe: Any) -> None:
    try:
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
    except (ImportError, AttributeError, OSError):  # not on this system, or no more for this user
        return
