"""Whether searches find what was asked for: phrases, pictures and sounds, in one library.

    python benchmarks/relevance.py --model builtin --json after.json --title "after"
    python benchmarks/relevance.py --write docs/results/relevance.md before.json after.json

ESC-50, UrbanSound8K (folds 1 and 10) and the recordings of Tux Paint make one library, which is
asked through :class:`wav2clip.Library` as a user's is. Queries and what belongs to them are in the
tables of relevance_sets.py. Reported is precision at 5 and at 10; where fewer clips are relevant,
precision at as many as there are. A query is "empty" if none of the first ten finds is relevant.

``similar`` is asked with clips drawn from the two large collections. A clip is relevant if it is of
the same kind; left out are the query itself, all that was cut from the same recording of Freesound,
and Tux Paint's recordings, which have no classes.

The library is kept in ``--cache`` under the model's fingerprint: a second run takes seconds.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress, track

import columns
from relevance_sets import CLASSIFIED, Clip, clips, files_of, folders, kin, phrases, pictures
from wav2clip import Library, Wav2CLIP, load
from wav2clip.library import Query
from wav2clip.library.space import mean_digest

CUTOFFS = (5, 10)
BY = "sound"
"""Names would tell which of Tux Paint's recordings is meant, and this is about the model."""

SIMILAR = 500
SEED = 0

err = Console(stderr=True)


@dataclass(frozen=True)
class Row:
    """What became of a query, or of several with the same name.

    Attributes:
        name: what was asked.
        queries: how many.
        relevant: clips that belong to it, in the mean over the queries.
        p5: precision at 5.
        p10: precision at 10.
        empty: share of queries with nothing relevant among the first ten.
        chance: precision of a random order.
        found: labels of the first finds, for a single query.
    """

    name: str
    queries: int
    relevant: float
    p5: float
    p10: float
    empty: float
    chance: float
    found: tuple[str, ...] = ()


def precision(hits: Sequence[bool], cutoff: int, relevant: int) -> float:
    """Share of right ones among the first finds.

    Args:
        hits: whether each find, best first, is relevant; as many as ``cutoff``, or all there are.
        cutoff: finds that are looked at.
        relevant: clips that there are to find, at least 1; where they are fewer than ``cutoff``,
            only so many finds are looked at, so that 1 can be reached.
    """
    looked_at = min(cutoff, relevant)
    return sum(hits[:looked_at]) / looked_at


def scored(name: str, hits: Sequence[bool], relevant: int, gallery: int) -> Row:
    """The row of one query.

    Args:
        name: what was asked.
        hits: see :func:`precision`.
        relevant: clips that there are to find.
        gallery: clips that could be found.
    """
    p5, p10 = (precision(hits, cutoff, relevant) for cutoff in CUTOFFS)
    return Row(name, 1, relevant, p5, p10, float(not any(hits[:10])), relevant / gallery)


def mean(name: str, several: Sequence[Row]) -> Row:
    """One row for several, each counted by its number of queries."""
    queries = sum(row.queries for row in several)

    def over(value: Callable[[Row], float]) -> float:
        return round(sum(row.queries * value(row) for row in several) / queries, 4)

    return Row(
        name,
        queries,
        over(lambda row: row.relevant),
        over(lambda row: row.p5),
        over(lambda row: row.p10),
        over(lambda row: row.empty),
        over(lambda row: row.chance),
    )


class Collections:
    """The library, the labels of its recordings, and its answers.

    Args:
        library: holds every recording of ``every``.
        every: recordings with their labels.
    """

    def __init__(self, library: Library, every: Sequence[Clip]) -> None:
        self.library = library
        self.every = every
        self._labels = {clip.path: clip.label for clip in every}

    def ask(self, name: str, query: Query, wanted: frozenset[str]) -> Row:
        """Search, and see which finds have one of the labels that are wanted."""
        found = tuple(
            self._labels[find.path] for find in self.library.search(query, limit=10, by=BY)
        )
        relevant = sum(clip.label in wanted for clip in self.every)
        row = scored(name, [label in wanted for label in found], relevant, len(self.every))
        return Row(**{**asdict(row), "found": found})

    def like(self, clip: Clip, wanted: frozenset[str]) -> Row | None:
        """The same for sounds like a clip, without its own recording; None if nothing is left."""
        left = {
            other.path: other.label in wanted
            for other in self.every
            if other.collection in CLASSIFIED and other.recording != clip.recording
        }
        relevant = sum(left.values())
        if not relevant:
            return None
        finds = self.library.similar(clip.path, limit=10 + len(self.every) - len(left))
        hits = [left[find.path] for find in finds if find.path in left]
        return scored(clip.label, hits[:10], relevant, len(left))


def opened(model: Wav2CLIP, data: Path, cache: Path) -> Collections:
    """The library of the three collections, from the cache as far as it is there.

    Raises:
        SystemExit: it does not hold exactly the recordings of the tables.
    """
    folder = cache / f"relevance-{model.fingerprint}-{mean_digest(model.mean) or 'uncentred'}"
    library, every = Library.open(folder, model), clips(data)
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("embedding", total=len(every))
        library.index(
            folders(data),
            progress=lambda done, of: progress.update(task, completed=done, total=of),
        )
    differing = {clip.path for clip in every} ^ set(library.files())
    if differing:
        raise SystemExit(
            f"{folder} and the tables differ in {len(differing)} recordings, such as "
            f"{min(differing).name}: empty the cache, or look for what cannot be read"
        )
    return Collections(library, every)


def ask_phrases(collections: Collections) -> list[Row]:
    return [
        collections.ask(each.text, Query.text(each.text), each.labels)
        for each in track(phrases(), "phrases", console=err, transient=True)
    ]


def ask_pictures(collections: Collections, data: Path) -> dict[str, list[Row]]:
    """Rows of the kinds of pictures, by source."""
    found: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory(prefix="wav2clip-") as scratch:
        for picture in track(pictures(), "pictures", console=err, transient=True):
            answers = [
                collections.ask(picture.kind, Query.image(path), picture.labels)
                for path in files_of(picture, data, Path(scratch))
            ]
            found.setdefault(picture.source, []).append(mean(picture.kind, answers))
    return found


def ask_similar(collections: Collections) -> dict[str, list[Row]]:
    """Rows of the classes of seeded clips, by collection."""
    asked = [clip for clip in collections.every if clip.collection in CLASSIFIED]
    chosen = np.random.default_rng(SEED).choice(len(asked), SIMILAR, replace=False)
    typed = phrases()
    answers: dict[str, list[Row]] = {}
    for number in track(np.sort(chosen), "sounds", console=err, transient=True):
        clip = asked[number]
        row = collections.like(clip, kin(clip.label, typed))
        if row is not None:
            answers.setdefault(clip.label, []).append(row)
    found: dict[str, list[Row]] = {name: [] for name in CLASSIFIED}
    for label, several in sorted(answers.items()):
        collection, _, name = label.partition(":")
        found[collection].append(mean(name, several))
    return found


def measure(model: Wav2CLIP, options: argparse.Namespace) -> columns.Result:
    """Ask everything."""
    collections = opened(model, options.data, options.cache)
    sets = {"phrases": ask_phrases(collections)}
    for source, found in ask_pictures(collections, options.data).items():
        sets[f"pictures, {source}"] = found
    for collection, found in ask_similar(collections).items():
        sets[f"similar, {collection}"] = found
    return {
        **columns.about("relevance", model, options),
        "clips": len(collections.every),
        "sets": {name: [asdict(row) for row in found] for name, found in sets.items()},
    }


# The page -------------------------------------------------------------------------------------


def rows_of(result: columns.Result, name: str) -> list[Row]:
    """Rows of a set as they were measured."""
    return [Row(**row) for row in result["sets"][name]]


def summaries(result: columns.Result) -> Iterator[Row]:
    """A row for each set, for the phrases of many and of few relevant clips, and for all sounds."""
    for name in result["sets"]:
        found = rows_of(result, name)
        yield mean(name, found)
        if name == "phrases":
            many = [row for row in found if row.relevant >= CUTOFFS[-1]]
            few = [row for row in found if row.relevant < CUTOFFS[-1]]
            yield mean("phrases with at least ten relevant clips", many)
            yield mean("phrases with fewer", few)
    alike = [rows_of(result, name) for name in result["sets"] if name.startswith("similar")]
    yield mean("similar, both", list(chain(*alike)))


def overview(results: Sequence[columns.Result]) -> str:
    """Precision and empty queries of each set, a group of columns for each result."""
    header = ["queries", "how many", "chance"]
    header += [f"{each['title']}, {what}" for each in results for what in ("P@5", "P@10", "empty")]
    lines = []
    for several in zip(*map(summaries, results), strict=True):
        first = several[0]
        cells = [first.name, str(first.queries), f"{first.chance:.3f}"]
        for row in several:
            empty = round(row.empty * row.queries)
            cells += [f"{row.p5:.3f}", f"{row.p10:.3f}", str(empty)]
        lines.append(cells)
    return columns.table(header, lines)


def in_detail(results: Sequence[columns.Result], name: str) -> str:
    """Precision at 10 of every query of a set."""
    header = [name, "relevant", *(each["title"] for each in results)]
    lines = [
        [several[0].name, f"{several[0].relevant:.0f}", *(f"{row.p10:.2f}" for row in several)]
        for several in zip(*(rows_of(each, name) for each in results), strict=True)
    ]
    return columns.table(header, lines)


def empty_phrases(result: columns.Result) -> str:
    """The phrases that find nothing right."""
    names = [row.name for row in rows_of(result, "phrases") if row.empty]
    listed = ", ".join(names) or "none"
    return f"- {result['title']}: {len(names)} of {len(result['sets']['phrases'])}: {listed}."


def page(results: Sequence[columns.Result]) -> str:
    """docs/results/relevance.md."""
    pictured = [name for name in results[0]["sets"] if name.startswith("pictures")]
    alike = [name for name in results[0]["sets"] if name.startswith("similar")]
    parts = [
        "# Relevance: does a search find what was asked for?",
        "Written by `python benchmarks/relevance.py --write`, from results of\n\n"
        "    python benchmarks/relevance.py --model MODEL --title TITLE --json RESULT",
        columns.sources(results),
        f"One library of {results[0]['clips']:,} recordings: ESC-50 (2,000), UrbanSound8K's folds "
        "1 and 10 (1,710), the sounds of Tux Paint (102); the first two are re-encoded copies at "
        "16 kHz. Phrases, pictures and the labels that belong to each were written down before any "
        "model was asked (`benchmarks/relevance_phrases.csv`, `relevance_pictures.csv`). A find is "
        "right if its label is among them: nobody listened, so rain under thunder counts as "
        "thunder alone, and any footsteps will do for gravel. P@10 is the share of right ones "
        "among the first ten finds; where fewer than ten clips are relevant, among as many as are "
        "relevant. Empty are the queries with nothing right among the first ten.",
        overview(results),
        f"`similar` was asked with {SIMILAR} clips of ESC-50 and UrbanSound8K, drawn with a seed; "
        "the query, all else from its recording, and Tux Paint's sounds are left out. Pictures of "
        "CIFAR-10 and photographs are ten of a kind; the built-in image tower has learned from "
        "both, and from no picture of Tux Paint. How well captions and pictures of Tux Paint find "
        "their own recording among its 102: `python benchmarks/library.py retrieval --model "
        "MODEL`, in [library.md](library.md#captions-and-pictures-to-sounds).",
        "## Phrases that find nothing",
        "\n".join(map(empty_phrases, results)),
        "## Every phrase, P@10",
        in_detail(results, "phrases"),
        "## Every kind of picture, P@10",
        *(in_detail(results, name) for name in pictured),
        "## Sounds like a sound, by class, P@10",
        *(in_detail(results, name) for name in alike),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    options = columns.parser(__doc__).parse_args()
    if options.write:
        columns.save(options.write, page(columns.read(options.results, "relevance")))
        return
    result = measure(load(options.model), options)
    if options.json:
        columns.save(options.json, columns.as_json(result))
    print(overview([result]), empty_phrases(result), sep="\n\n")


if __name__ == "__main__":
    main()
