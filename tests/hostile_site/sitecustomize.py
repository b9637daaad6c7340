"""Decoders with a flaw: put the folder of this file on PYTHONPATH, and Python imports it.

soundfile, PyAV and Pillow then do what the last bytes of a file say (:mod:`hostile` writes them):
crash, hang, eat memory, raise what nobody expects, or spoil the file that comes after.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import signal
import sys
import time
from typing import Any

MARK = b"#hostile:"
_spoilt = False
_reads = 0


class Odd(Exception):
    """What no decoder has raised yet."""


def look(source: Any) -> None:
    """Do what the end of a file says."""
    global _spoilt
    what = _end(source).rpartition(MARK)[2] if MARK in _end(source) else b""
    if what == b"abort":
        os.abort()
    elif what == b"segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif what == b"exit":
        os._exit(3)
    elif what == b"hang":
        _note_hang()
        while True:
            time.sleep(60)
    elif what == b"memory":
        import numpy as np

        held = []
        while True:
            held.append(np.empty(2**28, np.uint8))
    elif what == b"odd":
        raise Odd("odd")
    elif what == b"deep":
        look(source)
    elif what == b"chatter":
        os.write(1, b"this breaks a protocol\n")
        os.write(2, b"and this a screen\n")
    elif what == b"spoil":
        _spoilt = True


def _end(source: Any) -> bytes:
    """The last bytes of a file: a descriptor, a file object or a path; b"" of anything else."""
    try:
        if isinstance(source, str | os.PathLike):
            with open(source, "rb") as file:
                return _end(file)
        descriptor = source if isinstance(source, int) else source.fileno()
        return os.pread(descriptor, 32, max(0, os.fstat(descriptor).st_size - 32))
    except (AttributeError, OSError):
        return b""


def _note_hang() -> None:
    if path := os.environ.get("HOSTILE_HANGS"):
        open(path, "a").close()  # empty: these processes may write nothing


def _spoil() -> None:
    """A process that read a spoiling file crashes at the third block of another one."""
    global _reads
    _reads += _spoilt
    if _reads > 5:  # two of its own, and that of its end
        os.abort()


def _patch(module: Any) -> None:
    if module.__name__ == "soundfile":
        opened, read = module.SoundFile.__init__, module.SoundFile.read

        def init(self: Any, file: Any, *arguments: Any, **options: Any) -> None:
            look(file)
            opened(self, file, *arguments, **options)

        def block(self: Any, *arguments: Any, **options: Any) -> Any:
            _spoil()
            return read(self, *arguments, **options)

        module.SoundFile.__init__, module.SoundFile.read = init, block
        return
    opens = module.open

    def opening(source: Any, *arguments: Any, **options: Any) -> Any:
        look(source)
        return opens(source, *arguments, **options)

    module.open = opening


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        self._loader.exec_module(module)
        _patch(module)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name not in ("soundfile", "av", "PIL.Image"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None:
            spec.loader = _Loader(spec.loader)
        return spec


sys.meta_path.insert(0, _Finder())
