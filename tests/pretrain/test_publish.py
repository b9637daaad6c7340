"""A published folder holds the run's model, and a card with what the run recorded."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from wav2clip.embedding.embedder import load
from wav2clip.errors import CheckpointError, DataError, InputError
from wav2clip.models.background import Background, write_background
from wav2clip.models.checkpoint import load_checkpoint, save_checkpoint
from wav2clip.models.config import AudioConfig, EncoderConfig, MelConfig, MobileNetConfig
from wav2clip.models.network import AudioNetwork
from wav2clip.pretrain.publish import publish
from wav2clip.pretrain.shards import Failure, Manifest, Shard, TaggerRecord, Teacher

Run = Callable[..., subprocess.CompletedProcess[str]]

MANIFEST = Manifest(
    Teacher("builtin", "0123456789abcdef", "clip-vit-b-32", 512),
    {"train": [Shard("train/000000.tar", 40, 7200.0, {"text": 40}, "f" * 64)]},
    [Failure("a.wav", "empty")],
    {"seconds": 10.0, "genuine_text": {"nouns.npz": "0" * 64}},
)
PROVENANCE = {
    "config": {"seed": 2021, "data": {"batch_size": 128}, "loss": {"clip_loss_x": 1.0}},
    "data": MANIFEST.to_json(),
    "metrics": {"R@1": 12.345678, "note": "a|b"},
}


def make_run(folder: Path, licence: str = "CC-BY-4.0", **provenance: object) -> Path:
    torch.manual_seed(0)
    encoder = EncoderConfig(planes=(4, 8, 16, 32))
    config = AudioConfig(encoder=encoder, licence=licence, provenance=dict(provenance))
    return save_checkpoint(folder, AudioNetwork(encoder), config, np.full(512, 0.01, np.float32))


def test_what_is_published_is_the_run(tmp_path: Path) -> None:
    make_run(tmp_path / "run" / "checkpoint", **PROVENANCE)
    out = publish(tmp_path / "run", tmp_path / "hub" / "toy")
    assert sorted(p.name for p in out.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    before, after = load(tmp_path / "run" / "checkpoint"), load(out)
    assert after.fingerprint == before.fingerprint
    wave = np.random.default_rng(0).normal(size=16_000).astype(np.float32) / 10
    np.testing.assert_array_equal(after.embed_audio(wave, 16_000), before.embed_audio(wave, 16_000))
    np.testing.assert_array_equal(after.mean, before.mean)


def test_what_is_known_of_other_sounds_goes_along(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run" / "checkpoint", **PROVENANCE)
    vectors = np.random.default_rng(0).normal(size=(8, 512))
    write_background(folder, Background.measure(vectors))
    after = load(publish(tmp_path / "run", tmp_path / "toy"))
    assert after.background is not None
    np.testing.assert_array_equal(after.background.mean, load(folder).background.mean)


def test_the_card_tells_data_recipe_and_metrics(tmp_path: Path) -> None:
    make_run(tmp_path / "run", **PROVENANCE)
    card = (publish(tmp_path / "run", tmp_path / "toy") / "README.md").read_text("utf-8")
    for line in (
        'license: "cc-by-4.0"',
        "# toy",
        "| train | 40 | 2.00 |",
        "embeddings by builtin (fingerprint `0123456789abcdef`",
        "1 files could not be read",
        "| genuine_text.nouns.npz | " + "0" * 64 + " |",
        "| data.batch_size | 128 |",
        "| R@1 | 12.35 |",
        "| note | a\\|b |",
        "arXiv 2110.11499",
        load_checkpoint(tmp_path / "run").fingerprint,
    ):
        assert line in card, line
    assert card.startswith("---\n")
    assert "\n---\n" in card


def test_the_card_names_the_architecture_and_the_tagger(tmp_path: Path) -> None:
    encoder = MobileNetConfig(width=0.2, hidden=16, classes=9)
    tagger = TaggerRecord("ear", "0123", "MIT", 5, ("dog", "rain"))
    data = replace(MANIFEST, tagger=tagger, sample_rate=32_000).to_json()
    config = AudioConfig(MelConfig(), encoder, licence="CC0-1.0", provenance={"data": data})
    network = AudioNetwork(encoder)
    save_checkpoint(tmp_path / "run", network, config)
    card = (publish(tmp_path / "run", tmp_path / "toy") / "README.md").read_text("utf-8")
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert f"A MobileNet of {millions:.1f} million parameters" in card and "32 kHz" in card
    assert "Heard by ear (fingerprint `0123`, licence MIT), a tagger of 2 classes" in card
    make_run(tmp_path / "other", **PROVENANCE)
    card = (publish(tmp_path / "other", tmp_path / "old") / "README.md").read_text("utf-8")
    assert "A residual network of" in card and "16 kHz" in card and "Heard by" not in card


def test_of_metrics_per_epoch_the_card_shows_the_last(tmp_path: Path) -> None:
    epochs = [{"epoch": 1, "validation/R@1": 0.125}, {"epoch": 2, "validation/R@1": 0.25}]
    make_run(tmp_path / "run", metrics=epochs, data=MANIFEST.to_json() | {"failures": 3})
    card = (publish(tmp_path / "run", tmp_path / "toy") / "README.md").read_text("utf-8")
    assert "| validation/R@1 | 0.25 |" in card
    assert "0.125" not in card
    assert "3 files could not be read" in card


def test_a_run_that_recorded_nothing_gives_a_card_without_those_sections(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    card = (publish(tmp_path / "run", tmp_path / "toy", name="My Ears") / "README.md").read_text()
    assert "# My Ears" in card
    for section in ("Training data", "Recipe", "Measured"):
        assert f"## {section}" not in card


def test_the_licence_must_be_known_and_is_kept_in_the_config(tmp_path: Path) -> None:
    make_run(tmp_path / "run", licence="unknown")
    with pytest.raises(InputError, match="states no licence"):
        publish(tmp_path / "run", tmp_path / "toy")
    assert not (tmp_path / "toy").exists()
    publish(tmp_path / "run", tmp_path / "toy", licence="MIT")
    assert load_checkpoint(tmp_path / "toy").config.licence == "MIT"


def test_an_edited_card_is_not_overwritten(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    out = publish(tmp_path / "run", tmp_path / "toy")
    (out / "README.md").write_text("edited")
    with pytest.raises(InputError, match="exists"):
        publish(tmp_path / "run", out)
    assert (out / "README.md").read_text() == "edited"
    publish(tmp_path / "run", out, overwrite=True)
    assert "## Use" in (out / "README.md").read_text()


def test_what_cannot_be_published(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no checkpoint .*fit"):
        publish(tmp_path, tmp_path / "toy")
    run = make_run(tmp_path / "run")
    with pytest.raises(DataError, match="cannot write"):
        publish(run, "/proc/nowhere/toy")
    weights = run / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(CheckpointError):
        publish(run, tmp_path / "toy")
    assert not (tmp_path / "toy").exists()


def test_the_command(tmp_path: Path, run_command: Run) -> None:
    make_run(tmp_path / "run", **PROVENANCE)
    result = run_command("pretrain", "publish", "run", "--out", "hub", "--json")
    assert result.returncode == 0, result.stderr
    files = ["README.md", "config.json", "model.safetensors"]
    assert json.loads(result.stdout) == {"folder": "hub", "files": files}
    again = run_command("pretrain", "publish", "run", "--out", "hub")
    assert again.returncode == 1
    assert "exists; choose another folder" in again.stderr
    shutil.rmtree(tmp_path / "run")
    gone = run_command("pretrain", "publish", "run", "--out", "other")
    assert gone.returncode == 1
    assert "holds no checkpoint" in gone.stderr
