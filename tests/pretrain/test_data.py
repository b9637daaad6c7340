"""What reaches a training step, from the cache and from the stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tones import KINDS, samples, tiny, write_tones

from wav2clip.errors import DataError
from wav2clip.pretrain.config import FitConfig
from wav2clip.pretrain.data import (
    Corpus,
    EpochSampler,
    Process,
    crop,
    load_corpus,
    train_loader,
    whole_clips,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("data") / "shards")


@pytest.fixture(scope="module")
def corpus(folder: Path) -> Corpus:
    return load_corpus(folder, tiny())


@given(
    length=st.integers(1, 50),
    wanted=st.integers(1, 50),
    pad=st.sampled_from(["repeat", "zeros", "either"]),
    seed=st.integers(0, 99),
)
def test_crops_have_the_length_and_hold_the_sound(
    length: int, wanted: int, pad: str, seed: int
) -> None:
    audio = np.arange(1, length + 1, dtype=np.int16)
    cut = crop(audio, wanted, pad, np.random.default_rng(seed))
    assert len(cut) == wanted and cut.dtype == np.int16
    if wanted <= length:
        assert (np.diff(cut) == 1).all()
        return
    repeated, silent = np.resize(audio, wanted), np.trim_zeros(cut)
    assert np.array_equal(cut, repeated) if pad == "repeat" else True
    assert np.array_equal(cut, repeated) or np.array_equal(silent, audio)
    if pad == "zeros":
        assert np.array_equal(silent, audio)


def test_labels_hold_the_mean_target_of_each(corpus: Corpus) -> None:
    assert corpus.labels.names == tuple(sorted(KINDS))
    own = [s for s in samples(32, 1) if s.label == "clicks"]
    mean = np.mean([s.targets.mean(0) for s in own], axis=0)
    row = corpus.labels.bank[corpus.labels.index("clicks")]
    np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_allclose(corpus.labels.mean, corpus.labels.bank.mean(0), atol=1e-6)
    assert corpus.labels.clips.sum() == corpus.clips == 32
    assert corpus.labels.index(None) == corpus.labels.index("unheard") == -1


def test_without_a_validation_split_the_last_clips_are_held_out(tmp_path: Path) -> None:
    corpus = load_corpus(write_tones(tmp_path, validation=0), tiny(data={"validation_clips": 5}))
    assert corpus.clips == len(corpus.cached) == 27
    assert [item.label for item in corpus.validation] == [s.label for s in samples(32, 1)[-5:]]


def epoch_of(config: FitConfig, corpus: Corpus, process: Process, epoch: int) -> list[torch.Tensor]:
    loader = train_loader(config, corpus, process)
    for part in (loader.sampler, loader.dataset):
        if hasattr(part, "set_epoch"):
            part.set_epoch(epoch)
    batches = list(loader)
    assert len(batches) == len(loader)
    return [batch.audio for batch in batches]


@pytest.mark.parametrize("cache", [1.0, 0.0], ids=["cached", "streamed"])
def test_an_epoch_can_be_repeated_and_differs_from_the_next(folder: Path, cache: float) -> None:
    config = tiny(data={"cache_gib": cache, "shuffle_buffer": 8})
    corpus = load_corpus(folder, config)
    assert (corpus.cached is None) == (cache == 0)
    first, again, second = (epoch_of(config, corpus, Process(), e) for e in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert [tuple(a.shape) for a in first] == [(8, 3200)] * 4


def test_two_processes_together_have_the_batches_of_one(corpus: Corpus) -> None:
    one = epoch_of(tiny(), corpus, Process(), 3)
    halves = [epoch_of(tiny(), corpus, Process(rank, 2), 3) for rank in (0, 1)]
    for whole, left, right in zip(one, *halves, strict=True):
        assert torch.equal(whole[0::2], left) and torch.equal(whole[1::2], right)


def test_streaming_processes_make_equal_numbers_of_steps_from_their_own_shards(
    folder: Path,
) -> None:
    config = tiny(data={"cache_gib": 0, "batch_size": 6, "shuffle_buffer": 4})
    corpus = load_corpus(folder, config)
    parts = [epoch_of(config, corpus, Process(rank, 2), 0) for rank in (0, 1)]
    assert [len(part) for part in parts] == [5, 5]


def test_streaming_workers_give_the_same_number_of_batches(folder: Path) -> None:
    config = tiny(data={"cache_gib": 0, "workers": 2, "shuffle_buffer": 4})
    assert len(epoch_of(config, load_corpus(folder, config), Process(), 0)) == 4


def test_every_clip_is_drawn_once_unless_labels_are_balanced(tmp_path: Path) -> None:
    corpus = load_corpus(write_tones(tmp_path, train=8), tiny())  # 2 + 2 + 1 + 1 + 1 + 1 clips
    draws = [draw.clip for draw in EpochSampler(tiny(), corpus, Process(), 8)]
    assert sorted(draws) == list(range(8))
    balanced = tiny(data={"balance": 1.0, "epoch_clips": 4000})
    draws = [draw.clip for draw in EpochSampler(balanced, corpus, Process(), 8)]
    names = [corpus.cached[clip].label for clip in draws]
    assert np.allclose([names.count(n) for n in corpus.labels.names], 4000 / 6, rtol=0.15)


def test_whole_clips_are_kept_whole(corpus: Corpus) -> None:
    for batch in whole_clips(corpus.validation, 4):
        assert len({len(item.audio) for item in batch}) == 1
    kept = [item for batch in whole_clips(corpus.validation, 1) for item in batch]
    assert sorted(len(i.audio) for i in kept) == sorted(len(i.audio) for i in corpus.validation)
    assert max(len(item.audio) for item in kept) <= 0.3 * 16_000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"batch_size": 64}, "fewer than one batch of 64"),
        ({"cache_gib": 0, "balance": 0.5}, "balance needs the clips in memory"),
        ({"validation_split": "nowhere", "validation_clips": 30}, None),
    ],
)
def test_data_that_does_not_fit_the_run(
    folder: Path, data: dict[str, float], message: str | None
) -> None:
    if message is None:  # a fifth at most is held out
        assert load_corpus(folder, tiny(data=data)).clips == 26
        return
    with pytest.raises(DataError, match=message):
        load_corpus(folder, tiny(data=data))


def test_bad_folders_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        load_corpus(tmp_path / "nowhere", tiny())
    with pytest.raises(DataError, match=r"8 dimensions .* expected 16"):
        load_corpus(folder, tiny(network={"projection": 16}))
    cut = write_tones(tmp_path / "cut")
    shard = next((cut / "train").glob("*1.tar"))
    shard.write_bytes(shard.read_bytes()[:3000])
    with pytest.raises(DataError, match=shard.name):
        load_corpus(cut, tiny())


def test_odd_numbers_of_processes_are_refused(corpus: Corpus) -> None:
    with pytest.raises(DataError, match="cannot be shared by 3 processes"):
        train_loader(tiny(), corpus, Process(0, 3))
