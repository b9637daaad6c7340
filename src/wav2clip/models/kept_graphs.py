"""Graphs as ONNX Runtime rewrites them for this processor, kept: opening one again costs a tenth.

To open a graph ONNX Runtime widens its weights, joins its nodes and lays them out for the
processor. That takes as long as a search; what comes of it, an ONNX graph as well, is the same each
time. It lies in the user's cache, 5 to 50 MB each, under a name that changes with the graph, its
weights, the processor and the runtime.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from wav2clip import runtime
from wav2clip.downloads import cache_folder

VARIABLE = "WAV2CLIP_GRAPHS"
"""The folder in which they are kept, in place of ``graphs`` in the cache; empty keeps none."""

GRAPH, WEIGHTS = "network.onnx", "weights.bin"
_LEFT_SECONDS = 3600.0
"""After which what a killed process had begun to write is removed."""


def place(graph: Path) -> Path | None:
    """The folder for a graph's rewritten form, which may not be there; None if none are kept."""
    chosen = os.environ.get(VARIABLE)
    if chosen == "":
        return None
    import onnxruntime

    key = hashlib.sha256(graph.read_bytes())
    for beside in sorted(graph.parent.glob("*.safetensors")):
        status = beside.stat()
        key.update(f"{beside.name} {status.st_size} {status.st_mtime_ns}".encode())
    key.update(f"{onnxruntime.__version__} {runtime.processor()}".encode())
    folder = Path(chosen) if chosen else cache_folder() / "graphs"
    return folder / f"{_prefix(graph)}{key.hexdigest()[:16]}"


def write_here(options: Any, folder: Path) -> None:
    """Let a session that is opened with these options leave what it computes with in a folder."""
    options.optimized_model_filepath = str(folder / GRAPH)
    prefix = "session.optimized_model_external_initializers_"
    options.add_session_config_entry(f"{prefix}file_name", WEIGHTS)
    options.add_session_config_entry(f"{prefix}min_size_in_bytes", "1024")


@contextmanager
def new_place(kept: Path, graph: Path) -> Iterator[Path]:
    """A folder to write into, which becomes ``kept`` when the block ends well.

    What was kept of the graph before is removed.

    Raises:
        OSError: nothing can be written there, or by this process.
    """
    if not runtime.may_write():
        raise OSError("this process may write no file")
    kept.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=kept.parent, prefix=f".{_prefix(graph)}"))
    try:
        yield folder
        for old in kept.parent.glob(f"{_prefix(graph)}*"):
            shutil.rmtree(old, ignore_errors=True)
        with suppress(OSError):  # another process was faster
            folder.rename(kept)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for part in kept.parent.glob(f".{_prefix(graph)}*"):
            with suppress(OSError):
                if time.time() - part.stat().st_mtime > _LEFT_SECONDS:
                    shutil.rmtree(part, ignore_errors=True)


def _prefix(graph: Path) -> str:
    return hashlib.sha256(os.fsencode(graph.resolve())).hexdigest()[:8] + "-"
