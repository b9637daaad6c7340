"""What computes: the processor, how many threads, and whether PyTorch is installed."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wav2clip.errors import MissingExtraError


def threads() -> int:
    """Threads that a computation of this process may use.

    Those of PyTorch where it is in use; else ``OMP_NUM_THREADS`` where it is set, or as many as
    there are cores that the process may run on.
    """
    if torch := sys.modules.get("torch"):
        return int(torch.get_num_threads())
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_threads(count: int) -> None:
    """Let what this process computes from now on use so many threads."""
    os.environ["OMP_NUM_THREADS"] = str(count)
    set_torch_threads(count)


def set_torch_threads(count: int) -> None:
    """Threads of the operations of PyTorch that this thread calls, if PyTorch is in use at all."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let products of matrices in NumPy use one thread, in the whole process, meanwhile.

    By default each takes all cores, and theirs spin while they wait for one another and for what
    else computes: embedding many files took half as long again.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


def give_memory_back() -> None:
    """Give memory that nothing uses any more back to the system, where the C library can.

    glibc keeps what many small objects took, such as the rows of a large table as Python's: 140 MB
    for a hundred thousand of them.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def processor() -> str:
    """What tells processors apart: on Linux their feature flags, and what limits their use."""
    limits = [os.environ.get(name, "") for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")]
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    flags = sorted({line for line in lines if line.startswith("flags")})
    return "\n".join([platform.machine(), platform.processor(), *limits, *flags])


def may_write() -> bool:
    """Whether the system lets this process write files; readers of strangers' files may not."""
    try:
        import resource
    except ImportError:
        return True
    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 0


def require_torch(what: str) -> None:
    """Do nothing if PyTorch is installed.

    Args:
        what: needs it; the beginning of a sentence.

    Raises:
        MissingExtraError: it is not; the message says how to install it.
    """
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError(needs_torch(what))


def needs_torch(what: str) -> str:
    """What to say where PyTorch is missing."""
    return (
        f"{what} needs PyTorch, which is not installed: pip install 'wav2clip[torch]' (for a Linux "
        "machine without a GPU add --extra-index-url https://download.pytorch.org/whl/cpu)"
    )
