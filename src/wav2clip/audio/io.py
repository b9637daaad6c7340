"""Sound in: decode any recording, mix it down to one channel, resample it.

libsndfile (through soundfile) reads what it can, FFmpeg (through PyAV) everything else, video
containers included. Decoding streams: memory does not grow with the length of a recording unless
the caller asks for all of it.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from wav2clip.errors import AudioError, InputError
from wav2clip.files import display

Source = str | os.PathLike[str] | bytes | BinaryIO
"""A path, the bytes of a file, or a seekable binary file object."""

Samples = NDArray[np.float32]

SAMPLE_RATE = 16_000
"""Hz; what the published Wav2CLIP network takes."""

Owned = AbstractContextManager[Any]
"""Closes what was opened here, and nothing else."""

_BLOCK_SECONDS = 0.5
# A block in which a file turns out to be damaged is lost as a whole, so it is kept short.
_LOWEST_RATE, _HIGHEST_RATE = 1_000, 768_000


@dataclass(frozen=True)
class Recording:
    """A decoded recording.

    Attributes:
        samples: (n,) float32, one channel, nominally in [-1, 1], always finite, n >= 1.
        sample_rate: Hz of ``samples``.
        source_rate: Hz of the file.
        channels: channels of the file, before they were averaged.
        warnings: what is wrong with the file although it could be read, such as a damaged end.
    """

    samples: Samples
    sample_rate: int
    source_rate: int
    channels: int
    warnings: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / self.sample_rate


@dataclass
class AudioStream:
    """Blocks of one recording as they are decoded: mono float32 at ``sample_rate``.

    Iterate once. ``seconds`` and ``warnings`` are complete when the iteration has ended.

    Attributes:
        sample_rate: Hz of the blocks.
        source_rate: Hz of the file.
        channels: channels of the file.
        seconds: duration of the blocks given so far.
        warnings: see :class:`Recording`.
    """

    sample_rate: int
    source_rate: int
    channels: int
    _decoder: _Decoder
    _name: str
    seconds: float = 0.0

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(self._decoder.warnings)

    def __iter__(self) -> Iterator[Samples]:
        for block in _resampled(self._decoder, self._name, self.sample_rate):
            self.seconds += len(block) / self.sample_rate
            yield block

    def frames(self) -> Iterator[Samples]:
        """The blocks as the file has them, in place of iterating: (n, channels) at its own rate.

        They are not checked: they may hold NaN and infinity.
        """
        return self._decoder.blocks


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
    stream = stream_audio(source, sample_rate)
    samples = np.concatenate(list(stream))
    return Recording(samples, sample_rate, stream.source_rate, stream.channels, stream.warnings)


def stream_audio(source: Source, sample_rate: int = SAMPLE_RATE) -> AudioStream:
    """Decode a recording block by block; the blocks together are what :func:`load_audio` gives.

    Arguments and errors are those of :func:`load_audio`; those of the content come while iterating.
    """
    check_rate(sample_rate)
    name = source_name(source)
    file = _open(source, name)
    # A file that the caller opened stays open: it may be read again.
    owned = nullcontext(file) if file is source else file
    try:
        decoder = _open_decoder(file, owned, name)
    except AudioError:
        with owned:
            raise
    if not _LOWEST_RATE <= decoder.rate <= _HIGHEST_RATE:
        raise AudioError(f"{name}: its sample rate is {decoder.rate} Hz, expected 1000 to 768000")
    return AudioStream(sample_rate, decoder.rate, decoder.channels, decoder, name)


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


def _open(source: Source, name: str) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if not isinstance(source, str | os.PathLike):
        return source
    path = Path(source)
    if path.is_dir():
        raise AudioError(f"{name}: is a folder, expected a file")
    try:
        file = path.open("rb")
    except OSError as error:
        raise AudioError(f"{name}: {error.strerror or error}") from error
    if os.fstat(file.fileno()).st_size == 0:
        file.close()
        raise AudioError(f"{name}: the file is empty (0 bytes)")
    return file


@dataclass
class _Decoder:
    """Frames (n, channels) float32 of an opened file."""

    rate: int
    channels: int
    blocks: Iterator[Samples]
    warnings: list[str] = field(default_factory=list)


def _open_decoder(file: BinaryIO, owned: Owned, name: str) -> _Decoder:
    start = file.tell()
    try:
        return _sndfile_decoder(soundfile.SoundFile(file), owned)
    except soundfile.LibsndfileError as error:
        reason = str(error.error_string).rstrip(".")
    file.seek(start)
    return _ffmpeg_decoder(file, owned, name, reason)


def _sndfile_decoder(sound: soundfile.SoundFile, owned: Owned) -> _Decoder:
    decoder = _Decoder(sound.samplerate, sound.channels, iter(()))

    def blocks() -> Iterator[Samples]:
        size = max(1, int(_BLOCK_SECONDS * sound.samplerate))
        read = 0
        with owned, sound:
            try:
                while len(block := sound.read(size, dtype="float32", always_2d=True)):
                    read += len(block)
                    yield block
            except soundfile.LibsndfileError as error:
                decoder.warnings.append(_damage(read / sound.samplerate, error.error_string))
            # An Ogg header does not tell the length: libsndfile then reports 2**63 - 1.
            if read < sound.frames < 2**62 and not decoder.warnings:
                decoder.warnings.append(
                    f"holds {read / sound.samplerate:.2f} s of the "
                    f"{sound.frames / sound.samplerate:.2f} s that its header announces"
                )

    decoder.blocks = blocks()
    return decoder


def _ffmpeg_decoder(file: BinaryIO, owned: Owned, name: str, sndfile_reason: str) -> _Decoder:
    try:
        container = av.open(file, "r", metadata_errors="ignore")
    except (av.FFmpegError, ValueError, OSError) as error:
        raise AudioError(
            f"{name}: neither libsndfile ({sndfile_reason}) nor FFmpeg "
            f"({_ffmpeg_reason(error)}) can read it; is it a sound or video file?"
        ) from error
    if not container.streams.audio:
        tracks = (
            ", ".join(sorted({stream.type for stream in container.streams})) or "no track at all"
        )
        container.close()
        raise AudioError(f"{name}: has no audio track, only {tracks}")
    track = container.streams.audio[0]
    if not track.rate or not track.channels:
        container.close()
        raise AudioError(f"{name}: its audio track states no sample rate or no channels")
    decoder = _Decoder(track.rate, track.channels, iter(()))
    # Planar float keeps the rate and every channel; soxr resamples, as for all other files.
    convert = av.AudioResampler(format="fltp", rate=track.rate)

    def blocks() -> Iterator[Samples]:
        seconds = 0.0
        with owned, container:
            packets = container.demux(track)
            while True:
                try:
                    packet = next(packets, None)
                    if packet is None:
                        break
                    frames = [f for raw in packet.decode() for f in convert.resample(raw)]
                except (av.FFmpegError, OSError) as error:
                    if not decoder.warnings:
                        decoder.warnings.append(_damage(seconds, _ffmpeg_reason(error)))
                    if isinstance(error, av.error.InvalidDataError):
                        continue
                    break
                for frame in frames:
                    seconds += frame.samples / track.rate
                    yield np.asarray(frame.to_ndarray(), np.float32).T

    decoder.blocks = blocks()
    return decoder


def _ffmpeg_reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _damage(seconds: float, reason: object) -> str:
    return f"damaged after {seconds:.2f} s ({str(reason).rstrip('.')}); what could be read is used"


def _resampled(decoder: _Decoder, name: str, sample_rate: int) -> Iterator[Samples]:
    convert = None
    if decoder.rate != sample_rate:
        convert = soxr.ResampleStream(decoder.rate, sample_rate, 1, dtype="float32", quality="HQ")
    frames = produced = 0
    for block in decoder.blocks:
        mono = downmix(block)
        check_finite(mono, name, decoder.rate, frames)
        frames += len(mono)
        out = mono if convert is None else convert.resample_chunk(mono)
        produced += len(out)
        if len(out):
            yield out
    if convert is not None:
        tail = convert.resample_chunk(np.zeros(0, np.float32), last=True)
        produced += len(tail)
        if len(tail):
            yield tail
    if produced == 0:
        cause = f" ({decoder.warnings[0]})" if decoder.warnings else ""
        raise AudioError(f"{name}: its audio track holds no samples{cause}")


def check_rate(sample_rate: float) -> None:
    """Raise :class:`InputError` for a sample rate outside 1 to 768 kHz."""
    if not _LOWEST_RATE <= sample_rate <= _HIGHEST_RATE:
        raise InputError(f"sample_rate is {sample_rate} Hz, expected 1000 to 768000")


def check_finite(samples: Samples, name: str, rate: float, offset: int = 0) -> None:
    """Raise :class:`AudioError` where samples are NaN or infinite, with the time of the first."""
    # The sum is finite if every sample is; it may also overflow, hence the second look.
    if np.isfinite(np.sum(samples, dtype=np.float64)):
        return
    bad = np.flatnonzero(~np.isfinite(samples))
    if len(bad):
        seconds = (offset + int(bad[0])) / rate
        raise AudioError(
            f"{name}: {len(bad)} samples are NaN or infinite, the first at {seconds:.3f} s; "
            "repair the file or replace them with zeros"
        )
