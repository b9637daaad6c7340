"""`wav2clip demo`: from nothing to three answered queries."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wav2clip.cli.finds import ModelOption

if TYPE_CHECKING:
    from wav2clip.library import Library
    from wav2clip.library.corpus import Corpus

PHRASE = "a bird singing"


def demo(
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            help="A folder of your own sounds.",
            show_default="$WAV2CLIP_DEMO_SOUNDS, or the sounds of a Debian package",
        ),
    ] = None,
    model: ModelOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the finds as JSON.")] = False,
) -> None:
    """Index a small corpus, search it by a phrase, a picture and a sound, and say what comes next.

    The corpus is the Debian package tuxpaint-stamps-default: about a hundred recordings, each with
    its picture and caption, fetched with apt as an ordinary user (161 MB, kept in the cache). Where
    it is not to be had, a few sounds are synthesised.

    Example: `wav2clip demo`

    Example: `wav2clip demo --folder ~/recordings`
    """
    from wav2clip.cli import console, finds
    from wav2clip.downloads import cache_folder
    from wav2clip.files import display

    corpus = _find_corpus(folder)
    console.err.print(
        f"sounds: {corpus.source}, {display(corpus.folder)}", markup=False, soft_wrap=True
    )
    library = finds.open_library(str(cache_folder() / "demo-library"), model or "builtin")
    library.load_model()
    with finds.steps("indexing", "files") as progress:
        # The cache may hold a library of an older model, or of other sounds.
        report = library.index(corpus.folder, rebuild=True, progress=progress)
    console.err.print(
        f"indexed {report.added + report.reused} recordings in {report.seconds:.1f} s"
    )
    _answer(library, corpus, as_json)
    if not as_json:
        _next_steps(library, corpus)
    failures = {**report.skipped, **report.failures}
    console.report_failures(failures, report.added + report.reused, may_be_none=True)


def _find_corpus(folder: Path | None) -> Corpus:
    """The user's folder, else the package's sounds, else synthesised ones."""
    from wav2clip.cli import console
    from wav2clip.downloads import cache_folder
    from wav2clip.errors import DataError
    from wav2clip.library import corpus

    configured = os.environ.get("WAV2CLIP_DEMO_SOUNDS")
    chosen = folder or (Path(configured) if configured else None)
    if chosen is not None:
        return corpus.local(chosen)
    try:
        with console.err.status(f"getting {corpus.PACKAGE}"):
            return corpus.stamps()
    except (DataError, OSError) as error:
        console.err.print(
            f"{corpus.PACKAGE} is not to be had: {error}. A few sounds are synthesised instead; "
            "give real ones with --folder",
            markup=False,
            soft_wrap=True,
        )
        return corpus.synthesise(cache_folder() / "demo-synthesised")


def _queries(library: Library, corpus: Corpus) -> dict[str, dict[str, str | Path]]:
    """Title and arguments of each query."""
    from wav2clip.files import display

    recordings = sorted(library.files())
    pairs = [pair for pair in corpus.pairs if pair.audio in set(recordings)] or list(corpus.pairs)
    queries: dict[str, dict[str, str | Path]] = {f'phrase "{PHRASE}"': {"query": PHRASE}}
    pictures = [pair.image for pair in pairs if pair.image is not None]
    if pictures:
        image = _named(pictures, "bird", "cat", "dog")
        queries[f"picture {display(image.name)}"] = {"image": image}
    if recordings:
        audio = _named(recordings, "crow", "blackbird", "tone")
        queries[f"sound {display(audio.name)}"] = {"audio": audio}
    return queries


def _named(paths: list[Path], *parts: str) -> Path:
    """The first path whose name holds the first part that any holds, else the first path."""
    for part in parts:
        for path in paths:
            if part in path.stem:
                return path
    return paths[0]


def _answer(library: Library, corpus: Corpus, as_json: bool) -> None:
    from wav2clip.cli import console, finds

    answers = {
        title: library.search(**query, limit=5)  # type: ignore[arg-type]
        for title, query in _queries(library, corpus).items()
    }
    if as_json:
        console.print_json(
            {title: [find.to_json() for find in found] for title, found in answers.items()}
        )
        return
    for title, found in answers.items():
        finds.print_table(found, title)


def _next_steps(library: Library, corpus: Corpus) -> None:
    from wav2clip.cli import console

    here = f"--library {shlex.quote(library.store.uri)}"
    lines = [
        "Type next:",
        f'  wav2clip search "a car engine" - music {here}',
        f"  wav2clip search --image PICTURE.jpg --play {here}",
        "  wav2clip index FOLDER            # your own sounds, into your own library",
        '  wav2clip search "rain on a tin roof"',
    ]
    for line in lines:
        console.out.print(line, markup=False, highlight=False, soft_wrap=True)
