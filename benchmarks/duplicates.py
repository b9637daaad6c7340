"""What `wav2clip duplicates` says of ESC-50 and UrbanSound8K: is any pair false?

    python benchmarks/duplicates.py [--folder WHERE]

Names of both collections tell the recording on Freesound that a clip was cut from: two clips with
the same number share a source. What is listed with different numbers is printed, to be looked at.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from rich.progress import Progress

from machine import machine, versions
from wav2clip.library import Library
from wav2clip.library.duplicates import Duplicates

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data"))
FOLDERS = [DATA / "esc50" / "audio", DATA / "urbansound8k" / "audio"]


def source(path: Path) -> str:
    """The number on Freesound: in the second place in ESC-50, in the first in UrbanSound8K."""
    return path.stem.split("-")["esc50" in path.parts]


def pairs(found: Duplicates) -> Iterator[tuple[str, float, Path, Path]]:
    for group in found.groups:
        for one, other in combinations(group.paths, 2):
            yield "copy or part", group.similarity, one, other
    for overlap in found.overlaps:
        yield "overlap", overlap.similarity, *overlap.paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="keep the library here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, Progress() as bars:
        library = Library.open((options.folder or Path(temporary)) / "library")
        library.index(FOLDERS)
        bar = bars.add_task("comparing")
        started = time.perf_counter()
        found = library.duplicates(
            progress=lambda done, total: bars.update(bar, completed=done, total=total)
        )
        seconds = time.perf_counter() - started
        files = len(library.files())
    print(f"{machine()}; {versions()}\n\n{files} files compared in {seconds:.0f} s\n")
    listed = list(pairs(found))
    print("| | pairs | of one source | of others |\n|---|---|---|---|")
    for kind in ("copy or part", "overlap"):
        own = [p for p in listed if p[0] == kind]
        same = sum(source(one) == source(other) for _, _, one, other in own)
        print(f"| {kind} | {len(own)} | {same} | {len(own) - same} |")
    print("\nof different sources:")
    for kind, similarity, one, other in listed:
        if source(one) != source(other):
            print(f"{kind}: {one.name} {other.name} {similarity:.3f}")


if __name__ == "__main__":
    main()
