"""Anything that turns sound into vectors, behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

from wav2clip.audio.io import Samples, source_name
from wav2clip.downloads import offline
from wav2clip.embedding import bulk
from wav2clip.embedding.embedder import Frames, Wav2CLIP, load
from wav2clip.embedding.engine import Embeddings
from wav2clip.errors import InputError, Wav2ClipError
from wav2clip.evaluation.baselines import RANDOM_SEED, LogMel, Mfcc, RandomEncoder
from wav2clip.evaluation.published import PUBLISHED, missing_package
from wav2clip.models.registry import MODELS
from wav2clip.reading.readers import Readers

Layer = Literal["embedding", "encoder"]

_AHEAD = 32
"""Recordings decoded before an encoder takes them."""


@runtime_checkable
class Encoder(Protocol):
    """What every task of the evaluation measures.

    Attributes:
        name: what it is called in tables.
        fingerprint: hexadecimal digits, another for other weights or preprocessing; embeddings are
            cached under it.
        dimension: numbers per embedding.
        sample_rate: Hz of the waveforms that it takes; callers resample.
    """

    name: str
    fingerprint: str
    dimension: int
    sample_rate: int

    def embed(self, waves: Sequence[Samples]) -> Embeddings:
        """(n, dimension) float32, one row per waveform (samples,); each is what it gives alone."""

    def embed_frames(self, wave: Samples, frame_seconds: float, hop_seconds: float) -> Frames:
        """(t, dimension) float32 of the whole windows of one waveform, and their starts (t,).

        Raises:
            InputError: the waveform is shorter than one window.
        """


@runtime_checkable
class TextEncoder(Encoder, Protocol):
    """An encoder with a text side in the space of its sounds."""

    def embed_text(self, texts: Sequence[str]) -> Embeddings:
        """(n, dimension) float32, unit length, of n phrases."""


class Wav2ClipEncoder:
    """A Wav2CLIP model as an encoder.

    Attributes:
        model: the model itself, with words, pictures and means.
        layer: ``"embedding"`` (in the space of CLIP), or ``"encoder"`` for the features before the
            projection, on which probes do better.
        name, fingerprint, dimension, sample_rate: see :class:`Encoder`.
    """

    def __init__(self, model: Wav2CLIP, layer: Layer = "embedding") -> None:
        if layer not in ("embedding", "encoder"):
            raise InputError(f"got layer {layer!r}, expected embedding or encoder")
        self.model = model
        self.layer = layer
        inner = layer == "encoder"
        self.name = f"{model.name}:encoder" if inner else model.name
        self.fingerprint = f"{model.fingerprint}-encoder" if inner else model.fingerprint
        self.dimension = model.config.encoder.features if inner else model.dimension
        self.sample_rate = model.sample_rate

    def embed(self, waves: Sequence[Samples]) -> Embeddings:
        """See :meth:`Encoder.embed`."""
        if not len(waves):
            return np.zeros((0, self.dimension), np.float32)
        embed = self.model.embed_audio if self.layer == "embedding" else self.model.encode_audio
        return embed(list(waves), self.sample_rate)

    def embed_frames(self, wave: Samples, frame_seconds: float, hop_seconds: float) -> Frames:
        """See :meth:`Encoder.embed_frames`; of embeddings, whatever the layer is."""
        if self.layer == "encoder":
            raise InputError(f"{self.name} has clips alone; for frames use {self.model.name}")
        return self.model.embed_frames(wave, self.sample_rate, frame_seconds, hop_seconds)

    def embed_text(self, texts: Sequence[str]) -> Embeddings:
        """(n, dimension) float32, unit length, of n phrases."""
        return self.model.embed_text(texts)


class KnownEncoder(NamedTuple):
    """A name that :func:`load_encoder` understands.

    Attributes:
        name: what to type.
        available: whether it can be loaded here and now.
        reason: why not, or what its first use will fetch; empty where there is nothing to say.
    """

    name: str
    available: bool
    reason: str


def _spectral(kind: type[LogMel]) -> Callable[[str, str | None], Encoder]:
    def build(variant: str, device: str | None) -> Encoder:
        if variant:
            raise InputError(f"{kind.name} has no variant {variant!r}")
        return kind()

    return build


def _random(variant: str, device: str | None) -> Encoder:
    if variant and not variant.isdecimal():
        raise InputError(f"got random:{variant}, expected a seed such as random:7")
    return RandomEncoder(int(variant) if variant else RANDOM_SEED, device)


_BUILDERS: dict[str, Callable[[str, str | None], Encoder]] = {
    "logmel": _spectral(LogMel),
    "mfcc": _spectral(Mfcc),
    "random": _random,
    **PUBLISHED,
}


def load_encoder(name: str | Path, device: str | None = None) -> Encoder:
    """An encoder by name or by the path of a checkpoint.

    Args:
        name: one of :func:`known_encoders`, or a checkpoint. A colon adds a variant:
            ``builtin:encoder`` (or any checkpoint's) gives the features before the projection,
            ``random:7`` another seed, ``openl3:512`` the smaller one, ``yamnet:FOLDER`` and
            ``laion-clap:FOLDER`` a local copy or another one, ``ms-clap:2022`` the older one.
        device: ``"cpu"`` (default), ``"cuda"`` ...

    Raises:
        InputError: a variant that the encoder does not have.
        RegistryError: neither a known name nor an existing path, or weights that cannot be had.
        CheckpointError: damaged weights.
        MissingExtraError: the package that it needs is not installed.
    """
    given = str(name)
    kind, _, variant = given.partition(":")
    if kind in _BUILDERS:
        return _BUILDERS[kind](variant, device)
    if given.endswith(":encoder") and not Path(given).exists():
        return Wav2ClipEncoder(load(given.removesuffix(":encoder"), device=device), "encoder")
    return Wav2ClipEncoder(load(given, device=device))


def known_encoders() -> list[KnownEncoder]:
    """Every encoder that has a name, and whether it can be used here."""
    known = []
    for model in MODELS.values():
        reason = "" if model.available else "its weights are fetched when it is first used"
        if reason and offline():
            reason = "its weights are not cached, and the network is forbidden"
        known.append(KnownEncoder(model.name, model.available or not offline(), reason))
    for name in _BUILDERS:
        missing = missing_package(PUBLISHED[name].packages) if name in PUBLISHED else ""
        reason = missing or (
            "its package finds or fetches the weights" if name in PUBLISHED else ""
        )
        known.append(KnownEncoder(name, not missing, reason))
    return known


class EmbeddedFile(NamedTuple):
    """What became of one file: its embedding (dimension,), or None and the reason."""

    path: Path
    vector: Embeddings | None
    reason: str


def embed_files(encoder: Encoder, paths: Sequence[Path]) -> Iterator[EmbeddedFile]:
    """Embeddings of whole files by any encoder, each file once; a bad one costs no other.

    The order is that in which they are done.
    """
    if isinstance(encoder, Wav2ClipEncoder) and encoder.layer == "embedding":
        for result in bulk.embed_files(encoder.model, paths):
            vector = None if result.error else result.embeddings[0]
            yield EmbeddedFile(result.path, vector, result.error or "")
        return
    with Readers() as readers:
        calls = (partial(_load, readers, path, encoder.sample_rate) for path in paths)
        for path, wave in zip(paths, bulk.ahead(calls, readers.count, _AHEAD), strict=True):
            if isinstance(wave, str):
                yield EmbeddedFile(path, None, wave.removeprefix(f"{source_name(path)}: "))
            else:
                yield EmbeddedFile(path, encoder.embed([wave])[0], "")


def _load(readers: Readers, path: Path, sample_rate: int) -> Samples | str:
    """The samples of a recording, or why there are none."""
    try:
        return readers.load_audio(path, sample_rate).samples
    except (Wav2ClipError, OSError, MemoryError) as error:
        return str(error) or type(error).__name__
