"""The object that users hold: sound, words and pictures in, comparable vectors out."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wav2clip import zeroshot
from wav2clip.audio import arrays, io, windows
from wav2clip.audio.io import Samples, Source
from wav2clip.downloads import Progress
from wav2clip.embedding.engine import Embeddings
from wav2clip.embedding.engines import make_engine
from wav2clip.errors import AudioError, InputError
from wav2clip.models import registry
from wav2clip.models.checkpoint import Checkpoint, load_checkpoint
from wav2clip.models.config import MelConfig, Standardize
from wav2clip.models.space import Space, require_same_space, unit
from wav2clip.models.towers import load_towers
from wav2clip.models.towers.base import Towers
from wav2clip.models.towers.images import ImageSource

WHOLE_SECONDS = 60.0
"""Recordings up to here go through the network in one piece; longer ones in overlapping chunks with
the same result, so that memory does not grow with their length."""

_BATCH_COLUMNS = 8 * 227
# Eight five-second spectrograms: more at once no longer fit the caches and slow a CPU down.


class Frames(NamedTuple):
    """Frame-level embeddings of one recording.

    Attributes:
        embeddings: (t, dimension) float32.
        starts: (t,) float64, seconds from the start of the recording to that of each frame.
    """

    embeddings: Embeddings
    starts: NDArray[np.float64]


class Wav2CLIP:
    """A loaded model. Safe to share between threads; holds no state between calls.

    Attributes:
        name: what it was loaded as.
        engine: what runs the network, one of :data:`wav2clip.embedding.engines.ENGINES`.
        options: the keywords that make the same model of the same checkpoint on another machine;
            what does not belong there, device and towers, is left out.
        fingerprint: 16 hexadecimal digits, others for other weights or preprocessing; engines that
            round more coarsely than float32 add their name.
        config: dimensions, preprocessing, space, licence and provenance of the checkpoint.
        mean: (dimension,) float32 mean of unit-length audio embeddings, or None; cross-modal scores
            are centred with it.
        background: how near sounds of all sorts lie to queries, or None where that is not known.
        standardize: ``"recording"`` (each recording alone) or ``"batch"`` (as the published code).
        graph_folder: where other processes find the same graph and weights, so that they need not
            be given samples; None where it is not ONNX Runtime that computes, or not from a file.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        name: str = "custom",
        device: Any = None,
        engine: str | None = None,
        precision: str = "float32",
        compiled: bool = False,
        towers: str = "builtin",
        standardize: Standardize = "recording",
    ) -> None:
        if standardize not in ("recording", "batch"):
            raise InputError(f'standardize is {standardize!r}, expected "recording" or "batch"')
        self.name = name
        self.config = checkpoint.config
        self.mean = checkpoint.mean
        self.background = checkpoint.background
        self.standardize = standardize
        self.towers_name = towers
        engine = engine or ("auto" if checkpoint.graph else "torch")
        self._engine = make_engine(engine, checkpoint, device, precision, compiled=compiled)
        self.engine = self._engine.name
        here = self._engine.device == "cpu" and isinstance(checkpoint.config.frontend, MelConfig)
        by_graph = self.engine == "onnx" and here
        self.graph_folder = checkpoint.folder if by_graph and checkpoint.graph else None
        self.options: dict[str, Any] = {
            "engine": self.engine,
            "precision": precision,
            "compiled": compiled,
            "standardize": standardize,
        }
        self.fingerprint = checkpoint.fingerprint + self._engine.suffix

    def __repr__(self) -> str:
        return f"<Wav2CLIP {self.name} {self.fingerprint}, {self.dimension}-d, {self.config.space}>"

    @property
    def dimension(self) -> int:
        """Size of an embedding."""
        return self.config.encoder.dimension

    @property
    def space(self) -> Space:
        """The space of its embeddings."""
        return Space(self.config.space, self.dimension)

    @property
    def device(self) -> str:
        """What its network runs on, as PyTorch or ONNX Runtime names it."""
        return self._engine.device

    @property
    def sample_rate(self) -> int:
        """Hz that waveforms are resampled to."""
        return self.config.frontend.sample_rate

    def beside(self, threads: int) -> Wav2CLIP:
        """The same model for callers that share the cores, with so many threads for each call."""
        twin = copy.copy(self)
        twin._engine = self._engine.beside(threads)
        return twin

    # Sound ------------------------------------------------------------------------------------

    def embed_audio(
        self, wave: ArrayLike | Sequence[ArrayLike], sample_rate: int, *, normalize: bool = False
    ) -> Embeddings:
        """Embed waveforms that are in memory.

        Args:
            wave: (n,), (batch, n), or a list of (n,) of unequal lengths, n >= 1; one channel each;
                floats nominally in [-1, 1], or integers, which are scaled to it.
            sample_rate: Hz of all of them.
            normalize: scale embeddings to unit length. The published model's are not.

        Returns:
            (dimension,) for one waveform, else (batch, dimension); float32. Every row is what the
            recording gives alone, unless ``standardize`` is ``"batch"``.

        Raises:
            InputError: a shape, type or rate outside of the above.
            AudioError: NaN or infinity in a waveform.
        """
        waves, single = self._waves(wave, sample_rate)
        embeddings = _embed_groups(waves, self.embed_batch)
        embeddings = unit(embeddings) if normalize else embeddings
        return embeddings[0] if single else embeddings

    def embed_batch(self, waves: Samples) -> Embeddings:
        """Embed waveforms of one length that were decoded for this model: nothing is checked.

        Args:
            waves: (batch, n) finite float32 at :attr:`sample_rate`.

        Returns:
            (batch, dimension), as :meth:`embed_audio` gives.
        """
        if self.standardize == "batch":
            size = len(waves)
        elif waves.shape[1] > WHOLE_SECONDS * self.sample_rate:
            return np.stack([self.embed_stream(partial(iter, [row])) for row in waves])
        else:
            size = self._batch_size(waves.shape[1])
        parts = (waves[first : first + size] for first in range(0, len(waves), size))
        return np.concatenate([self._engine.embed(part, self.standardize) for part in parts])

    def embed_file(self, source: Source, *, normalize: bool = False) -> Embeddings:
        """Embed one recording: path, bytes or binary file object of any audio or video container.

        A recording of any length takes bounded memory. Longer ones than :data:`WHOLE_SECONDS` are
        decoded twice, once for the statistics of their spectrogram. It is read in this process; see
        :func:`wav2clip.embedding.bulk.embed_files` for files that may crash a decoder.

        Returns:
            (dimension,) float32.

        Raises:
            AudioError: it cannot be read, or holds nothing to embed.
        """
        short, blocks = self._blocks(source)
        if short is not None:
            return self.embed_audio(short, self.sample_rate, normalize=normalize)
        embedding = self.embed_stream(blocks)
        return unit(embedding) if normalize else embedding

    def embed_stream(self, blocks: Callable[[], Iterable[Samples]]) -> Embeddings:
        """Embed one recording of any length in bounded memory.

        Args:
            blocks: called twice, for the statistics of the spectrogram and for the embedding; gives
                the recording from its start as (n,) float32 blocks at the model's rate.

        Returns:
            (dimension,) float32, equal to that of the recording in one piece but for rounding.
        """
        return self._engine.embed_stream(blocks)

    def embed_frames(
        self,
        wave: ArrayLike,
        sample_rate: int,
        frame_seconds: float = 1.0,
        hop_seconds: float = 1.0,
        *,
        normalize: bool = False,
    ) -> Frames:
        """Embed windows of one waveform; statistics are shared over the recording.

        Args:
            wave: (n,) as for :meth:`embed_audio`.
            sample_rate: Hz.
            frame_seconds: length of a window, at least 0.0005 s.
            hop_seconds: from the start of one window to the next. The incomplete tail is dropped.
            normalize: scale embeddings to unit length.

        Raises:
            InputError: the waveform is shorter than one window; or as :meth:`embed_audio`.
        """
        waves, single = self._waves(wave, sample_rate)
        if not single:
            raise InputError("embed_frames takes one waveform (n,); loop over a batch")
        frames = self.embed_frame_stream(lambda: iter(waves), frame_seconds, hop_seconds)
        return frames._replace(embeddings=unit(frames.embeddings)) if normalize else frames

    def embed_frame_stream(
        self,
        blocks: Callable[[], Iterable[Samples]],
        frame_seconds: float,
        hop_seconds: float,
        name: str = "waveform",
    ) -> Frames:
        """:meth:`embed_frames` of one recording of any length in bounded memory.

        Args:
            blocks: as for :meth:`embed_stream`.
            frame_seconds: length of a window.
            hop_seconds: from the start of one window to the next.
            name: of the recording, for messages.

        Raises:
            AudioError: the recording is shorter than one window.
        """
        length, hop = frame_samples(self.sample_rate, frame_seconds, hop_seconds)
        size = self._batch_size(length)
        embeddings = self._engine.embed_windows(
            lambda: windows.frame_blocks(blocks(), length, hop, size)
        )
        if not len(embeddings):
            raise AudioError(too_short(name, frame_seconds))
        return Frames(embeddings, windows.frame_starts(len(embeddings), hop, self.sample_rate))

    def embed_frame_batch(self, waves: Samples, length: int, hop: int) -> Embeddings:
        """Frame level in the shape of the published code.

        Args:
            waves: (batch, n) at the model's rate.
            length: samples of a window.
            hop: samples from the start of one window to the next.

        Returns:
            (batch, dimension, frames) float32. With ``standardize="batch"`` the statistics are
            those of all windows of all recordings.
        """
        rows, _ = self._waves(waves, self.sample_rate)
        size = self._batch_size(length)
        for row in rows:
            windows.frame(row, length, hop)  # says so if a recording is too short

        def cut(*recordings: Samples) -> Iterator[Samples]:
            for recording in recordings:
                yield from windows.frame_blocks([recording], length, hop, size)

        groups = [rows] if self.standardize == "batch" else [[row] for row in rows]
        parts = [self._engine.embed_windows(partial(cut, *group)) for group in groups]
        frames = np.concatenate(parts).reshape(len(rows), -1, self.dimension)
        return np.ascontiguousarray(frames.swapaxes(1, 2))

    def embed_file_frames(
        self,
        source: Source,
        frame_seconds: float = 1.0,
        hop_seconds: float = 1.0,
        *,
        normalize: bool = False,
    ) -> Frames:
        """:meth:`embed_frames` of a file of any length, read twice, in bounded memory."""
        short, blocks = self._blocks(source)
        if short is not None:
            blocks = partial(iter, [short])
        name = io.source_name(source)
        frames = self.embed_frame_stream(blocks, frame_seconds, hop_seconds, name)
        return frames._replace(embeddings=unit(frames.embeddings)) if normalize else frames

    def encode_audio(self, wave: ArrayLike, sample_rate: int) -> Embeddings:
        """Features of the encoder before the projection, as probes like them.

        Arguments as :meth:`embed_audio`; returns (features,) or (batch, features) float32: 512 of
        the published architecture, 384 of the built-in model.
        """
        waves, single = self._waves(wave, sample_rate)
        features = _embed_groups(waves, self._engine.features)
        return features[0] if single else features

    # Words and pictures -------------------------------------------------------------------------

    @cached_property
    def towers(self) -> Towers:
        """Text and image towers of the same space; loaded when first used.

        Raises:
            SpaceError: they belong to another space than the audio encoder.
        """
        device = self._engine.device if self.engine == "torch" else "cpu"
        towers = load_towers(self.towers_name, device=device)
        require_same_space(self.space, towers.space)
        return towers

    def embed_text(self, texts: Sequence[str]) -> Embeddings:
        """(n, dimension) float32, unit length, of n phrases."""
        return self.towers.embed_text(texts)

    def embed_image(self, images: Sequence[ImageSource]) -> Embeddings:
        """(n, dimension) float32, unit length, of n pictures given as paths or PIL images."""
        return self.towers.embed_image(images)

    def classify(
        self,
        source: Source,
        labels: Sequence[str],
        *,
        top_k: int | None = None,
        templates: str | Sequence[str] = zeroshot.DEFAULT_TEMPLATES,
        center: bool = True,
    ) -> dict[str, float]:
        """Zero-shot classification of one recording.

        Args:
            source: path, bytes or binary file object.
            labels: any words, each once.
            top_k: only the likeliest so many; by default all.
            templates: sentences around a label, by name or with ``{}`` where it goes; see
                :data:`wav2clip.zeroshot.TEMPLATES`.
            center: subtract the mean of the sounds and of the words before comparing them.

        Returns:
            Label to probability, likeliest first; over all labels they sum to one.

        Raises:
            InputError: no label, an empty one, or one given twice.
            AudioError: the recording cannot be read.
        """
        weights = zeroshot.class_weights(self.towers, labels, templates)
        probabilities = self.probabilities(self.embed_file(source)[None], weights, center=center)
        return dict(zeroshot.top(probabilities[0], zeroshot.check_labels(labels), top_k))

    def probabilities(
        self, embeddings: Embeddings, class_weights: Embeddings, *, center: bool = True
    ) -> Embeddings:
        """Probabilities (n, k) of classes for audio embeddings (n, d).

        Args:
            embeddings: of this model's sounds.
            class_weights: (k, d) from :func:`wav2clip.zeroshot.class_weights`.
            center: as :meth:`classify`; without effect where a mean is not known.
        """
        means = (self.mean, self.towers.means.get("text")) if center else (None, None)
        return zeroshot.classify_embeddings(
            embeddings, class_weights, self.logit_scale(center), *means
        )

    def logit_scale(self, center: bool = True) -> float:
        """Factor on the cosines of sounds and words before the softmax.

        Args:
            center: whether the cosines are centred. Their factor is the checkpoint's where it has
                one, and otherwise :func:`wav2clip.zeroshot.centred_scale` of the text tower's.
        """
        scale, text_mean = self.towers.logit_scale, self.towers.means.get("text")
        if not center or self.mean is None or text_mean is None:
            return scale
        if self.config.logit_scale is not None:
            return self.config.logit_scale
        return zeroshot.centred_scale(scale, self.mean, text_mean)

    # Inside ---------------------------------------------------------------------------------------

    def _waves(self, wave: Any, sample_rate: int) -> tuple[list[Samples], bool]:
        """Waveforms at the model's rate, and whether there was only one."""
        return arrays.to_waves(wave, sample_rate, self.sample_rate)

    def _blocks(self, source: Source) -> tuple[Samples | None, Callable[[], Iterator[Samples]]]:
        """A recording's samples if it is short, and a way to stream it from its start."""
        file = None if isinstance(source, str | bytes | os.PathLike) else source
        start = 0 if file is None else file.tell()

        def blocks() -> Iterator[Samples]:
            if file is not None:
                file.seek(start)
            return iter(io.stream_audio(source, self.sample_rate))

        head: list[Samples] = []
        limit = int(WHOLE_SECONDS * self.sample_rate)
        for block in blocks():
            head.append(block)
            if sum(map(len, head)) > limit:
                return None, blocks
        return np.concatenate(head), blocks

    def _batch_size(self, samples: int) -> int:
        return max(1, _BATCH_COLUMNS // self.config.frontend.columns(samples))


def load(
    model: str | Path = "builtin",
    *,
    device: Any = None,
    engine: str | None = None,
    precision: str = "float32",
    compiled: bool = False,
    towers: str = "builtin",
    standardize: Standardize = "recording",
    progress: Progress | None = None,
) -> Wav2CLIP:
    """Load a model by name or path.

    Args:
        model: ``"builtin"``, ``"wav2clip"`` (the published weights, fetched once), a ``.pt`` in the
            published layout, or a folder in the project's own.
        device: ``"cpu"`` (default), ``"cuda"``, ``"cuda:1"`` ..., or one of ONNX Runtime's where
            the installed package has it: ``"coreml"``, ``"directml"``, ``"openvino"``,
            ``"openvino:GPU"``; with ``engine="onnx"`` CUDA is its, too.
        engine: by default ``"auto"`` where the model has a graph for ONNX Runtime, as the built-in
            one has, else ``"torch"``. Or ``"onnx"`` (the same numbers), or ``"onnx-int8"`` (8-bit
            convolutions of the published architecture: about three times as fast, cosine with the
            exact embedding 0.99 and more). `wav2clip doctor` shows which work here.
        precision: of the torch engine: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        compiled: whether the torch engine compiles the network (a minute at first use).
        towers: text and image towers: ``"builtin"``, or a CLIP by hub name or local folder.
        standardize: ``"recording"``, or ``"batch"`` to reproduce numbers of the published code.
        progress: called with (bytes there, bytes in all) during a download.

    Raises:
        RegistryError: unknown name, or its weights are neither cached nor reachable.
        CheckpointError: the weights are damaged, unsafe or of another layout.
        InputError: unknown engine or device, or engine and device do not go together.
        MissingExtraError: the engine needs packages that are not installed.
    """
    checkpoint = load_checkpoint(registry.locate(model, progress))
    return Wav2CLIP(
        checkpoint,
        name=str(model),
        device=device,
        engine=engine,
        precision=precision,
        compiled=compiled,
        towers=towers,
        standardize=standardize,
    )


def frame_samples(rate: int, frame_seconds: float, hop_seconds: float) -> tuple[int, int]:
    """Samples of a frame, and from the start of one to the next.

    Raises:
        InputError: there is none in one of them.
    """
    length, hop = round(frame_seconds * rate), round(hop_seconds * rate)
    if length < 1 or hop < 1:
        raise InputError(
            f"frames of {frame_seconds} s every {hop_seconds} s are shorter than one sample at "
            f"{rate} Hz"
        )
    return length, hop


def too_short(name: str, frame_seconds: float) -> str:
    """What to say of a recording that has no whole frame."""
    return (
        f"{name}: shorter than one frame of {frame_seconds:g} s; choose shorter frames or "
        "embed the whole recording"
    )


def _embed_groups(waves: Sequence[Samples], embed: Callable[[Samples], Embeddings]) -> Embeddings:
    """Embed recordings in batches of equal length: padding would change what is next to it."""
    groups: dict[int, list[int]] = {}
    for row, wave in enumerate(waves):
        groups.setdefault(len(wave), []).append(row)
    results: list[Embeddings] = [np.zeros(0, np.float32)] * len(waves)
    for rows in groups.values():
        for row, embedding in zip(rows, embed(np.stack([waves[r] for r in rows])), strict=True):
            results[row] = embedding
    return np.stack(results)
