"""What the commands that can run on a cluster share: their options, and what these mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from wav2clip.cluster.session import Cluster

ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Work on a Ray cluster: host:port of its head, auto (the one that this machine is "
        "part of), or local (this machine's cores).",
        show_default="this process alone",
    ),
]
ClusterWorkersOption = Annotated[
    int | None,
    typer.Option(
        "--cluster-workers",
        min=1,
        help="Workers on the cluster. Default: what its cores, or GPUs, have room for now.",
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="Threads that embed, and processes that decode. Default: one of each per core; with "
        "--cluster one per worker.",
    ),
]


def the_cluster(
    address: str | None, workers: int | None, threads: int | None, device: str
) -> Cluster | None:
    """The cluster that the options speak of, or None for this process.

    Raises:
        InputError: options of a cluster without one, or a device that a cluster cannot give.
    """
    from wav2clip.errors import InputError

    if address is None:
        if workers is not None:
            raise InputError("--cluster-workers needs --cluster")
        return None
    from wav2clip.cluster.session import Cluster

    return Cluster(address, workers, threads or 1, device)
