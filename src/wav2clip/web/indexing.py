"""Bringing the library up to date with a folder, as `wav2clip index` does."""

from __future__ import annotations

import os
from pathlib import Path

from wav2clip.library import IndexReport, Library
from wav2clip.web.catalogue import Catalogue
from wav2clip.web.jobs import Job, Work
from wav2clip.web.problems import Refusal

_SHOWN = 3


def allowed_folder(catalogue: Catalogue, folder: str) -> Path:
    """The real path of a folder that may be indexed.

    Raises:
        Refusal: 403 where it lies elsewhere or cannot be looked at, and the same where it does not
            exist: who asks is not told what else there is on this machine.
    """
    refusal = Refusal(
        403,
        "that folder may not be indexed from here",
        "one of the index_folders of /api/library, or a folder inside of them",
        "start `wav2clip serve` with --folder to allow others",
    )
    if "\0" in folder:
        raise refusal
    real = Path(os.path.realpath(folder))
    if not os.path.isabs(folder) or not catalogue.inside(real) or not real.is_dir():
        raise refusal
    return real


def indexing(library: Library, folder: Path) -> Work:
    """The work of indexing a folder; cancelled, it keeps the files that are done."""

    def work(job: Job) -> str:
        job.change(message="looking for recordings")
        # One thread per core, though this process computes with one thread otherwise.
        report = library.index(folder, workers=os.cpu_count(), progress=job.progress)
        job.change(message=summary(report))
        return "/api/library"

    return work


def summary(report: IndexReport) -> str:
    """What became of the files, in a line."""
    counts = {
        "added": report.added,
        "updated": report.updated,
        "moved, copied or touched": report.reused,
        "with other tags": report.retagged,
        "unchanged": report.unchanged,
        "gone": report.missing,
        "failed": len(report.failures),
    }
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    reasons = [f"{path.name}: {reason}" for path, reason in report.failures.items()]
    more = f" and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
    failed = f" ({'; '.join(reasons[:_SHOWN])}{more})" if reasons else ""
    return f"{told or 'no recordings'}{failed}"
