"""Ray: joining or starting a cluster, quietly and without the network, and streaming work through.

Ray Data holds the queue: it keeps a fixed set of actors busy, gives a dead actor's block to another
one, starts the dead one anew, and keeps as many results waiting as fit the object store.
"""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from wav2clip.errors import ClusterError, InputError, MissingExtraError

_LOCAL_STORE_BYTES = 512 * 2**20
# Blocks on their way are paths and vectors, not sound.

_ANSWER_SECONDS = 10.0

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is reported to anybody
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # what matters is raised as well
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@dataclass(frozen=True)
class Cluster:
    """Where to work, and what a worker takes.

    Attributes:
        address: ``"local"`` (a cluster of this machine's cores that ends with the work), ``"auto"``
            (the one that this machine is part of), or ``host:port`` of a head node.
        workers: processes that hold the model; by default one per ``cpus`` cores that the cluster
            has now, or one per GPU.
        cpus: cores of a worker, for decoding and, on the CPU, for the network.
        device: ``"cpu"``, or ``"cuda"``: each worker then has a GPU of its own.
    """

    address: str = "local"
    workers: int | None = None
    cpus: int = 1
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.device not in ("cpu", "cuda"):
            raise InputError(
                f"device is {self.device!r}, expected cpu or cuda: Ray chooses the GPU of a worker"
            )

    @property
    def gpus(self) -> int:
        """GPUs of a worker."""
        return int(self.device == "cuda")


@contextmanager
def connected(cluster: Cluster) -> Iterator[None]:
    """Be a driver of the cluster; within a session of the caller's own, that one is used.

    Raises:
        ClusterError: there is no cluster at the address.
        MissingExtraError: Ray is not installed.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield
        return
    own = {
        "num_cpus": max(cluster.cpus, os.cpu_count() or 1),
        "object_store_memory": _LOCAL_STORE_BYTES,
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
    }
    try:
        _require_answer(cluster.address)
        with _quiet_start():
            ray.init(
                cluster.address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **(own if cluster.address == "local" else {}),
            )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ClusterError(
            f"no Ray cluster at {cluster.address}: {_first_line(error)}. Expected the host:port of "
            "a head node that was started with `ray start --head`, auto, or local"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def stream(
    cluster: Cluster,
    blocks: Iterable[pa.Table],
    worker: type[Callable[[pa.Table], pa.Table]],
    arguments: Mapping[str, Any],
) -> Iterator[pa.Table]:
    """What the workers make of the blocks, in any order, as soon as it is there.

    Args:
        cluster: must be connected.
        blocks: one task each.
        worker: class of an actor that takes a block and gives a table. A block whose worker died
            is given to another one, so it may be begun several times.
        arguments: of the class; an ``ObjectRef`` among them stays one.

    Raises:
        ClusterError: a worker raised, or cannot be made.
    """
    ray = import_ray()
    tables = list(blocks)
    if not tables:
        return
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    count = min(len(tables), cluster.workers or _room(cluster))
    results = ray.data.from_arrow(tables).map_batches(
        worker,
        batch_size=None,
        batch_format="pyarrow",
        zero_copy_batch=True,
        fn_constructor_kwargs=dict(arguments),
        num_cpus=cluster.cpus,
        num_gpus=cluster.gpus,
        # One block in work and one waiting: more would keep the last blocks from idle workers.
        compute=ray.data.ActorPoolStrategy(size=count, max_tasks_in_flight_per_actor=2),
    )
    try:
        yield from results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
        raise ClusterError(
            f"the workers cannot go on: {_first_line(cause)}. What is finished is kept: mend it "
            "and run the same command again"
        ) from error


def import_ray() -> Any:
    """Ray with its data library, told to be quiet.

    Raises:
        MissingExtraError: it is not installed.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError(
            'work on a cluster needs Ray: pip install "wav2clip[cluster]"'
        ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


def _require_answer(address: str) -> None:
    """Raise ``OSError`` where nobody listens: Ray itself would ask again for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Keep what Ray's own libraries write while they start off standard error.

    Failures are raised. LanceDB warns of forks, and these run another program at once.
    """
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="lancedb fork support")
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _room(cluster: Cluster) -> int:
    """Workers for which the cluster has cores and GPUs now."""
    has = import_ray().cluster_resources()
    room = has.get("CPU", 0) // cluster.cpus
    if cluster.gpus:
        room = min(room, has.get("GPU", 0) // cluster.gpus)
    return max(1, int(room))


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
