"""The whole path format by format: how much of it is decoding, and how far it is from that alone.

    python benchmarks/formats.py [--turns 3] [--files 280]

The 40 clips of ESC-10 as published (44.1 kHz Vorbis, five seconds, one channel), written once in
each format at its rate, and read seven times. By turns in one run: the published way (published.py;
librosa reads no AAC without other programs), decoding and resampling to the model's rate alone on
the same cores, and `embed_files`, its processes started and its model loaded before, as the
published way's. "Over decoding" is the pipeline's time over that of decoding alone; the share of
decoding is the other way round.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import soxr
from rich.progress import track

from engines import DECODING, PUBLISHED, SETS, decode_all, embed_all, file_seconds
from machine import machine, versions
from published import Published
from wav2clip import load
from wav2clip.embedding.bulk import start_readers

OURS = "pipeline"
FORMATS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "WAV, 16 bit, 44.1 kHz": ("wav", 44_100, {"subtype": "PCM_16"}),
    "WAV, 24 bit, 48 kHz": ("wav", 48_000, {"subtype": "PCM_24"}),
    "WAV, 24 bit, 96 kHz": ("wav", 96_000, {"subtype": "PCM_24"}),
    "FLAC, 24 bit, 48 kHz": ("flac", 48_000, {"subtype": "PCM_24"}),
    "MP3, 44.1 kHz": ("mp3", 44_100, {"codec": "libmp3lame", "bit_rate": 192_000}),
    "Vorbis, 44.1 kHz, as published": ("ogg", 44_100, {}),
    "Opus, 48 kHz": ("opus", 48_000, {"codec": "libopus", "bit_rate": 96_000}),
    "AAC, 44.1 kHz": ("m4a", 44_100, {"codec": "aac", "bit_rate": 128_000}),
}
"""Suffix, Hz, and how it is written; nothing where it is taken as it is."""


def written(source: Path, folder: Path, suffix: str, rate: int, how: dict[str, Any]) -> Path:
    """A clip in another format."""
    if not how:
        return source
    target = folder / f"{source.stem}.{suffix}"
    samples, own = soundfile.read(source, dtype="float32")
    samples = np.clip(soxr.resample(samples, own, rate), -1, 1)
    if "subtype" in how:
        soundfile.write(target, samples, rate, **how)
        return target
    with av.open(str(target), "w") as container:
        stream = container.add_stream(how["codec"], rate=rate, layout="mono")
        stream.bit_rate = how["bit_rate"]
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        for part in (frame, None):  # the end of the sound is what it still holds
            container.mux(stream.encode(part))
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--files", type=int, default=280)
    options = parser.parse_args()
    originals = next(iter(SETS.values()))[: options.files]
    model, published = load(), Published()
    print(f"{machine()}. {versions()}\n")
    print(
        "| format | published way, ms | decoding alone, ms | pipeline, ms | files/s | times the "
        "published way | share of decoding | over decoding |\n|---|" + "---:|" * 7
    )
    with start_readers() as readers, tempfile.TemporaryDirectory() as folder:
        ways = {
            PUBLISHED: published,
            DECODING: partial(decode_all, rate=model.sample_rate),
            OURS: partial(embed_all, model, readers=readers),
        }
        for name, (suffix, rate, how) in track(FORMATS.items(), "measuring"):
            once = {path: written(path, Path(folder), suffix, rate, how) for path in {*originals}}
            able = {n: way for n, way in ways.items() if n != PUBLISHED or suffix != "m4a"}
            times = file_seconds(able, [once[path] for path in originals], options.turns)
            ours, over = times[OURS], times[OURS] / times[DECODING]
            before = times.get(PUBLISHED, float("nan"))
            cells = [f"{1e3 * each:.1f}" for each in (before, times[DECODING], ours)]
            cells += [f"{1 / ours:.0f}", f"{before / ours:.2f}"]
            shown = " | ".join(cells).replace("nan", "")
            print(f"| {name} | {shown} | {1 / over:.0%} | {over:.2f} |", flush=True)


if __name__ == "__main__":
    main()
