"""The common API of HEAR 2021 (Turian et al. 2022, arXiv 2203.03022).

Give ``wav2clip.adapters.hear`` to ``hear-validator`` or ``heareval.embeddings.runner``: they find
here the three functions that they ask for.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from wav2clip.audio.io import resample
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import InputError
from wav2clip.models import registry
from wav2clip.models.checkpoint import Checkpoint, load_checkpoint

WINDOW_SECONDS = 0.5
"""Length of the window around a timestamp: the shortest that fills a cell of the network, which are
32 columns of 22 ms apart with a reach beyond."""

RATES = (16_000, 22_050, 44_100, 48_000)
"""Hz at which HEAR offers sound."""

HOP_SECONDS = 0.05
"""Between timestamps; HEAR asks for at most 50 ms, the tolerance of its transcription task."""


class HearModel(nn.Module):
    """A Wav2CLIP model as HEAR wants it: a module with three attributes, moved by ``to``.

    Attributes:
        sample_rate: Hz of the audio to pass in.
        scene_embedding_size: numbers per recording.
        timestamp_embedding_size: numbers per timestamp.
    """

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        super().__init__()
        own = checkpoint.config.frontend.sample_rate
        # HEAR offers sound at these rates alone; what has another is resampled.
        self.sample_rate = own if own in RATES else min(rate for rate in RATES if rate > own)
        self.scene_embedding_size = self.timestamp_embedding_size = (
            checkpoint.config.encoder.dimension
        )
        self.register_buffer("anchor", torch.empty(0), persistent=False)  # follows ``to``
        self._load = lru_cache(maxsize=1)(
            lambda device: Wav2CLIP(checkpoint, name=name, device=device)
        )

    @property
    def wav2clip(self) -> Wav2CLIP:
        """The model on the device that this module was moved to."""
        model: Wav2CLIP = self._load(self.get_buffer("anchor").device)
        return model

    def forward(self, audio: Tensor) -> Tensor:
        """See :func:`get_scene_embeddings`."""
        return get_scene_embeddings(audio, self)


def load_model(model_file_path: str = "") -> HearModel:
    """A model to pass to the other functions.

    Args:
        model_file_path: name or path as for :func:`wav2clip.load`; empty for the built-in model.

    Raises:
        RegistryError: unknown name, or its weights are neither cached nor reachable.
        CheckpointError: damaged weights.
    """
    name = str(model_file_path) or "builtin"
    return HearModel(load_checkpoint(registry.locate(name)), name)


def get_scene_embeddings(audio: Tensor, model: HearModel) -> Tensor:
    """One embedding per recording: (n, scene_embedding_size) float32 on the model's device.

    Args:
        audio: (n, samples) in [-1, 1] at the model's rate.
        model: of :func:`load_model`.
    """
    waves = _waves(audio)
    embeddings = model.wav2clip.embed_audio(waves, model.sample_rate)
    return _like(embeddings.reshape(len(waves), model.scene_embedding_size), model)


def get_timestamp_embeddings(audio: Tensor, model: HearModel) -> tuple[Tensor, Tensor]:
    """Embeddings of half a second around each timestamp, every 50 ms from the start to the end.

    The recording is mirrored at both ends, so that the first and the last window are full. Every
    recording is embedded as it would be alone.

    Args:
        audio: (n, samples) in [-1, 1] at the model's rate.
        model: of :func:`load_model`.

    Returns:
        Embeddings (n, t, timestamp_embedding_size) float32 and timestamps (n, t) float32 in
        milliseconds: the centres of the windows, from 0 to at most the length.
    """
    rate = model.wav2clip.sample_rate
    waves = np.stack([resample(wave, model.sample_rate, rate) for wave in _waves(audio)])
    length, hop = (int(s * rate) for s in (WINDOW_SECONDS, HOP_SECONDS))
    before = length // 2
    count = 1 + waves.shape[1] // hop
    after = (count - 1) * hop + length - before - waves.shape[1]
    padded = np.pad(waves, ((0, 0), (before, after)), mode="symmetric")
    frames = model.wav2clip.embed_frame_batch(padded, length, hop)
    # The hop in whole samples is what the windows move by, so long recordings do not drift.
    milliseconds = np.arange(count) * (1000.0 * hop / rate)
    timestamps = np.tile(milliseconds.astype(np.float32), (len(waves), 1))
    return _like(frames.swapaxes(1, 2), model), _like(timestamps, model)


def _waves(audio: Tensor) -> np.ndarray:
    if not isinstance(audio, Tensor) or audio.ndim != 2 or 0 in audio.shape:
        shape = tuple(audio.shape) if isinstance(audio, Tensor) else type(audio).__name__
        raise InputError(f"got audio {shape}, expected a tensor (n, samples), at least (1, 1)")
    return audio.detach().cpu().numpy()


def _like(values: np.ndarray, model: HearModel) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(model.get_buffer("anchor").device)
