"""How well an audio encoder hears: zero-shot and linear-probe accuracy on ESC-50 and UrbanSound8K.

    python benchmarks/builtin_audio.py --model builtin
    python benchmarks/builtin_audio.py --model runs/sounds/checkpoint --skip-probe

Any model that `wav2clip.load` takes, of whatever architecture and sample rate.

Zero-shot: the class of the nearest phrase. The phrases below were written down before any encoder
was measured with them and are not tuned. Every class gets the mean of its unit vectors over the
templates. Two scores are reported: the plain cosine, and the cosine after the mean of each modality
is taken off, which is what ``Wav2CLIP.classify`` does.

Linear probe: logistic regression on frozen features, the official five folds of ESC-50. Features
are standardised with the training folds' statistics; C is chosen by holding out one of the four
training folds (the one after the test fold), then all four are fitted.

The clips are those of ``$WAV2CLIP_DATA``: ESC-50 at 16 kHz, joined from one-second pieces, and
folds 1 and 10 of UrbanSound8K, both as Opus. Results on the official files can differ a little.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from wav2clip import Wav2CLIP, load
from wav2clip.audio.io import load_audio
from wav2clip.models.space import unit

TEMPLATES = ("{}", "the sound of {}", "a recording of {}", "a photo of {}")
# Names of classes that are not how a person would put it; all others are used as they stand.
SPOKEN = {
    "can_opening": "opening a can",
    "clock_alarm": "alarm clock",
    "clock_tick": "ticking clock",
    "door_wood_creaks": "creaking wooden door",
    "door_wood_knock": "knocking on a wooden door",
    "drinking_sipping": "sipping a drink",
}
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)  # C of the logistic regression
BATCH = 16

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Clips:
    """A labelled collection: int16 waves, class index and fold of each, and the class names."""

    waves: list[NDArray[np.int16]]
    targets: NDArray[np.int64]
    folds: NDArray[np.int64]
    names: list[str]


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def esc50(data: Path, cache: Path, rate: int) -> Clips:
    rows = read_rows(data / "esc50/meta/esc50.csv")
    paths = [data / "esc50/audio" / row["filename"] for row in rows]
    facts = [(int(r["target"]), r["category"], int(r["fold"])) for r in rows]
    return collect(facts, decode(paths, cache, rate))


def urbansound8k(data: Path, cache: Path, rate: int) -> Clips:
    folder = data / "urbansound8k"
    rows = read_rows(folder / "metadata/UrbanSound8K.csv")
    paths = [folder / f"audio/fold{row['fold']}" / row["slice_file_name"] for row in rows]
    facts = [(int(r["classID"]), r["class"], int(r["fold"])) for r in rows]
    return collect(facts, decode(paths, cache, rate))


def collect(facts: list[tuple[int, str, int]], waves: list[NDArray[np.int16]]) -> Clips:
    names = dict(sorted({(target, name) for target, name, _ in facts}))
    targets, folds = (np.array([fact[i] for fact in facts]) for i in (0, 2))
    return Clips(waves, targets, folds, list(names.values()))


def decode(paths: list[Path], cache: Path, rate: int) -> list[NDArray[np.int16]]:
    """Mono at ``rate`` Hz of every file, kept in one file of the cache."""
    key = hashlib.sha256("\n".join(map(str, (rate, *paths))).encode()).hexdigest()[:16]
    stored = cache / f"{key}.npz"
    if not stored.exists():
        with ThreadPoolExecutor() as pool:
            loaded = pool.map(lambda path: load_audio(path, rate).samples, paths)
            parts = [np.rint(wave * 32767).clip(-32768, 32767).astype(np.int16) for wave in loaded]
        cache.mkdir(parents=True, exist_ok=True)
        temporary = stored.with_suffix(f".{os.getpid()}.npz")
        np.savez(temporary, audio=np.concatenate(parts), lengths=[len(part) for part in parts])
        temporary.replace(stored)
    with np.load(stored) as content:
        return np.split(content["audio"], np.cumsum(content["lengths"])[:-1])


def batches(waves: list[NDArray[np.int16]]) -> Iterator[list[int]]:
    """Indices of clips of one length, BATCH at a time."""
    order = sorted(range(len(waves)), key=lambda i: len(waves[i]))
    start = 0
    for end in range(1, len(order) + 1):
        same = end < len(order) and len(waves[order[end]]) == len(waves[order[start]])
        if not same or end - start == BATCH:
            yield order[start:end]
            start = end


def embed(model: Wav2CLIP, clips: Clips) -> Matrix:
    """(n, dimension) embeddings of all clips, float32, of unit length."""
    return unit(per_clip(partial(model.embed_audio, sample_rate=model.sample_rate), clips))


def encode(model: Wav2CLIP, clips: Clips) -> Matrix:
    """(n, features) outputs of the encoder before the projection, float32."""
    return per_clip(partial(model.encode_audio, sample_rate=model.sample_rate), clips)


def per_clip(network: Callable[[NDArray[np.int16]], Matrix], clips: Clips) -> Matrix:
    """A row for each clip."""
    found: dict[int, Matrix] = {}
    for rows in track(list(batches(clips.waves)), "embedding", transient=True):
        batch = network(np.stack([clips.waves[i] for i in rows]))
        found.update(zip(rows, batch, strict=True))
    return np.stack([found[place] for place in range(len(found))])


def class_vectors(embed_text: Callable[[list[str]], Matrix], names: list[str]) -> Matrix:
    spoken = [SPOKEN.get(name, name.replace("_", " ")) for name in names]
    phrases = [template.format(name) for name in spoken for template in TEMPLATES]
    return embed_text(phrases).reshape(len(names), len(TEMPLATES), -1).mean(axis=1)


def zero_shot(embeddings: Matrix, classes: Matrix, targets: NDArray[np.int64]) -> float:
    """Percent of clips whose nearest class by cosine is theirs."""
    return 100 * float(((unit(embeddings) @ unit(classes).T).argmax(axis=1) == targets).mean())


def probe(features: Matrix, clips: Clips) -> list[float]:
    """Percent correct on each fold, the others being trained on."""

    def fit(chosen: NDArray[np.bool_], strength: float) -> Callable[[NDArray[np.bool_]], float]:
        regression = LogisticRegression(C=strength, max_iter=1000)
        model = make_pipeline(StandardScaler(), regression).fit(
            features[chosen], clips.targets[chosen]
        )
        return lambda held: 100 * float(model.score(features[held], clips.targets[held]))

    numbers = sorted(set(clips.folds.tolist()))
    scores = []
    for place, fold in enumerate(track(numbers, "probing", transient=True)):
        training = clips.folds != fold
        inner = clips.folds == numbers[(place + 1) % len(numbers)]
        best = max(STRENGTHS, key=lambda c: fit(training & ~inner, c)(inner))
        scores.append(fit(training, best)(~training))
    return scores


def measure(args: argparse.Namespace) -> dict[str, float]:
    model = load(args.model, precision=args.precision, towers=args.towers)
    towers = model.towers
    results: dict[str, float] = {}
    for title, read in (("ESC-50", esc50), ("UrbanSound8K", urbansound8k)):
        clips = read(args.data, args.cache, model.sample_rate)
        embeddings = embed(model, clips)
        classes = class_vectors(towers.embed_text, clips.names)
        results[f"{title} zero-shot, plain cosine"] = zero_shot(embeddings, classes, clips.targets)
        mean = embeddings.mean(axis=0) if model.mean is None else model.mean
        source = "of the test clips" if model.mean is None else "of the checkpoint"
        results[f"{title} zero-shot, centred, mean {source}"] = zero_shot(
            embeddings - mean, classes - towers.means["text"], clips.targets
        )
        if title == "ESC-50" and not args.skip_probe:
            for what, matrix in (
                ("embedding", embeddings),
                ("encoder output", encode(model, clips)),
            ):
                folds = probe(matrix, clips)
                results[f"ESC-50 linear probe, {what}"] = float(np.mean(folds))
                results[f"ESC-50 linear probe, {what}, sd of folds"] = float(np.std(folds))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = Path(os.environ.get("WAV2CLIP_DATA", Path(__file__).parents[1] / "../shared/data"))
    parser.add_argument("--model", default="builtin", help="name or path of an audio checkpoint")
    parser.add_argument("--towers", default="builtin", help="towers whose text is compared with")
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "wav2clip-benchmarks"
    )
    parser.add_argument("--skip-probe", action="store_true")
    parser.add_argument(
        "--precision", default="float32", help="bfloat16 is twice as fast where processors have it"
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    results = measure(args)
    if args.json:
        Console().print_json(json.dumps(results))
        return
    table = Table(title=f"{args.model} (percent)")
    table.add_column("what")
    table.add_column("accuracy", justify="right")
    for name, value in results.items():
        table.add_row(name, f"{value:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
