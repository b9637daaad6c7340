"""`wav2clip index`: folders of recordings into a library that can be searched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from wav2clip.cli.clusters import ClusterOption, ClusterWorkersOption, ThreadsOption, the_cluster
from wav2clip.cli.finds import LibraryOption, ModelOption
from wav2clip.cli.loading import DeviceOption, LibraryEngineOption, LibraryPrecisionOption

if TYPE_CHECKING:
    from wav2clip.library import IndexReport, Library


def index(
    folders: Annotated[
        list[str], typer.Argument(metavar="FOLDERS...", help="Folders, or single files.")
    ],
    library: LibraryOption = None,
    model: ModelOption = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Drop files that are gone from these folders.")
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Forget the whole library first.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="If another process is indexing, wait for it.")
    ] = False,
    segment: Annotated[
        float | None,
        typer.Option(
            help="Seconds per segment of longer files. Fixed when the library is made.",
            show_default="10",
        ),
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option(help="Seconds that neighbouring segments share.", show_default="2.5"),
    ] = None,
    device: DeviceOption = "cpu",
    engine: LibraryEngineOption = None,
    precision: LibraryPrecisionOption = None,
    workers: ThreadsOption = None,
    cluster: ClusterOption = None,
    cluster_workers: ClusterWorkersOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Index folders of recordings, so that `wav2clip search` finds what is in them.

    Run it again whenever files came, went or changed: what is unchanged costs nothing, and what
    was moved is recognised. It may be stopped at any moment; the next run goes on. Files that
    cannot be read are listed, and tried again when they change; the exit code is then 1.

    Example: `wav2clip index ~/recordings`

    Example: `wav2clip index /archive/field /archive/foley --library /archive/library --prune`

    Many machines, which all see the folders: `wav2clip index /shared/sounds --cluster auto`
    """
    from wav2clip.cli import console, finds

    many = the_cluster(cluster, cluster_workers, workers, device)
    options: dict[str, Any] = {
        "prune": prune,
        "rebuild": rebuild,
        "wait": wait,
        "segment_seconds": segment,
        "overlap_seconds": overlap,
    }
    # The weights travel to the workers of a cluster; it is they who have the device.
    here = device if many is None else "cpu"
    opened = finds.open_library(library, model, here, engine=engine, precision=precision)
    opened.load_model(to_index=True)  # it has a bar of its own
    if many is None:
        with finds.steps("indexing", "files") as progress:
            report = opened.index(folders, workers=workers, progress=progress, **options)
    else:
        from wav2clip.cluster.index import index_on_cluster

        report = index_on_cluster(opened, folders, many, watch=finds.steps, **options)
    print_report(report, opened, as_json)
    done = report.added + report.updated + report.reused + report.retagged + report.unchanged
    console.report_left_out(report.left_out)
    console.report_failures({**report.skipped, **report.failures}, done, may_be_none=True)


def print_report(report: IndexReport, library: Library, as_json: bool) -> None:
    """What a run did, and what is wrong with files that could be used all the same."""
    from wav2clip.cli import console
    from wav2clip.files import display

    console.report_warnings(report.warnings)
    if as_json:
        summary = {**vars(report), "library": library.store.uri, "segments": len(library)}
        for field in ("failures", "skipped", "warnings"):
            summary[field] = {display(path): value for path, value in summary[field].items()}
        console.print_json(summary)
    else:
        for line in summary_lines(report, library):
            console.out.print(line, markup=False, soft_wrap=True)


def summary_lines(report: IndexReport, library: Library) -> list[str]:
    """What a run did, for people."""
    counts = {
        "added": report.added,
        "updated": report.updated,
        "moved, copied or touched": report.reused,
        "with other tags": report.retagged,
        "unchanged": report.unchanged,
        "dropped": report.pruned,
        "gone (drop them with --prune)": report.missing,
        "failed": len(report.failures),
        "without sound": len(report.skipped) + report.known_mute,
    }
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    lines = [f"{told or 'nothing to index'} in {report.seconds:.1f} s"]
    if report.described:
        lines.append(f"metadata of {report.described} unchanged files read for the first time")
    if report.retold:
        lines.append(f"{report.retold} unchanged files have other words in sidecars")
    if report.known_failures:
        lines.append(f"{report.known_failures} failed before and have not changed: not tried again")
    lines.append(f"{len(library)} segments in {library.store.name}")
    return lines
