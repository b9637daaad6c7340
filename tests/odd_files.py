"""Odd sound files, made on the spot: containers, codecs, and everything that can be wrong in them.

:data:`KINDS` lists them with what must come out. Each is made of the same two sounds, so that what
is decoded can be compared with what went in.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import soxr

RATE = 44_100
SECONDS_A, SECONDS_B = 2.0, 1.5


@cache
def sound(which: str = "a", rate: int = RATE) -> np.ndarray:
    """(n,) float32: three voices that glide between 200 and 1,800 Hz and swell at 3 or 5 Hz."""
    if which == "silence":
        return np.zeros(round(SECONDS_A * rate), np.float32)
    seconds = {"a": SECONDS_A, "b": SECONDS_B}[which]
    t = np.arange(round(seconds * rate)) / rate
    share = t / seconds if which == "a" else 1 - t / seconds
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * (3 if which == "a" else 5) * t)
    phase = 2 * np.pi * np.cumsum(200 + 400 * share) / rate
    wave = sum(np.sin(k * phase + k) / k for k in (1, 2, 3))
    return (0.3 * swell * wave).astype(np.float32)


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        name: of the file, with its suffix.
        make: writes it; its content, or a path it is to be written to.
        parts: sounds that must come out, one after the other; () where there is an error.
        share: of these, what must come out.
        error: expression that the message of the error holds.
        warning: expression that one of the warnings holds; "" for no warning at all.
        start: seconds at which the sound begins on the container's clock.
        like: how like the sound must be, as the cosine of :func:`spectrum`.
    """

    name: str
    make: Callable[[Path], None]
    parts: tuple[str, ...] = ("a",)
    share: float = 1.0
    error: str = ""
    warning: str = ""
    start: float = 0.0
    like: float = 0.98

    @property
    def expected(self) -> list[np.ndarray]:
        """(n,) float32 at 16 kHz of each part."""
        whole = [soxr.resample(sound(part), RATE, 16_000) for part in self.parts]
        return [part[: round(len(part) * self.share)] for part in whole]


def spectrum(samples: np.ndarray) -> np.ndarray:
    """Loudness in 40 ms by thirds of octaves from 150 Hz to 2 kHz, centred, as one vector."""
    size, hop = 1024, 640
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop] * np.hanning(size)
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = np.searchsorted(np.fft.rfftfreq(size, 1 / 16_000), 150 * 2 ** (np.arange(13) / 3.2))
    bands = np.add.reduceat(power, edges, axis=1)[:, :-1]
    loud = (bands / bands.max()).clip(1e-4) ** 0.25
    return (loud - loud.mean()).ravel()


LATEST = 0.1
"""Seconds by which encoders may shift a sound."""


def likeness(found: np.ndarray, expected: np.ndarray) -> float:
    """Cosine of the spectra over what both have, where the one may be a little late or early."""
    best, most = -1.0, round(LATEST * 16_000)
    for late in range(-most, most, 160):
        heard, wanted = found[max(late, 0) :], expected[max(-late, 0) :]
        count = min(len(heard), len(wanted))
        if count < 2048:
            continue
        a, b = spectrum(heard[:count]), spectrum(wanted[:count])
        best = max(best, float(a @ b / np.sqrt((a @ a) * (b @ b) + 1e-12)))
    return best


# Writers ------------------------------------------------------------------------------------------


def stored(
    format: str, subtype: str | None = None, rate: int = RATE, channels: int = 1, which: str = "a"
) -> bytes:
    """A file of libsndfile."""
    buffer = io.BytesIO()
    samples = np.repeat(sound(which, rate)[:, None], channels, axis=1)
    soundfile.write(buffer, samples, rate, subtype, format=format)
    return buffer.getvalue()


@dataclass(frozen=True)
class Audio:
    """An audio track to be written."""

    codec: str
    which: str = "a"
    rate: int = RATE
    layout: str = "mono"
    start: float = 0.0
    default: bool = True
    bits: int = 128_000
    options: dict[str, str] = field(default_factory=dict)
    samples: Callable[[np.ndarray], np.ndarray] = lambda mono: mono


def muxed(
    format: str, *tracks: Audio, video: str = "", options: dict[str, str] | None = None
) -> bytes:
    """A file of FFmpeg."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=format, options=options or {}) as container:
        streams = [(track, _add(container, track)) for track in tracks]
        pictures = _add_video(container, video) if video else iter(())
        for packet in pictures:
            container.mux(packet)
        for track, stream in streams:
            for frame in _frames(track, stream):
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return buffer.getvalue()


def _add(container: Any, track: Audio) -> Any:
    stream = container.add_stream(
        track.codec, rate=track.rate, layout=track.layout, options=track.options
    )
    if track.bits:
        stream.bit_rate = track.bits
    if not track.default:
        stream.disposition = 0
    elif len(container.streams.audio) > 1 or track.start:
        stream.disposition = av.stream.Disposition.default
    stream.codec_context.options = {"strict": "experimental"} | track.options
    return stream


def _add_video(container: Any, codec: str) -> Iterator[Any]:
    stream = container.add_stream(codec, rate=5)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for number in range(50):
        picture = np.full((48, 64, 3), number * 5, np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 5)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _frames(track: Audio, stream: Any) -> Iterator[Any]:
    mono = track.samples(sound(track.which, track.rate))
    channels = stream.layout.nb_channels
    packed = np.repeat(mono[:, None], channels, axis=1).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), "flt", stream.layout.name)
    frame.sample_rate = track.rate
    frame.pts = round(track.start * track.rate)
    frame.time_base = Fraction(1, track.rate)
    convert = av.AudioResampler(
        stream.format, stream.layout, stream.rate, stream.codec_context.frame_size or None
    )
    yield from convert.resample(frame)
    yield from convert.resample(None)


# Damage and lies ----------------------------------------------------------------------------------


def cut(content: bytes, share: float) -> bytes:
    """The beginning of a file."""
    return content[: int(len(content) * share)]


def with_sizes(riff: int, data: int) -> bytes:
    """A WAV file whose header states other sizes."""
    content = bytearray(stored("WAV", "PCM_16"))
    at = content.index(b"data") + 4
    content[4:8], content[at : at + 4] = struct.pack("<I", riff), struct.pack("<I", data)
    return bytes(content)


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WAV file of chunks."""
    body = b"WAVE" + b"".join(
        name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
        for name, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def fmt(tag: int = 1, channels: int = 1, bits: int = 16, extra: bytes = b"") -> tuple[bytes, bytes]:
    """The chunk ``fmt`` of a WAV file at :data:`RATE`."""
    width = channels * bits // 8
    head = struct.pack("<HHIIHH", tag, channels, RATE, RATE * width, width, bits)
    return b"fmt ", head + extra


def pcm(which: str = "a") -> bytes:
    """Samples of 16 bits, little endian."""
    return (sound(which) * 32767).astype("<i2").tobytes()


def big_endian() -> bytes:
    """RIFX: WAV for processors of the other kind."""
    head = struct.pack(">HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    data = (sound() * 32767).astype(">i2").tobytes()
    chunks = b"fmt " + struct.pack(">I", 16) + head + b"data" + struct.pack(">I", len(data)) + data
    return b"RIFX" + struct.pack(">I", len(chunks) + 4) + b"WAVE" + chunks


def id3(size: int = 1000) -> bytes:
    """A tag of so many bytes."""
    frame = b"PRIV" + size.to_bytes(4, "big") + b"\0\0" + b"x" * size
    length = bytes((len(frame) >> shift) & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + length + frame


def flac_of_unknown_length(seconds: float = SECONDS_A) -> bytes:
    """As an encoder leaves it that writes into a pipe."""
    buffer = io.BytesIO()
    soundfile.write(buffer, sound()[: round(seconds * RATE)], RATE, format="FLAC")
    content = bytearray(buffer.getvalue())
    content[21] &= 0xF0  # the lower 36 bits before the checksum of STREAMINFO (RFC 9639)
    content[22:26] = bytes(4)
    return bytes(content)


def without_xing() -> bytes:
    """MP3 of variable bit rate without the frame that tells its length: quiet, then loud."""
    options = {"write_xing": "0", "id3v2_version": "0"}
    quality = {"q": "9", "compression_level": "9"}

    def quiet(mono: np.ndarray) -> np.ndarray:
        return np.concatenate([np.zeros_like(mono), mono])

    track = Audio("libmp3lame", bits=0, samples=quiet, options={"flags": "+qscale"} | quality)
    return muxed("mp3", track, options=options)


def unknown_codec() -> bytes:
    """Matroska with a codec of another planet."""
    return muxed("matroska", Audio("aac")).replace(b"A_AAC", b"A_XXX")


def spdif(codec: str = "ac3") -> bytes:
    """What a receiver gets through S/PDIF, as stereo samples of 16 bits."""
    return muxed("spdif", Audio(codec, rate=48_000, layout="stereo"))


def as_samples(content: bytes, format: str, subtype: str = "PCM_16") -> bytes:
    """A file that stores any bytes as stereo samples of 16 bits at 48 kHz."""
    samples = np.frombuffer(content[: len(content) // 4 * 4], "<i2").reshape(-1, 2)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 48_000, subtype, format=format)
    return buffer.getvalue()


def dts_marks(pattern: bytes) -> bytes:
    """Bytes that begin as frames of DTS do."""
    noise = np.random.default_rng(0).integers(0, 255, 2_042, np.uint8).tobytes()
    return (pattern + noise) * 40


def voc(*blocks: tuple[int, bytes]) -> bytes:
    """A Creative Voice file of blocks."""
    head = b"Creative Voice File\x1a" + struct.pack("<HHH", 26, 0x0114, 0x111F)
    body = b"".join(bytes([kind]) + len(c).to_bytes(3, "little") + c for kind, c in blocks)
    return head + body + b"\0"


def voc_blocks() -> bytes:
    """The sound in three blocks with a text between them, 8 bits at 20 kHz."""
    samples = (sound("a", 20_000) * 127 + 128).astype(np.uint8).tobytes()
    third = len(samples) // 3
    first = bytes([256 - 1_000_000 // 20_000, 0]) + samples[:third]
    rest = [(2, samples[third : 2 * third]), (5, b"hello\0"), (2, samples[2 * third :])]
    return voc((1, first), *rest)


def two_tracks(default: int | None, special: int = 0) -> bytes:
    """Matroska with two audio tracks: a sound that glides up, and one that glides down."""
    tracks = [Audio("flac", which, bits=0) for which in "ab"]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        streams = [_add(container, track) for track in tracks]
        for number, stream in enumerate(streams):
            stream.disposition = int(av.stream.Disposition.default) if number == default else 0
            if number == default:
                stream.disposition |= special
        for track, stream in zip(tracks, streams, strict=True):
            for frame in _frames(track, stream):
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return buffer.getvalue()


def stereo(right: float, subtype: str = "PCM_16") -> bytes:
    """WAV of two channels, the right one so many times the left."""
    buffer = io.BytesIO()
    both = np.stack([sound(), right * sound()], axis=1)
    soundfile.write(buffer, both, RATE, subtype, format="WAV")
    return buffer.getvalue()


def with_value(value: float) -> bytes:
    """WAV of floats with one odd one."""
    samples = sound().copy()
    samples[RATE] = value
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, "FLOAT", format="WAV")
    return buffer.getvalue()


def samples_only(count: int, format: str = "WAV") -> bytes:
    """A file of so many samples."""
    buffer = io.BytesIO()
    soundfile.write(buffer, sound()[:count], RATE, format=format)
    return buffer.getvalue()


def at_rate(rate: int) -> bytes:
    """WAV at any rate that its header holds."""
    content = bytearray(stored("WAV", "PCM_16", rate if 4_000 <= rate <= 192_000 else RATE))
    content[24:28] = struct.pack("<I", rate)
    return bytes(content)


def mute_video() -> bytes:
    """Pictures alone."""
    return muxed("mp4", video="mpeg4")


def paged() -> bytes:
    """Opus in pages of a tenth of a second."""
    options = {"page_duration": "100000"}
    return muxed("opus", Audio("libopus", rate=48_000), options=options)


def fragmented() -> bytes:
    """MP4 as it is streamed: its index is in pieces."""
    flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "200000"}
    return muxed("mp4", Audio("aac"), options=flags)


def listed(text: str) -> bytes:
    """A list that names other files."""
    return text.encode()


PLAYLISTS = {
    "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nneighbour.wav\n#EXT-X-ENDLIST\n",
    "concat.mp4": "ffconcat version 1.0\nfile neighbour.wav\n",
    "sdp.mp4": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 5004 RTP/AVP 0\r\n",
    "pls.wav": "[playlist]\nFile1=neighbour.wav\nNumberOfEntries=1\n",
    "asx.wma": '<ASX version="3"><Entry><Ref href="neighbour.wav"/></Entry></ASX>',
    "dash.mp4": '<?xml version="1.0"?>\n<MPD><BaseURL>neighbour.wav</BaseURL></MPD>',
    "meta.mp4": ";FFMETADATA1\ntitle=x\n",
    "sap.mp3": "#EXTM3U8\nhttp://127.0.0.1:9/x.mp3\n",
}


# The list -----------------------------------------------------------------------------------------


def _kind(name: str, make: Callable[[], bytes], **expected: Any) -> Kind:
    return Kind(name, lambda path: path.write_bytes(make()) and None, **expected)


def _stored_kinds() -> Iterator[Kind]:
    rows = {
        "WAV": "PCM_U8 PCM_16 PCM_24 PCM_32 FLOAT DOUBLE ULAW ALAW IMA_ADPCM MS_ADPCM GSM610 "
        "NMS_ADPCM_32 G721_32",
        "WAVEX": "PCM_24 FLOAT",
        "RF64": "PCM_16",
        "W64": "PCM_16 MS_ADPCM",
        "AIFF": "PCM_S8 PCM_16 FLOAT ULAW IMA_ADPCM",
        "AU": "PCM_16 ULAW G723_24",
        "CAF": "PCM_16 ALAC_16",
        "FLAC": "PCM_S8 PCM_16 PCM_24",
        "OGG": "VORBIS",
        "MP3": "MPEG_LAYER_III",
        "NIST": "PCM_16 ULAW",
        "IRCAM": "PCM_16",
        "PAF": "PCM_24",
        "SVX": "PCM_16",
        "AVR": "PCM_16",
        "MAT4": "FLOAT",
        "MAT5": "PCM_16",
        "PVF": "PCM_16",
        "XI": "DPCM_16",
        "MPC2K": "PCM_16",
        "SDS": "PCM_16",
        "VOC": "PCM_16",
    }
    for format, subtypes in rows.items():
        for subtype in subtypes.split():
            name = f"{subtype.lower()}.{format.lower()}"
            like = 0.94 if subtype in ("NMS_ADPCM_32", "GSM610") else 0.98
            yield _kind(name, partial(stored, format, subtype), like=like)
    yield _kind("opus.ogg", partial(stored, "OGG", "OPUS", 48_000))
    yield _kind("sixteen.opus", partial(stored, "OGG", "OPUS", 16_000))
    yield _kind("period.htk", partial(stored, "HTK", "PCM_16", 16_000))
    yield _kind("psion.wve", partial(stored, "WVE", "ALAW", 8_000))


def _muxed_kinds() -> Iterator[Kind]:
    plain = partial(Audio, bits=0)
    rows: dict[str, tuple[str, Audio]] = {
        "lame.mp3": ("mp3", Audio("libmp3lame")),
        "adts.aac": ("adts", Audio("aac")),
        "latm.loas": ("latm", Audio("aac")),
        "aac.m4a": ("ipod", Audio("aac")),
        "alac.m4a": ("ipod", plain("alac")),
        "flac.mp4": ("mp4", plain("flac")),
        "opus.mp4": ("mp4", Audio("libopus", rate=48_000)),
        "ulaw.mov": ("mov", plain("pcm_mulaw")),
        "ima.mov": ("mov", plain("adpcm_ima_qt")),
        "amr.3gp": ("3gp", Audio("libopencore_amrnb", rate=8_000, bits=12_200)),
        "narrow.amr": ("amr", Audio("libopencore_amrnb", rate=8_000, bits=12_200)),
        "aac.3g2": ("3g2", Audio("aac")),
        "aac.f4v": ("f4v", Audio("aac")),
        "smooth.ismv": ("ismv", Audio("aac")),
        "aac.mka": ("matroska", Audio("aac")),
        "vorbis.mka": ("matroska", Audio("vorbis", layout="stereo")),
        "pcm24.mka": ("matroska", plain("pcm_s24le")),
        "wavpack.mka": ("matroska", plain("wavpack")),
        "opus.webm": ("webm", Audio("libopus", rate=48_000)),
        "mp3.avi": ("avi", Audio("libmp3lame")),
        "pcm.avi": ("avi", plain("pcm_s16le")),
        "nelly.flv": ("flv", plain("nellymoser", rate=22_050)),
        "mp3.flv": ("flv", Audio("libmp3lame")),
        "aac.ts": ("mpegts", Audio("aac")),
        "mp2.ts": ("mpegts", Audio("mp2")),
        "ac3.m2ts": ("mpegts", Audio("ac3", rate=48_000)),
        "mp2.mpg": ("mpeg", Audio("mp2")),
        "pcm.vob": ("vob", plain("pcm_dvd", rate=48_000, layout="stereo")),
        "v1.wma": ("asf", Audio("wmav1")),
        "v2.asf": ("asf", Audio("wmav2")),
        "pack.wv": ("wv", plain("wavpack")),
        "true.tta": ("tta", plain("tta")),
        "dolby.ac3": ("ac3", Audio("ac3", rate=48_000)),
        "dolby.eac3": ("eac3", Audio("eac3", rate=48_000)),
        "layer.mp2": ("mp2", Audio("mp2")),
        "game.adx": ("adx", plain("adpcm_adx")),
        "flac.oga": ("oga", plain("flac")),
        "real.rm": ("rm", Audio("ac3")),
        "flash.swf": ("swf", Audio("libmp3lame")),
        "recorder.wtv": ("wtv", Audio("mp2")),
        "bluetooth.sbc": ("sbc", Audio("sbc", bits=328_000)),
        "headerless.aptx": ("aptx", plain("aptx", rate=48_000, layout="stereo")),
        "speech.g723_1": ("g723_1", Audio("g723_1", rate=8_000, bits=6_300)),
        "mp3inside.wav": ("wav", Audio("libmp3lame")),
        "g722.wav": ("wav", plain("g722", rate=16_000)),
        "yamaha.wav": ("wav", plain("adpcm_yamaha")),
        "long.wav": ("wav", plain("pcm_s64le")),
        "pcm.nut": ("nut", plain("pcm_s16le")),
        "samples.sox": ("sox", plain("pcm_s32le")),
        "broadcast.gxf": ("gxf", plain("pcm_s16le", rate=48_000)),
        "receiver.spdif": ("spdif", Audio("ac3", rate=48_000, layout="stereo")),
    }
    for name, (format, track) in rows.items():
        yield _kind(name, partial(muxed, format, track))
    for format, codec, video, suffix in [
        ("mp4", "aac", "mpeg4", "mp4"),
        ("matroska", "flac", "mpeg4", "mkv"),
        ("mov", "pcm_s16le", "mpeg4", "mov"),
        ("avi", "pcm_s16le", "mpeg4", "avi"),
        ("mpegts", "mp2", "mpeg2video", "mts"),
        ("vob", "mp2", "mpeg2video", "vob"),
    ]:
        make = partial(muxed, format, Audio(codec), video=video)
        yield _kind(f"film.{suffix}", make)
        if format != "avi":  # which has no clock for it
            late = partial(muxed, format, Audio(codec, start=8.0), video=video)
            yield _kind(f"late.{suffix}", late, start=8.0)
    yield _kind("late.m4a", partial(muxed, "ipod", Audio("aac", start=8.0)), start=8.0)


def _many_channels() -> Iterator[Kind]:
    rows = {
        "aac8.m4a": ("ipod", Audio("aac", rate=48_000, layout="7.1", bits=512_000)),
        "opus8.mka": ("matroska", Audio("libopus", rate=48_000, layout="7.1", bits=512_000)),
        "flac8.mka": ("matroska", Audio("flac", layout="7.1", bits=0)),
        "wavpack8.wv": ("wv", Audio("wavpack", layout="7.1", bits=0)),
        "planar8.nut": ("nut", Audio("pcm_s16le_planar", layout="7.1", bits=0)),
        "planar16.nut": ("nut", Audio("pcm_s32le_planar", layout="hexadecagonal", bits=0)),
        "ac3.ac3": ("ac3", Audio("ac3", rate=48_000, layout="5.1", bits=448_000)),
    }
    for name, (format, track) in rows.items():
        yield _kind(name, partial(muxed, format, track))
    for channels in (2, 6, 8, 64):
        yield _kind(f"channels{channels}.wav", partial(stored, "WAV", "PCM_16", RATE, channels))


def _lengths() -> Iterator[Kind]:
    whole, size = stored("WAV", "PCM_16"), 2 * len(sound())
    unknown = "states no length"
    yield _kind("sizes0.wav", partial(with_sizes, 0, 0), warning=unknown)
    yield _kind("data0.wav", partial(with_sizes, size + 36, 0), warning=unknown)
    yield _kind("sizesff.wav", partial(with_sizes, 2**32 - 1, 2**32 - 1), warning=unknown)
    yield _kind("data7f.wav", partial(with_sizes, 2**31 - 1, 2**31 - 37), warning=unknown)
    yield _kind("large.wav", partial(with_sizes, 3 * size, 3 * size), warning="of the 6.00 s")
    yield _kind("short.wav", partial(with_sizes, size, size // 2), share=0.5, warning="not used")
    yield _kind("flacpipe.flac", flac_of_unknown_length)
    yield _kind("flacshort.flac", partial(flac_of_unknown_length, 0.3), share=0.15)
    yield _kind("flac1.flac", partial(flac_of_unknown_length, 1.0), share=0.5)
    yield _kind("noxing.mp3", without_xing, parts=("silence", "a"))
    cuts = {"WAV": "PCM_16", "AIFF": "PCM_16", "AU": "PCM_16", "CAF": "PCM_16", "W64": "PCM_16"}
    for format, subtype in cuts.items():
        half = partial(lambda f, s: cut(stored(f, s), 0.5), format, subtype)
        yield _kind(f"cut.{format.lower()}", half, share=0.5, warning="of the 2.00 s")
    yield _kind("cut.flac", lambda: cut(stored("FLAC"), 0.5), share=0.5, warning="of the 2.00 s")
    yield _kind("cut.mka", lambda: cut(muxed("matroska", Audio("libmp3lame")), 0.5), share=0.5,
                warning="of the 2.0")  # fmt: skip
    yield _kind("cut.m4a", lambda: cut(muxed("ipod", Audio("aac")), 0.5), error="FFmpeg")
    yield _kind("cutpieces.mp4", lambda: cut(fragmented(), 0.5), share=0.45, warning="damaged")
    yield _kind("pieces.mp4", fragmented)
    yield _kind("cut.mp3", lambda: cut(muxed("mp3", Audio("libmp3lame")), 0.5), share=0.5,
                warning="of the 2.0")  # fmt: skip
    yield _kind("cut.opus", lambda: cut(paged(), 0.5), share=0.5)
    yield _kind("cut.ts", lambda: cut(muxed("mpegts", Audio("mp2")), 0.5), share=0.45)
    yield _kind("cut.avi", lambda: cut(muxed("avi", Audio("pcm_s16le", bits=0)), 0.5), share=0.45)
    yield _kind("head.wav", lambda: whole[:44], error="no samples")
    yield _kind("half.wav", lambda: whole[:30], error="can read it|no samples|cannot be decoded")


def _joined() -> Iterator[Kind]:
    both = ("a", "b")

    def twice(make: Callable[[str], bytes]) -> Callable[[], bytes]:
        return lambda: make("a") + make("b")

    def by_muxer(format: str, codec: str, **options: Any) -> Callable[[], bytes]:
        return twice(lambda which: muxed(format, Audio(codec, which, **options)))

    yield _kind("joined.mp3", by_muxer("mp3", "libmp3lame"), parts=both)
    yield _kind("joined.aac", by_muxer("adts", "aac"), parts=both)
    yield _kind("joined.ac3", by_muxer("ac3", "ac3", rate=48_000), parts=both)
    yield _kind("joined.mp2", by_muxer("mp2", "mp2"), parts=both)
    yield _kind("joined.ts", by_muxer("mpegts", "aac"), parts=both)
    yield _kind("joined.flac", twice(lambda w: stored("FLAC", which=w)), parts=both)
    yield _kind("chained.ogg", twice(lambda w: stored("OGG", "VORBIS", which=w)), parts=both)
    yield _kind("chained.opus", by_muxer("opus", "libopus", rate=48_000), parts=both)
    yield _kind("chained.oga", by_muxer("oga", "flac", bits=0), parts=both)
    yield _kind("joined.wav", twice(lambda w: stored("WAV", which=w)), warning="another WAV file")
    yield _kind("tagged.mp3", lambda: muxed("mp3", Audio("libmp3lame")) + id3() +
                muxed("mp3", Audio("libmp3lame", "b")), parts=both)  # fmt: skip
    rates = {"a": 44_100, "b": 22_050}
    yield _kind("rates.aac", twice(lambda w: muxed("adts", Audio("aac", w, rates[w]))), parts=both)
    yield _kind("rates.ogg", twice(lambda w: stored("OGG", "VORBIS", rates[w], which=w)),
                parts=both)  # fmt: skip
    yield _kind("rates.mp3", twice(lambda w: muxed("mp3", Audio("libmp3lame", w, rates[w]))),
                parts=both)  # fmt: skip
    layouts = {"a": "stereo", "b": "mono"}
    yield _kind("layouts.ts", twice(lambda w: muxed("mpegts", Audio("mp2", w, layout=layouts[w]))),
                parts=both)  # fmt: skip
    yield _kind("layouts.ogg", twice(lambda w: stored("OGG", "VORBIS", channels=2 - (w == "b"),
                which=w)), parts=both)  # fmt: skip
    yield _kind("layouts.flac", twice(lambda w: stored("FLAC", channels=2 - (w == "b"), which=w)),
                parts=both)  # fmt: skip


def _odd_headers() -> Iterator[Kind]:
    data = (b"data", pcm())
    yield _kind("rifx.wav", big_endian)
    yield _kind("junk.wav", lambda: riff((b"JUNK", b"x" * 2_000_001), fmt(), data))
    yield _kind("list.wav", lambda: riff(fmt(), (b"LIST", b"INFOICMT\x04\0\0\0abc\0"), data,
                (b"id3 ", id3())))  # fmt: skip
    yield _kind("tagged.wav", lambda: id3() + stored("WAV"))
    yield _kind("nofmt.wav", lambda: riff(data), error="can read it")
    yield _kind("odd.wav", lambda: riff(fmt(), (b"data", pcm() + b"x")))
    yield _kind("unknown.wav", lambda: riff(fmt(tag=0x7777), data), error="codec|can read it|decod")
    yield _kind("huge.mp3", lambda: id3(3_000_000) + muxed("mp3", Audio("libmp3lame")))
    yield _kind("garbage.mp3", lambda: b"\0" * 5_000 + muxed("mp3", Audio("libmp3lame")))
    yield _kind("tail.mp3", lambda: muxed("mp3", Audio("libmp3lame")) + b"TAG" + b"x" * 125)
    yield _kind("tagged.flac", lambda: id3() + stored("FLAC"))
    yield _kind("blocks.voc", voc_blocks)
    for rate in (4_000, 5_512, 11_025, 22_050, 32_000, 96_000, 192_000):
        yield _kind(f"rate{rate}.wav", partial(at_rate, rate))
    for rate in (0, 1, 999, 768_001, 2**31):
        yield _kind(f"rate{rate}.wav", partial(at_rate, rate), error="rate|can read it|decoded")


def _tracks() -> Iterator[Kind]:
    impaired = int(av.stream.Disposition.visual_impaired)
    yield _kind("first.mkv", partial(two_tracks, 0), warning="track 1 is used, the default")
    yield _kind("second.mkv", partial(two_tracks, 1), parts=("b",), warning="track 2 is used")
    yield _kind("none.mkv", partial(two_tracks, None), warning="2 audio tracks: track 1")
    yield _kind("told.mkv", partial(two_tracks, 1, impaired), warning="track 1 is used")
    yield _kind("unknown.mkv", unknown_codec, error="codec that FFmpeg does not know")
    yield _kind("mute.mp4", mute_video, error="has no audio track, only video")


def _not_sound() -> Iterator[Kind]:
    for name, text in PLAYLISTS.items():
        yield _kind(name, partial(listed, text), error="is an? |can read it")
    yield _kind("empty.wav", lambda: b"", error="empty")
    yield _kind(
        "text.mp3", lambda: b"To be, or not to be\n" * 99, error="can read it|no samples|dec"
    )
    yield _kind("headerless.raw", pcm, error="can read it")
    yield _kind("headerless.pcm", pcm, error="can read it")
    yield _kind("types.ts", lambda: b"export const a: number = 1;\n" * 99, error="can read it")
    yield _kind("zeros.mp3", lambda: bytes(9_999), error="can read it|no samples|dec")
    yield _kind("page.ogg", lambda: b"<!doctype html><title>404</title>" * 30, error="can read it")
    yield Kind("pipe.wav", lambda path: os.mkfifo(path), error="is a pipe")
    yield Kind("folder.wav", lambda path: path.mkdir(), error="is a folder")
    yield Kind("link.wav", lambda path: path.symlink_to("nowhere"), error="No such file")


def _odd_samples() -> Iterator[Kind]:
    yield _kind("one.wav", partial(samples_only, 1), error="too short: 1 samples at 44100 Hz")
    yield _kind("one.flac", partial(samples_only, 1, "FLAC"), error="too short: 1 samples")
    yield _kind("three.wav", partial(samples_only, 3), share=3 / (2 * RATE), like=-1)
    yield _kind("hundred.wav", partial(samples_only, 100), share=50 / RATE, like=-1)
    yield _kind("none.wav", partial(samples_only, 0), error="no samples")
    yield _kind(
        "none.flac", partial(samples_only, 0, "FLAC"), error="is empty|no sample|can read it"
    )
    for value in (np.nan, np.inf, -np.inf):
        yield _kind(f"{value}.wav", partial(with_value, value), error="NaN")
    yield _kind("antiphase.wav", partial(stereo, -1.0), like=-1, warning="cancel each other")
    yield _kind("half.wave", partial(stereo, -0.5))
    yield _kind("left.wav", partial(stereo, 0.0))
    yield _kind("ac3.wav", lambda: as_samples(spdif(), "WAV"))
    yield _kind("ac3.aiff", lambda: as_samples(spdif(), "AIFF"), error=r"AC-3 \(S/PDIF\)")
    yield _kind("ac3.flac", lambda: as_samples(spdif(), "FLAC"), error=r"AC-3 \(S/PDIF\)")
    yield _kind("ac3in24.wav", lambda: as_samples(spdif(), "WAV", "PCM_24"), error="AC-3")
    yield _kind("quiet.wav", lambda: as_samples(bytes(400_000) + spdif(), "WAV"), error="AC-3")
    for name, pattern in {
        "dts16": b"\xfe\x7f\x01\x80\x00\xfc", "dts14": b"\xff\x1f\x00\xe8\xf1\x07",
        "dtsbig": b"\x7f\xfe\x80\x01\xfc\x00",
    }.items():  # fmt: skip
        yield _kind(f"{name}.flac", partial(lambda p: as_samples(dts_marks(p), "FLAC"), pattern),
                    error="DTS")  # fmt: skip


KINDS = [
    kind
    for group in (
        _stored_kinds, _muxed_kinds, _many_channels, _lengths, _joined, _odd_headers, _tracks,
        _not_sound, _odd_samples,
    )
    for kind in group()
]  # fmt: skip
