"""Sound in: decode any recording, mix it down to one channel, resample it.

:mod:`wav2clip.audio.decoders` says who decodes what. Decoding streams: memory does not grow with
the length of a recording unless the caller asks for all of it.
"""

from __future__ import annotations

import io
import math
import os
import stat
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soxr

from wav2clip.audio.decoders import open_decoder
from wav2clip.audio.track import Decoder, Track
from wav2clip.audio.track import Samples as Samples
from wav2clip.errors import AudioError, InputError
from wav2clip.files import NO_FILE, display

Source = str | os.PathLike[str] | bytes | BinaryIO
"""A path, the bytes of a file, or a seekable binary file object."""

SAMPLE_RATE = 16_000
"""Hz; what the published Wav2CLIP network takes."""

_LOWEST_RATE, _HIGHEST_RATE = 1_000, 768_000

_LOUDEST = 1e12
"""Times full scale. Integers that were stored as floats reach 2e9; of what is beyond this the power
is no longer a float32."""

_CANCELLED = 1e-3
"""Energy that is left of the channels' when they are mixed, and that is as good as silence."""


@dataclass(frozen=True)
class Recording:
    """A decoded recording.

    Attributes:
        samples: (n,) float32, one channel, nominally in [-1, 1], always finite, n >= 1.
        sample_rate: Hz of ``samples``.
        track: what was decoded: container, codec, which track, and when its sound begins.
        warnings: what is missing or odd although the file could be read, such as a damaged end.
        whole: whether all of the sound is there, as far as can be told.
    """

    samples: Samples
    sample_rate: int
    track: Track
    warnings: tuple[str, ...] = ()
    whole: bool = True

    @property
    def source_rate(self) -> int:
        """Hz of the file."""
        return self.track.source_rate

    @property
    def channels(self) -> int:
        """Channels of the file, before they were averaged."""
        return self.track.channels

    @property
    def start(self) -> float:
        """Seconds on the container's clock at which the sound begins; 0.0 for most files."""
        return self.track.start

    @property
    def seconds(self) -> float:
        """Duration of the sound in seconds."""
        return len(self.samples) / self.sample_rate


@dataclass
class AudioStream:
    """Blocks of one recording as they are decoded: mono float32 at ``sample_rate``.

    Iterate once. ``seconds``, ``warnings`` and ``whole`` are complete when the iteration has ended.

    Attributes:
        sample_rate: Hz of the blocks.
        track: see :class:`Recording`.
        seconds: duration of the blocks given so far.
    """

    sample_rate: int
    track: Track
    _decoder: Decoder
    _name: str
    seconds: float = 0.0

    @property
    def warnings(self) -> tuple[str, ...]:
        """See :class:`Recording`."""
        return tuple(self._decoder.warnings)

    @property
    def whole(self) -> bool:
        """See :class:`Recording`."""
        return self._decoder.whole

    @property
    def source_rate(self) -> int:
        """Hz of the file."""
        return self.track.source_rate

    @property
    def channels(self) -> int:
        """Channels of the file."""
        return self.track.channels

    @property
    def start(self) -> float:
        """Seconds on the container's clock at which the sound begins; 0.0 for most files."""
        return self.track.start

    def __iter__(self) -> Iterator[Samples]:
        for block in _resampled(self._decoder, self._name, self.sample_rate):
            self.seconds += len(block) / self.sample_rate
            yield block

    def read(self) -> Recording:
        """All of it, in place of iterating."""
        samples = np.concatenate(list(self))
        return Recording(samples, self.sample_rate, self.track, self.warnings, self.whole)

    def frames(self, *, on_clock: bool = False) -> Iterator[Samples]:
        """The blocks as the file has them, in place of iterating: (n, channels) at its own rate.

        They are not checked: they may hold NaN and infinity, and their channels may change.

        Args:
            on_clock: begin with silence up to where the sound begins, so that positions are times
                on the container's clock.
        """
        silence = round(self.start * self.source_rate) if on_clock else 0
        while silence > 0:
            yield np.zeros((min(silence, self.source_rate), self.channels), np.float32)
            silence -= self.source_rate
        yield from self._decoder.blocks


def load_audio(source: Source, sample_rate: int = SAMPLE_RATE) -> Recording:
    """Decode a whole recording: all channels averaged, soxr HQ to ``sample_rate``.

    Args:
        source: path, bytes, or seekable binary file object of anything that libsndfile or FFmpeg
            reads, at 1 to 768 kHz, with any number of channels.
        sample_rate: Hz wanted.

    Raises:
        AudioError: no such file, no sound in it, not decodable, or NaN or infinity among its
            samples. The message names the file.
    """
    return stream_audio(source, sample_rate).read()


def stream_audio(source: Source, sample_rate: int = SAMPLE_RATE) -> AudioStream:
    """Decode a recording block by block; the blocks together are what :func:`load_audio` gives.

    Arguments and errors are those of :func:`load_audio`; those of the content come while iterating.
    """
    check_rate(sample_rate)
    name = source_name(source)
    file = open_source(source, name)
    # A file that the caller opened stays open: it may be read again.
    owned = nullcontext(file) if file is source else file
    try:
        decoder = _readable(open_decoder(file, owned, name), name)
    except BaseException:
        with owned:
            raise
    return AudioStream(sample_rate, decoder.track, decoder, name)


def cut_audio(source: Source, start: float | None, seconds: float, sample_rate: int) -> Samples:
    """A part of a recording; silence before its sound begins.

    Args:
        source: as for :func:`load_audio`.
        start: seconds on the container's clock; None for where the sound begins.
        seconds: length of the part.
        sample_rate: Hz wanted.

    Returns:
        (n,) float32, shorter than asked for where the sound ends before.

    Raises:
        AudioError: as :func:`load_audio`.
    """
    stream = stream_audio(source, sample_rate)
    start = stream.start if start is None else start
    position = round(stream.start * sample_rate)
    first, last = round(start * sample_rate), round((start + seconds) * sample_rate)
    pieces = [np.zeros(max(min(position, last) - first, 0), np.float32)]
    for block in stream:
        pieces.append(block[max(0, first - position) : max(0, last - position)])
        position += len(block)
        if position >= last:
            break
    return np.concatenate(pieces)


def source_name(source: Source) -> str:
    """What to call a source in messages: its path, or what kind of object it is."""
    if isinstance(source, bytes):
        return "<bytes>"
    if isinstance(source, str | os.PathLike):
        return display(source)
    name = getattr(source, "name", None)
    return display(name) if isinstance(name, str) else "<file object>"


def downmix(frames: Samples) -> Samples:
    """Average the channels: (n, channels) to (n,)."""
    channels = frames.shape[1]
    if channels == 1:
        return np.ascontiguousarray(frames[:, 0])
    # A product with 1/channels is several times faster than numpy's mean over a short axis.
    return frames @ np.full(channels, 1 / channels, np.float32)


def resample(samples: Samples, source_rate: float, sample_rate: int = SAMPLE_RATE) -> Samples:
    """Resample (n,) or (n, channels) float32 with soxr HQ, the default of librosa since 0.10."""
    if source_rate == sample_rate:
        return samples
    resampled: Samples = soxr.resample(samples, source_rate, sample_rate)
    return resampled


def open_source(source: Source, name: str) -> BinaryIO:
    """Open what is to be decoded; a file object of the caller as it is.

    Raises:
        AudioError: it is not there, empty, a folder, or a pipe, which could wait for ever.
    """
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if not isinstance(source, str | os.PathLike):
        return source
    path = Path(source)
    if path.is_dir():
        raise AudioError(f"{name}: is a folder, expected a file")
    try:
        # Without a buffer, so that libraries in C can share its position; a pipe opens at once.
        file = open(path, "rb", buffering=0, opener=_at_once)  # noqa: SIM115
    except (OSError, ValueError) as error:
        raise AudioError(f"{name}: {getattr(error, 'strerror', None) or error}") from error
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_size:
        return file
    file.close()
    if stat.S_ISREG(status.st_mode):
        raise AudioError(f"{name}: the file is empty (0 bytes)")
    raise AudioError(f"{name}: {NO_FILE}")


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _readable(decoder: Decoder, name: str) -> Decoder:
    rate = decoder.track.source_rate
    if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise AudioError(f"{name}: its sample rate is {rate} Hz, expected 1000 to 768000")
    return decoder


@dataclass
class _Mixing:
    """Energy of the channels and of what is left when they are averaged."""

    before: float = 0.0
    after: float = 0.0

    def __call__(self, frames: Samples) -> Samples:
        mono = downmix(frames)
        if frames.shape[1] > 1:
            before = after = float(np.vdot(mono, mono))
            if after < _CANCELLED * len(mono):  # of louder ones no more can be lost than that
                flat = frames.ravel(order="K")
                before = float(np.vdot(flat, flat)) / frames.shape[1]
            self.before += before
            self.after += after
        return mono

    @property
    def warning(self) -> str:
        """That the channels cancel each other, if they do."""
        if self.after > _CANCELLED * self.before or not self.before:
            return ""
        left = 10 * math.log10(max(self.after / self.before, 1e-10))
        return (
            "its channels cancel each other when they are mixed to one (antiphase): what is left "
            f"is {-left:.0f} dB below them"
        )


def _resampled(decoder: Decoder, name: str, sample_rate: int) -> Iterator[Samples]:
    convert, rate = None, decoder.track.source_rate
    if rate != sample_rate:
        convert = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
    mix, frames, produced = _Mixing(), 0, 0
    for block in decoder.blocks:
        mono = mix(block)
        check_finite(mono, name, rate, frames)
        frames += len(mono)
        out = mono if convert is None else convert.resample_chunk(mono)
        check_finite(out, name, sample_rate, produced)
        produced += len(out)
        if len(out):
            yield out
    if convert is not None:
        tail = convert.resample_chunk(np.zeros(0, np.float32), last=True)
        check_finite(tail, name, sample_rate, produced)
        produced += len(tail)
        if len(tail):
            yield tail
    if produced == 0 and frames:
        raise AudioError(
            f"{name}: is too short: {frames} samples at {rate} Hz are not one at {sample_rate} Hz"
        )
    if produced == 0:
        cause = f" ({decoder.warnings[0]})" if decoder.warnings else ""
        raise AudioError(f"{name}: its audio track holds no samples{cause}")
    if mix.warning:
        decoder.warnings.append(mix.warning)


def check_rate(sample_rate: float) -> None:
    """Raise :class:`InputError` for a sample rate outside 1 to 768 kHz."""
    if not _LOWEST_RATE <= sample_rate <= _HIGHEST_RATE:
        raise InputError(f"sample_rate is {sample_rate} Hz, expected 1000 to 768000")


def check_finite(samples: Samples, name: str, rate: float, offset: int = 0) -> None:
    """Raise :class:`AudioError` where samples are no sound, with the time of the first."""
    if not len(samples) or max(samples.max(), -samples.min()) <= _LOUDEST:  # not where NaN is
        return
    bad = np.flatnonzero(~(np.abs(samples) <= _LOUDEST))
    seconds = (offset + int(bad[0])) / rate
    raise AudioError(
        f"{name}: {len(bad)} samples are NaN, infinite or beyond {_LOUDEST:g} times full scale, "
        f"the first at {seconds:.3f} s; repair the file or replace them with zeros"
    )
