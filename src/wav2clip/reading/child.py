"""What runs in a process that reads files: answers one request after the other.

Decoders and image readers are large programs in C that meet what strangers made. Here they have a
limit on memory and none of the parent's data, write no file, and take nobody with them. The process
ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wav2clip.audio import io
from wav2clip.audio.metadata import read_metadata
from wav2clip.errors import AudioError, Wav2ClipError
from wav2clip.files import display
from wav2clip.reading import wire

Request = dict[str, Any]
Frame = tuple[bytes, Any, int]
"""Kind, content and columns."""

Answer = Callable[[Request], Iterator[Frame]]
"""Gives the frames of an answer; the last is of kind END."""

_BATCH = 256 * 1024
_FLUSH_SECONDS = 1.0
_WORN = 2**30
"""Bytes that a process once held, after which it is replaced: much of it may never come back."""

_PICTURES = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "PPM", "ICO")
# Pillow knows more formats; some of them start other programs.


def main() -> None:
    """Serve standard input until it ends."""
    serve(READERS)


def serve(readers: Mapping[str, Answer]) -> None:
    """Answer requests from standard input until it ends.

    Args:
        readers: who answers, by what is asked for.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this one
    requests, out = _claim_streams()
    _confine()
    out.send(wire.TOLD, {"ready": True}, 0)
    out.flush()
    while True:
        _answer(json.loads(requests.get()), readers, out)


def _claim_streams() -> tuple[SimpleQueue[bytes], _Out]:
    """Take the pipes for the protocol alone; decoders that print or read find nothing there."""
    source, target = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    requests: SimpleQueue[bytes] = SimpleQueue()

    def receive() -> None:
        with open(source, "rb") as lines:
            for line in lines:
                requests.put(line)
        os._exit(0)  # whoever asked is gone, whatever is being read

    Thread(target=receive, daemon=True).start()
    return requests, _Out(target)


def _confine() -> None:
    """Limits that the operating system enforces, where it is a Unix."""
    try:
        import resource
    except ImportError:
        return
    limits = (
        (resource.RLIMIT_AS, wire.MEMORY),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    )
    for what, limit in limits:
        hard = resource.getrlimit(what)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        try:
            resource.setrlimit(what, (limit, limit))
        except (OSError, ValueError):  # macOS has no limit on the address space
            continue


def _worn() -> bool:
    return _most_held() > _WORN


def _most_held() -> int:
    """Bytes that this process held at most.

    Linux counts what a process held before it became another program, too: in ``ru_maxrss`` a
    process begins with all that its parent once held.
    """
    try:
        status = Path("/proc/self/status").read_bytes()
        return int(status.partition(b"VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError):  # another system, or one that does not say so
        pass
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class _Out:
    """Frames to who asked, many small ones at once."""

    def __init__(self, descriptor: int) -> None:
        self._file = open(descriptor, "wb", buffering=_BATCH)  # noqa: SIM115
        self._flushed = 0.0

    def send(self, kind: bytes, content: Any, columns: int) -> None:
        if isinstance(content, dict):
            content = json.dumps(content).encode()
        self._file.write(wire.HEADER.pack(kind, len(content), columns))
        self._file.write(content)
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        self._file.flush()
        self._flushed = time.monotonic()


def _answer(request: Request, readers: Mapping[str, Answer], out: _Out) -> None:
    """Read what was asked for. Whatever goes wrong is the failure of this file, here alone."""
    what, end = request["what"], wire.END
    told: dict[str, Any] = {}
    try:
        if request["folder"] is not None:
            os.chdir(request["folder"])
        for kind, content, columns in readers[what](request):
            if kind == wire.END:
                told = content
            else:
                out.send(kind, content, columns)
    except Wav2ClipError as error:
        end, told = wire.FAILED, {"kind": type(error).__name__, "message": str(error)}
    except MemoryError:
        end, told = wire.FAILED, {"kind": "MemoryError", "message": ""}
    except Exception as error:
        reason = str(error) or "no reason given"
        message = f"{display(request['path'])}: cannot be read ({type(error).__name__}: {reason})"
        end, told = wire.FAILED, {"kind": wire.FAULTS[what], "message": message}
    out.send(end, told | {"worn": _worn()}, 0)
    out.flush()


# Readers ------------------------------------------------------------------------------------------


def _audio(request: Request) -> Iterator[Frame]:
    if request["same"] is None:
        stream = io.stream_audio(request["path"], request["rate"])
    else:
        stream = io.stream_audio(_the_same(request), request["rate"])
    yield wire.TOLD, asdict(stream.track), 0
    most, given = request["most"], 0
    for block in stream.frames() if request["raw"] else stream:
        yield wire.SAMPLES, floats(block), 0 if block.ndim == 1 else block.shape[1]
        given += len(block)
        if most is not None and given > most:
            break
    yield wire.END, {"warnings": stream.warnings, "whole": stream.whole}, 0


def _the_same(request: Request) -> Any:
    """The file, if it still is that which was looked at."""
    name = display(request["path"])
    file = io.open_source(request["path"], name)
    status = os.fstat(file.fileno())
    if [status.st_dev, status.st_ino] != request["same"]:
        file.close()
        raise AudioError(f"{name}: has become another file meanwhile")
    return file


def _metadata(request: Request) -> Iterator[Frame]:
    yield wire.END, {"metadata": read_metadata(request["path"])}, 0


def _image(request: Request) -> Iterator[Frame]:
    from wav2clip.models.towers.images import open_image

    yield wire.PIXELS, *_pixels(open_image(request["path"]))
    yield wire.END, {}, 0


def _image_size(request: Request) -> Iterator[Frame]:
    """Width and height of a picture in a format of :data:`_PICTURES`, none for anything else."""
    from PIL import Image

    try:
        with Image.open(request["path"], formats=_PICTURES) as picture:
            size = picture.size
    except Image.DecompressionBombError:
        size = (2**31, 2**31)
    except (OSError, ValueError, SyntaxError, TypeError, EOFError):
        size = None
    yield wire.END, {"size": size}, 0


def _frames(request: Request) -> Iterator[Frame]:
    from wav2clip.reading.video import read_frames

    arguments = (request[name] for name in ("path", "rate", "seconds", "begin"))
    for picture in read_frames(*arguments):
        yield wire.PIXELS, *_pixels(picture)
    yield wire.END, {}, 0


READERS: Mapping[str, Answer] = {
    wire.AUDIO: _audio,
    wire.METADATA: _metadata,
    wire.IMAGE: _image,
    wire.IMAGE_SIZE: _image_size,
    wire.FRAMES: _frames,
}


def floats(array: NDArray[np.float32]) -> memoryview | bytes:
    """An array as the content of a frame of kind SAMPLES."""
    return np.ascontiguousarray(array, "<f4").data.cast("B") if array.size else b""


def _pixels(picture: Any) -> tuple[bytes, int]:
    return picture.tobytes(), picture.width
