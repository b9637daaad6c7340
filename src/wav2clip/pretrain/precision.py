"""Mixed precision proves itself before the first epoch: its gradients against those of float32.

Some processors compute bfloat16 convolutions of short sounds wrong (see
:mod:`wav2clip.embedding.proof`; backwards it is up to 0.6 s, with and without AMX), and a run would
learn noise or end in NaN hours later.
"""

from __future__ import annotations

from collections.abc import Iterable

import lightning.pytorch as pl
import torch
from torch import Tensor

from wav2clip.errors import TrainingError
from wav2clip.models.network import AudioNetwork
from wav2clip.pretrain.batch import waveform
from wav2clip.pretrain.module import PretrainModule

SHORT_SECONDS = (0.1, 0.3, 0.6)
"""Tried beside the crops of a run: validation takes whole clips, which may be this short."""

LEAST_COSINE = 0.9
"""Of all gradients as one vector: bfloat16 gives 0.99, garbage values near 0 or NaN."""


class ProvePrecision(pl.Callback):
    """Compares the run's precision with float32 when training begins, on the run's own device."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do nothing if both agree.

        Raises:
            TrainingError: they do not; the message has the figures.
        """
        assert isinstance(pl_module, PretrainModule)
        stages = (stage.seconds for stage in pl_module.config.data.stages)
        cosines = compare(pl_module, trainer, sorted({*SHORT_SECONDS, *stages}))
        if not min(cosines.values()) >= LEAST_COSINE:  # NaN is wrong, too
            figures = ", ".join(f"{seconds:g} s: {c:.3f}" for seconds, c in cosines.items())
            raise TrainingError(
                f"run.precision {trainer.precision} computes other gradients than float32 on this "
                f"machine (cosines {figures}; expected at least {LEAST_COSINE}); train in 32-true"
            )


def compare(
    module: PretrainModule, trainer: pl.Trainer, lengths: Iterable[float]
) -> dict[float, float]:
    """Cosine between the gradients of both precisions, by the length of the sounds in seconds."""
    return {seconds: _agreement(module, trainer, seconds) for seconds in lengths}


def _agreement(module: PretrainModule, trainer: pl.Trainer, seconds: float) -> float:
    random = torch.Generator().manual_seed(0)
    frontend = module.config.network.frontend()
    samples = max(frontend.min_samples, round(seconds * frontend.sample_rate))
    noise = 8_000 * torch.randn(4, samples, generator=random)
    audio = waveform(noise.to(torch.int16).to(module.device))
    spectrogram = module.frontend.standardize(module.frontend(audio), "recording")
    with trainer.precision_plugin.forward_context():
        rounded = _gradients(module.network, spectrogram)
    exact = _gradients(module.network, spectrogram)
    return float(torch.nn.functional.cosine_similarity(rounded, exact, dim=0))


def _gradients(network: AudioNetwork, spectrogram: Tensor) -> Tensor:
    """All gradients of a sum over the embeddings as one vector; nothing of the network changes."""
    training = {module: module.training for module in network.modules()}
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    network.eval()  # without dropout, and with batch norms that stand still
    try:
        embedding = network.project(network.audio_encoder(spectrogram)).float()
        signs = torch.ones_like(embedding)
        signs[:, ::2] = -1  # so that nothing cancels in the plain mean
        gradients = torch.autograd.grad((signs * embedding).sum(), weights)
    finally:
        for module, mode in training.items():
            module.training = mode
    return torch.cat([gradient.float().flatten() for gradient in gradients])
