"""What reaches a training step, from the cache and from the stream."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tones import (
    KINDS,
    TAGGER,
    class_embeddings,
    heard_samples,
    samples,
    tagged,
    tiny,
    write_heard,
    write_tones,
)

from wav2clip.errors import DataError
from wav2clip.pretrain.classes import write_classes
from wav2clip.pretrain.config import FitConfig
from wav2clip.pretrain.data import (
    STRETCH,
    Corpus,
    Crops,
    EpochSampler,
    Item,
    Process,
    fill,
    load_corpus,
    train_loader,
    whole_clips,
    window,
)
from wav2clip.pretrain.shards import Tags, Teacher, write_shards

TEACHER = Teacher("tones", "tones-1", "tones", 8)


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
    rng = np.random.default_rng(seed)
    cut = fill(audio[window(length, wanted, rng)], wanted, pad, rng)
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


# What a tagger heard ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def heard_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_heard(tmp_path_factory.mktemp("heard") / "shards")


@pytest.fixture(scope="module")
def heard_corpus(heard_folder: Path) -> Corpus:
    return load_corpus(heard_folder, tagged())


def test_classes_are_what_the_tagger_heard_on_average(heard_corpus: Corpus) -> None:
    classes = heard_corpus.labels.classes
    heard = [s.tags for s in heard_samples(40, 1) if s.tags is not None]
    assert len(heard) == 32
    probabilities = np.stack([tags.probabilities[0].astype(np.float64) for tags in heard])
    features = np.stack([tags.features[0].astype(np.float64) for tags in heard])
    np.testing.assert_allclose(classes.prior, probabilities.mean(0), atol=1e-6)
    np.testing.assert_allclose(classes.feature_mean, features.mean(0), atol=1e-5)
    np.testing.assert_allclose(classes.feature_std, features.std(0), atol=1e-5)
    np.testing.assert_array_equal(classes.bank, class_embeddings())
    assert classes.names == KINDS


def test_words_are_centred_on_the_classes_names_where_no_target_is_a_picture(
    heard_corpus: Corpus, tmp_path: Path
) -> None:
    np.testing.assert_allclose(heard_corpus.labels.mean, class_embeddings().mean(0), atol=1e-6)
    seen = [replace(s, kind="image") for s in heard_samples(40, 1)]
    write_shards(tmp_path, {"train": seen, "validation": seen[:1]}, TEACHER, tagger=TAGGER)
    write_classes(tmp_path, KINDS, class_embeddings())
    labels = load_corpus(tmp_path, tagged()).labels
    np.testing.assert_allclose(labels.mean, labels.bank.mean(0), atol=1e-6)


def test_clips_without_words_or_without_tags_are_nan_there(heard_corpus: Corpus) -> None:
    loader = train_loader(tagged(), heard_corpus, Process())
    batch = next(iter(loader))
    assert batch.probabilities.shape == (8, 6) and batch.heard.shape == (8, 5)
    untold, unheard = batch.targets.isnan().all(1), batch.probabilities.isnan().all(1)
    assert torch.equal(untold, batch.labels[:, 0] == -1)
    assert torch.equal(unheard, batch.heard.isnan().all(1))
    everything = list(loader)
    share = torch.cat([b.probabilities for b in everything]).isnan().all(1).float().mean()
    assert 0 < share < 0.5


def test_a_crop_is_what_the_tagger_heard_in_its_seconds(heard_corpus: Corpus) -> None:
    rate = 32_000
    tags = Tags(np.eye(4, 6, dtype=np.float16), np.eye(4, 5, dtype=np.float16))
    item = Item(np.arange(3 * rate).astype(np.int16), np.zeros((1, 8), np.float32), None, tags)
    for position in range(20):
        crop = Crops(tagged(augment={"speed": 0, "short": 0}))(item, 0, position)
        assert len(crop.audio) == 0.2 * rate
        starts = [s for s in range(3 * rate) if item.audio[s] == crop.audio[0]]
        inside = {int((start + len(crop.audio) / 2) / rate) for start in starts}
        assert any(crop.tags.probabilities[0, 1 + second] >= 0.499 for second in inside)
        assert crop.tags.probabilities[0, 0] == 0, "row 0 is of the whole clip"
        whole = Crops(tagged(data={"tags": "clip"}))(item, 0, position)
        assert whole.tags.probabilities[0, 0] == 1


def test_short_pieces_of_sound_are_filled_up() -> None:
    config = tagged(
        augment={"speed": 0, "short": 1.0, "shortest": 0.05},
        data={"pad": "zeros", "stages": [{"epochs": 1, "seconds": 1.0}]},
    )
    tags = Tags(np.zeros((4, 6), np.float16), np.zeros((4, 5), np.float16))
    item = Item(np.full(96_000, 7, np.int16), np.zeros((1, 8), np.float32), None, tags)
    lengths = [int((Crops(config)(item, 0, position).audio != 0).sum()) for position in range(200)]
    assert min(lengths) >= 0.05 * 32_000 and max(lengths) <= 32_000
    assert np.median(lengths) == pytest.approx(32_000 * 0.05**0.5, rel=0.2)  # even in the logarithm


def test_clips_without_a_label_are_balanced_by_their_surest_class(tmp_path: Path) -> None:
    many = [s for s in heard_samples(60, 1) if s.tags is not None]
    many = [replace(s, label=None, targets=s.targets[:0]) for s in many]
    kept = [s for n, s in enumerate(many) if s.tags.probabilities[0].argmax() != 0 or n < 1]
    write_shards(tmp_path, {"train": kept, "validation": kept[:1]}, TEACHER, tagger=TAGGER)
    write_classes(tmp_path, KINDS, class_embeddings())
    config = tagged(data={"balance": 1.0, "epoch_clips": 4000})
    corpus = load_corpus(tmp_path, config)
    draws = [draw.clip for draw in EpochSampler(config, corpus, Process(), 8)]
    surest = [int(corpus.cached[clip].tags.probabilities[0].argmax()) for clip in draws]
    assert np.allclose(np.bincount(surest, minlength=6), 4000 / 6, rtol=0.15)


def test_batches_of_whole_clips_hardly_repeat_any(heard_corpus: Corpus) -> None:
    lengths = sorted(len(item.audio) for item in heard_corpus.validation)
    batches = whole_clips(heard_corpus.validation, 8)
    sizes = [len(item.audio) for batch in batches for item in batch]
    assert len(sizes) == len(lengths)
    assert all(old <= new <= STRETCH * old for old, new in zip(lengths, sizes, strict=True))


def test_shards_that_do_not_fit_the_network_or_the_losses(
    folder: Path, heard_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"32000 Hz, the network hears 16000 Hz"):
        load_corpus(heard_folder, tiny())
    with pytest.raises(DataError, match=r"no tagger has heard .*loss\.tagger_loss.*--tagger"):
        load_corpus(folder, tiny(loss={"tagger_loss": 1}))
    broken = write_heard(tmp_path / "broken")
    (broken / "classes.npz").write_bytes(b"half")
    with pytest.raises(DataError, match=r"classes\.npz is missing or damaged.*prepare"):
        load_corpus(broken, tagged())
    write_classes(broken, KINDS[:3], class_embeddings()[:3])
    with pytest.raises(DataError, match=r"holds 3 classes .* names 6 of 8 dimensions"):
        load_corpus(broken, tagged())
    write_classes(broken, KINDS, np.full((6, 8), np.nan, np.float32))
    with pytest.raises(DataError, match="NaN or infinity"):
        load_corpus(broken, tagged())
