"""The two functions of the published package, with its arguments and shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike

from wav2clip.embedding.embedder import Wav2CLIP, load
from wav2clip.embedding.engine import Embeddings
from wav2clip.errors import InputError
from wav2clip.models.checkpoint import Checkpoint
from wav2clip.models.config import AudioConfig, EncoderConfig, Standardize
from wav2clip.models.network import AudioNetwork


@dataclass(frozen=True)
class DropInModel:
    """What :func:`get_model` returns: a model, and the frames that it is to cut.

    Attributes:
        model: the model behind it; use its methods for everything else.
        frame_length: samples at 16 kHz of a frame, or None for clip level.
        hop_length: samples at 16 kHz between frames, or None for clip level.
    """

    model: Wav2CLIP
    frame_length: int | None = None
    hop_length: int | None = None


def get_model(
    device: str | torch.device = "cpu",
    pretrained: bool = True,
    frame_length: int | None = None,
    hop_length: int | None = None,
    *,
    model: str = "wav2clip",
    standardize: Standardize = "recording",
) -> DropInModel:
    """A model as the published package's ``get_model`` gives.

    Args:
        device: where it runs.
        pretrained: False gives a randomly initialised encoder without projection, as there.
        frame_length: samples at 16 kHz; frame level if given together with ``hop_length``.
        hop_length: samples at 16 kHz between the starts of frames.
        model: name or path; by default the published weights, fetched once.
        standardize: ``"batch"`` reproduces the published standardisation over the whole batch.

    Raises:
        InputError: only one of ``frame_length`` and ``hop_length``, or one below 1.
    """
    if (frame_length is None) != (hop_length is None):
        raise InputError("frame_length and hop_length go together: give both or neither")
    if frame_length is not None and hop_length is not None and min(frame_length, hop_length) < 1:
        raise InputError(f"frame_length {frame_length}, hop_length {hop_length}: expected >= 1")
    if pretrained:
        loaded = load(model, device=device, standardize=standardize)
    else:
        config = AudioConfig(encoder=EncoderConfig(projection=None), space="none")
        network = AudioNetwork(config.encoder).eval().requires_grad_(False)
        checkpoint = Checkpoint.of(network, config)
        loaded = Wav2CLIP(checkpoint, name="random", device=device, standardize=standardize)
    return DropInModel(loaded, frame_length, hop_length)


def embed_audio(audio: ArrayLike, model: DropInModel) -> Embeddings:
    """Embed (n,) or (batch, n) samples at 16 kHz with a model of :func:`get_model`.

    Returns:
        (batch, 512) at clip level, (batch, 512, frames) at frame level, float32; (n,) is a batch
        of one.
    """
    batch = np.atleast_2d(np.asarray(audio))
    if batch.ndim != 2:
        raise InputError(f"audio has shape {batch.shape}, expected (n,) or (batch, n)")
    embedder = model.model
    if model.frame_length is None or model.hop_length is None:
        return embedder.embed_audio(batch, embedder.sample_rate)
    return embedder.embed_frame_batch(batch, model.frame_length, model.hop_length)
