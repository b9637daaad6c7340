"""`wav2clip pretrain fit` as a user runs it, on real sounds with their pictures."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from wav2clip.embedding.embedder import load
from wav2clip.pretrain.shards import iterate
from wav2clip.ranking import retrieval

Run = Callable[..., subprocess.CompletedProcess[str]]
CONF = Path(__file__).parents[2] / "conf"
# Half the batch: as many steps as epochs of twice the number would have, for half the time.
QUICK = (
    "run.epochs=4",
    "data.stages=[{epochs: 4, seconds: 0.5}]",
    "data.batch_size=16",
    "data.validation_seconds=1",
)


@pytest.fixture
def shards(data: Path, tmp_path: Path, run_command: Run) -> Path:
    """All pairs of sound and picture, through the built-in teacher."""
    with (data / "tuxpaint/pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = tmp_path / "pairs.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["audio", "image"], extrasaction="ignore")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: (data / "tuxpaint" / row[k]).resolve() for k in ("audio", "image")})
    out = tmp_path / "shards"
    result = run_command("pretrain", "prepare", table, "--out", out, "--validation", "0")
    assert result.returncode == 0, result.stderr
    return out


def test_the_real_configuration_learns_real_pairs(
    tmp_path: Path, shards: Path, run_command: Run
) -> None:
    run = tmp_path / "run"
    arguments = ["pretrain", "fit", "--config", CONF / "tuxpaint.yaml", "--data", shards]
    arguments += ["--out", run, "--json"]
    arguments += [part for setting in QUICK for part in ("--set", setting)]
    result = run_command(*arguments, env={"OMP_NUM_THREADS": "1"})
    assert result.returncode == 0, result.stderr
    assert "epoch   4" in result.stderr and "median rank" in result.stderr
    printed = json.loads(result.stdout)
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert printed["metrics"] == json.loads(lines[-1])
    losses = [json.loads(line)["train/loss"] for line in lines]
    assert losses[-1] < 0.8 * losses[0]
    found = train_retrieval(Path(printed["model"]), shards)
    assert found["R@10"] > 0.35, found  # chance is 0.1
    assert list((run / "tensorboard").glob("events*"))


def test_the_real_configuration_starts_where_the_tagger_is(
    data: Path, tmp_path: Path, run_command: Run
) -> None:
    """One epoch of the built-in encoder's own recipe on a few real sounds."""
    weights = data / "teachers/efficientat_mn04/mn04_as_mAP_432.pt"
    (tmp_path / "sounds").mkdir()
    for path in sorted((data / "esc10_original").glob("*.ogg"))[::2]:
        shutil.copy(path, tmp_path / "sounds")
    result = run_command(
        *("pretrain", "prepare", "sounds", "--out", "shards", "--tagger", weights),
        *("--validation", "4", "--genuine-text", data / "clip_vit_b32/text_audioset527.npz"),
    )
    assert result.returncode == 0, result.stderr
    quick = "run.epochs=1", "data.batch_size=16", "data.stages=[{epochs: 1, seconds: 1}]"
    quick += "optimiser.learning_rate=0.00001", f"network.init={weights}"
    quick += ("data.validation_seconds=10",)  # whole clips, as the tagger heard them
    run = run_command(
        *("pretrain", "fit", "--config", CONF / "builtin.yaml", "--data", "shards"),
        *("--out", "run", "--json"),
        *(part for setting in quick for part in ("--set", setting)),
        env={"OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr
    metrics = json.loads(run.stdout)["metrics"]
    assert metrics["validation/tagger_text_loss"] < 0.02, "a step this small hardly moves it"
    assert metrics["train/tagger_text_loss"] > 0.05, "changed sounds are not what the tagger heard"
    assert metrics["validation/tagger_mAP"] > 0.9
    model = load(tmp_path / "run/model")
    assert model.sample_rate == 32_000
    assert model.embed_file(tmp_path / "sounds" / path.name).shape == (512,)


def train_retrieval(checkpoint: Path, shards: Path, clips: int = 90) -> dict[str, float]:
    """Retrieval of the training clips' pictures by their sounds."""
    model = load(checkpoint)
    kept = list(iterate(shards, "train"))[:clips]
    audio = [sample.audio[:32_000].astype(np.float32) / 32768 for sample in kept]
    sounds = np.stack([model.embed_audio(wave, 16_000) for wave in audio])
    pictures = np.stack([sample.targets[0] for sample in kept])
    unit = [x - x.mean(axis=0) for x in (sounds, pictures)]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in unit]
    return retrieval(torch.from_numpy(unit[0] @ unit[1].T), torch.eye(clips, dtype=torch.bool))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "no.yaml"], "no.yaml: No such file"),
        (["--config", CONF / "tuxpaint.yaml", "--set", "run.epoch=3"], "run.epoch"),
        (["--config", CONF / "tuxpaint.yaml"], "nowhere"),
    ],
)
def test_mistakes_are_one_clear_message(
    run_command: Run, arguments: list[str | Path], message: str
) -> None:
    result = run_command("pretrain", "fit", *arguments, "--data", "nowhere", "--out", "run")
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_help_shows_an_example(run_command: Run) -> None:
    result = run_command("pretrain", "fit", "--help")
    assert result.returncode == 0
    assert "Example" in result.stdout and "--resume" in result.stdout
