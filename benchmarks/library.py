"""Search of large libraries, and retrieval across modalities.

    python benchmarks/library.py rows             # 100,000 and 1,000,000 synthetic rows
    python benchmarks/library.py rows --rows 1e5
    python benchmarks/library.py retrieval        # captions and pictures of the tuxpaint sounds
    python benchmarks/library.py centring         # sound to sound, with and without centring
    python benchmarks/library.py duplicates       # copies against different recordings

Synthetic rows: a mixture of 10,000 clusters in 512 dimensions whose variance falls as 1/i, which
gives an effective dimension of some 30, as measured embeddings have. Queries are of two kinds:
"sounds", fresh draws of the mixture, and "phrases", which lie aside from it (cosine of about 0.4
with a cluster), as a text's embedding does. Every figure is from one process; times are of the
whole call, from a vector to the list of finds, one per file.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import soundfile
import torch

from machine import machine, versions
from wav2clip import ranking
from wav2clip.library import Library, Query, search
from wav2clip.library import library as library_module
from wav2clip.library.store import (
    EXACT_ROWS,
    Settings,
    Store,
    file_id,
    segment_schema,
    vector_column,
    vectors_of,
)
from wav2clip.models.space import unit

T = TypeVar("T")
DIMENSION = 512
CLUSTERS = 10_000
QUERIES = 100
DATA = Path(
    os.environ.get("WAV2CLIP_DATA", Path(__file__).parent.parent.parent / "shared" / "data")
)


class Mixture:
    """Where synthetic vectors come from."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._scale = (np.arange(1, DIMENSION + 1) ** -0.5).astype(np.float32)
        self._centres = self._normal(CLUSTERS) * self._scale

    def _normal(self, count: int) -> np.ndarray:
        return self._rng.standard_normal((count, DIMENSION), dtype=np.float32)

    def sounds(self, count: int) -> np.ndarray:
        chosen = self._centres[self._rng.integers(0, CLUSTERS, count)]
        return unit(chosen + 0.5 * self._normal(count) * self._scale)

    def phrases(self, count: int) -> np.ndarray:
        chosen = unit(self._centres[self._rng.integers(0, CLUSTERS, count)])
        return unit(0.4 * chosen + 0.9 * unit(self._normal(count)))


def rows_of(vectors: np.ndarray, first: int) -> pa.Table:
    """Rows of one-segment files."""
    numbers = range(first, first + len(vectors))
    paths = [f"/sounds/{number // 1000:04}/recording {number:07}.wav" for number in numbers]
    files = [file_id(path) for path in paths]
    count = len(paths)
    columns = {
        "id": [f"{file}-0" for file in files],
        "file": files,
        "segment": np.zeros(count, np.int32),
        "path": paths,
        "path_bytes": [path.encode() for path in paths],
        "start": np.zeros(count),
        "end": np.full(count, 5.0),
        "duration": np.full(count, 5.0),
        "channels": np.ones(count, np.int32),
        "sample_rate": np.full(count, 44_100, np.int32),
        "size": np.full(count, 441_044),
        "mtime_ns": np.full(count, 10**18) + np.arange(count),
        "hash": [file * 2 for file in files],
        "sound": [file * 2 for file in files],
        "fingerprint": ["0" * 16] * count,
        "tags": pa.nulls(count, pa.list_(pa.string())),
        "metadata": pa.nulls(count, pa.string()),
        "origins": pa.nulls(count, pa.string()),
        "vector": vector_column(vectors),
    }
    return pa.table(columns, schema=segment_schema(DIMENSION))


def true_best(folder: Path, queries: np.ndarray, limit: int = 10) -> list[set[str]]:
    """Ids of the exact best rows, from all stored vectors, block by block."""
    table = Store(folder).segments.search().select(["id", "vector"]).to_batches()
    best: list[list[tuple[float, str]]] = [[] for _ in queries]
    for batch in table:
        block = pa.Table.from_batches([batch])
        scores = vectors_of(block).astype(np.float32) @ queries.T
        ids = block["id"]
        for query in range(len(queries)):
            top = np.argpartition(-scores[:, query], min(limit, len(scores) - 1))[:limit]
            best[query] += [(float(scores[row, query]), ids[row].as_py()) for row in top.tolist()]
    return [{key for _, key in sorted(found, reverse=True)[:limit]} for found in best]


def folder_megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def fill(folder: Path, count: int, mixture: Mixture) -> tuple[Store, float, float]:
    """A library of so many rows; seconds to write it, and to join and index it."""
    store = Store(folder)
    store.create(Settings("synthetic", "0" * 16, DIMENSION, ""))
    started = time.perf_counter()
    for first in range(0, count, 50_000):
        store.replace(rows_of(mixture.sounds(min(50_000, count - first)), first), [])
    written = time.perf_counter()
    store.tidy()
    return store, written - started, time.perf_counter() - written


def measure_rows(count: int, folder: Path) -> None:
    """Print times, recall and sizes for one number of rows."""
    mixture = Mixture()
    store, written, tidied = fill(folder, count, mixture)
    queries = {"sounds": mixture.sounds(QUERIES), "phrases": mixture.phrases(QUERIES)}
    truths = {name: true_best(folder, values) for name, values in queries.items()}
    print(f"\n### {count:,} rows\n")
    kind = "exact, in memory" if count <= EXACT_ROWS else "approximate, through the index"
    print(f"Search is {kind}.\n")
    print(f"- rows written in {written:.0f} s; tidied, index included, in {tidied:.0f} s")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that other readers would be disturbed: there are none
        store.segments.optimize(cleanup_older_than=timedelta(0))  # as it is ten minutes later
    print(f"- on disk {folder_megabytes(folder):,.0f} MB")
    before = resident_megabytes()
    library = Library(Store(folder), None)
    started = time.perf_counter()
    library.search(queries["sounds"][0])
    print(f"- first search, loading included: {time.perf_counter() - started:.2f} s")
    print(
        f"- memory of the process: {before:,.0f} MB before, {resident_megabytes():,.0f} MB after\n"
    )
    print("| queries | clusters looked into | p50 ms | p95 ms | recall@10 |")
    print("|---|---|---|---|---|")
    for probes in (8, 16, 32, 64, 128) if count > EXACT_ROWS else (None,):
        search.PROBES = probes or search.PROBES
        for name, values in queries.items():
            p50, p95, recall = time_queries(library, values, truths[name])
            print(
                f"| {name} | {probes or 'all'} | {p50:.1f} | {p95:.1f} | {recall:.4f} |", flush=True
            )
    if count <= EXACT_ROWS:
        one_gemv(library, values[0])


def time_queries(
    library: Library, queries: np.ndarray, truths: list[set[str]]
) -> tuple[float, float, float]:
    """Milliseconds (median, 95th percentile) of warm searches, and recall at 10."""
    p50, p95, results = percentiles(lambda query: library.search(query, limit=10), queries)
    hits = [
        len(truth & {r.id for r in found}) for found, truth in zip(results, truths, strict=True)
    ]
    return p50, p95, sum(hits) / 10 / len(queries)


def percentiles(
    search: Callable[[np.ndarray], T], queries: np.ndarray
) -> tuple[float, float, list[T]]:
    """Milliseconds (median, 95th percentile) without the first tenth, and what was found."""
    times, results = [], []
    for query in queries:
        started = time.perf_counter()
        results.append(search(query))
        times.append(time.perf_counter() - started)
    p50, p95 = np.percentile(times[len(times) // 10 :], [50, 95]) * 1000
    return p50, p95, results


def lance_scan(store: Store, query: np.ndarray) -> list[dict[str, object]]:
    """The ten best rows by LanceDB's exact scan, as a library without an index of ours does it."""
    search = store.segments.search(query, vector_column_name="vector").bypass_vector_index()
    return search.select(["id", "path"]).limit(10).to_list()


def one_gemv(library: Library, query: np.ndarray) -> None:
    """The bare matrix product: what no exact search in float32 can beat."""
    matrix = library._snapshot_of(library.store.refresh()).vectors
    times = []
    for _ in range(30):
        started = time.perf_counter()
        matrix @ query
        times.append(time.perf_counter() - started)
    print(f"\nThe matrix product alone: p50 {np.median(times) * 1000:.1f} ms.")


def rows(counts: list[int]) -> None:
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="library-") as folder:
            measure_rows(count, Path(folder, "library"))


def retrieval(model: str) -> None:
    """Captions and pictures to sounds, on the recordings with picture and caption."""
    source = DATA / "tuxpaint"
    with (source / "pairs.csv").open(encoding="utf-8") as file:
        pairs = list(csv.DictReader(file))
    with tempfile.TemporaryDirectory(prefix="library-") as folder:
        library = Library.open(Path(folder, "library"), model)
        report = library.index(source)
        print(f"{len(pairs)} pairs, model {model} ({library.model.fingerprint}); {report.added} "
              f"recordings indexed in {report.seconds:.1f} s\n")  # fmt: skip
        print("| query | R@1 | R@5 | R@10 | median rank |\n|---|---|---|---|---|")
        print(_summary("chance", ranking.chance(len(pairs))))
        queries = {
            "caption to sound": [Query.text(pair["caption"]) for pair in pairs],
            "picture to sound": [Query.image(source / pair["image"]) for pair in pairs],
            "both": [
                Query.text(pair["caption"]) + Query.image(source / pair["image"]) for pair in pairs
            ],
        }
        for name, asked in queries.items():
            ranks = []
            for query, pair in zip(asked, pairs, strict=True):
                found = library.search(query, limit=len(pairs), by="sound")
                own = (source / pair["audio"]).resolve()
                ranks.append(1 + [result.path for result in found].index(own))
            print(_summary(name, ranking.summary(torch.tensor(ranks))), flush=True)


def _summary(name: str, values: dict[str, float]) -> str:
    recalls = " | ".join(f"{values[f'R@{k}']:.3f}" for k in ranking.CUTOFFS)
    return f"| {name} | {recalls} | {values['median_rank']:.0f} |"


def centring(model: str) -> None:
    """Sound to sound on ESC-50: is the nearest recording of the same class?"""
    with (DATA / "esc50" / "meta" / "esc50.csv").open(encoding="utf-8") as file:
        meta = list(csv.DictReader(file))
    embedder = library_module.load(model)
    from wav2clip.embedding.bulk import embed_segments

    paths = {DATA / "esc50" / "audio" / row["filename"]: row for row in meta}
    found = {r.path: r.embeddings[0] for r in embed_segments(embedder, paths) if r.error is None}
    vectors = np.stack(list(found.values()))
    labels = np.array([paths[path]["target"] for path in found])
    # Clips cut from one original are in one fold: they would be found by their room.
    folds = np.array([paths[path]["fold"] for path in found])
    print(f"ESC-50, {len(found)} clips, {model} {embedder.fingerprint}; other folds' neighbours\n")
    print("| vectors | nearest of its class | precision@10 | mean cosine |\n|---|---|---|---|")
    from wav2clip.library.space import centre

    for name, mean in (("as they are", None), ("centred", embedder.mean)):
        if name == "centred" and mean is None:
            continue
        values = centre(vectors, mean)
        cosines = values @ values.T
        average = float(cosines.mean())
        cosines[folds[:, None] == folds[None]] = -2
        order = np.argsort(-cosines, axis=1)[:, :10]
        same = labels[order] == labels[:, None]
        print(f"| {name} | {same[:, 0].mean():.3f} | {same.mean():.3f} | {average:.3f} |")


def duplicates(model: str) -> None:
    """Cosines of copies, and of the most alike of different recordings."""
    from wav2clip.audio.io import load_audio
    from wav2clip.library.space import centre

    embedder = library_module.load(model)
    paths = sorted((DATA / "esc10_original").glob("*.ogg"))
    names = ("level -12 dB", "MP3", "Vorbis at 22 kHz", "8-bit", "0.1 s cut off", "noise at 30 dB")
    originals, copies = [], {name: [] for name in names}
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            recording = load_audio(path, 44_100)
            wave = recording.samples
            originals.append(embedder.embed_file(path))
            made = {
                "level -12 dB": (wave * 0.25, 44_100, "FLAC", None),
                "MP3": (wave, 44_100, "MP3", None),
                "Vorbis at 22 kHz": (load_audio(path, 22_050).samples, 22_050, "OGG", "VORBIS"),
                "8-bit": (wave, 44_100, "WAV", "PCM_U8"),
                "0.1 s cut off": (wave[4410:], 44_100, "FLAC", None),
                "noise at 30 dB": (
                    wave + 10**-1.5 * wave.std() * rng.standard_normal(len(wave), np.float32),
                    44_100, "FLAC", None,
                ),
            }  # fmt: skip
            for name, (samples, rate, container, subtype) in made.items():
                copy = Path(folder, f"copy.{container.lower()}")
                soundfile.write(copy, samples, rate, format=container, subtype=subtype)
                copies[name].append(embedder.embed_file(copy))
    base = centre(np.stack(originals), embedder.mean)
    print(f"{len(paths)} recordings, model {model} ({embedder.fingerprint})\n")
    print("| copy | lowest | 10th percentile | median |\n|---|---|---|---|")
    for name, vectors in copies.items():
        cosines = (base * centre(np.stack(vectors), embedder.mean)).sum(axis=1)
        low, tenth, median = cosines.min(), np.quantile(cosines, 0.1), np.median(cosines)
        print(f"| {name} | {low:.3f} | {tenth:.3f} | {median:.3f} |")
    others = base @ base.T
    np.fill_diagonal(others, -1)
    nearest = others.max(axis=1)
    middle, most = np.median(nearest), nearest.max()
    print(f"\nNearest different recording: cosine {middle:.3f} in the median, {most:.3f} at most.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["rows", "retrieval", "centring", "duplicates"])
    parser.add_argument("--rows", type=float, action="append")
    parser.add_argument("--model", default="builtin")
    arguments = parser.parse_args()
    print(f"{machine()}, load {os.getloadavg()[0]:.1f}; {versions()}\n")
    if arguments.what == "rows":
        rows([int(count) for count in arguments.rows or (1e5, 1e6)])
    else:
        {"retrieval": retrieval, "centring": centring, "duplicates": duplicates}[arguments.what](
            arguments.model
        )


if __name__ == "__main__":
    main()
