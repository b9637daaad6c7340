"""What an upload is, and what is in it: read by a process apart, of which it may be the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from wav2clip.web.problems import Refusal


@dataclass(frozen=True)
class Read:
    """What an upload turned out to be.

    Attributes:
        kind: "sound" or "picture".
        path: a WAV file of one channel at the rate asked for, or a bitmap.
        seconds: of a sound.
        peaks: of a sound, :data:`.sandbox.POINTS` of them.
    """

    kind: str
    path: Path
    seconds: float | None = None
    peaks: list[float] | None = None


def read(upload: Path, sample_rate: int, seconds: float, decode_seconds: float) -> Read:
    """Find out by content what a file is, and decode it beside itself.

    Args:
        upload: a file alone in its folder.
        sample_rate: Hz wanted of a sound.
        seconds: the longest sound that is decoded.
        decode_seconds: how long that may take.

    Raises:
        Refusal: 413 where it is too long, too large or takes too long, 415 where it is neither
            sound nor picture.
    """
    command = [sys.executable, "-m", "wav2clip.web.sandbox", str(upload), str(upload.parent)]
    try:
        done = subprocess.run(  # noqa: S603
            [*command, str(sample_rate), str(seconds)],
            capture_output=True,
            timeout=decode_seconds,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        raise Refusal(
            413, f"decoding takes longer than {decode_seconds:g} s", do="send a shorter part of it"
        ) from None
    try:
        told = json.loads(done.stdout)
    except ValueError:
        raise Refusal(
            415, "no decoder can read the upload", "a sound, a video with sound, or a picture"
        ) from None
    if "status" in told:
        raise Refusal(told["status"], told["what"], told.get("expected"))
    return Read(told["kind"], upload.parent / told["name"], told["seconds"], told["peaks"])
