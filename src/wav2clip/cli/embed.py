"""`wav2clip embed`: recordings in, one file of vectors out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def embed(
    sources: Annotated[
        list[str], typer.Argument(metavar="PATHS...", help="Files, folders or glob patterns.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="A name ending in .npz, .parquet or .jsonl.")
    ],
    model: Annotated[
        str, typer.Option(help="Name (`wav2clip models`) or path of a checkpoint.")
    ] = "builtin",
    frames: Annotated[
        float | None, typer.Option(help="Frame level: seconds per frame. Default: clip level.")
    ] = None,
    hop: Annotated[
        float | None, typer.Option(help="Seconds between frames. Default: the frames' length.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")] = "cpu",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that decode. Default: one per core.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Embed recordings into a file of vectors.

    Folders are searched recursively for audio and video. Every good file is written; those that
    failed are listed with the reason, and the exit code is then 1.

    Example: `wav2clip embed recordings/ "field/*.wav" -o embeddings.parquet`

    Frame level: `wav2clip embed talk.mp3 --frames 1 --hop 0.5 -o frames.npz`
    """
    from wav2clip.cli import console
    from wav2clip.embedding.bulk import embed_files
    from wav2clip.embedding.writers import write_embeddings, writer_for
    from wav2clip.errors import InputError
    from wav2clip.files import find_recordings

    writer_for(output)  # a wrong suffix should not cost an hour of embedding
    if not output.absolute().parent.is_dir():
        raise InputError(f"{output}: the folder to write to does not exist")
    if hop is not None and frames is None:
        raise InputError("--hop needs --frames")
    paths, failures = find_recordings(sources)
    results, warnings = [], {}
    if paths:
        loaded = console.load_model(model, device=device)
        with console.progress_bar("embedding", len(paths)) as advance:
            for result in embed_files(
                loaded, paths, frame_seconds=frames, hop_seconds=hop, workers=workers
            ):
                advance()
                if result.error is not None:
                    failures[result.path] = result.error
                else:
                    results.append(result)
                    warnings[result.path] = result.warnings
    rows = 0
    if results:
        order = {path: position for position, path in enumerate(paths)}
        results.sort(key=lambda result: order[result.path])
        rows = write_embeddings(output, results, loaded)
    console.report_warnings(warnings)
    if as_json:
        console.print_json(
            {
                "output": str(output) if results else None,
                "files": len(results),
                "rows": rows,
                "failures": {str(path): reason for path, reason in failures.items()},
            }
        )
    elif results:
        console.out.print(f"{rows} embeddings of {len(results)} files in {output}", soft_wrap=True)
    console.report_failures(failures, len(results))
