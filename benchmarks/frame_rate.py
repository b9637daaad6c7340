"""What fewer frames per second cost and save when videos are prepared for training.

    python benchmarks/frame_rate.py

Films of ten seconds at 30 frames per second are made from real photographs: a window pans and zooms
over one photograph, and every film but each third cuts to another one at a random time. Each film
goes through what ``wav2clip pretrain prepare`` does: frames at a rate, the mean of their
embeddings, unit length. Compared with the embedding of all 30 frames per second, of the same film:

- cosine: mean and worst over the films;
- of the centred vectors (their mean taken off), which is what tells films apart;
- nearest: how often the film's own full-rate embedding is the nearest of all films';
- CPU seconds per film (all threads): decoding and the image tower, in one run on this machine.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from wav2clip.models.towers import load_towers
from wav2clip.models.towers.base import Towers
from wav2clip.pretrain.targets import embed_pictures
from wav2clip.reading.video import read_frames

SECONDS, FPS = 10, 30
WIDTH, HEIGHT = 320, 240
RATES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


def moving(photo: Image.Image, count: int, rng: np.random.Generator) -> list[Image.Image]:
    """A window that glides over a photograph while its size changes."""
    scale = max(WIDTH / photo.width, HEIGHT / photo.height)
    sizes = np.linspace(*rng.uniform(0.45, 0.95, 2), count) / scale
    places = np.linspace(rng.uniform(0, 1, 2), rng.uniform(0, 1, 2), count)
    frames = []
    for size, (x, y) in zip(sizes, places, strict=True):
        width, height = WIDTH * size, HEIGHT * size
        left, top = x * (photo.width - width), y * (photo.height - height)
        box = (left, top, left + width, top + height)
        frames.append(photo.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=box))
    return frames


def write_film(path: Path, photos: list[Image.Image], rng: np.random.Generator) -> None:
    total = SECONDS * FPS
    cut = total if len(photos) == 1 else int(rng.uniform(0.2, 0.8) * total)
    counts = [cut, total - cut][: len(photos)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = 1_500_000
        for photo, count in zip(photos, counts, strict=True):
            for picture in moving(photo, count, rng):
                container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode(None))


def make_films(folder: Path, photos: list[Path], count: int) -> list[Path]:
    rng = np.random.default_rng(0)
    films = []
    for number in track(range(count), "making films", transient=True):
        chosen = rng.choice(len(photos), size=1 if number % 3 == 0 else 2, replace=False)
        films.append(folder / f"{number:03d}.mp4")
        write_film(films[-1], [Image.open(photos[i]).convert("RGB") for i in chosen], rng)
    return films


def measure(
    films: list[Path], rate: float, towers: Towers
) -> tuple[NDArray[np.float32], float, float, float]:
    """Embeddings (films, d); CPU seconds of decoding and of the tower, and frames, per film."""
    vectors, decoding, embedding, frames = [], 0.0, 0.0, 0
    for film in track(films, f"{rate:g} frames/s", transient=True):
        start = time.process_time()
        pictures = read_frames(film, rate, SECONDS)
        middle = time.process_time()
        vectors.append(embed_pictures([pictures], towers)[0][0])
        decoding += middle - start
        embedding += time.process_time() - middle
        frames += len(pictures)
    count = len(films)
    return np.stack(vectors), decoding / count, embedding / count, frames / count


def row(vectors: NDArray[np.float32], full: NDArray[np.float32]) -> list[str]:
    cosines = (vectors * full).sum(axis=1)
    centred, target = (unit(v - full.mean(axis=0)) for v in (vectors, full))
    nearest = (centred @ target.T).argmax(axis=1) == np.arange(len(full))
    centred_cosines = (centred * target).sum(axis=1)
    return [
        f"{cosines.mean():.4f}",
        f"{cosines.min():.4f}",
        f"{centred_cosines.mean():.3f}",
        f"{centred_cosines.min():.3f}",
        f"{100 * nearest.mean():.0f} %",
    ]


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = Path(os.environ.get("WAV2CLIP_DATA", Path(__file__).parents[1] / "../shared/data"))
    parser.add_argument("--photos", type=Path, default=data / "clip_vit_b32/photos")
    parser.add_argument("--films", type=int, default=24)
    parser.add_argument("--teacher", default="builtin")
    args = parser.parse_args()
    towers = load_towers(args.teacher)
    photos = sorted(path for path in args.photos.iterdir() if path.is_file())
    heads = ["frames/s", "frames", "cosine", "worst", "centred", "worst", "nearest"]
    table = Table(
        *heads, "decode CPU s", "tower CPU s", title=f"{args.films} films, {args.teacher}"
    )
    with tempfile.TemporaryDirectory() as folder:
        films = make_films(Path(folder), photos, args.films)
        measure(films[:1], 1.0, towers)  # loads the tower
        results = {rate: measure(films, rate, towers) for rate in reversed(RATES)}
    full = results[RATES[-1]][0]
    for rate in RATES:
        vectors, decoding, embedding, frames = results[rate]
        times = (f"{decoding:.2f}", f"{embedding:.2f}")
        table.add_row(f"{rate:g}", f"{frames:.0f}", *row(vectors, full), *times)
    Console().print(table)
    Console().print(f"threads: {torch.get_num_threads()}")


if __name__ == "__main__":
    main()
