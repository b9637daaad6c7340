"""Whether generated pictures mean their sounds, and what they cost.

    python benchmarks/generation.py make       # 20 pictures for 20 sounds, into runs/generation
    python benchmarks/generation.py measure    # whose pictures find their sound
    python benchmarks/generation.py speed      # seconds per step and memory; --canvas, --size

The sounds are 20 of Tux Paint's 102, every fifth; Fourier canvas, built-in towers, 224 pixels. Each
picture looks for its sound among the 20 by centred cosine: as it is, through changes that the
optimisation never made (mirrored, quarters, small and back, JPEG, blurred, grey, on its side), and
through another image tower (benchmarks/other_tower.py). ``make --help`` shows what can be varied;
what was made is kept, so an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps

from wav2clip.embedding.embedder import load
from wav2clip.generation.canvases import Maker, canvas_maker
from wav2clip.generation.fourier import FourierCanvas
from wav2clip.generation.guide import Guide, Settings, begin
from wav2clip.generation.prompts import Prompter
from wav2clip.generation.taming import IMAGENET_F16_16384, VQGAN
from wav2clip.generation.vqgan import VQGANCanvas
from wav2clip.zeroshot import similarity

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("WAV2CLIP_DATA", ROOT.parent / "shared" / "data")) / "tuxpaint"
WORK = ROOT / "runs" / "generation"
SOUNDS, SIZE = 20, 224
WINDOW = 20
WINDOWS = (10, 20, 30, 40)


def sounds() -> list[Path]:
    """Every fifth recording."""
    with (DATA / "pairs.csv").open(encoding="utf-8") as file:
        return [DATA / pair["audio"] for pair in list(csv.DictReader(file))[::5][:SOUNDS]]


def folder(options: argparse.Namespace) -> Path:
    center = "centred" if options.center else "plain"
    return WORK / f"{center}-{options.steps}x{options.cutouts}"


def make(options: argparse.Namespace) -> None:
    """One picture and its losses per sound."""
    model, target = load(), folder(options)
    target.mkdir(parents=True, exist_ok=True)
    prompter = Prompter(model, center=options.center)
    for number, sound in list(enumerate(sounds()))[:: options.every]:
        losses_file = target / f"{number:02}.json"
        if losses_file.exists():
            continue
        canvas = FourierCanvas(SIZE, SIZE)
        canvas.clear(torch.Generator().manual_seed(number))
        guide = Guide(canvas, model.towers, Settings(seed=number, cutouts=options.cutouts))
        losses = list(guide.run([prompter.sound(sound)], options.steps))
        Image.fromarray(canvas.pixels()).save(target / f"{number:02}.png")
        losses_file.write_text(json.dumps(losses))
        print(f"{sound.stem}: {np.mean(losses[:WINDOW]):.3f} -> {np.mean(losses[-WINDOW:]):.3f}")


def quarter(place: int) -> Callable[[Image.Image], Image.Image]:
    """One corner, three quarters of the edge long."""
    edge = SIZE * 3 // 4
    left, top = (SIZE - edge) * (place % 2), (SIZE - edge) * (place // 2)
    return lambda picture: picture.crop((left, top, left + edge, top + edge))


def compressed(picture: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=20)
    return Image.open(buffer)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda picture: picture,
    "mirrored": ImageOps.mirror,
    "corner, upper left": quarter(0),
    "corner, lower right": quarter(3),
    "96 pixels": lambda picture: picture.resize((96, 96)),
    "JPEG, quality 20": compressed,
    "blurred, radius 2": lambda picture: picture.filter(ImageFilter.GaussianBlur(2)),
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "on its side": lambda picture: picture.rotate(90),
}


@dataclass
class Recall:
    """Shares of pictures whose own sound is the nearest, among the five nearest; the mean rank."""

    first: float
    five: float
    rank: float

    def __str__(self) -> str:
        return f"{self.first:.2f} | {self.five:.2f} | {self.rank:.1f}"


def recall(scores: np.ndarray, own: np.ndarray) -> Recall:
    """Of scores (pictures, sounds) and each picture's own sound (pictures,)."""
    mine = scores[np.arange(len(own)), own][:, None]
    rank = (scores > mine).sum(axis=1)
    return Recall(float((rank < 1).mean()), float((rank < 5).mean()), float(rank.mean() + 1))


def noise_pictures(count: int) -> list[Image.Image]:
    """Untouched canvases, at full contrast."""
    pictures = []
    for number in range(count):
        canvas = FourierCanvas(SIZE, SIZE)
        canvas.clear(torch.Generator().manual_seed(1000 + number))
        canvas.coefficients.data *= 100
        pictures.append(Image.fromarray(canvas.pixels()))
    return pictures


def falls(losses: np.ndarray, window: int) -> tuple[float, float]:
    """Share of pictures (n, steps) whose running mean rises at no step; largest rise of any."""
    kernel = np.ones(window) / window
    rises = np.diff([np.convolve(row, kernel, "valid") for row in losses], axis=1)
    return float((rises <= 0).all(axis=1).mean()), float(rises.max())


def measure(options: argparse.Namespace) -> None:
    from other_tower import OtherTower

    model, other, target = load(), OtherTower(), folder(options)
    audio = np.stack([model.embed_file(sound) for sound in sounds()])
    made = sorted(target.glob("*.png"))
    own = np.array([int(path.stem) for path in made])
    pictures = [Image.open(path).convert("RGB") for path in made]
    means = model.towers.means["image"], model.mean
    assert model.mean is not None
    centred = audio / np.linalg.norm(audio, axis=1, keepdims=True) - model.mean

    def row(title: str, shown: list[Image.Image], whose: np.ndarray) -> None:
        seen = similarity(model.embed_image(shown), audio, *means)
        print(f"| {title} | {recall(seen, whose)} | {recall(cosines(other, shown), whose)} |")

    def cosines(tower: OtherTower, shown: list[Image.Image]) -> np.ndarray:
        return similarity(tower.embed(shown), centred)

    print(f"{target.name}: {len(pictures)} pictures, {len(audio)} sounds\n")
    print("| picture | built-in: R@1 | R@5 | mean rank | other tower: R@1 | R@5 | mean rank |")
    print("|---|---|---|---|---|---|---|")
    for title, change in CHANGES.items():
        row(title, [change(picture) for picture in pictures], own)
    noise = noise_pictures(100)
    row("noise (100)", noise, np.arange(len(noise)) % len(audio))
    losses = np.array([json.loads(path.with_suffix(".json").read_text()) for path in made])
    print(
        f"\nloss, mean of the first {WINDOW} steps {losses[:, :WINDOW].mean():.3f}, "
        f"of the last {losses[:, -WINDOW:].mean():.3f}\n"
    )
    print("| running mean over | pictures in which it rises at no step | largest rise |")
    print("|---|---|---|")
    for window in WINDOWS:
        share, rise = falls(losses, window)
        print(f"| {window} steps | {share:.0%} | {max(rise, 0):.4f} |")


def resident() -> float:
    """GB that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9


def speed(options: argparse.Namespace) -> None:
    """One row: seconds per step, and the peak of memory over that of the loaded model."""
    model = load(device=options.device)
    if options.canvas == "vqgan":  # neither speed nor memory depends on the weights
        network = VQGAN(IMAGENET_F16_16384).eval().requires_grad_(False).to(options.device)
        make: Maker = partial(VQGANCanvas, network)
    else:
        make = canvas_maker("fourier", device=options.device)
    prompts = [Prompter(model).sound(sounds()[0])]
    model.embed_image([Image.new("RGB", (SIZE, SIZE))])
    cuda = options.device.startswith("cuda")
    before = torch.cuda.memory_allocated() / 1e9 if cuda else resident()
    begun = time.perf_counter()
    size = (options.size, options.size)
    guide = begin(make, size, model.towers, prompts, Settings(cutouts=options.cutouts))
    ready = time.perf_counter()
    list(guide.run(prompts, options.steps))
    done = time.perf_counter()
    peak = (
        torch.cuda.max_memory_allocated() / 1e9
        if cuda
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    )
    expected = guide.step_bytes(prompts) / 1e9
    print(
        f"| {options.canvas} | {options.size} | {options.cutouts} | {options.device}, "
        f"{torch.get_num_threads()} threads | {(done - ready) / options.steps:.2f} | "
        f"{options.steps} steps: {done - begun:.0f} s | {peak - before:.1f} | {expected:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=("make", "measure", "speed"))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--cutouts", type=int, default=4)
    parser.add_argument("--every", type=int, default=1, help="every so many sounds only")
    parser.add_argument("--center", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--canvas", choices=("fourier", "vqgan"), default="fourier")
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    {"make": make, "measure": measure, "speed": speed}[options.stage](options)


if __name__ == "__main__":
    main()
