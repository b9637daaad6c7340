"""The published network over forty real clips: milliseconds per stage, and memory layouts.

    python benchmarks/embed.py [--data FOLDER] [--repeats 5]

Ratios of one run are the measure: absolute times vary by machine and by what else it does. Weights
do not change the time: a seeded random network of the published size stands in for any checkpoint.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import soundfile
import torch

from machine import machine
from published import channels_first, features, published_network
from wav2clip.audio.io import downmix, resample
from wav2clip.embedding.bulk import embed_files
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.models.checkpoint import Checkpoint
from wav2clip.models.config import AudioConfig
from wav2clip.models.frontend import Frontend
from wav2clip.models.network import AudioNetwork

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data")) / "esc10_original"


def milliseconds(function: Callable[[], object], repeats: int) -> float:
    """Median over repeats after one call that warms up."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def stages(paths: list[Path], network: AudioNetwork, repeats: int) -> None:
    frontend = Frontend()
    decoded = [soundfile.read(path, dtype="float32", always_2d=True) for path in paths]
    waves = [resample(downmix(samples), rate) for samples, rate in decoded]
    tensors = [torch.from_numpy(wave)[None] for wave in waves]
    spectrograms = [frontend.standardize(frontend(wave), "recording") for wave in tensors]
    folded = network.fold_batch_norm()
    # Clips differ by a column; those of the commonest length are what a batch can be made of.
    columns = statistics.mode(s.shape[-1] for s in spectrograms)
    equal = [s for s in spectrograms if s.shape[-1] == columns]
    batches = [torch.cat(equal[i : i + 8]) for i in range(0, len(equal) - 7, 8)]
    rows = {
        "decode": lambda: [soundfile.read(p, dtype="float32", always_2d=True) for p in paths],
        "mix down, resample": lambda: [resample(downmix(s), rate) for s, rate in decoded],
        "spectrogram": lambda: [frontend.standardize(frontend(w), "recording") for w in tensors],
        "network, one at a time": lambda: [folded(s) for s in spectrograms],
    }
    print(f"\n| stage, {len(paths)} clips of 5 s | ms per clip |\n|---|---|")
    for name, function in rows.items():
        print(f"| {name} | {milliseconds(function, repeats) / len(paths):.1f} |")
    batched = milliseconds(lambda: [folded(batch) for batch in batches], repeats)
    print(f"| network, batches of 8 | {batched / (8 * len(batches)):.1f} |")
    model = Wav2CLIP(Checkpoint.of(network, AudioConfig()))
    whole = milliseconds(lambda: list(embed_files(model, paths)), repeats) / len(paths)
    print(f"| whole path (`embed_files`) | {whole:.1f} |")
    print(f"\n{1e3 / whole:.0f} files per second, {5e3 / whole:.0f} times real time")


def layouts(network: AudioNetwork, repeats: int) -> None:
    contiguous = channels_first(network)
    folded = network.fold_batch_norm()
    print("\n| network alone, ms per 5 s clip | batch 1 | batch 8 |\n|---|---|---|")
    names = {
        "channels-first": "channels-first (the published layout)",
        "channels-last": "channels-last",
        "as shipped": "channels-last, batch norms folded (as shipped)",
    }
    rows: dict[str, list[float]] = {name: [] for name in names}
    for batch in (1, 8):
        spectrogram = torch.randn(batch, 257, 227)
        runs = {
            "channels-first": lambda s=spectrogram: contiguous.project(
                features(contiguous.audio_encoder, s)
            ),
            "channels-last": lambda s=spectrogram: network(s),
            "as shipped": lambda s=spectrogram: folded(s),
        }
        # Turn by turn, so that a busy moment of the machine falls on all alike.
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(repeats):
            for name, function in runs.items():
                times[name].append(milliseconds(function, 5) / batch)
        for name in runs:
            rows[name].append(statistics.median(times[name]))
    for key, values in rows.items():
        print(f"| {names[key]} | " + " | ".join(f"{value:.1f}" for value in values) + " |")
    ratios = [a / b for a, b in zip(rows["channels-first"], rows["as shipped"], strict=True)]
    best = min(rows["channels-first"]) / min(rows["as shipped"])
    print(f"\nas shipped against channels-first: {ratios[0]:.2f} times at batch 1, ", end="")
    print(f"{ratios[1]:.2f} times at batch 8, {best:.2f} times best against best")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    network = published_network()
    paths = sorted(arguments.data.glob("*.ogg"))
    print(f"{machine()}; torch {torch.__version__} with {torch.get_num_threads()} threads")
    with torch.inference_mode():
        layouts(network, arguments.repeats)
        if paths:
            stages(paths, network, arguments.repeats)
        else:
            print(f"no clips in {arguments.data}: stages not measured")


if __name__ == "__main__":
    main()
