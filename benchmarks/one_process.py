"""Files to embeddings in a process of its own: what it costs a machine that does nothing else.

Processes that it starts count, too, each with its own peak; pages that they share count twice.

    python benchmarks/one_process.py '{"engine": "onnx"}' FILE...    # options of wav2clip.load
    python benchmarks/one_process.py --frames 10 '{}' FILE...        # frames of ten seconds
    python benchmarks/one_process.py published FILE...

Prints JSON: peak resident memory in MiB, seconds from the loaded model on, and embeddings.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path


def peak() -> float:
    """Peak resident memory in MiB, of this process and those that read for it."""
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    # Linux lets a process inherit ru_maxrss from whoever started it.
    tasks = Path("/proc/self/task").iterdir()
    below = [each for task in tasks for each in _text(task / "children").split()]
    states = [_text(Path("/proc", each, "status")) for each in ("self", *below)]
    found = (re.search(r"VmHWM:\s+(\d+) kB", state) for state in states)
    return sum(int(each[1]) for each in found if each) / 2**10


def _text(path: Path) -> str:
    """What a file of /proc says, or nothing: threads and processes end at any moment."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def way(kind: str, frames: float | None) -> Callable[[list[Path]], int]:
    """A function that embeds files, with its model loaded."""
    if kind == "published":
        from published import Published

        published = Published()
        return lambda paths: len(published(paths))
    import wav2clip
    from wav2clip.embedding.bulk import embed_files

    embed = partial(embed_files, wav2clip.load(**json.loads(kind)), frame_seconds=frames)

    def run(paths: list[Path]) -> int:
        results = list(embed(paths))
        assert all(result.error is None for result in results), results
        return sum(len(result.embeddings) for result in results)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=float)
    parser.add_argument("kind")
    parser.add_argument("paths", type=Path, nargs="+")
    options = parser.parse_args()
    run = way(options.kind, options.frames)
    start = time.perf_counter()
    rows = run(options.paths)
    print(json.dumps([peak(), time.perf_counter() - start, rows]))


if __name__ == "__main__":
    main()
