"""What each library costs, format by format, and what decoding costs as a whole.

    python benchmarks/decoders.py
    python benchmarks/decoders.py --before OLD_IO.py   # audio/io.py as it was, from git show

Ten seconds of stereo noise and tones at 44.1 kHz, in every format that both libraries read. CPU
time of one thread (the lowest of many turns, taken by turns in one run), for: libsndfile and
FFmpeg, each with all of its file; the whole of ``load_audio``; and, with ``--before``, an older
``load_audio``.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

from machine import machine, versions
from wav2clip.audio.ffmpeg import open_ffmpeg
from wav2clip.audio.headers import Header
from wav2clip.audio.io import load_audio, stream_audio
from wav2clip.audio.sndfile import open_sndfile

FORMATS = {
    "WAV, 16 bit": ("WAV", "PCM_16"),
    "WAV, 24 bit": ("WAV", "PCM_24"),
    "AIFF": ("AIFF", "PCM_16"),
    "FLAC": ("FLAC", "PCM_16"),
    "Ogg Vorbis": ("OGG", "VORBIS"),
    "Ogg Opus": ("OGG", "OPUS"),
    "MP3": ("MP3", "MPEG_LAYER_III"),
    "CAF, ALAC": ("CAF", "ALAC_16"),
    "WAV, IMA ADPCM": ("WAV", "IMA_ADPCM"),
}


def sound(rate: int, seconds: float = 10.0) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).normal(0, 0.05, (len(t), 2))
    tones = np.stack([np.sin(2 * np.pi * f * t) for f in (440, 554)], axis=1)
    return (0.3 * tones + noise).astype(np.float32)


def sndfile(content: bytes) -> None:
    for _ in open_sndfile(io.BytesIO(content), Header()).blocks:
        pass


def ffmpeg(content: bytes) -> None:
    for _ in open_ffmpeg(io.BytesIO(content), "sound", Header()).blocks:
        pass


def by_turns(calls: list[Callable[[], Any]], turns: int) -> list[float]:
    """The lowest CPU seconds of each call."""
    best = [float("inf")] * len(calls)
    for _ in range(turns):
        for number, call in enumerate(calls):
            started = time.process_time()
            call()
            best[number] = min(best[number], time.process_time() - started)
    return best


def older(path: Path) -> Callable[[Path], Any]:
    """``load_audio`` of another version, which must be one file."""
    spec = importlib.util.spec_from_file_location("older_io", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["older_io"] = module
    spec.loader.exec_module(module)
    return module.load_audio  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--before", type=Path, help="an older audio/io.py to compare with")
    arguments = parser.parse_args()
    before = older(arguments.before) if arguments.before else None
    table = Table(title="CPU milliseconds for 10 s of stereo at 44.1 kHz")
    columns = ["format", "libsndfile", "FFmpeg", "FFmpeg / libsndfile", "read by", "load_audio"]
    for column in [*columns, *(["before", "now / before"] if before else [])]:
        table.add_column(column, justify="left" if column in ("format", "read by") else "right")
    with tempfile.TemporaryDirectory() as folder:
        for name, (format, subtype) in FORMATS.items():
            rate = 48_000 if subtype == "OPUS" else 44_100
            path = Path(folder, f"sound.{format.lower()}")
            soundfile.write(path, sound(rate), rate, subtype, format=format)
            content = path.read_bytes()
            calls: list[Callable[[], Any]] = [
                lambda content=content: sndfile(content),
                lambda content=content: ffmpeg(content),
                lambda path=path: load_audio(path),
            ]
            if before is not None:
                calls.append(lambda path=path: before(path))
            a, b, whole, *old = by_turns(calls, arguments.turns)
            cells = [f"{1e3 * a:.1f}", f"{1e3 * b:.1f}", f"{b / a:.2f}"]
            cells += [stream_audio(path).track.decoder, f"{1e3 * whole:.1f}"]
            for seconds in old:
                cells += [f"{1e3 * seconds:.1f}", f"{whole / seconds:.2f}"]
            table.add_row(name, *cells)
    console = Console()
    console.print(table)
    console.print(machine(), versions(), sep="\n")


if __name__ == "__main__":
    main()
