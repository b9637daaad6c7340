"""A run that was killed goes on as if nothing had happened, and never loses what was finished."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch.callbacks import Callback
from tones import TINY, tagged, tiny, write_heard, write_tones

from patience import wait_until
from wav2clip.errors import DataError, TrainingError
from wav2clip.models.checkpoint import load_checkpoint
from wav2clip.pretrain.fit import fit, read_metrics


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("resume") / "shards")


class Losses(Callback):
    """Keeps the loss of each step; stops the run like a crash in one epoch's second batch."""

    def __init__(self, crash_in: int | None = None) -> None:
        self.crash_in, self.steps = crash_in, []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *rest: Any) -> None:
        self.steps.append((trainer.current_epoch, outputs["loss"].item()))
        if trainer.current_epoch == self.crash_in and rest[-1] == 1:
            raise RuntimeError("power cut")


def without_seconds(out: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_metrics(out)]


@pytest.mark.parametrize(
    "settings",
    [
        {"optimiser": {"schedule": "plateau", "patience": 0, "factor": 0.5}},
        {"optimiser": {"schedule": "cosine", "warmup": 0.2}, "data": {"balance": 0.5}},
        {"data": {"cache_gib": 0, "shuffle_buffer": 8}, "run": {"accumulate": 2, "average": None}},
    ],
    ids=["plateau", "cosine-balanced", "streamed-accumulated"],
)
def test_a_resumed_run_has_the_same_losses_to_the_last_digit(
    tmp_path: Path, shards: Path, settings: dict[str, Any]
) -> None:
    run = {"epochs": 5, "stop_after": 4, **settings.pop("run", {})}
    config = tiny(run=run, **settings)
    whole, broken, rest = Losses(), Losses(crash_in=2), Losses()
    fit(config, shards, tmp_path / "whole", callbacks=[whole])
    with pytest.raises(RuntimeError, match="power cut"):
        fit(config, shards, tmp_path / "killed", callbacks=[broken])
    result = fit(config, shards, tmp_path / "killed", resume=True, callbacks=[rest])
    assert whole.steps[: len(broken.steps)] == broken.steps
    assert [s for s in whole.steps if s[0] >= 2] == rest.steps
    assert without_seconds(tmp_path / "whole") == without_seconds(tmp_path / "killed")
    one = load_checkpoint(tmp_path / "whole" / "model")
    assert load_checkpoint(result.model).fingerprint == one.fingerprint
    assert (load_checkpoint(result.model).mean == one.mean).all()


def test_a_run_taught_by_a_tagger_resumes_to_the_last_digit(tmp_path: Path) -> None:
    shards = write_heard(tmp_path / "shards")
    first = fit(tagged(run={"epochs": 1}), shards, tmp_path / "first")
    config = tagged(
        network={"init": str(first.model), "frozen_batch_norm": True},
        optimiser={"schedule": "cosine", "trunk_scale": 0.3, "freeze_epochs": 1},
        data={"balance": 0.5},
        run={"epochs": 4, "stop_after": None},
    )
    whole, broken, rest = Losses(), Losses(crash_in=2), Losses()
    fit(config, shards, tmp_path / "whole", callbacks=[whole])
    with pytest.raises(RuntimeError, match="power cut"):
        fit(config, shards, tmp_path / "killed", callbacks=[broken])
    result = fit(config, shards, tmp_path / "killed", resume=True, callbacks=[rest])
    assert whole.steps[: len(broken.steps)] == broken.steps
    assert [s for s in whole.steps if s[0] >= 2] == rest.steps
    assert without_seconds(tmp_path / "whole") == without_seconds(tmp_path / "killed")
    one = load_checkpoint(tmp_path / "whole" / "model")
    assert load_checkpoint(result.model).fingerprint == one.fingerprint


def test_the_command_resumes_after_sigkill(tmp_path: Path, shards: Path) -> None:
    settings = TINY | {
        "run": {"epochs": 4, "stop_after": None},
        "data": TINY["data"] | {"epoch_clips": 80},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "wav2clip", "pretrain", "fit", "--config", "run.yaml"]
    command += ["--data", str(shards), "--out"]
    options = {"cwd": tmp_path, "env": {**os.environ, "OMP_NUM_THREADS": "1"}}
    last = tmp_path / "killed" / "checkpoints" / "last.ckpt"

    def killed_in_the_middle() -> bool:
        shutil.rmtree(tmp_path / "killed", ignore_errors=True)
        process = subprocess.Popen([*command, "killed"], stderr=subprocess.DEVNULL, **options)
        wait_until(lambda: last.exists() or process.poll() is not None)
        process.send_signal(signal.SIGKILL)
        return process.wait() == -signal.SIGKILL

    wait_until(killed_in_the_middle, "it was through each time before it could be killed")
    assert len(read_metrics(tmp_path / "killed")) < 4
    done = subprocess.run(
        [*command, "killed", "--resume", "--json"], capture_output=True, check=True, **options
    )
    subprocess.run([*command, "whole"], stderr=subprocess.DEVNULL, check=True, **options)
    assert without_seconds(tmp_path / "killed") == without_seconds(tmp_path / "whole")
    printed = json.loads(done.stdout)
    assert load_checkpoint(tmp_path / printed["model"]).config.space == "tones"
    assert printed["metrics"]["epoch"] == 4


def test_a_run_is_never_mixed_with_another(tmp_path: Path, shards: Path) -> None:
    fit(tiny(run={"epochs": 1}), shards, tmp_path)
    with pytest.raises(TrainingError, match="holds a run already; go on with --resume"):
        fit(tiny(run={"epochs": 1}), shards, tmp_path)
    other = tiny(run={"epochs": 1}, optimiser={"learning_rate": 0.5})
    with pytest.raises(TrainingError, match=r"optimiser\.learning_rate was 0\.001, is 0\.5"):
        fit(other, shards, tmp_path, resume=True)
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(TrainingError, match=r"last\.ckpt cannot be read"):
        fit(tiny(run={"epochs": 1}), shards, tmp_path, resume=True)


def test_resuming_a_finished_run_writes_the_same_checkpoint(tmp_path: Path, shards: Path) -> None:
    first = fit(tiny(run={"epochs": 2}), shards, tmp_path)
    before = load_checkpoint(first.model).fingerprint
    again = fit(tiny(run={"epochs": 2}), shards, tmp_path, resume=True)
    assert load_checkpoint(again.model).fingerprint == before
    assert len(read_metrics(tmp_path)) == 2


def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path: Path, shards: Path) -> None:
    class Poison(Callback):
        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            if trainer.current_epoch == 1:
                module.network.audio_encoder.conv1.weight.data[0] = float("nan")

    with pytest.raises(TrainingError, match=r"loss became nan in epoch 1, batch 0; lower"):
        fit(tiny(), shards, tmp_path, callbacks=[Poison()])
    assert len(read_metrics(tmp_path)) == 1
    fit(tiny(), shards, tmp_path, resume=True)
    assert len(read_metrics(tmp_path)) == 3


@pytest.mark.usefixtures("unprivileged")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, shards: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o500)
    with pytest.raises(DataError, match=r"cannot write .*locked.*Permission denied; choose"):
        fit(tiny(), shards, locked / "run")


def test_a_full_disk_is_named_and_the_run_goes_on_later(
    tmp_path: Path, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lightning.fabric.plugins.io.torch_io as torch_io

    save = torch_io._atomic_save

    def full(checkpoint: Any, path: Any) -> None:
        if checkpoint["epoch"] == 1:
            raise OSError(28, "No space left on device")
        save(checkpoint, path)

    monkeypatch.setattr(torch_io, "_atomic_save", full)
    with pytest.raises(DataError, match="No space left on device; make room and run the same"):
        fit(tiny(), shards, tmp_path)
    monkeypatch.undo()
    fit(tiny(), shards, tmp_path, resume=True)
    assert [line["epoch"] for line in read_metrics(tmp_path)] == [1, 2, 3]
