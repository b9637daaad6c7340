"""What the hash of a file's sound costs, and what it saves where only tags changed.

    python benchmarks/retagged.py [--files 200] [--seconds 10]

Prints three things: CPU time to hash files by content alone and by content and sound; the time of
`index` on unchanged, retagged and changed WAV files; and the first again for one large file.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from wav2clip.audio.essence import hash_file
from wav2clip.library import Library
from wav2clip.library.index import IndexReport

RATE = 48_000
LARGE = 512 * 2**20


def write_sounds(folder: Path, files: int, seconds: float) -> list[Path]:
    """Stereo noise, each file another."""
    rng, paths = np.random.default_rng(0), []
    for number in range(files):
        noise = rng.uniform(-0.3, 0.3, (round(seconds * RATE), 2)).astype(np.float32)
        paths.append(folder / f"{number:05}.wav")
        soundfile.write(paths[-1], noise, RATE, subtype="PCM_16")
    return paths


def retag(path: Path, text: bytes) -> None:
    """A title behind the sound, as editors write it."""
    content = path.read_bytes()
    title = b"INAM" + struct.pack("<I", len(text)) + text + b"\0" * (len(text) % 2)
    body = content[8:] + b"LIST" + struct.pack("<I", len(title) + 4) + b"INFO" + title
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def change(path: Path) -> None:
    """One bit of one sample."""
    with path.open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))


def cpu_seconds(work: Callable[[], object]) -> float:
    """The least of three: other work on the machine only ever adds to it."""
    times = []
    for _ in range(3):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


def by_content(path: Path) -> None:
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")


def by_both(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        assert hash_file(file)[1]


def hashing(name: str, paths: list[Path]) -> None:
    size = sum(path.stat().st_size for path in paths) / 2**20
    alone = cpu_seconds(lambda: [by_content(path) for path in paths])
    both = cpu_seconds(lambda: [by_both(path) for path in paths])
    more = 1000 * (both - alone) / size
    print(f"| {name}, {size:.0f} MB | {alone:.2f} | {both:.2f} | {more:.2f} |")


def all_cpu_seconds() -> float:
    """Of this process, of those that it waited for, and of those that still read files (Linux)."""
    total = sum(os.times()[:4])
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            fields = Path("/proc", child, "stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def indexing(library: Library, folder: Path, name: str) -> IndexReport:
    begun, used = time.perf_counter(), all_cpu_seconds()
    report = library.index(folder)
    used = all_cpu_seconds() - used
    print(f"| {name} | {time.perf_counter() - begun:.1f} | {used:.1f} |", flush=True)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "sounds")
        folder.mkdir()
        paths = write_sounds(folder, options.files, options.seconds)
        large = Path(temporary, "large.wav")
        header = io.BytesIO()
        soundfile.write(header, np.zeros(0, np.int16), RATE, format="WAV", subtype="PCM_16")
        with large.open("wb") as file:
            file.write(header.getvalue()[:40] + struct.pack("<I", LARGE))
            file.truncate(44 + LARGE)
        print("| hashing, CPU seconds | content | content and sound | more, ms per MB |")
        print("|---|---|---|---|")
        hashing(f"{options.files} files", paths)
        hashing("one file", [large])
        print("\n| indexing | seconds | CPU seconds |\n|---|---|---|")
        library = Library.open(Path(temporary, "library"))
        indexing(library, folder, f"{options.files} new files")
        indexing(library, folder, "all unchanged")
        for path in paths:
            retag(path, b"another title")
        assert indexing(library, folder, "all retagged").retagged == options.files
        for path in paths:
            change(path)
        assert indexing(library, folder, "all changed").updated == options.files


if __name__ == "__main__":
    main()
