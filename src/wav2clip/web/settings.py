"""What a server is told: where it listens, what it may touch, and how much it does at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from wav2clip.errors import InputError


@dataclass(frozen=True)
class Limits:
    """How much a client may ask for, and the server does at once.

    Attributes:
        upload_bytes: size of an upload.
        upload_seconds: time in which a request's body must have arrived.
        body_bytes: size of any other body.
        sound_seconds: length of an uploaded sound, decoded.
        decode_seconds: time that decoding an upload may take.
        uploads_kept: uploads that can be searched with; the least recently used goes first.
        uploads_minutes: how long they are kept.
        requests_per_second: of one client, in the long run.
        requests_at_once: of one client, before that rate counts.
        works_per_minute: uploads, jobs and changes (POST) of one client, in the long run.
        works_at_once: the same, before that rate counts.
        receiving: uploads that arrive at the same time.
        heavy: sounds that are decoded or embedded at the same time.
        listings: folders that are listed at the same time.
        streams: conversions and streams of events that run at the same time.
        wait_seconds: how long a request waits for its turn before it is refused.
        jobs_waiting: jobs of a kind that wait for their turn.
        connections: open at the same time.
    """

    upload_bytes: int = 50_000_000
    upload_seconds: float = 60.0
    body_bytes: int = 64_000
    sound_seconds: float = 900.0
    decode_seconds: float = 30.0
    uploads_kept: int = 200
    uploads_minutes: float = 60.0
    requests_per_second: float = 200.0
    requests_at_once: int = 400
    works_per_minute: float = 60.0
    works_at_once: int = 20
    receiving: int = 8
    heavy: int = 2
    listings: int = 4
    streams: int = 32
    wait_seconds: float = 5.0
    jobs_waiting: int = 4
    connections: int = 256


@dataclass(frozen=True)
class Settings:
    """How a server runs.

    Attributes:
        host: address that it listens on.
        token: what clients must show; None: nothing.
        hosts: further names under which it is reached.
        folders: what may be indexed and read; by default the folders that the library's files lie
            in.
        any_folder: whether every folder of this machine may be listed and indexed, for a server
            that has nothing to begin with. What is played still lies in the folders above.
        limits: see :class:`Limits`.
    """

    host: str = "127.0.0.1"
    token: str | None = None
    hosts: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()
    any_folder: bool = False
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.any_folder and not self.token:
            raise InputError(
                "any_folder without a token would let every user of this machine read what this "
                "one may read: expected both; give a token, or folders instead"
            )
