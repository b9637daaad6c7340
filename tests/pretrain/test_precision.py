"""Mixed precision that computes wrong is refused before the first epoch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tones import tiny, write_tones

from wav2clip.errors import TrainingError
from wav2clip.pretrain import precision
from wav2clip.pretrain.data import load_corpus
from wav2clip.pretrain.fit import fit, read_metrics
from wav2clip.pretrain.module import PretrainModule


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("precision") / "shards")


@pytest.fixture
def module(shards: Path) -> PretrainModule:
    config = tiny()
    return PretrainModule(config, load_corpus(shards, config).labels, 1).train()


def trainer(context: Any = nullcontext) -> Any:
    plugin = SimpleNamespace(forward_context=context)
    return SimpleNamespace(precision="bf16-mixed", precision_plugin=plugin)


def wrong_when_short(module: PretrainModule, columns: int) -> Any:
    """As oneDNN's bfloat16 on AMX: garbage for whatever is short, right for the rest."""

    def garbage(layer: object, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
        if inputs[0].shape[-1] > columns:
            return output
        noise = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
        return output + 100 * output.detach().std() * noise

    @contextmanager
    def context() -> Iterator[None]:
        hook = module.network.audio_encoder.register_forward_pre_hook(
            lambda layer, inputs: (garbage(layer, inputs, inputs[0]),)
        )
        yield
        hook.remove()

    return context


def test_the_same_precision_agrees_and_leaves_no_trace(module: PretrainModule) -> None:
    before = {name: value.clone() for name, value in module.state_dict().items()}
    cosines = precision.compare(module, trainer(), [0.1, 0.6])
    assert list(cosines) == [0.1, 0.6]
    assert min(cosines.values()) > 0.99999
    assert module.network.training
    assert all(weight.grad is None for weight in module.parameters())
    after = module.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_wrong_for_short_sounds_alone(module: PretrainModule) -> None:
    spoilt = trainer(wrong_when_short(module, columns=40))
    cosines = precision.compare(module, spoilt, [0.1, 2.0])
    assert cosines[0.1] < precision.LEAST_COSINE < 0.999 < cosines[2.0]
    with pytest.raises(TrainingError, match=r"cosines 0\.1 s: .* expected at least 0\.9.*32-true"):
        precision.ProvePrecision().on_train_start(spoilt, module)


def test_a_run_in_mixed_precision_proves_itself_or_is_refused(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either is right: it depends on the processor. Nothing is trained on garbage."""
    found: list[dict[float, float]] = []
    compare = precision.compare

    def kept(*arguments: Any) -> dict[float, float]:
        found.append(compare(*arguments))
        return found[-1]

    monkeypatch.setattr(precision, "compare", kept)
    config = tiny(run={"precision": "bf16-mixed", "epochs": 1})
    try:
        fit(config, shards, tmp_path / "run")
    except TrainingError:
        assert not min(found[0].values()) >= precision.LEAST_COSINE
        assert not read_metrics(tmp_path / "run")
    else:
        assert min(found[0].values()) >= precision.LEAST_COSINE
        assert len(read_metrics(tmp_path / "run")) == 1
