"""Find recordings that occur in two collections, whatever their files are called.

Training on a recording that is also tested on would flatter every result, so before anything is
trained each clip is searched for in the test collections, in two steps:

1. log-mel patches (24 bands, 40 ms columns, up to one second, mean removed, unit length) of the
   loudest moments of each clip are compared by cosine with every position of every reference clip;
2. each near candidate is checked on the waveform: the largest normalised cross-correlation of the
   patch's samples over the whole reference. Opus keeps the phase, so the same recording gives
   values near 1, and two recordings of the same kind of sound give values near 0.

Writes one CSV row per clip: its nearest reference, the cosine and the correlation.

    python tools/find_overlaps.py --clips clips.txt --references references.txt --out overlaps.csv

The lists hold one path per line.
"""

from __future__ import annotations

import argparse
import csv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
import torch
from numpy.typing import NDArray
from scipy.signal import fftconvolve

RATE = 16_000
HOP = 640  # 40 ms
BANDS = 24
PATCH_COLUMNS = (25, 10, 4)  # 1 s; shorter ones for clips that are shorter
PATCHES = 4
CANDIDATES = 6
NEAR = 0.6  # cosine below which two patches are not worth the second step

Wave = NDArray[np.float32]


def decode(path: Path) -> Wave:
    """Mono samples at 16 kHz."""
    samples, rate = sf.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    return np.asarray(soxr.resample(mono, rate, RATE) if rate != RATE else mono, np.float32)


def mel_filters() -> torch.Tensor:
    """Triangular filters (bands, 513) between 100 Hz and 6 kHz, evenly spaced in mel (HTK)."""
    edges = np.linspace(2595 * np.log10(1 + 100 / 700), 2595 * np.log10(1 + 6000 / 700), BANDS + 2)
    hertz = 700 * (10 ** (edges / 2595) - 1)
    bins = np.linspace(0, RATE / 2, 513)
    rise = (bins - hertz[:-2, None]) / (hertz[1:-1] - hertz[:-2])[:, None]
    fall = (hertz[2:, None] - bins) / (hertz[2:] - hertz[1:-1])[:, None]
    return torch.tensor(np.clip(np.minimum(rise, fall), 0, None), dtype=torch.float32)


FILTERS = mel_filters()


def log_mel(wave: Wave) -> torch.Tensor:
    """Log-mel columns (columns, bands); floored 60 dB below the loudest."""
    padded = np.pad(wave, (0, max(0, 1024 - len(wave))))
    spectrum = torch.stft(
        torch.from_numpy(padded), 1024, HOP, window=torch.hann_window(1024), return_complex=True
    )
    power = FILTERS @ spectrum.abs().square()
    return torch.log(power + power.max() * 1e-6 + 1e-12).T


def patches(mel: torch.Tensor, columns: int) -> torch.Tensor:
    """Every patch (positions, columns * bands) of ``columns`` columns, centred and unit length."""
    flat = mel.unfold(0, columns, 1).flatten(1)
    return torch.nn.functional.normalize(flat - flat.mean(dim=1, keepdim=True), dim=1)


def loud_positions(mel: torch.Tensor, columns: int) -> list[int]:
    """Up to PATCHES starts of the loudest patches that do not overlap by more than half."""
    energy = mel.exp().sum(dim=1).unfold(0, columns, 1).mean(dim=1)
    chosen: list[int] = []
    for start in torch.argsort(energy, descending=True).tolist():
        if all(abs(start - other) >= columns // 2 for other in chosen):
            chosen.append(start)
        if len(chosen) == PATCHES:
            break
    return chosen


def correlation(piece: Wave, whole: Wave) -> float:
    """Largest absolute normalised cross-correlation of ``piece`` within ``whole``."""
    if len(whole) < len(piece):
        piece, whole = whole, piece
    dots = fftconvolve(whole, piece[::-1], mode="valid")
    sums = np.concatenate([[0.0], np.cumsum(np.square(whole, dtype=np.float64))])
    energy = np.maximum(sums[len(piece) :] - sums[: -len(piece)], 0)
    norm = np.sqrt(energy * float(np.square(piece, dtype=np.float64).sum()))
    loud = norm > 1e-3 * norm.max() + 1e-9  # silence against silence correlates by accident
    return float(np.abs(dots[loud] / norm[loud]).max()) if loud.any() else 0.0


def nearest(
    queries: torch.Tensor, bank: torch.Tensor, owner: torch.Tensor
) -> list[dict[int, float]]:
    """For each query the CANDIDATES references with the best patch, as {reference: cosine}."""
    found: list[dict[int, float]] = []
    for part in queries.split(256):
        best, where = (part @ bank.T).topk(4 * CANDIDATES, dim=1)
        for scores, places in zip(best.float().tolist(), owner[where].tolist(), strict=True):
            row: dict[int, float] = {}
            for score, place in zip(scores, places, strict=True):
                if score >= NEAR and len(row) < CANDIDATES:
                    row.setdefault(place, score)
            found.append(row)
    return found


def search(clips: list[Wave], references: list[Wave]) -> list[tuple[int, float, float]]:
    """(reference, cosine, correlation) of the best match of each clip; (-1, 0, 0) for none."""
    mels = [log_mel(wave) for wave in clips]
    reference_mels = [log_mel(wave) for wave in references]
    result = [(-1, 0.0, 0.0)] * len(clips)
    upper = 10**9
    for columns in PATCH_COLUMNS:
        rows = [i for i, mel in enumerate(mels) if columns <= len(mel) < upper]
        upper = columns
        pieces = [(i, at) for i in rows for at in loud_positions(mels[i], columns)]
        if not pieces:
            continue
        usable = [(r, mel) for r, mel in enumerate(reference_mels) if len(mel) >= columns]
        banks = [patches(mel, columns) for _, mel in usable]
        owner = torch.repeat_interleave(
            torch.tensor([r for r, _ in usable]), torch.tensor([len(b) for b in banks])
        )
        bank = torch.cat(banks)
        queries = torch.stack([patches(mels[i][at : at + columns], columns)[0] for i, at in pieces])
        for (i, at), row in zip(pieces, nearest(queries, bank, owner), strict=True):
            piece = clips[i][at * HOP : (at + columns) * HOP]
            for reference, cosine in row.items():
                score = correlation(piece, references[reference])
                if score > result[i][2]:
                    result[i] = (reference, cosine, score)
        print(f"{columns} columns: {len(rows)} clips, {len(pieces)} patches", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--references", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    clips = args.clips.read_text().splitlines()
    references = args.references.read_text().splitlines()
    with ThreadPoolExecutor(2) as pool:
        waves = list(pool.map(decode, map(Path, clips)))
        reference_waves = list(pool.map(decode, map(Path, references)))
    with args.out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["clip", "reference", "cosine", "correlation"])
        for clip, (place, cosine, score) in zip(clips, search(waves, reference_waves), strict=True):
            reference = references[place] if place >= 0 else ""
            writer.writerow([clip, reference, f"{cosine:.3f}", f"{score:.3f}"])


if __name__ == "__main__":
    main()
