"""Decoding with FFmpeg, through PyAV: coded sound, and whatever lies in a container."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO

import av
import numpy as np
from av.stream import Discard, Disposition
from numpy.typing import NDArray

from wav2clip.audio.headers import FFMPEG, NO_LENGTH, Header
from wav2clip.audio.track import (
    BLOCK_SECONDS,
    NOTICED_SECONDS,
    Decoder,
    Samples,
    Track,
    UnreadableError,
    at_one_rate,
    damage,
    shortage,
)
from wav2clip.errors import AudioError, NoSoundError
from wav2clip.files import NO_SOUND

CONTAINERS = (
    "3dostr,4xm,aa,aac,aax,ac3,act,acm,ads,adx,aea,afc,aiff,aix,amr,amrnb,amrwb,ape,apc,aptx,"
    "aptx_hd,argo_asf,asf,asf_o,ast,au,avi,avr,bfstm,bink,boa,bonk,brstm,caf,daud,dcstr,dhav,dsf,"
    "dss,dts,dtshd,dv,dxa,ea,eac3,epaf,film_cpk,flac,flv,fsb,fwse,g722,g723_1,g729,genh,gsm,gxf,"
    "hca,hcom,iamf,iff,ilbc,ircam,iss,kvag,laf,lc3,live_flv,loas,lvf,lxf,matroska,mca,mlp,mmf,mov,"
    "mp3,mpc,mpc8,mpeg,mpegts,msf,mtaf,mtv,musx,mxf,nistsphere,nsp,nsv,nut,nuv,ogg,oma,osq,paf,"
    "pmp,psxstr,pva,pvf,qcp,qoa,redspark,rka,rm,roq,rpl,rsd,rso,sbc,sdx,shn,siff,smk,sol,sox,"
    "spdif,svag,svs,swf,tak,thp,truehd,tta,ty,vag,vivo,voc,vpk,vqf,w64,wav,wavarc,wc3movie,webm,"
    "wsaud,wsd,wsvqa,wtv,wv,wve,xa,xmv,xvag,xwma"
)
"""FFmpeg's names of the formats that are opened: single files that hold their own sound. Playlists,
lists, descriptions of streams and devices are none of them."""

_OPTIONS = {"format_whitelist": CONTAINERS, "protocol_whitelist": "none"}
# Files come as objects that Python opened, so that no protocol is needed: whatever a file names,
# FFmpeg opens nothing else.

_FROM_ZERO = ("mov", "matroska")
"""Containers whose clock starts at 0; those of others start with whatever comes first."""

_AT_ONCE_SECONDS = 0.1
"""A track that starts this late starts at once: encoders put up to 93 ms in front (WMA), and whose
picture and sound are 90 ms apart is not disturbed (ITU-R BT.1359-1, threshold of acceptability)."""

_LATEST_SECONDS = 360_000.0
"""No clock of a sound file shows more than so many; what does is damaged."""

_MOST_DAMAGES = 64
"""Places, one after the other, at which reading may fail before it is given up."""

_DURATIONS = frozenset({"ape", "dsf", "flac", "mov", "mpc8", "tak", "tta", "wav", "wv"})
"""Containers whose header states how long the track is, which FFmpeg would else guess."""

_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")
"""Tags between the parts of what was joined, which decoders take for damaged sound."""

_SILENT = 128  # of unsigned samples of 8 bits

_NOT_IN_NUMPY = {"s64": "dbl", "s64p": "dbl"}
"""Formats that PyAV gives no arrays of, and what they become first."""

_PLANES = 8
"""PyAV reads planes of fewer channels than these; with more it reads beyond their list."""


def open_container(file: BinaryIO, encoding: str = "utf-8", **options: str) -> Any:
    """Open one of :data:`CONTAINERS` from a binary file, with tags read in that encoding.

    Args:
        file: binary and seekable.
        encoding: of tags.
        options: further ones of FFmpeg's.

    Raises:
        UnreadableError: FFmpeg does not read it, or it is another format.
    """
    try:
        return av.open(
            file,
            "r",
            metadata_encoding=encoding,
            metadata_errors="ignore",
            options={**options, **_OPTIONS},
        )
    except av.error.ArgumentError as error:
        raise UnreadableError("takes it for no container of sound or video") from error
    except (av.FFmpegError, ValueError, OSError, RuntimeError) as error:
        raise UnreadableError(reason_of(error)) from error


def reason_of(error: Exception) -> str:
    """FFmpeg's message alone."""
    return str(getattr(error, "strerror", None) or error).rstrip(".") or type(error).__name__


def open_ffmpeg(file: BinaryIO, name: str, header: Header) -> Decoder:
    """Decode the default audio track of a file from its present position.

    Raises:
        UnreadableError: FFmpeg does not read it.
        NoSoundError: it has no audio track.
        AudioError: it has none that can be decoded.
    """
    container = open_container(file)
    try:
        stream, number, several = _choose(container, name)
        warnings = [text for text in (header.warning, several) if text]
        decoder = Decoder(_track(container, stream, number), warnings=warnings, whole=header.whole)
        reader = _Reader(container, stream, decoder)
        frames = reader.frames()
        first = next(frames, None)
    except BaseException:
        container.close()
        raise
    if first is not None:
        decoder.track = _as_decoded(decoder.track, first, container)
    elif not decoder.track.source_rate or not decoder.track.channels:
        container.close()
        cause = f"{decoder.track.codec}: {reader.damage}" if reader.damage else decoder.track.codec
        raise AudioError(f"{name}: nothing in its audio track can be decoded ({cause})")

    def blocks() -> Iterator[Samples]:
        with container:
            if first is not None:
                rate = decoder.track.source_rate
                yield from at_one_rate(rate, reader.pieces(itertools.chain([first], frames)))
            announced = header.announced_seconds(reader.seconds)
            if not announced and header.warning != NO_LENGTH:
                announced = _announced(container, stream, header, decoder.track.start)
            if announced - reader.seconds > NOTICED_SECONDS:
                decoder.lacks(shortage(reader.seconds, announced))

    decoder.blocks = blocks()
    return decoder


# Which track --------------------------------------------------------------------------------------


def _choose(container: Any, name: str) -> tuple[Any, int, str]:
    """The track that players take, its number among the audio tracks from 1, and what to say."""
    tracks = container.streams.audio
    if not tracks:
        others = ", ".join(sorted({stream.type for stream in container.streams}))
        raise NoSoundError(f"{name}: {NO_SOUND}{others or 'no track at all'}")
    known = [stream for stream in tracks if stream.codec_context is not None]
    if not known:
        raise AudioError(f"{name}: its audio track is in a codec that FFmpeg does not know")
    chosen = next(filter(_is_default, known), known[0])
    number = tracks.index(chosen) + 1
    if len(tracks) == 1:
        return chosen, number, ""
    default = "the default one" if _is_default(chosen) else "no other is marked as default"
    return chosen, number, f"has {len(tracks)} audio tracks: track {number} is used, {default}"


def _is_default(stream: Any) -> bool:
    """Whether a file names this track as the one to play, to hearers without special needs."""
    special = Disposition.hearing_impaired | Disposition.visual_impaired | Disposition.comment
    return bool(stream.disposition & Disposition.default) and not stream.disposition & special


def _track(container: Any, stream: Any, number: int) -> Track:
    context = stream.codec_context
    return Track(
        context.sample_rate or 0,
        context.channels or 0,
        container.format.name.partition(",")[0],
        context.codec.canonical_name,
        FFMPEG,
        number,
        len(container.streams.audio),
    )


def _as_decoded(track: Track, frame: Any, container: Any) -> Track:
    """What the first frame tells: containers may state another rate than the decoder finds."""
    zero = clock_zero(container)
    start = (frame.time or zero) - zero
    late = _AT_ONCE_SECONDS < start < _LATEST_SECONDS
    return replace(
        track,
        source_rate=frame.sample_rate,
        channels=frame.layout.nb_channels,
        start=start if late else 0.0,
    )


def clock_zero(container: Any) -> float:
    """The time that FFmpeg gives to the start of a container's clock, in seconds."""
    if container.format.name.partition(",")[0] in _FROM_ZERO:
        return 0.0
    return float(container.start_time or 0) / av.time_base


def _announced(container: Any, stream: Any, header: Header, start: float) -> float:
    """Seconds that the header states for the track, which starts so late; 0.0 for none."""
    kind = container.format.name.partition(",")[0]
    known = kind in _DURATIONS or (kind == "mp3" and header.states_length)
    if known and stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if kind == "matroska" and len(container.streams) == 1:  # there it is that of the longest track
        return (container.duration or 0) / av.time_base - start
    return 0.0


# Frames -------------------------------------------------------------------------------------------


class _Reader:
    """Reads one track of an opened container.

    Attributes:
        seconds: what came so far.
        damage: what FFmpeg said where it first failed, "" if it did not.
    """

    def __init__(self, container: Any, stream: Any, decoder: Decoder) -> None:
        self._container, self._stream, self._decoder = container, stream, decoder
        self._packed: tuple[Any, Any] = (None, None)
        self.seconds, self.damage = 0.0, ""
        for other in container.streams:
            if other is not stream:
                other.discard = Discard.all  # so that nobody reads the pictures

    def frames(self) -> Iterator[Any]:
        """Frames as the decoder gives them; what is damaged is left out, and said."""
        packets = self._container.demux(self._stream)
        failed = 0
        while failed < _MOST_DAMAGES:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                failed += 1
                self._damaged(error)
                packets = self._container.demux(self._stream)
                continue
            if packet is None:
                return
            failed = 0
            try:
                yield from packet.decode()
            except av.FFmpegError as error:
                if not bytes(packet).startswith(_TAGS):
                    self._damaged(error)

    def pieces(self, frames: Iterator[Any]) -> Iterator[tuple[int, Samples]]:
        """Rate, and frames (n, channels) of about a block; each piece has one rate and width."""
        waiting = av.AudioFifo()  # frames last 20 ms: an array of each costs much
        kind: tuple[Any, ...] = ()
        for frame in frames:
            if not frame.samples:
                continue
            rate = frame.sample_rate
            own = (rate, frame.format.name, frame.layout.name, frame.layout.nb_channels)
            if waiting.samples and (kind != own or waiting.samples >= BLOCK_SECONDS * rate):
                yield kind[0], _to_float(self._array(waiting.read())).T
            if kind != own:
                waiting, kind = av.AudioFifo(), own
            frame.pts = None  # gaps between frames are no concern of the queue
            waiting.write(frame)
            self.seconds += frame.samples / rate
        if waiting.samples:
            yield kind[0], _to_float(self._array(waiting.read())).T

    def _array(self, frame: Any) -> NDArray[Any]:
        """(channels, n) of a frame of any format, in its own numbers."""
        channels = frame.layout.nb_channels
        if (frame.format.is_planar and channels >= _PLANES) or frame.format.name in _NOT_IN_NUMPY:
            frame = self._pack(frame)
        array: NDArray[Any] = frame.to_ndarray()
        return array if frame.format.is_planar else array.reshape(-1, channels).T

    def _pack(self, frame: Any) -> Any:
        """The same samples, all channels in one plane."""
        key = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._packed[0] != key:
            packed = _NOT_IN_NUMPY.get(frame.format.name, frame.format.packed.name)
            convert = av.AudioResampler(packed, frame.layout, frame.sample_rate)
            self._packed = key, convert
        (converted,) = self._packed[1].resample(frame)
        return converted

    def _damaged(self, error: Exception) -> None:
        if not self.damage:
            self.damage = reason_of(error)
            self._decoder.lacks(damage(self.seconds, self.damage))


def _to_float(array: NDArray[Any]) -> Samples:
    """Samples of any type, scaled to [-1, 1]."""
    floats: Samples
    if array.dtype == np.uint8:
        floats = (array - np.float32(_SILENT)) / np.float32(_SILENT)
    elif np.issubdtype(array.dtype, np.integer):
        scale = np.float32(1 / 2.0 ** (8 * array.dtype.itemsize - 1))
        floats = np.multiply(array, scale, dtype=np.float32, casting="unsafe")
    else:
        floats = array.astype(np.float32, copy=False)
    return floats
