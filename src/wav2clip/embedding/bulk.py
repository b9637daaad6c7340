"""Many files: processes decode them, and embed them there or leave that to threads of this one.

A graph of ONNX Runtime is run where the samples are (:mod:`wav2clip.embedding.child`). Any other
network takes them in batches across files of equal length, and each thread works alone on a batch:
that is a tenth to a third faster than a network that takes all cores for one batch
(``benchmarks/engines.py``). Files are read by :mod:`wav2clip.reading`: one that fails, even one
that takes the decoder with it, is a result like any other; it never costs its neighbours.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Barrier, Event
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from wav2clip import runtime
from wav2clip.audio import io, windows
from wav2clip.audio.io import Samples
from wav2clip.audio.track import Track
from wav2clip.embedding.embedder import WHOLE_SECONDS, Wav2CLIP, frame_samples
from wav2clip.embedding.engine import Embeddings
from wav2clip.errors import InputError, Wav2ClipError
from wav2clip.reading import wire
from wav2clip.reading.readers import Reader, Readers

T = TypeVar("T")

_BATCH_FILES = 8
_AHEAD = 4 * _BATCH_FILES
"""Recordings decoded or being decoded before the network takes them: at most WHOLE_SECONDS each."""

_BATCH_SECONDS = 10.0
"""Of frames that a process embeds at once."""

_BATCHES_AHEAD = 4
"""Batches that the pool has or will take next: enough that no thread is without work."""

_ACCELERATOR_THREADS = 2
"""One makes spectrograms while the other waits for the network."""

_PROGRAM = "wav2clip.embedding.child"

SHORTEST_TAIL = 0.5
"""Seconds: a last segment that would add less than this is left out."""


@dataclass(frozen=True)
class FileEmbedding:
    """What became of one file.

    Attributes:
        path: as given.
        embeddings: (t, dimension) float32, one row per frame or segment, or one row at clip level.
        starts: (t,) float64 seconds on the container's clock, on which sound may begin late.
        ends: (t,) float64 seconds, the same.
        error: why there are no embeddings (t is 0 then), or None.
        warnings: what is wrong with a file that could be read all the same.
        channels: channels of the file; 0 if it could not be read.
        source_rate: sample rate of the file in Hz; 0 if it could not be read.
        seconds: duration of the sound, which begins at ``starts[0]``.
        metadata: texts that people wrote into the file, by field, see
            :func:`wav2clip.audio.metadata.read_metadata`; nothing unless asked for.
    """

    path: Path
    embeddings: Embeddings
    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    error: str | None = None
    warnings: tuple[str, ...] = ()
    channels: int = 0
    source_rate: int = 0
    seconds: float = 0.0
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What a process has to know to embed files by itself; plain values alone.

    Attributes:
        folder: of a model with a graph for ONNX Runtime.
        fingerprint: of its weights.
        rate: Hz that it takes.
        threads: of the network.
        segments: samples of a segment, from one to the next, and fewest that are worth a last one.
        frames: samples of a frame, and from one to the next. Without both the recording is embedded
            as a whole.
        batch: frames at once.
        metadata: whether that is wanted, too.
    """

    folder: str
    fingerprint: str
    rate: int
    threads: int
    segments: tuple[int, int, int] | None = None
    frames: tuple[int, int] | None = None
    batch: int = 1
    metadata: bool = False


@dataclass
class _Decoded:
    """One file on its way to the network.

    Attributes:
        path: as given.
        stream: what is read; None where that failed.
        head: the whole recording; of a long one the beginning, or nothing if it is read again.
        rest: what follows of a long one, decoded on meanwhile.
        metadata: texts that were written into it.
        note: why that could not be read, which is no reason to leave the sound out.
        error: why it could not be read.
        done: set when nothing more is wanted of it.
    """

    path: Path
    stream: io.AudioStream | None = None
    head: list[Samples] = field(default_factory=list)
    rest: Iterator[Samples] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    error: str | None = None
    done: Event = field(default_factory=Event)

    @property
    def long(self) -> bool:
        """Whether it is longer than WHOLE_SECONDS."""
        return self.stream is not None and self.stream.seconds > WHOLE_SECONDS

    def blocks(self) -> Iterator[Samples]:
        """The recording from its start, once."""
        head, self.head = self.head, []  # what waits for the network should not be held twice
        return itertools.chain(head, self.rest or ())


@dataclass
class _Pieces:
    """The embedded pieces of one file."""

    decoded: _Decoded
    waiting: int = 0
    complete: bool = False
    done: list[tuple[int, int, Embeddings]] = field(default_factory=list)  # start, samples, vector


_Piece = tuple[_Pieces, int, Samples]
"""Owner, first sample, samples."""


def embed_files(
    model: Wav2CLIP,
    paths: Iterable[Path],
    *,
    frame_seconds: float | None = None,
    hop_seconds: float | None = None,
    workers: int | None = None,
    readers: Reader | None = None,
) -> Iterator[FileEmbedding]:
    """Embed files, in any order; each path comes back exactly once.

    Args:
        model: any loaded model.
        paths: files; may be an iterator, which is read only as far ahead as needed.
        frame_seconds: length of frames, or None for clip level.
        hop_seconds: seconds between frames; by default the frames' length.
        workers: threads that embed, and processes that decode; by default one per core.
        readers: who decodes; by default processes that end with the iteration. Those of
            :func:`start_readers` embed, too, where the model is a graph of ONNX Runtime.

    Raises:
        InputError: frames or hops that are shorter than one sample.
    """
    plan = _plan(model, workers, readers)
    if frame_seconds is not None:
        hop = frame_seconds if hop_seconds is None else hop_seconds
        frames = frame_samples(model.sample_rate, frame_seconds, hop)
        if plan is not None:
            size = max(1, int(_BATCH_SECONDS * model.sample_rate) // frames[0])
            plan = replace(plan, frames=frames, batch=size)
    if plan is not None:
        yield from _embed_there(plan, paths, workers, readers)
        return
    most = int(WHOLE_SECONDS * model.sample_rate)  # a longer one is read again, twice
    with _at_work(model, workers, readers) as work:
        files = work.decode(paths, partial(_decode, model.sample_rate, most))
        if frame_seconds is not None:
            for decoded in files:
                yield _embed_one_by_frames(model, work.reader, decoded, frame_seconds, hop)
            return

        def whole(decoded: _Decoded) -> Iterator[tuple[int, Samples]]:
            yield 0, np.concatenate(list(decoded.blocks()))

        batches = _Batches(model.beside(work.inner), work)
        yield from _embed_pieces(batches, files, whole, partial(_embed_long, model, work.reader))


def embed_segments(
    model: Wav2CLIP,
    paths: Iterable[Path],
    *,
    segment_seconds: float = 10.0,
    overlap_seconds: float = 2.5,
    metadata: bool = False,
    workers: int | None = None,
    readers: Reader | None = None,
) -> Iterator[FileEmbedding]:
    """Embed files of any length in segments, each standardised as a recording of its own.

    A recording of up to ``segment_seconds`` is one segment. A longer one gives windows of that
    length, each overlapping the one before by ``overlap_seconds``, and a last one that ends with
    the recording; see :func:`wav2clip.audio.windows.segments`. Files are decoded once, in bounded
    memory, and each path comes back exactly once. With ``metadata`` that is read, too.

    Raises:
        InputError: a segment under half a second, or an overlap that is not shorter than it.
    """
    if segment_seconds < SHORTEST_TAIL or not 0 <= overlap_seconds < segment_seconds:
        raise InputError(
            f"segments of {segment_seconds} s with an overlap of {overlap_seconds} s: expected at "
            f"least {SHORTEST_TAIL} s, and an overlap from 0 to less than the segment"
        )
    rate = model.sample_rate
    length = round(segment_seconds * rate)
    hop = max(1, round((segment_seconds - overlap_seconds) * rate))
    tail = round(SHORTEST_TAIL * rate)
    plan = _plan(model, workers, readers)
    if plan is not None:
        plan = replace(plan, segments=(length, hop, tail), metadata=metadata)
        yield from _embed_there(plan, paths, workers, readers)
        return

    def cut(decoded: _Decoded) -> Iterator[tuple[int, Samples]]:
        return windows.segments(decoded.blocks(), length, hop, tail)

    with _at_work(model, workers, readers) as work:
        files = work.decode(paths, partial(_decode, rate, None, metadata=metadata))
        batches = _Batches(model.beside(work.inner), work)
        yield from _embed_pieces(batches, files, cut)


# Embedded where they are decoded ------------------------------------------------------------------


def start_readers(workers: int | None = None) -> Readers:
    """Processes for the functions of this module, whichever way a model takes.

    Args:
        workers: how many are kept while nobody needs them; by default one per core.
    """
    return Readers(workers, program=_PROGRAM)


def _plan(model: Wav2CLIP, workers: int | None, readers: Reader | None) -> Plan | None:
    """How processes embed with the model by themselves, or None where they cannot."""
    if model.graph_folder is None:
        return None
    if readers is not None and not (isinstance(readers, Readers) and readers.program == _PROGRAM):
        return None
    cores = runtime.threads()
    threads = max(1, cores // (workers or cores))
    return Plan(str(model.graph_folder.resolve()), model.fingerprint, model.sample_rate, threads)


def _embed_there(
    plan: Plan, paths: Iterable[Path], workers: int | None, readers: Reader | None
) -> Iterator[FileEmbedding]:
    """Files as they are done, each embedded by the process that decodes it."""
    count = workers or runtime.threads()
    with ExitStack() as stack:
        reader = readers or stack.enter_context(start_readers(count))
        assert isinstance(reader, Readers)
        pool = stack.enter_context(ThreadPoolExecutor(count))
        pending: set[Future[FileEmbedding]] = set()
        try:
            for path in paths:
                pending.add(pool.submit(_embedded, plan, reader, path))
                if len(pending) >= _AHEAD:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            if pending:
                reader.stop()


def _embedded(plan: Plan, reader: Readers, path: Path) -> FileEmbedding:
    rows: list[Embeddings] = []
    told: dict[str, Any] = {}
    try:
        for kind, content in reader.ask(wire.EMBED, path, {"plan": asdict(plan)}):
            if kind == wire.SAMPLES:
                rows.append(content)
            else:
                told |= content
    except (Wav2ClipError, OSError, MemoryError) as error:
        return _failed(path, _reason(path, error))
    track = Track(**told["track"])
    starts, lengths = np.array(told["starts"], float), np.array(told["lengths"], float)
    return FileEmbedding(
        path,
        np.concatenate(rows),
        track.start + starts / plan.rate,
        track.start + (starts + lengths) / plan.rate,
        warnings=(*told["warnings"], *[told["note"]][: bool(told["note"])]),
        channels=track.channels,
        source_rate=track.source_rate,
        seconds=told["seconds"],
        metadata=told["metadata"],
    )


# Decoded there, embedded here ---------------------------------------------------------------------


def ahead(
    calls: Iterable[Callable[[], T]],
    workers: int,
    depth: int,
    stop: Callable[[], object] | None = None,
) -> Iterator[T]:
    """Results of the calls in their order, up to ``depth`` of them worked on ahead of their turn.

    The calls may be an endless iterator. Leaving the iteration cancels what has not begun, and
    waits for what has; ``stop`` is called before, to make that short.
    """
    pool = ThreadPoolExecutor(workers)
    try:
        yield from _in_order(calls, pool, depth)
    finally:
        if stop is not None:
            stop()
        pool.shutdown(wait=True, cancel_futures=True)


def _in_order(
    calls: Iterable[Callable[[], T]], pool: ThreadPoolExecutor, depth: int
) -> Iterator[T]:
    pending: deque[Future[T]] = deque()
    for call in calls:
        pending.append(pool.submit(call))
        if len(pending) >= depth:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


@dataclass(frozen=True)
class _Work:
    """Who works on the files.

    Attributes:
        reader: decodes.
        decoding: threads that wait for it, each for one file at a time.
        embedding: threads that run the network.
        count: of these.
        inner: threads that a call of the network has for itself.
        pending: files on their way, in their order.
    """

    reader: Reader
    decoding: ThreadPoolExecutor
    embedding: ThreadPoolExecutor
    count: int
    inner: int
    pending: deque[Future[_Decoded]] = field(default_factory=deque)

    def decode(self, paths: Iterable[Path], decode: _Decode) -> Iterator[_Decoded]:
        """Decoded files in the order given, some of them ahead of their turn.

        A thread stays with a long file until its turn is over, so that no more files are open than
        there are threads; they take files in their order, so that the next one is always in hand.
        """
        for path in paths:
            self.pending.append(Future())
            self.decoding.submit(decode, self.reader, path, self.pending[-1])
            if len(self.pending) >= _AHEAD:
                yield from self._next()
        while self.pending:
            yield from self._next()

    def _next(self) -> Iterator[_Decoded]:
        decoded = self.pending[0].result()
        yield decoded
        decoded.done.set()
        self.pending.popleft()

    def end(self) -> None:
        """Let go of what is still in hand, if the work is left before its end."""
        self.decoding.shutdown(wait=False, cancel_futures=True)
        for future in self.pending:
            future.add_done_callback(_let_go)
        if self.pending and isinstance(self.reader, Readers):
            self.reader.stop()


_Decode = Callable[[Reader, Path, "Future[_Decoded]"], None]


def _let_go(future: Future[_Decoded]) -> None:
    if future.exception() is None:
        future.result().done.set()


@contextmanager
def _at_work(model: Wav2CLIP, workers: int | None, readers: Reader | None) -> Iterator[_Work]:
    cores = runtime.threads()
    count = workers or cores
    inner = max(1, cores // count)
    embedding = count if model.device == "cpu" else _ACCELERATOR_THREADS
    with ExitStack() as stack:
        reader = readers or stack.enter_context(start_readers(count))
        stack.enter_context(runtime.one_blas_thread())
        decoding = stack.enter_context(ThreadPoolExecutor(count))
        pool = stack.enter_context(_pool(embedding, inner))
        work = _Work(reader, decoding, pool, embedding, inner)
        stack.callback(work.end)
        yield work


@contextmanager
def _pool(count: int, inner: int) -> Iterator[ThreadPoolExecutor]:
    """So many threads, in each of which torch has ``inner`` threads."""
    cores = runtime.threads()
    ready = Barrier(count + 1)

    def prepare() -> None:
        runtime.set_torch_threads(inner)  # of this thread; what is new elsewhere takes it over, too
        ready.wait()

    pool = ThreadPoolExecutor(count, initializer=prepare)
    try:
        for _ in range(count):
            pool.submit(bool)
        ready.wait()
        runtime.set_torch_threads(cores)  # so that other threads have what they had
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _decode(
    rate: int,
    most: int | None,
    reader: Reader,
    path: Path,
    future: Future[_Decoded],
    *,
    metadata: bool = False,
) -> None:
    """Read a file, or the beginning of a long one, and then stay with that until it is done.

    Args:
        rate: Hz wanted.
        most: samples after which the rest of a long one is not wanted.
        reader: who decodes.
        path: of the file.
        future: takes the file as soon as it, or its beginning, is there.
        metadata: whether that is wanted, too.
    """
    decoded = _Decoded(path)
    try:
        if metadata:
            decoded.metadata, decoded.note = metadata_of(reader, path)
        decoded.stream = reader.stream_audio(path, rate, most=most)
        blocks = iter(decoded.stream)
        for block in blocks:
            decoded.head.append(block)
            if most is None and decoded.long:
                decoded.rest = blocks
                break
        if most is not None and decoded.long:
            decoded.head.clear()
    except (Wav2ClipError, OSError, MemoryError) as error:
        decoded = _Decoded(path, error=_reason(path, error))
    except BaseException as error:
        future.set_exception(error)
        raise
    future.set_result(decoded)
    if decoded.rest is not None:
        decoded.done.wait()


def metadata_of(reader: Reader, path: Path) -> tuple[Mapping[str, str], str]:
    """The metadata of a file, and why it cannot be read, if so."""
    try:
        return reader.read_metadata(path), ""
    except Exception as error:  # whatever it is, the sound may be whole
        return {}, f"its metadata cannot be read: {_reason(path, error)}"


def _embed_pieces(
    batches: _Batches,
    files: Iterable[_Decoded],
    cut: Callable[[_Decoded], Iterator[tuple[int, Samples]]],
    long: Callable[[_Decoded], FileEmbedding] | None = None,
) -> Iterator[FileEmbedding]:
    """Cut files into pieces and embed pieces of equal length together, whosever they are."""
    for decoded in files:
        if decoded.error is not None:
            yield _failed(decoded.path, decoded.error)
            continue
        if long is not None and decoded.long:
            yield long(decoded)
            continue
        own = _Pieces(decoded)
        try:
            for start, samples in cut(decoded):
                yield from map(_result, batches.add(own, start, samples))
        except (Wav2ClipError, OSError, MemoryError) as error:
            # Its pieces that still wait are embedded in vain, and never reported.
            yield _failed(decoded.path, _reason(decoded.path, error))
            continue
        own.complete = True
        if not own.waiting:
            yield _result(own)
    yield from map(_result, batches.rest())


class _Batches:
    """Pieces that wait for others of their length, and batches that threads work on."""

    def __init__(self, model: Wav2CLIP, work: _Work) -> None:
        self._model = model
        self._work = work
        self._waiting: dict[int, list[_Piece]] = {}
        self._running: deque[tuple[int, list[_Piece], Future[Embeddings]]] = deque()

    def add(self, owner: _Pieces, start: int, samples: Samples) -> Iterator[_Pieces]:
        """Take a piece; gives the files that became complete meanwhile."""
        group = self._waiting.setdefault(len(samples), [])
        group.append((owner, start, samples))
        owner.waiting += 1
        if len(group) == _BATCH_FILES:
            yield from self._embed(self._waiting.pop(len(samples)))
        elif sum(map(len, self._waiting.values())) > _AHEAD:
            longest = max(self._waiting, key=lambda n: len(self._waiting[n]))
            yield from self._embed(self._waiting.pop(longest))

    def rest(self) -> Iterator[_Pieces]:
        """Embed what still waits, shared out so that no thread ends long before the others."""
        for group in self._waiting.values():
            size = -(-len(group) // self._work.count)
            for first in range(0, len(group), size):
                yield from self._embed(group[first : first + size])
        self._waiting.clear()
        while self._running:
            yield from self._collect()

    def _embed(self, group: list[_Piece]) -> Iterator[_Pieces]:
        waves = np.stack([samples for _, _, samples in group])
        future = self._work.embedding.submit(self._model.embed_batch, waves)
        self._running.append((waves.shape[1], group, future))
        if len(self._running) > _BATCHES_AHEAD:
            yield from self._collect()

    def _collect(self) -> Iterator[_Pieces]:
        """Wait for the oldest batch."""
        length, group, future = self._running.popleft()
        for (owner, start, _), embedding in zip(group, future.result(), strict=True):
            owner.done.append((start, length, embedding))
            owner.waiting -= 1
            if owner.complete and not owner.waiting:
                yield owner


def _result(pieces: _Pieces) -> FileEmbedding:
    stream = pieces.decoded.stream
    assert stream is not None
    rate = stream.sample_rate
    rows = sorted(pieces.done, key=lambda row: row[0])
    return FileEmbedding(
        pieces.decoded.path,
        np.stack([embedding for _, _, embedding in rows]),
        stream.start + np.array([start / rate for start, _, _ in rows]),
        stream.start + np.array([(start + length) / rate for start, length, _ in rows]),
        warnings=(*stream.warnings, *[pieces.decoded.note][: bool(pieces.decoded.note)]),
        channels=stream.channels,
        source_rate=stream.source_rate,
        seconds=stream.seconds,
        metadata=pieces.decoded.metadata,
    )


def _embed_long(model: Wav2CLIP, reader: Reader, decoded: _Decoded) -> FileEmbedding:
    streams: list[io.AudioStream] = []

    def blocks() -> Iterable[Samples]:
        streams.append(reader.stream_audio(decoded.path, model.sample_rate))
        return streams[-1]

    try:
        embedding = model.embed_stream(blocks)
    except (Wav2ClipError, OSError) as error:
        return _failed(decoded.path, _reason(decoded.path, error))
    stream = streams[-1]
    return FileEmbedding(
        decoded.path,
        embedding[None],
        np.array([stream.start]),
        np.array([stream.start + stream.seconds]),
        warnings=stream.warnings,
        channels=stream.channels,
        source_rate=stream.source_rate,
        seconds=stream.seconds,
    )


def _embed_one_by_frames(
    model: Wav2CLIP, reader: Reader, decoded: _Decoded, frame_seconds: float, hop_seconds: float
) -> FileEmbedding:
    if decoded.error is not None:
        return _failed(decoded.path, decoded.error)
    stream = decoded.stream
    assert stream is not None
    head, decoded.head = decoded.head, []

    def blocks() -> Iterable[Samples]:
        nonlocal stream
        if not decoded.long:
            return head
        stream = reader.stream_audio(decoded.path, model.sample_rate)
        return stream

    try:
        name = io.source_name(decoded.path)
        frames = model.embed_frame_stream(blocks, frame_seconds, hop_seconds, name)
    except (Wav2ClipError, OSError) as error:
        return _failed(decoded.path, _reason(decoded.path, error))
    return FileEmbedding(
        decoded.path,
        frames.embeddings,
        stream.start + frames.starts,
        stream.start + frames.starts + frame_seconds,
        warnings=stream.warnings,
        channels=stream.channels,
        source_rate=stream.source_rate,
        seconds=stream.seconds,
    )


def _failed(path: Path, reason: str) -> FileEmbedding:
    return FileEmbedding(path, np.zeros((0, 0), np.float32), np.zeros(0), np.zeros(0), reason)


def _reason(path: Path, error: Exception) -> str:
    """The message without the file's name in front, which whoever shows it adds again."""
    text = str(error) or type(error).__name__
    return text.removeprefix(f"{io.source_name(path)}: ")
