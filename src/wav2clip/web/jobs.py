"""Work that takes a while: a thread per kind of work, jobs that are watched and cancelled."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

from cachetools import TTLCache

from wav2clip.errors import Wav2ClipError
from wav2clip.web import schemas
from wav2clip.web.problems import Refusal, busy
from wav2clip.web.schemas import JobKind, JobState

_KEPT, _KEPT_SECONDS = 200, 3600.0
ENDED = frozenset((JobState.DONE, JobState.FAILED, JobState.CANCELLED))

log = logging.getLogger("wav2clip.web")


class CancelledError(Exception):
    """Somebody cancelled the job."""


class Job:
    """One piece of work, seen from the thread that does it and from those that watch.

    Attributes:
        id: opaque.
        kind: what it does.
        state: where it is.
        picture: PNG of the picture as it is, for a job that paints.
        pictures: how many there have been.
        version: grows with every change.
    """

    def __init__(self, kind: JobKind) -> None:
        self.id = secrets.token_hex(16)
        self.kind = kind
        self.state = JobState.QUEUED
        self.picture: bytes | None = None
        self.pictures = 0
        self.version = 0
        self._done = self._total = 0
        self._message = ""
        self._result: str | None = None
        self._cancel = Event()
        self._lock = Lock()

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ENDED

    def describe(self) -> schemas.Job:
        """As clients see it."""
        with self._lock:
            return schemas.Job(
                id=self.id,
                kind=self.kind,
                state=self.state,
                done=self._done,
                total=self._total,
                message=self._message,
                result=self._result,
            )

    def cancel(self) -> None:
        """Ask the work to stop; what it has done stays."""
        self._cancel.set()
        if self.state is JobState.QUEUED:
            self.change(state=JobState.CANCELLED)

    # For the work ---------------------------------------------------------------------------------

    def check(self) -> None:
        """Stop here if somebody cancelled it.

        Raises:
            CancelledError: so it is.
        """
        if self._cancel.is_set():
            raise CancelledError

    def progress(self, done: int, total: int) -> None:
        """Say how far it is, and stop if somebody cancelled it."""
        self.check()
        self.change(done=done, total=total)

    def show(self, picture: bytes) -> None:
        """Give those who watch a picture."""
        with self._lock:
            self.picture, self.pictures = picture, self.pictures + 1
        self.change()

    def change(
        self,
        *,
        state: JobState | None = None,
        done: int | None = None,
        total: int | None = None,
        message: str | None = None,
        result: str | None = None,
    ) -> None:
        """Set what is given. What has ended stays as it is."""
        with self._lock:
            if not self.ended:
                self._done = self._done if done is None else done
                self._total = self._total if total is None else total
                self._message = self._message if message is None else message
                self._result = self._result if result is None else result
                self.state = self.state if state is None else state
            self.version += 1


Work = Callable[[Job], str | None]
"""Does it; gives the URL of what it made. It calls :meth:`Job.progress` or :meth:`Job.check` often.
"""


class Jobs:
    """The jobs of a server: those that wait, those at work, and those that ended of late."""

    def __init__(self, waiting: int) -> None:
        self._waiting = waiting
        self._pools = {kind: ThreadPoolExecutor(1, f"wav2clip-{kind}") for kind in JobKind}
        self._jobs: TTLCache[str, Job] = TTLCache(_KEPT, _KEPT_SECONDS)
        self._lock = Lock()

    def start(self, kind: JobKind, work: Work, single: bool = False) -> Job:
        """Let a job wait for its turn.

        Args:
            kind: jobs of a kind are done one after the other.
            work: see :data:`Work`.
            single: give the job of this kind that has not ended, where there is one.

        Raises:
            Refusal: 429, too many wait.
        """
        with self._lock:
            active = self._active(kind)
            if single and active:
                return active[0]
            if len(active) > self._waiting:
                raise busy(f"{len(active)} jobs of this kind are waiting", 10)
            job = Job(kind)
            self._jobs[job.id] = job
        self._pools[kind].submit(_run, job, work)
        return job

    def get(self, id: str) -> Job:
        """A job.

        Raises:
            Refusal: there is none of that id, or no longer.
        """
        with self._lock:
            job = self._jobs.get(id)
        if job is None:
            raise Refusal(404, "that job is not known, or no longer")
        return job

    def active(self, kind: JobKind) -> list[Job]:
        """The jobs of a kind that wait or are at work."""
        with self._lock:
            return self._active(kind)

    def _active(self, kind: JobKind) -> list[Job]:
        return [job for job in self._jobs.values() if job.kind is kind and not job.ended]

    def close(self) -> None:
        """Cancel everything, and wait until it has stopped."""
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.cancel()
        for pool in self._pools.values():
            pool.shutdown(wait=True, cancel_futures=True)


def _run(job: Job, work: Work) -> None:
    try:
        job.check()
        job.change(state=JobState.RUNNING)
        result = work(job)
    except CancelledError:
        job.change(state=JobState.CANCELLED, message="cancelled; what was done is kept")
    except Wav2ClipError as error:
        job.change(state=JobState.FAILED, message=str(error))
    except Exception:
        log.exception("the job %s failed", job.kind)
        job.change(state=JobState.FAILED, message="the server failed; its log says why")
    else:
        job.change(state=JobState.DONE, result=result)
