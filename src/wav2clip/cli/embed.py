"""`wav2clip embed`: recordings in, vectors out: a file on one machine, blocks on many."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wav2clip.cli.clusters import ClusterOption, ClusterWorkersOption, ThreadsOption, the_cluster
from wav2clip.cli.loading import DeviceOption, EngineOption, PrecisionOption

if TYPE_CHECKING:
    from wav2clip.cluster.session import Cluster


def embed(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATHS...",
            help="Files, folders or glob patterns; with --cluster also addresses such as "
            "s3://bucket/folder.",
        ),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            help="A name ending in .npz, .parquet or .jsonl. With --cluster: a folder of Parquet "
            "files, or a name ending in .lance.",
        ),
    ] = ...,  # type: ignore[assignment]  # required
    manifest: Annotated[
        list[str] | None,
        typer.Option(
            help="A file of paths, in addition to PATHS: text, or .csv, .jsonl, .parquet with a "
            "column path. May be given several times."
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Name (`wav2clip models`) or path of a checkpoint.")
    ] = "builtin",
    frames: Annotated[
        float | None, typer.Option(help="Frame level: seconds per frame. Default: clip level.")
    ] = None,
    hop: Annotated[
        float | None, typer.Option(help="Seconds between frames. Default: the frames' length.")
    ] = None,
    device: DeviceOption = "cpu",
    engine: EngineOption = "auto",
    precision: PrecisionOption = "float32",
    workers: ThreadsOption = None,
    cluster: ClusterOption = None,
    cluster_workers: ClusterWorkersOption = None,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed", help="With --cluster: do the blocks again in which files failed."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Embed recordings into a file of vectors, or into many files on a cluster.

    Folders are searched recursively for audio and video. Every good file is written; those that
    failed are listed with the reason, and the exit code is then 1.

    On a cluster, finished blocks stay: stop it at any moment and run the same command again.

    Example: `wav2clip embed recordings/ "field/*.wav" -o embeddings.parquet`

    Frame level: `wav2clip embed talk.mp3 --frames 1 --hop 0.5 -o frames.npz`

    Many machines: `wav2clip embed /shared/recordings --cluster auto -o /shared/embeddings`
    """
    from wav2clip.cli import console
    from wav2clip.errors import InputError

    if not sources and not manifest:
        raise InputError("nothing to embed: give PATHS or --manifest")
    if hop is not None and frames is None:
        raise InputError("--hop needs --frames")
    many = the_cluster(cluster, cluster_workers, workers, device)
    options = {"frame_seconds": frames, "hop_seconds": hop}
    load = partial(console.load_model, model, engine=engine, precision=precision)
    if many is not None:
        options["retry_failed"] = retry_failed
        # The weights travel to the workers; it is they who have the device.
        _on_cluster(many, sources or [], manifest or [], output, load, options, as_json)
        return
    if retry_failed:
        raise InputError("--retry-failed needs --cluster: without it every file is tried again")
    if manifest:
        from wav2clip.cluster.listing import read_manifest

        sources = [*(sources or []), *(path for each in manifest for path in read_manifest(each))]
    options["workers"] = workers
    _here(sources or [], Path(output), partial(load, device=device), options, as_json)


def _here(
    sources: list[str], output: Path, load: Callable[[], Any], options: Any, as_json: bool
) -> None:
    from wav2clip.cli import console
    from wav2clip.embedding.bulk import embed_files, start_readers
    from wav2clip.embedding.writers import write_embeddings, writer_for
    from wav2clip.files import find_recordings

    writer_for(output)  # a wrong suffix should not cost an hour of embedding
    _require_folder(output)
    paths, failures, left_out = find_recordings(sources)
    results, warnings = [], {}
    if paths:
        with start_readers(options["workers"]) as readers:
            readers.start(len(paths))  # while the model is loaded
            loaded = load()
            with console.progress_bar("embedding", len(paths)) as advance:
                for result in embed_files(loaded, paths, readers=readers, **options):
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
                "left_out": left_out,
                **console.sort_out(failures),
            }
        )
    elif results:
        console.out.print(f"{rows} embeddings of {len(results)} files in {output}", soft_wrap=True)
    console.report_left_out(left_out)
    console.report_failures(failures, len(results))


def _on_cluster(
    cluster: Cluster,
    sources: list[str],
    manifests: list[str],
    output: str,
    load: Callable[[], Any],
    options: Any,
    as_json: bool,
) -> None:
    from wav2clip.cli import console
    from wav2clip.cli.finds import steps
    from wav2clip.cluster.embed import blocks_of, embed_on_cluster
    from wav2clip.cluster.storage import is_address

    if not is_address(blocks_of(output)):
        _require_folder(Path(output))
    loaded = load()
    with steps("embedding", "files") as progress:
        report = embed_on_cluster(
            loaded, sources, output, cluster, manifests=manifests, progress=progress, **options
        )
    console.report_warnings(report.warnings)
    if as_json:
        console.print_json(
            {
                "output": report.output if report.blocks else None,
                "files": report.files,
                "rows": report.rows,
                "blocks": report.blocks,
                "blocks_kept": report.kept,
                "left_out": report.left_out,
                **console.sort_out(report.failures),
            }
        )
    elif report.blocks:
        console.out.print(
            f"{report.rows} embeddings of {report.files} files in {report.output}; "
            f"{report.blocks} blocks, {report.kept} of them finished before",
            soft_wrap=True,
        )
    console.report_left_out(report.left_out)
    console.report_failures(report.failures, report.files)


def _require_folder(output: Path) -> None:
    from wav2clip.errors import InputError

    if not output.absolute().parent.is_dir():
        raise InputError(f"{output}: the folder to write to does not exist")
