"""Training the network itself: it learns, it keeps its folds, it says what it cannot do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from spectrum import Spectrum
from wav2clip.audio.io import load_audio
from wav2clip.datasets.core import Dataset
from wav2clip.errors import InputError
from wav2clip.evaluation.encoders import load_encoder
from wav2clip.evaluation.finetune import Classifier, Settings, train_network

Tiny = Callable[[str], Dataset]


@pytest.mark.parametrize("start", ["finetune", "scratch"])
def test_it_learns_tones(tiny: Tiny, small_checkpoint: Path, start: str) -> None:
    encoder = load_encoder(small_checkpoint)
    # With these rates four seeds of five know all six, and all know enough, after 12 to 14 epochs.
    settings = Settings(start, epochs=30, batch=6, crop_seconds=0.3, rate=3e-3, tuned_rate=3e-3)
    epochs: list[int] = []
    outcome = train_network(
        encoder, tiny("esc10"), settings, folds=["2"], seed=0, advance=epochs.append
    )
    assert outcome.names == ("2",) and outcome.spread is None
    assert outcome.confusion.sum() == 6
    assert outcome.accuracy >= 4 / 6, "three classes: chance is a third"
    assert 1 <= len(epochs) <= 30


def test_recordings_are_heard_at_the_networks_own_rate(
    tiny: Tiny, small_mobilenet_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[bool, int]] = []
    forward = Classifier.forward

    def listen(self: Classifier, waves: torch.Tensor) -> torch.Tensor:
        heard.append((self.training, waves.shape[1]))
        return forward(self, waves)

    monkeypatch.setattr(Classifier, "forward", listen)
    dataset = tiny("esc10")
    settings = Settings("scratch", epochs=1, batch=6, crop_seconds=0.3)
    encoder = load_encoder(small_mobilenet_checkpoint)
    outcome = train_network(encoder, dataset, settings, folds=["2"])
    assert outcome.confusion.sum() == 6
    assert {length for training, length in heard if training} == {9600}
    whole = {len(load_audio(clip.path, 32_000).samples) for clip in dataset.clips}
    assert {length for training, length in heard if not training} <= whole


def test_the_checkpoint_stays_as_it_was(tiny: Tiny, small_checkpoint: Path) -> None:
    encoder = load_encoder(small_checkpoint)
    before = encoder.embed([torch.zeros(8_000).numpy() + 0.1])
    settings = Settings(epochs=1, batch=8, crop_seconds=0.3)
    train_network(encoder, tiny("esc10"), settings, folds=["1"], fraction=0.5)
    assert (encoder.embed([torch.zeros(8_000).numpy() + 0.1]) == before).all()


def test_what_cannot_be_trained_is_said(
    tiny: Tiny, spectrum: Spectrum, small_checkpoint: Path
) -> None:
    with pytest.raises(InputError, match="expected a Wav2CLIP model"):
        train_network(spectrum, tiny("esc10"), Settings())
    encoder = load_encoder(small_checkpoint)
    with pytest.raises(InputError, match="frozen, finetune or scratch"):
        train_network(encoder, tiny("esc10"), Settings("thaw"))
    with pytest.raises(InputError, match="there is no fold 7"):
        train_network(encoder, tiny("esc10"), Settings(), folds=["7"])
