"""Recordings that need care: silent, out of phase, clipped, off centre, cut off, not readable.

Every file is decoded once, by a process of its own, with all its channels as they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from wav2clip.audio.headers import NO_LENGTH
from wav2clip.audio.levels import Levels, Meter
from wav2clip.embedding.bulk import ahead
from wav2clip.errors import InputError, Wav2ClipError
from wav2clip.files import display, is_mute
from wav2clip.reading.readers import Readers

_AHEAD = 16

KINDS = {
    "unreadable": "cannot be read",
    "truncated": "a part of it is missing",
    "invalid": "samples that are no numbers",
    "silent": "nothing to hear",
    "antiphase": "its channels cancel each other",
    "clipped": "peaks cut off at full scale",
    "offset": "off centre (DC)",
}
"""What can be found, most serious first, in words."""


@dataclass(frozen=True)
class Limits:
    """From where on a file needs care.

    Attributes:
        silence: dBFS; the peak of a silent file, its mean taken away, is at most that. FFmpeg's
            ``silencedetect`` has the same default.
        correlation: of the two channels, in [-1, 1]; that of antiphase is at most that. At -0.8 two
            channels of one level lose 10 dB when they are mixed to one.
        clipped: samples, in runs of three and more at full scale, at least.
        offset: dBFS of the mean, at least; -40 dBFS are 1 % of full scale.
    """

    silence: float = -60.0
    correlation: float = -0.8
    clipped: int = 3
    offset: float = -40.0

    def __post_init__(self) -> None:
        if not -1 <= self.correlation <= 1:
            raise InputError(f"a correlation of {self.correlation}, expected -1 to 1")
        if self.clipped < 1:
            raise InputError(f"{self.clipped} clipped samples, expected at least 1")
        for name, level in (("silence", self.silence), ("offset", self.offset)):
            if not level <= 0:
                raise InputError(f"{name} from {level} dBFS, expected at most 0 (full scale)")


@dataclass(frozen=True)
class Checked:
    """What was seen of a file.

    Attributes:
        path: as given.
        findings: by one of :data:`KINDS`, with the measure in words; none for a good file.
        levels: the measures; None where it cannot be read.
        channels: of the file; 0 where it cannot be read.
        sample_rate: Hz of the file; 0 where it cannot be read.
        codec: of the file, "" where it cannot be read.
        warnings: of decoding, whatever they are about.
        mute: why there is no sound in it, such as in a video without; that is no finding.
    """

    path: Path
    findings: Mapping[str, str] = field(default_factory=dict)
    levels: Levels | None = None
    channels: int = 0
    sample_rate: int = 0
    codec: str = ""
    warnings: tuple[str, ...] = ()
    mute: str = ""


def check(
    paths: Iterable[Path], limits: Limits | None = None, workers: int | None = None
) -> Iterator[Checked]:
    """Measure files, several at a time, in bounded memory; results come in the order of the paths.

    Args:
        paths: of recordings.
        limits: from where on something is a finding.
        workers: processes that decode; by default one per core.
    """
    chosen = Limits() if limits is None else limits
    count = workers or os.cpu_count() or 1
    with Readers(count) as readers:
        calls = (partial(_check, readers, chosen, path) for path in paths)
        yield from ahead(calls, count, _AHEAD, readers.close)


def _check(readers: Readers, limits: Limits, path: Path) -> Checked:
    try:
        stream = readers.stream_audio(path, raw=True)
        meter = Meter(stream.track.codec)
        for frames in stream.frames():
            meter.add(frames)
    except (Wav2ClipError, OSError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).removeprefix(f"{display(path)}: ")
        if is_mute(reason):
            return Checked(path, mute=reason)
        return Checked(path, {"unreadable": reason})
    levels = meter.result()
    if not levels.frames:
        reason = "; ".join(["its audio track holds no samples", *stream.warnings])
        return Checked(path, {"unreadable": reason}, warnings=stream.warnings)
    lacking = [w for w in stream.warnings if not stream.whole or NO_LENGTH in w]
    findings = {"truncated": "; ".join(lacking)} if lacking else {}
    findings |= judge(levels, limits)
    track = stream.track
    return Checked(
        path, findings, levels, track.channels, track.source_rate, track.codec, stream.warnings
    )


def judge(levels: Levels, limits: Limits) -> dict[str, str]:
    """What the measures say, by one of :data:`KINDS`, in words."""
    found = {}
    if levels.bad:
        found["invalid"] = f"{levels.bad} samples are NaN or infinite"
    if levels.swing <= limits.silence:
        found["silent"] = f"peak {_dbfs(levels.swing)}, RMS {_dbfs(levels.rms)}"
    elif levels.correlation is not None and levels.correlation <= limits.correlation:
        found["antiphase"] = f"correlation of its channels {levels.correlation:.2f}"
    if levels.clipped >= limits.clipped:
        share = f"{100 * levels.clipped_share:.2g} %"
        found["clipped"] = f"{levels.clipped} samples, {share}, in {levels.runs} runs at full scale"
    if levels.offset_level >= limits.offset:
        found["offset"] = (
            f"{100 * levels.offset:+.2g} % of full scale ({_dbfs(levels.offset_level)})"
        )
    return found


def _dbfs(level: float) -> str:
    return f"{level:.1f} dBFS"
