"""What a measurement is worth nothing without: the machine, its load, and the versions."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("wav2clip", "torch", "onnxruntime", "numpy", "lancedb", "librosa", "lightning")


def cpuinfo(key: str) -> str:
    """The first such line of /proc/cpuinfo, or an empty string where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def has_bfloat16() -> bool:
    """Whether the processor computes in bfloat16 itself; elsewhere it is slower than float32."""
    flags = f"{cpuinfo('flags')} {cpuinfo('Features')}".split()  # x86, ARM
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags)


def machine() -> str:
    """Processor, cores and memory."""
    name = cpuinfo("model name") or platform.processor() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}"


def versions() -> str:
    """Python and the packages that decide how fast things are."""
    return ", ".join(
        [f"Python {platform.python_version()}", *(f"{p} {version(p)}" for p in PACKAGES)]
    )
