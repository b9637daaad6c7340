"""A training run: from a configuration and a folder of shards to a checkpoint of the project."""

from __future__ import annotations

import json
import math
import os
import pickle
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
)
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from wav2clip import __version__
from wav2clip.errors import TrainingError
from wav2clip.files import atomic_path, display
from wav2clip.models.checkpoint import save_checkpoint
from wav2clip.models.config import AudioConfig
from wav2clip.pretrain.config import FitConfig, check_config, dump_config
from wav2clip.pretrain.data import (
    Corpus,
    Item,
    Process,
    collate,
    load_corpus,
    train_loader,
    whole_clips,
)
from wav2clip.pretrain.metrics import fitted_scale
from wav2clip.pretrain.module import PretrainModule
from wav2clip.pretrain.precision import ProvePrecision
from wav2clip.pretrain.shards import disk_errors

CONFIG, METRICS, MODEL = "config.yaml", "metrics.jsonl", "model"
MEAN_CLIPS = 2048
"""Training clips over which the mean embedding is taken."""


@dataclass(frozen=True)
class EpochReport:
    """One line of the table: epoch from 1, its mean training loss, validation loss and metrics."""

    epoch: int
    seconds: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class FitResult:
    """Where the checkpoint of a finished run lies, and the metrics of its last epoch."""

    model: Path
    metrics: dict[str, float]


def fit(
    config: FitConfig,
    data: str | Path,
    out: str | Path,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> FitResult:
    """Train, validate every epoch, and write the checkpoint.

    The folder ``out`` gets ``config.yaml``, ``checkpoints/`` (``last.ckpt`` after every epoch,
    ``best.ckpt``), ``metrics.jsonl``, ``tensorboard/`` and at the end ``model/``.

    Args:
        config: see :class:`FitConfig`.
        data: folder of shards, from ``wav2clip pretrain prepare``.
        out: folder of the run.
        resume: go on after the last finished epoch of a run that was stopped.
        callbacks: of Lightning, such as a progress bar.
        on_epoch: called in the first process after each validation.

    Raises:
        DataError: shards missing, damaged or unfit; folder not writable; disk full.
        TrainingError: the loss became NaN, the run cannot be resumed as asked, or its precision
            computes wrong on this machine.
    """
    out = Path(out)
    checkpoint = _prepare_folder(config, out, resume)
    corpus = load_corpus(data, config)
    module = PretrainModule(config, corpus.labels, _steps(config, corpus))
    with disk_errors(out):
        trainer = _trainer(config, out, [*callbacks, _Report(out, on_epoch)])
        try:
            trainer.fit(module, _Loaders(config, corpus), ckpt_path=checkpoint, weights_only=True)
        except SystemExit as exit_:  # Lightning's answer to an interrupt
            raise KeyboardInterrupt from exit_
        if trainer.is_global_zero:
            if config.run.ship == "best":
                load_weights(module, out / "checkpoints" / "best.ckpt")
            export(module, corpus, out)
        trainer.strategy.barrier()
    return FitResult(out / MODEL, read_metrics(out)[-1])


def load_weights(module: PretrainModule, checkpoint: Path) -> None:
    """Take the weights of a run's checkpoint.

    Raises:
        TrainingError: it is missing or damaged.
    """
    module.load_state_dict(_read_checkpoint(checkpoint)["state_dict"])


def _steps(config: FitConfig, corpus: Corpus) -> int:
    batches = (config.data.epoch_clips or corpus.clips) // config.data.batch_size
    return math.ceil(batches / config.run.accumulate) * config.run.epochs


class _Loaders(pl.LightningDataModule):
    """Loaders of this process, made when Lightning knows which one it is."""

    def __init__(self, config: FitConfig, corpus: Corpus) -> None:
        super().__init__()
        self.config, self.corpus = config, corpus

    def train_dataloader(self) -> Any:
        assert self.trainer is not None
        process = Process(self.trainer.global_rank, self.trainer.world_size)
        return train_loader(self.config, self.corpus, process)

    def val_dataloader(self) -> Any:
        batches = whole_clips(self.corpus.validation, self.config.data.batch_size)
        labels = self.corpus.labels
        return DataLoader(
            [(collate(batch, labels), [item.label for item in batch]) for batch in batches],  # type: ignore[arg-type]
            batch_size=None,
        )


class _Report(Callback):
    """Appends each epoch's metrics to ``metrics.jsonl`` and hands them on."""

    def __init__(self, out: Path, on_epoch: Callable[[EpochReport], None] | None) -> None:
        self.out, self.on_epoch, self.start = out, on_epoch, 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            # A kill may fall between this line's epoch and its checkpoint.
            _write_metrics(self.out, read_metrics(self.out)[: trainer.current_epoch])

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.start = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if "/" in k}
        seconds = time.monotonic() - self.start
        report = EpochReport(trainer.current_epoch + 1, seconds, metrics)
        line = {"epoch": report.epoch, "seconds": round(seconds, 2), **metrics}
        _write_metrics(self.out, [*read_metrics(self.out), line])
        if self.on_epoch is not None:
            self.on_epoch(report)


def _write_metrics(out: Path, lines: Sequence[dict[str, float]]) -> None:
    with atomic_path(out / METRICS) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def export(module: PretrainModule, corpus: Corpus, out: Path) -> Path:
    """Write the run's network as a checkpoint, with its config, data and metrics inside."""
    config, epochs = module.config, read_metrics(out)
    shipped = epochs[-1]
    if config.run.ship == "best":
        shipped = min(epochs, key=lambda line: line["validation/loss"])
    provenance = {
        "package": __version__,
        "date": datetime.now(UTC).date().isoformat(),
        "config": config.model_dump(mode="json"),
        "data": corpus.manifest.to_json() | {"failures": len(corpus.manifest.failures)},
        "labels": len(corpus.labels.names),
        "metrics": shipped,
        "epochs": epochs,
    }
    mean = mean_embedding(module, corpus)
    audio = AudioConfig(
        frontend=config.network.frontend(),
        encoder=config.network.encoder(),
        space=corpus.manifest.teacher.space,
        licence=config.licence,
        provenance=provenance,
        logit_scale=logit_scale(module, corpus, mean),
    )
    return save_checkpoint(out / MODEL, module.shipped, audio, mean)


def logit_scale(module: PretrainModule, corpus: Corpus, mean: NDArray[np.float32]) -> float | None:
    """:func:`fitted_scale` of the validation clips, centred on ``mean``, and the label bank."""
    labels = corpus.labels
    embeddings, names = _embed(module, corpus, corpus.validation)
    bank = functional.normalize(torch.from_numpy(labels.bank - labels.mean), dim=-1)
    centred = functional.normalize(embeddings - torch.from_numpy(mean), dim=-1)
    return fitted_scale(centred @ bank.T, torch.tensor([labels.index(name) for name in names]))


def mean_embedding(module: PretrainModule, corpus: Corpus) -> NDArray[np.float32]:
    """Mean unit embedding (d,) of training clips, drawn as training draws them.

    Where the training clips are not in memory, of the validation clips.
    """
    settings = module.config.data
    items = corpus.validation
    if corpus.cached is not None:
        config = module.config.model_copy(
            update={
                "data": settings.model_copy(update={"epoch_clips": min(MEAN_CLIPS, corpus.clips)})
            }
        )
        sampler = train_loader(config, corpus, Process()).sampler
        items = [corpus.cached[draw.clip] for draw in sampler]
    return np.asarray(_embed(module, corpus, items)[0].mean(dim=0).numpy())


@torch.inference_mode()
def _embed(
    module: PretrainModule, corpus: Corpus, items: Sequence[Item]
) -> tuple[Tensor, list[str | None]]:
    """Unit embeddings (n, d) of the clips in order of length, and their labels."""
    settings = module.config.data
    end = max(1, int(settings.validation_seconds * corpus.manifest.sample_rate))
    limited = [replace(item, audio=item.audio[:end]) for item in items]
    batches = whole_clips(limited, settings.batch_size)
    was_training = module.training
    module.eval()
    parts = [
        functional.normalize(
            module.embed(collate(batch, corpus.labels).to(module.device).audio)[1], dim=-1
        ).cpu()
        for batch in batches
    ]
    module.train(was_training)
    return torch.cat(parts).float(), [item.label for batch in batches for item in batch]


def read_metrics(out: Path) -> list[dict[str, float]]:
    """The lines of ``metrics.jsonl``: one dict per finished epoch."""
    path = out / METRICS
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _prepare_folder(config: FitConfig, out: Path, resume: bool) -> Path | None:
    """Check that the folder suits the run; gives the checkpoint to go on from."""
    last = out / "checkpoints" / "last.ckpt"
    if last.exists() and not resume:
        raise TrainingError(
            f"{display(out)} holds a run already; go on with --resume, or choose another folder"
        )
    if last.exists():
        _same_config(config, out / CONFIG)
        _read_checkpoint(last)
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        with atomic_path(out / CONFIG) as temporary:
            temporary.write_text(dump_config(config), "utf-8")
        if not last.exists():
            (out / METRICS).unlink(missing_ok=True)
    return last if last.exists() else None


def _read_checkpoint(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise TrainingError(
            f"{display(path)} cannot be read ({error}); put a copy of an earlier checkpoint in its "
            "place, or start the run again in another folder"
        ) from error
    return content


def _same_config(config: FitConfig, path: Path) -> None:
    import yaml

    before = check_config(yaml.safe_load(path.read_text("utf-8")), display(path))
    old, new = _flat(before.model_dump(mode="json")), _flat(config.model_dump(mode="json"))
    changed = [
        f"{key} was {old.get(key)}, is {new.get(key)}" for key in new if old.get(key) != new[key]
    ]
    if changed:
        raise TrainingError(
            "a run goes on with the settings it began with, or its numbers mean nothing: "
            f"{'; '.join(changed)}. Take {display(path)} as --config, or another --out"
        )


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return flat


def _trainer(config: FitConfig, out: Path, callbacks: list[Callback]) -> pl.Trainer:
    run = config.run
    keep = partial(
        ModelCheckpoint,
        out / "checkpoints",
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    callbacks = [
        # Lightning's own save_last skips epochs that bring no gain.
        keep(filename="best", monitor="validation/loss"),
        keep(filename="last"),
        LearningRateMonitor("epoch"),
        *callbacks,
    ]
    if run.precision != "32-true":
        callbacks.append(ProvePrecision())
    if run.stop_after is not None:
        callbacks.append(
            EarlyStopping(
                "validation/loss",
                patience=run.stop_after,
                check_on_train_epoch_end=True,
                check_finite=False,
            )
        )
    return pl.Trainer(
        accelerator="auto",
        # torchrun says by these how many processes it has started.
        devices=int(os.environ.get("LOCAL_WORLD_SIZE", 0)) or "auto",
        num_nodes=int(os.environ.get("GROUP_WORLD_SIZE", 1)),
        max_epochs=run.epochs,
        precision=run.precision,
        accumulate_grad_batches=run.accumulate,
        gradient_clip_val=config.optimiser.clip_norm,
        sync_batchnorm=run.sync_batch_norm,
        deterministic="warn",
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        logger=TensorBoardLogger(out, name="tensorboard", version=""),
        callbacks=callbacks,
        enable_progress_bar=any(isinstance(c, pl.callbacks.ProgressBar) for c in callbacks),
        enable_model_summary=False,
        log_every_n_steps=10,
    )
