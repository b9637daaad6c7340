"""Bringing the library up to date with a folder, as `wav2clip index` does, and what failed."""

from __future__ import annotations

import os
from pathlib import Path

from wav2clip.files import is_mute
from wav2clip.library import IndexReport
from wav2clip.web.jobs import Job, Work
from wav2clip.web.service import Service

_SHOWN = 3


def indexing(service: Service, folder: Path) -> Work:
    """The work of indexing a folder; cancelled, it keeps the files that are done."""

    def work(job: Job) -> str:
        job.change(message="looking for recordings")
        # One thread per core, though this process computes with one thread otherwise.
        report = service.library.index(folder, workers=os.cpu_count(), progress=job.progress)
        _keep_unlisted(service, folder, report)
        job.change(message=summary(report))
        return "/api/library"

    return work


def failures(service: Service) -> dict[Path, str]:
    """The reason for each file and folder that could not be indexed, in the order of paths; files
    without sound are none of them."""
    library = service.library
    known = library.failures() if library.store.exists else {}
    failed = {path: reason for path, reason in known.items() if not is_mute(reason)}
    return dict(sorted((failed | service.unlisted).items(), key=lambda each: os.fsencode(each[0])))


def _keep_unlisted(service: Service, folder: Path, report: IndexReport) -> None:
    """Remember what a run could not even look at: the library knows only files that it could."""
    known = service.library.failures()
    before = service.unlisted.items()
    kept = {path: reason for path, reason in before if not path.is_relative_to(folder)}
    now = {path: reason for path, reason in report.failures.items() if path not in known}
    service.unlisted = kept | now


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
