"""Zero-shot and retrieval against what they say in loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spectrum import Spectrum, Words
from wav2clip.datasets.catalogue import load_dataset
from wav2clip.datasets.core import Dataset
from wav2clip.embedding.embedder import Wav2CLIP, load
from wav2clip.errors import InputError
from wav2clip.evaluation.encoders import Wav2ClipEncoder
from wav2clip.evaluation.features import compute
from wav2clip.evaluation.retrieval import retrieval, sides
from wav2clip.evaluation.zeroshot import zeroshot

Tiny = Callable[[str], Dataset]


@pytest.fixture(scope="module")
def builtin() -> Wav2CLIP:
    return load("builtin")


def test_it_is_what_classify_says(tiny: Tiny, builtin: Wav2CLIP) -> None:
    dataset = tiny("urbansound8k")
    encoder = Wav2ClipEncoder(builtin)
    outcome = zeroshot(encoder, compute(encoder, dataset))
    phrases = [label.replace("_", " ") for label in dataset.labels]
    said = [next(iter(builtin.classify(clip.path, phrases))) for clip in dataset.clips]
    right = [clip.labels[0].replace("_", " ") == word for clip, word in zip(dataset.clips, said)]  # noqa: B905
    assert outcome.clips == 9
    assert outcome.values["accuracy"] == pytest.approx(np.mean(right))
    assert outcome.confusion is not None and outcome.confusion.sum() == 9
    assert outcome.reliability is not None
    assert outcome.values["ECE"] == outcome.reliability.error


def test_the_test_split_alone_is_tested(tiny: Tiny, words: Words) -> None:
    assert zeroshot(words, compute(words, tiny("vggsound"))).clips == 2
    tags = zeroshot(words, compute(words, tiny("fsd50k")))
    assert tags.clips == 6 and set(tags.values) == {"mAP", "lwlrap"}


def test_an_encoder_without_words_is_refused(
    tiny: Tiny, spectrum: Spectrum, builtin: Wav2CLIP
) -> None:
    features = compute(spectrum, tiny("esc10"))
    with pytest.raises(InputError, match="space with words"):
        zeroshot(spectrum, features)
    with pytest.raises(InputError, match="space with words"):
        zeroshot(Wav2ClipEncoder(builtin, "encoder"), features)
    with pytest.raises(InputError, match="has no labels"):
        zeroshot(Words(), compute(Words(), tiny("clotho")))


def test_every_direction_equals_the_naive_matrix(data: Path, builtin: Wav2CLIP) -> None:
    whole = load_dataset("tuxpaint", data / "tuxpaint")
    dataset = replace(whole, clips=whole.clips[::7])
    encoder = Wav2ClipEncoder(builtin)
    features = compute(encoder, dataset)
    found = {d.name: d for d in retrieval(encoder, features)}
    assert len(found) == 6
    parts = sides(encoder, features)
    for direction in found.values():
        similarity = parts[direction.query].vectors @ parts[direction.gallery].vectors.T
        own = np.diag(similarity)
        rank = (similarity >= own[:, None]).sum(axis=1)
        assert (direction.queries, direction.candidates) == (15, 15)
        for k in (1, 5, 10):
            assert direction.values[f"R@{k}"] == pytest.approx((rank <= k).mean())
        assert direction.values["MRR"] == pytest.approx((1 / rank).mean(), abs=1e-3)
        assert direction.values["median_rank"] == np.sort(rank)[7]
    assert found["text to picture"].values["R@5"] > 0.5, "chance is a third"


def test_each_caption_is_a_query_and_the_test_split_the_gallery(tiny: Tiny, words: Words) -> None:
    found = {d.name: d for d in retrieval(words, compute(words, tiny("clotho")))}
    assert set(found) == {"sound to text", "text to sound"}
    direction = found["text to sound"]
    assert (direction.queries, direction.candidates) == (15, 3)
    assert found["sound to text"].candidates == 15


def test_labels_stand_in_for_captions(tiny: Tiny, words: Words) -> None:
    found = {d.name: d for d in retrieval(words, compute(words, tiny("esc10")))}
    direction = found["text to sound"]
    assert (direction.queries, direction.candidates) == (3, 30), "of the labels that occur"
