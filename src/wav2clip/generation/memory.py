"""How much memory a picture needs while it is optimised, and which size would fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from wav2clip.errors import GenerationError

PROBES = (64, 128)
"""Sides in pixels of the two pictures from which the need is extrapolated."""

PEAK = 1.5
"""Peak of a step over what is kept for its backward pass; see docs/results/generation.md."""

_STEP = 16
# Sizes are suggested in multiples of a VQGAN's factor.


@dataclass(frozen=True)
class Footprint:
    """Bytes of one step at any size.

    Attributes:
        fixed: of what does not grow with the picture: the image tower on the cut-outs.
        per_pixel: of what does.
    """

    fixed: float
    per_pixel: float

    def needed(self, height: int, width: int) -> float:
        """Bytes of a step at this size."""
        return self.fixed + self.per_pixel * height * width

    def largest_square(self, available: float) -> int:
        """Side in pixels of the largest square that fits; 0 where none does."""
        pixels = max(0.0, available - self.fixed) / self.per_pixel
        return int(pixels**0.5) // _STEP * _STEP

    def check(self, height: int, width: int, device: torch.device) -> None:
        """Nothing, if a step fits, or if it is not known what there is.

        Raises:
            GenerationError: it does not; the message says which size would.
        """
        available = available_bytes(device)
        if available is not None and self.needed(height, width) > available:
            raise GenerationError(self.explain(height, width, available))

    def explain(self, height: int, width: int, available: float | None) -> str:
        """What is needed, what there is, and what to do."""
        need = (
            f"a step at {width} x {height} pixels needs about {_show(self.needed(height, width))}"
        )
        if available is None:
            return f"out of memory: {need}; try a smaller --size or fewer --cutouts"
        side = self.largest_square(available)
        advice = f"--size {side} would fit" if side >= PROBES[0] else "try fewer --cutouts"
        return f"out of memory: {need}, and {_show(available)} are free; {advice}"


@contextmanager
def explained(
    footprint: Footprint | None, height: int, width: int, device: torch.device
) -> Iterator[None]:
    """Turn a failed allocation inside the block into an error that says what would fit.

    Raises:
        GenerationError: an allocation failed and the footprint is known.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if footprint is None or not _out_of_memory(error):
            raise
        message = footprint.explain(height, width, available_bytes(device))
        raise GenerationError(message) from error


def measure_footprint(step_bytes: Callable[[int], float]) -> Footprint:
    """Extrapolate from two small pictures.

    Args:
        step_bytes: side of a square canvas in pixels to the bytes of a step on it.
    """
    small, large = map(step_bytes, PROBES)
    per_pixel = max(1.0, (large - small) / (PROBES[1] ** 2 - PROBES[0] ** 2))
    return Footprint(max(0.0, small - per_pixel * PROBES[0] ** 2), per_pixel)


def kept_bytes(run: Callable[[], Tensor]) -> int:
    """Bytes of the tensors that autograd would keep for the backward pass of ``run``."""
    storages: dict[int, torch.UntypedStorage] = {}  # held, so that no address is used twice

    def note(tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage

    with torch.autograd.graph.saved_tensors_hooks(note, lambda _: torch.empty(0)):
        run()
    return sum(storage.nbytes() for storage in storages.values())


def available_bytes(device: torch.device) -> int | None:
    """Free memory of a device; None where it cannot be told."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    free = [_meminfo("MemAvailable"), _cgroup_free()]
    return min((value for value in free if value is not None), default=None)


def _meminfo(name: str) -> int | None:
    """A line of Linux's /proc/meminfo, in bytes."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return None
    values = [int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")]
    return values[0] if values else None


def _cgroup_free() -> int | None:
    """What the container's limit (cgroup version 2) leaves."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = int((folder / "memory.max").read_text("ascii"))
        return limit - int((folder / "memory.current").read_text("ascii"))
    except (OSError, ValueError):  # no such file, or no limit, which reads "max"
        return None


def _out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return "not enough memory" in str(error) or "allocate memory" in str(error)


def _show(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
