"""Configurations: inclusion, overrides, and every mistake named."""

from __future__ import annotations

from pathlib import Path

import pytest

from wav2clip.errors import InputError
from wav2clip.pretrain.config import FitConfig, dump_config, load_config, merge

CONF = Path(__file__).parents[2] / "conf"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_committed_configuration_is_valid(path: Path) -> None:
    assert load_config(path).loss.weights()


def test_the_base_is_the_setting_of_the_paper() -> None:
    config = load_config(CONF / "vggsound.yaml")
    assert config.seed == 2021
    assert config.loss.weights() == {"clip_loss_x": 1}
    assert (config.data.batch_size, config.data.validation_clips) == (128, 500)
    assert (config.run.epochs, config.run.stop_after) == (100, 10)
    optimiser = config.optimiser
    assert (optimiser.learning_rate, optimiser.schedule) == (1e-3, "plateau")
    assert (optimiser.factor, optimiser.patience, optimiser.floor) == (0.1, 5, 1e-6)


@pytest.mark.parametrize("path", sorted((CONF / "ablations").glob("*.yaml")), ids=lambda p: p.stem)
def test_an_ablation_is_a_short_file_that_differs_from_the_base(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 10
    assert load_config(path) != load_config(CONF / "vggsound.yaml")


def test_a_file_holds_only_what_differs_from_its_base(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", "seed: 7\nrun: {epochs: 5, compile: true}\n")
    path = write(tmp_path, "over.yaml", "base: base.yaml\nrun: {epochs: 6}\n")
    config = load_config(path, ["optimiser.learning_rate=0.5", "run.average=null"])
    assert (config.seed, config.run.epochs, config.run.compile) == (7, 6, True)
    assert config.optimiser.learning_rate == 0.5
    assert config.run.average is None


def test_what_is_dumped_reads_back_equal(tmp_path: Path) -> None:
    config = load_config(CONF / "builtin.yaml")
    assert load_config(write(tmp_path, "copy.yaml", dump_config(config))) == config


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("rum: {epochs: 3}", [], "rum"),
        ("run: {epoch: 3}", [], r"run\.epoch: .*not permitted"),
        ("run: {epochs: 0}", [], r"run\.epochs"),
        ("run: {epochs: many}", [], r"run\.epochs"),
        ("loss: {clip_loss_x: 0}", [], "every loss has weight 0"),
        ("network: {architecture: mobilenet, planes: [1, 1, 1, 1]}", [], "planes: no setting"),
        ("network: {width: 0.5}", [], "width: no setting of the resnet18"),
        ("network: {architecture: transformer}", [], r"network\.architecture"),
        ("network: {frozen_batch_norm: true}", [], "needs weights to start from"),
        ("optimiser: {freeze_epochs: 1}", [], "freeze_epochs needs the schedule"),
        ("augment: {level_db: [-40, 3]}", [], r"augment\.level_db"),
        ("augment: {cut_offs: []}", [], r"augment\.cut_offs"),
        ("network: {projection: null}", [], "clip_loss_x compares both ends"),
        ("loss: {clip_loss_x: 1, clip_loss_i: 1}", [], "choose one"),
        ("augment: {mix_share: 0.8}", [], r"augment\.mix_share"),
        ("seed: 1", ["run.epochs"], "expected key=value"),
        ("seed: 1", ["run.epohcs=3"], "run.epohcs"),
        ("seed: 1", ["run=[}"], "not valid YAML"),
        ("a: [", [], "not valid YAML"),
        ("- a\n- b", [], "expected settings"),
        ("base: nowhere.yaml", [], "nowhere.yaml: No such file"),
        ("base: config.yaml", [], "based on each other"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, overrides: list[str], message: str) -> None:
    path = write(tmp_path, "config.yaml", text)
    with pytest.raises(InputError, match=message):
        load_config(path, overrides)


def test_stages_follow_each_other_and_the_last_one_stays() -> None:
    stages = [{"epochs": 2, "seconds": 1}, {"epochs": 1, "seconds": 5}]
    data = FitConfig.model_validate({"data": {"stages": stages}}).data
    assert [data.seconds(epoch) for epoch in range(5)] == [1, 1, 5, 5, 5]


def test_merge_leaves_its_arguments_alone() -> None:
    base, over = {"a": {"b": 1, "c": [1]}}, {"a": {"c": [2]}}
    assert merge(base, over) == {"a": {"b": 1, "c": [2]}}
    assert base == {"a": {"b": 1, "c": [1]}}
