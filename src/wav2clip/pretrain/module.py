"""The training step as a LightningModule: sound and teacher embeddings in, losses out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from wav2clip.errors import TrainingError
from wav2clip.models.frontend import make_frontend
from wav2clip.models.network import AudioNetwork
from wav2clip.pretrain.augment import Augment
from wav2clip.pretrain.batch import Batch, waveform
from wav2clip.pretrain.config import FitConfig
from wav2clip.pretrain.data import Labels
from wav2clip.pretrain.losses import Losses
from wav2clip.pretrain.metrics import agreement, validation_table
from wav2clip.pretrain.start import start


class PretrainModule(pl.LightningModule):
    """Audio network, losses, optimiser.

    Random numbers of a step come from (seed, epoch, batch, process) alone, so a resumed run goes on
    as if it had never stopped.
    """

    def __init__(self, config: FitConfig, labels: Labels, total_steps: int) -> None:
        """``total_steps``: steps of the optimiser over the whole run, for the cosine schedule.

        Raises:
            what :func:`wav2clip.pretrain.start.start` raises.
        """
        super().__init__()
        torch.manual_seed(config.seed)
        self.config, self.total_steps = config, total_steps
        self.network = start(config.network, labels.classes)
        if config.optimiser.trunk_scale == 0:
            self.network.audio_encoder.requires_grad_(False)
        self.frontend = make_frontend(config.network.frontend())
        self.augment = Augment(config.augment, self.frontend)
        self.text_mean = torch.from_numpy(labels.mean)
        self.class_bank = None
        if labels.classes is not None:
            self.class_bank = torch.from_numpy(labels.classes.centred())
        self.losses = Losses(config, labels)
        self.average: AveragedModel | None = None
        if config.run.average is not None:
            self.average = AveragedModel(
                self.network, avg_fn=moving_average(config.run.average), use_buffers=True
            ).requires_grad_(False)
        self._plateau: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None
        self._plateau_state: dict[str, Any] = {}
        self._validated: list[tuple[Tensor, Tensor, Tensor, list[str | None]]] = []
        # A plain function: a compiled module would enter the state dict a second time.
        self._encode: Callable[[Tensor], Tensor] = self._encoder_features
        if config.run.compile:
            self._encode = torch.compile(self._encoder_features, dynamic=False)

    def _encoder_features(self, spectrogram: Tensor) -> Tensor:
        features: Tensor = self.network.audio_encoder(spectrogram)
        return features

    def train(self, mode: bool = True) -> PretrainModule:
        """As of every module, but frozen batch norms stay as they are at inference."""
        super().train(mode)
        if self.config.network.frozen_batch_norm:
            for module in self.network.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.eval()
        return self

    @property
    def shipped(self) -> AudioNetwork:
        """The network that validation and the checkpoint use: the average where there is one."""
        return self.network if self.average is None else cast(AudioNetwork, self.average.module)

    def _seed(self, index: int) -> int:
        place = [self.config.seed, self.current_epoch, index, self.global_rank]
        return int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1)

    def on_train_epoch_start(self) -> None:
        """Lightning gives every module the mode that it had, and never calls :meth:`train`."""
        self.train()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """The loss of a batch.

        Raises:
            TrainingError: the loss is not finite.
        """
        seed = self._seed(index)
        torch.manual_seed(seed)  # for the dropout
        with torch.autocast(self.device.type, enabled=False):
            spectrogram, batch = self.augment(batch, torch.Generator().manual_seed(seed))
        features = self._encode(spectrogram)
        losses = self._losses(features, self.network.project(features), batch)
        if not torch.isfinite(losses["loss"]):
            raise TrainingError(
                f"the loss became {losses['loss'].item()} in epoch {self.current_epoch}, batch "
                f"{index}; lower optimiser.learning_rate, set optimiser.clip_norm, or train in "
                "32-true, and resume from the last checkpoint"
            )
        self.log("loss", losses["loss"].detach(), batch_size=len(batch), prog_bar=True)
        for name, value in losses.items():
            self.log(
                f"train/{name}",
                value.detach(),
                on_step=False,
                on_epoch=True,
                batch_size=len(batch),
            )
        return losses["loss"]

    def _losses(self, features: Tensor, audio: Tensor, batch: Batch) -> dict[str, Tensor]:
        # Cosines times a scale of up to 100 need more than the eight bits of bfloat16.
        with torch.autocast(self.device.type, enabled=False):
            losses: dict[str, Tensor] = self.losses(features.float(), audio.float(), batch)
        return losses

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Follow the weights after each step of the optimiser."""
        if self.average is not None and (batch_idx + 1) % self.config.run.accumulate == 0:
            self.average.update_parameters(self.network)

    def embed(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Features and embeddings of whole sounds (n, samples) by the network that is shipped."""
        with torch.autocast(self.device.type, enabled=False):
            spectrogram = self.frontend.standardize(self.frontend(waveform(audio)), "recording")
        network = self.shipped
        features: Tensor = network.audio_encoder(spectrogram)
        return features.float(), network.project(features).float()

    def validation_step(self, batch: tuple[Batch, list[str | None]], index: int) -> None:
        """The loss without augmentation; embeddings are kept for the table."""
        clips, names = batch
        features, audio = self.embed(clips.audio)
        for name, value in self._losses(features, audio, clips).items():
            self.log(f"validation/{name}", value, batch_size=len(clips), sync_dist=True)
        self._validated.append((audio.cpu(), clips.targets.cpu(), clips.probabilities.cpu(), names))

    def on_validation_epoch_end(self) -> None:
        """Retrieval, accuracy and agreement with the tagger over all validation clips."""
        parts = zip(*self._validated, strict=True)
        audio, targets, probabilities = (torch.cat(next(parts)) for _ in range(3))
        labels = [name for part in next(parts) for name in part]
        self._validated.clear()
        table = validation_table(audio, targets, labels, self.text_mean)
        if self.class_bank is not None:
            cosines = torch.nn.functional.normalize(audio, dim=-1) @ self.class_bank.T
            table |= agreement(cosines, probabilities)
        self.log_dict({f"validation/{k}": v for k, v in table.items()}, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Adam and the schedule of :class:`OptimiserSettings`."""
        settings = self.config.optimiser
        trunk = list(self.network.audio_encoder.parameters())
        below = {id(parameter) for parameter in trunk}
        rest = [p for p in self.parameters() if p.requires_grad and id(p) not in below]
        groups: list[dict[str, Any]] = [
            {"params": trunk, "lr": settings.learning_rate * settings.trunk_scale},
            {"params": rest},
        ]
        optimiser = torch.optim.AdamW(
            groups, settings.learning_rate, weight_decay=settings.weight_decay
        )
        if settings.schedule != "plateau":
            curve = torch.optim.lr_scheduler.LambdaLR(optimiser, [self._trunk_rate, self._rate])
            return {
                "optimizer": optimiser,
                "lr_scheduler": {"scheduler": curve, "interval": "step"},
            }
        self._plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimiser, factor=settings.factor, patience=settings.patience, min_lr=settings.floor
        )
        self._plateau.load_state_dict(self._plateau_state)
        return optimiser

    def on_train_epoch_end(self) -> None:
        """Tell the plateau schedule about the epoch.

        Lightning would do so after it has saved the epoch, and a resumed run would miss one.
        """
        if self._plateau is not None:
            self._plateau.step(float(self.trainer.callback_metrics["validation/loss"]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the plateau schedule's count of epochs without gain."""
        if self._plateau is not None:
            checkpoint["plateau"] = self._plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Called before the optimiser is made, so the state waits for it."""
        self._plateau_state = checkpoint.get("plateau", {})

    def _trunk_rate(self, step: int) -> float:
        """The same for the encoder, which may stand still at first."""
        # A rate of 0 instead of no gradient: processes wait for every gradient of each other.
        frozen = self.config.optimiser.freeze_epochs * self.total_steps / self.config.run.epochs
        return 0.0 if step < frozen else self._rate(step)

    def _rate(self, step: int) -> float:
        """Share of the learning rate at a step: linear rise, then constant or half a cosine."""
        settings = self.config.optimiser
        rise = settings.warmup * self.total_steps
        if step < rise:
            return (step + 1) / (rise + 1)
        if settings.schedule == "constant":
            return 1.0
        progress = min(1.0, (step - rise) / max(1.0, self.total_steps - rise))
        lowest = settings.floor / settings.learning_rate
        return float(lowest + (1 - lowest) * 0.5 * (1 + np.cos(np.pi * progress)))


def moving_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """An averaging function for :class:`AveragedModel` whose decay rises to ``decay``.

    After n steps it is at most (1 + n) / (10 + n), so the random start is soon forgotten.
    """

    def update(average: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
        if not current.is_floating_point():
            return current
        n = int(steps)
        return torch.lerp(average, current, 1 - min(decay, (1 + n) / (10 + n)))

    return update
