"""The training step, augmentation, averaging, validation numbers, and that training learns."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from tones import DIMENSION, tagged, tiny, write_heard, write_tones

from wav2clip.embedding.embedder import load
from wav2clip.models.checkpoint import load_checkpoint
from wav2clip.models.frontend import Frontend
from wav2clip.pretrain.augment import LOUDNESS, Augment, equally_loud
from wav2clip.pretrain.batch import Batch, waveform
from wav2clip.pretrain.config import AugmentSettings, FitConfig
from wav2clip.pretrain.data import Process, collate, load_corpus, train_loader, whole_clips
from wav2clip.pretrain.fit import EpochReport, fit, read_metrics
from wav2clip.pretrain.metrics import fitted_scale, validation_table
from wav2clip.pretrain.module import PretrainModule, moving_average
from wav2clip.ranking import ranks, retrieval


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("module") / "shards", 48, 24)


def make_batch(n: int = 6, samples: int = 4000) -> Batch:
    rng = np.random.default_rng(0)
    return Batch(
        torch.from_numpy(rng.integers(-9000, 9000, (n, samples), dtype=np.int16)),
        torch.from_numpy(rng.normal(size=(n, DIMENSION)).astype(np.float32)),
        torch.arange(n)[:, None],
        torch.ones(n, 1),
        torch.zeros(n, 0),
        torch.zeros(n, 0),
    )


def augment(batch: Batch, seed: int = 0, **settings: Any) -> tuple[torch.Tensor, Batch]:
    change = Augment(AugmentSettings(**settings), Frontend())
    return change(batch, torch.Generator().manual_seed(seed))


def plain(batch: Batch) -> torch.Tensor:
    frontend = Frontend()
    return frontend.standardize(frontend(waveform(batch.audio)), "recording")


def test_without_augmentation_the_network_sees_what_it_sees_at_inference() -> None:
    spectrogram, batch = augment(make_batch())
    assert torch.equal(spectrogram, plain(make_batch()))
    assert batch.labels.shape == (6, 1)


@pytest.mark.parametrize(
    "settings",
    [
        {"mix": 1.0},
        {"reverb": 1.0},
        {"noise_db": (-20.0, -5.0)},
        {"equalise_db": 6.0},
        {"mask_bands": 2},
        {"mask_spans": 1},
    ],
    ids=lambda s: next(iter(s)),
)
def test_each_augmentation_changes_the_sound_and_depends_on_the_generator_alone(
    settings: dict[str, Any],
) -> None:
    first, _ = augment(make_batch(), 1, **settings)
    again, _ = augment(make_batch(), 1, **settings)
    other, _ = augment(make_batch(), 2, **settings)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.allclose(first, plain(make_batch()), atol=1e-3)
    assert torch.isfinite(first).all()


def test_mixing_keeps_the_books() -> None:
    batch = make_batch()
    _, mixed = augment(batch, mix=1.0)
    assert mixed.labels.shape == (6, 2)
    torch.testing.assert_close(mixed.shares.sum(1), torch.ones(6))
    assert (mixed.shares[:, 0] >= 0.5).all() and (mixed.shares[:, 1] > 0).all()
    wave = equally_loud(waveform(batch.audio))
    for i in range(6):
        first, second = mixed.labels[i].tolist()
        share = mixed.shares[i, 1]
        torch.testing.assert_close(mixed.audio[i], (1 - share) * wave[first] + share * wave[second])
        torch.testing.assert_close(
            mixed.targets[i], (1 - share) * batch.targets[first] + share * batch.targets[second]
        )


def test_equally_loud_leaves_silence_silent() -> None:
    wave = torch.stack([torch.zeros(100), torch.full((100,), 0.9)])
    level = equally_loud(wave).square().mean(1).sqrt()
    torch.testing.assert_close(level, torch.tensor([0.0, LOUDNESS]))


def test_reverberation_begins_with_the_direct_sound() -> None:
    click = torch.zeros(4, 8000)
    click[:, 1000] = 1
    change = Augment(AugmentSettings(reverb=1.0), Frontend())
    wet = change.reverberate(click, torch.Generator().manual_seed(0))
    assert wet[:, :1000].abs().max() < 1e-5
    torch.testing.assert_close(wet[:, 1000], torch.ones(4), atol=1e-5, rtol=0)
    early, late = wet[:, 1001:2000].square().sum(1), wet[:, 6000:7000].square().sum(1)
    assert (early > 10 * late).all() and (early > 0).all()


def test_masks_cover_no_more_than_they_may() -> None:
    masked, _ = augment(make_batch(), mask_bands=1, mask_bins=20, mask_spans=1, mask_share=0.5)
    silent = masked == plain(make_batch()).mean(dim=(1, 2), keepdim=True)
    assert silent.all(dim=2).sum(dim=1).max() <= 21
    assert silent.all(dim=1).sum(dim=1).max() <= 0.5 * masked.shape[2] + 1
    assert silent.any()


def test_the_average_follows_the_weights_by_its_formula() -> None:
    update = moving_average(0.9)
    average, expected = torch.tensor(1.0), 1.0
    for n, value in enumerate([3.0, 5.0, -2.0] * 40):
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * value
        average = update(average, torch.tensor(value), n)
    assert average.item() == pytest.approx(expected, rel=1e-5)
    assert update(torch.tensor(3), torch.tensor(7), 1) == 7  # counters are taken over


def test_ranks_against_counting_by_hand() -> None:
    generator = torch.Generator().manual_seed(0)
    similarity = torch.randint(0, 5, (9, 7), generator=generator).float()
    relevant = torch.rand(9, 7, generator=generator) < 0.3
    relevant[:, 0] = True
    for row, wanted, rank in zip(similarity, relevant, ranks(similarity, relevant), strict=True):
        best = max(row[j] for j in range(7) if wanted[j])
        assert rank == 1 + sum(1 for j in range(7) if not wanted[j] and row[j] >= best)


def test_perfect_and_constant_embeddings_score_as_they_should() -> None:
    targets = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    labels = [f"label {n // 2}" if n < 16 else None for n in range(20)]
    zero = torch.zeros(6)
    perfect = validation_table(targets - targets.mean(0), targets, labels, targets.mean(0))
    assert perfect["R@1"] > 0.9 and perfect["median_rank"] == 1
    constant = validation_table(torch.ones(20, 6), targets, labels, zero)
    assert constant["R@10"] == 0 and constant["median_rank"] >= 19
    assert "accuracy" not in validation_table(targets, targets, [None] * 20, zero)
    assert retrieval(torch.eye(3), torch.eye(3, dtype=torch.bool))["R@1"] == 1


def test_the_factor_is_that_of_a_search_by_hand() -> None:
    """Cosines whose labels were drawn by a softmax with factor 7: it is found again."""
    rng = np.random.default_rng(0)
    cosines = rng.uniform(-1, 1, (2000, 5))
    shares = np.exp(7 * cosines) / np.exp(7 * cosines).sum(axis=1, keepdims=True)
    own = np.array([rng.choice(5, p=row) for row in shares])
    losses = {}
    for step in range(201):
        factor = 10 ** (step / 100)
        losses[factor] = 0.0
        for row, label in zip(cosines, own, strict=True):
            losses[factor] -= factor * row[label] - np.log(np.exp(factor * row).sum())
    found = fitted_scale(torch.from_numpy(cosines), torch.from_numpy(own))
    assert found == pytest.approx(min(losses, key=losses.__getitem__))
    assert found == pytest.approx(7, rel=0.1)
    more = torch.from_numpy(np.vstack([cosines, np.ones((3, 5))]))
    assert fitted_scale(more, torch.from_numpy(np.append(own, [-1, -1, -1]))) == found
    assert fitted_scale(torch.ones(4, 1), torch.zeros(4, dtype=torch.long)) is None
    assert fitted_scale(torch.ones(4, 3), torch.full((4,), -1)) is None


def test_accuracy_is_that_of_the_nearest_label() -> None:
    targets = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
    audio = torch.tensor([[2.0, 0, 0], [0, 0, 3], [0, 0, 1], [1, 0, 0]])
    table = validation_table(audio, targets, ["a", "b", "c", "a"], torch.zeros(3))
    assert table["accuracy"] == 0.75


@pytest.mark.parametrize(
    ("loss", "projection"),
    [("clip_loss", None), ("clip_loss_i", None), ("clip_loss_x", DIMENSION), ("labels_loss", 8)],
)
def test_each_loss_learns_to_tell_sounds_apart(
    tmp_path: Path, shards: Path, loss: str, projection: int | None
) -> None:
    config = FitConfig.model_validate(
        {
            "network": {
                "planes": [16, 16, 16, projection or DIMENSION],
                "blocks": [1, 1, 1, 1],
                "projection": projection,
            },
            "data": {
                "batch_size": 16,
                "stages": [{"epochs": 1, "seconds": 0.2}],
                "epoch_clips": 192,
                "validation_seconds": 0.3,
            },
            "loss": {"clip_loss_x": 0, loss: 1, "centre": True},
            "optimiser": {"learning_rate": 0.005},
            "run": {"epochs": 8},
        }
    )
    reports: list[EpochReport] = []
    fit(config, shards, tmp_path, on_epoch=reports.append)
    accuracy = [report.metrics["validation/accuracy"] for report in reports]
    assert [report.epoch for report in reports] == list(range(1, 9))
    assert max(accuracy) >= 0.35, accuracy  # twice what chance gives, on any processor
    assert reports[-1].metrics["train/loss"] < reports[0].metrics["train/loss"]


@pytest.mark.parametrize("ship", ["best", "last"])
def test_the_checkpoint_is_what_validation_saw(tmp_path: Path, shards: Path, ship: str) -> None:
    class Worsen(Callback):
        """Makes the last epoch a bad one."""

        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            if trainer.current_epoch == 3:
                for network in (module.network, module.average.module):
                    network.audio_transform.sequential[3].weight.data.neg_().mul_(3)

    config = tiny(run={"ship": ship, "epochs": 4})
    result = fit(config, shards, tmp_path, callbacks=[Worsen()])
    losses = [line["validation/loss"] for line in read_metrics(tmp_path)]
    assert min(losses) < losses[-1]
    checkpoint = load_checkpoint(result.model)
    kept = torch.load(tmp_path / "checkpoints" / f"{ship}.ckpt", weights_only=True)
    assert kept["epoch"] == (3 if ship == "last" else losses.index(min(losses)))
    for name, tensor in checkpoint.network.state_dict().items():
        average = kept["state_dict"][f"average.module.{name}"]
        torch.testing.assert_close(tensor.float(), average.float(), atol=1e-3, rtol=1e-3)
    provenance = checkpoint.config.provenance
    assert provenance["config"] == config.model_dump(mode="json")
    assert provenance["data"]["teacher"]["name"] == "tones"
    assert provenance["epochs"] == read_metrics(tmp_path)
    assert provenance["metrics"]["epoch"] == kept["epoch"] + 1
    assert checkpoint.config.space == "tones"
    assert 0 < np.linalg.norm(checkpoint.mean) <= 1
    assert 1 <= checkpoint.config.logit_scale <= 100
    model = load(result.model)
    embedding = model.embed_audio(np.random.default_rng(0).normal(size=8000) / 9, 16_000)
    assert embedding.shape == (DIMENSION,)


def test_the_average_is_validated_and_the_network_trained(tmp_path: Path, shards: Path) -> None:
    class Keep(Callback):
        def on_fit_end(self, trainer: Any, module: Any) -> None:
            self.module = module

    keep = Keep()
    fit(tiny(run={"epochs": 1}), shards, tmp_path, callbacks=[keep])
    module = keep.module
    assert module.shipped is module.average.module
    own, average = module.network.audio_encoder.conv1, module.shipped.audio_encoder.conv1
    assert not torch.equal(own.weight, average.weight)


def test_mixed_precision_and_compiling_stay_close(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tracing is ours to test; generating C++ is not, and takes minutes.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    config = tiny(augment={"mix": 0, "reverb": 0, "noise_db": None, "speed": 0})
    corpus = load_corpus(shards, config)
    batch = collate(whole_clips(corpus.validation, 8)[0], corpus.labels)
    losses = []
    for run in ({}, {"compile": True}):
        settings = config.model_copy(update={"run": config.run.model_copy(update=run)})
        module = PretrainModule(settings, corpus.labels, 10).train()
        module.log = lambda *_, **__: None  # type: ignore[method-assign]
        losses.append(module.training_step(batch, 0).item())
        with torch.autocast("cpu", torch.bfloat16):
            assert module.training_step(batch, 0).item() == pytest.approx(losses[0], rel=0.05)
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_labels_that_training_never_saw_take_part_in_validation(shards: Path) -> None:
    corpus = load_corpus(shards, tiny())
    module = PretrainModule(tiny(), corpus.labels, 10).eval()
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    tables: list[dict[str, float]] = []
    module.log_dict = lambda table, **_: tables.append(table)  # type: ignore[method-assign]
    for items in whole_clips(corpus.validation, 8):
        renamed = [replace(item, label="new " + item.label) for item in items]
        batch = collate(renamed, corpus.labels)
        assert (batch.labels == -1).all()
        module.validation_step((batch, [item.label for item in renamed]), 0)
    module.on_validation_epoch_end()
    assert 0 <= tables[0]["validation/accuracy"] <= 1


# What a tagger teaches -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_heard(tmp_path_factory.mktemp("heard") / "shards", 60, 24)


def quiet(config: FitConfig, shards: Path) -> tuple[PretrainModule, Batch]:
    """A module that logs nothing, and its first batch."""
    corpus = load_corpus(shards, config)
    module = PretrainModule(config, corpus.labels, 100)
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    return module.train(), next(iter(train_loader(config, corpus, Process())))


@pytest.mark.parametrize("loss", ["tagger_loss", "tagger_text_loss", "tagger_features_loss"])
@pytest.mark.parametrize("architecture", ["mobilenet", "resnet18"])
def test_each_loss_learns_what_the_tagger_hears(
    tmp_path: Path, heard: Path, loss: str, architecture: str
) -> None:
    network: dict[str, Any] = {"width": 0.1, "hidden": 16, "classes": 6}
    if architecture == "resnet18":
        network = {"planes": [8, 8, 8, 16], "blocks": [1, 1, 1, 1]}
        heard = write_heard(tmp_path / "shards", 60, 24, 16_000)
    config = FitConfig.model_validate(
        {
            "network": network | {"architecture": architecture, "projection": DIMENSION},
            "data": {
                "batch_size": 20,
                "stages": [{"epochs": 1, "seconds": 0.2}],
                "epoch_clips": 240,
                "validation_seconds": 0.3,
            },
            "loss": {"clip_loss_x": 0, loss: 1, "centre": True},
            "optimiser": {"learning_rate": 0.01},
            "run": {"epochs": 3},
        }
    )
    fit(config, heard, tmp_path / "run")
    losses = [line[f"train/{loss}"] for line in read_metrics(tmp_path / "run")]
    assert losses[-1] < 0.85 * losses[0], losses
    last = read_metrics(tmp_path / "run")[-1]
    assert 0 <= last["validation/tagger_mAP"] <= 1
    assert (
        load(tmp_path / "run" / "model").sample_rate
        == (16 if architecture == "resnet18" else 32) * 1000
    )


def test_frozen_batch_norms_keep_what_they_start_with(heard: Path, tmp_path: Path) -> None:
    result = fit(tagged(run={"epochs": 1}), heard, tmp_path / "first")
    config = tagged(network={"init": str(result.model), "frozen_batch_norm": True})
    module, batch = quiet(config, heard)
    before = {k: v.clone() for k, v in module.network.state_dict().items() if "running" in k}
    assert before
    module.training_step(batch, 0).backward()
    after = module.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert module.network.audio_encoder.training
    free, batch = quiet(tagged(network={"init": str(result.model)}), heard)
    free.training_step(batch, 0)
    assert not all(torch.equal(free.network.state_dict()[n], v) for n, v in before.items())


@pytest.mark.parametrize("trunk_scale", [0.0, 1.0])
def test_what_is_frozen_is_shipped_as_it_began(
    heard: Path, tmp_path: Path, trunk_scale: float
) -> None:
    """Through Lightning, which sets modes itself: validation must not thaw anything."""
    first = fit(tagged(run={"epochs": 1}), heard, tmp_path / "first").model
    config = tagged(
        network={"init": str(first), "frozen_batch_norm": True},
        optimiser={"trunk_scale": trunk_scale, "learning_rate": 0.01},
        run={"epochs": 2},
    )
    second = fit(config, heard, tmp_path / "second").model
    before, after = (load_checkpoint(m).network.audio_encoder.state_dict() for m in (first, second))
    same = {name for name, value in before.items() if torch.equal(value, after[name])}
    assert {name for name in before if "running" in name} <= same
    weights = {name for name in before if name.endswith("weight")}
    assert weights <= same if trunk_scale == 0 else not weights & same


def test_the_trunk_has_a_rate_of_its_own_and_may_stand_still_at_first(heard: Path) -> None:
    settings = {"schedule": "cosine", "trunk_scale": 0.1, "freeze_epochs": 1, "warmup": 0.2}
    config = tagged(optimiser=settings | {"learning_rate": 0.01}, run={"epochs": 4})
    module, _ = quiet(config, heard)  # 100 steps: 25 per epoch
    made = module.configure_optimizers()
    optimiser, curve = made["optimizer"], made["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(30):
        rates.append([group["lr"] for group in optimiser.param_groups])
        optimiser.step()
        curve.step()
    assert all(trunk == 0 < rest for trunk, rest in rates[:25])
    assert all(trunk == pytest.approx(0.1 * rest) and rest > 0 for trunk, rest in rates[25:])
    trunk, rest = (group["params"] for group in optimiser.param_groups)
    encoder = list(module.network.audio_encoder.parameters())
    assert [id(p) for p in trunk] == [id(p) for p in encoder]
    trained = {id(p) for p in module.parameters() if p.requires_grad}
    assert trained == {id(p) for p in [*trunk, *rest]} and len(trained) == len(trunk) + len(rest)


def test_a_trunk_without_a_rate_is_not_trained(heard: Path) -> None:
    module, batch = quiet(tagged(optimiser={"schedule": "cosine", "trunk_scale": 0}), heard)
    module.training_step(batch, 0).backward()
    optimiser = module.configure_optimizers()["optimizer"]
    before = [p.clone() for p in module.network.parameters()]
    optimiser.step()
    encoder = {id(p) for p in module.network.audio_encoder.parameters()}
    for parameter, old in zip(module.network.parameters(), before, strict=True):
        assert torch.equal(parameter, old) == (id(parameter) in encoder)
        assert (parameter.grad is None) == (id(parameter) in encoder)


def test_validation_agrees_with_the_tagger_as_far_as_its_cosines_do(heard: Path) -> None:
    """Embeddings made of the tagger's own probabilities rank clips as the tagger does."""
    config = tagged()
    corpus = load_corpus(heard, config)
    module = PretrainModule(config, corpus.labels, 10).eval()
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    tables: list[dict[str, float]] = []
    module.log_dict = lambda table, **_: tables.append(table)  # type: ignore[method-assign]
    batches = [collate(items, corpus.labels) for items in whole_clips(corpus.validation, 8)]
    bank = module.class_bank
    inverse = torch.linalg.pinv(bank)  # cosines are then the probabilities themselves
    for batch in batches:
        said = batch.probabilities.nan_to_num(nan=0.0) @ inverse.T
        module.embed = lambda audio, said=said: (torch.zeros(len(audio), 96), said)
        module.validation_step((batch, [None] * len(batch)), 0)
    module.on_validation_epoch_end()
    assert tables[0]["validation/tagger_mAP"] > 0.95


def test_the_shipped_model_says_where_it_came_from(heard: Path, tmp_path: Path) -> None:
    result = fit(tagged(run={"epochs": 1}), heard, tmp_path)
    config = load_checkpoint(result.model).config
    assert config.frontend.sample_rate == 32_000
    assert config.provenance["data"]["tagger"]["licence"] == "MIT"
    embedding = load(result.model).embed_audio(
        np.random.default_rng(0).normal(size=3200) / 9, 32_000
    )
    assert embedding.shape == (DIMENSION,) and np.isfinite(embedding).all()
