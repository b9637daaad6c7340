"""One object, three senses: classification, towers of the same space, and only of the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from media import tone, wav_bytes
from wav2clip import zeroshot
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import AudioError, InputError, SpaceError
from wav2clip.models.checkpoint import load_checkpoint

SOUND = wav_bytes(tone(0.5))


def test_towers_share_dimension_and_space(small: Wav2CLIP) -> None:
    assert small.towers.space == small.space
    assert small.towers.space.fingerprint == small.space.fingerprint
    assert small.embed_text(["a dog", "rain"]).shape == (2, small.dimension)


def test_mixing_spaces_says_which_is_which(small_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(small_checkpoint)
    other = replace(checkpoint, config=replace(checkpoint.config, space="siglip-base"))
    with pytest.raises(SpaceError, match=r"audio encoder.*siglip-base.*towers.*clip-vit-b-32"):
        Wav2CLIP(other).embed_text(["a dog"])


def test_classify(small: Wav2CLIP) -> None:
    labels = ["dog", "rain", "church bells"]
    probabilities = small.classify(SOUND, labels)
    assert set(probabilities) == set(labels)
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert list(probabilities.values()) == sorted(probabilities.values(), reverse=True)
    assert list(small.classify(SOUND, labels, top_k=1)) == list(probabilities)[:1]
    one = small.classify(SOUND, ["dog"])
    assert one == {"dog": pytest.approx(1)}


def test_classify_by_hand(small: Wav2CLIP) -> None:
    """Centred cosines times the scale, softmax: written out."""
    labels = ["dog", "rain"]
    audio = small.embed_file(SOUND).astype(np.float64)
    templates = zeroshot.TEMPLATES[zeroshot.DEFAULT_TEMPLATES]
    text = np.stack([
        small.embed_text([t.format(label) for t in templates]).mean(axis=0) for label in labels
    ])  # fmt: skip
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    assert small.mean is not None
    text_mean = small.towers.means["text"]
    a = audio / np.linalg.norm(audio) - small.mean
    b = text - text_mean
    cosines = b @ a / np.linalg.norm(b, axis=1) / np.linalg.norm(a)
    scale = zeroshot.centred_scale(small.towers.logit_scale, small.mean, text_mean)
    expected = np.exp(scale * cosines) / np.exp(scale * cosines).sum()
    found = small.classify(SOUND, labels)
    np.testing.assert_allclose([found[label] for label in labels], expected, atol=1e-4)
    plain = small.classify(SOUND, labels, center=False)
    assert abs(plain["dog"] - found["dog"]) > 1e-6


def test_the_factor_is_the_checkpoints_where_it_has_one(small_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(small_checkpoint)
    fitted = replace(checkpoint, config=replace(checkpoint.config, logit_scale=3.0))
    assert Wav2CLIP(fitted).logit_scale() == 3.0
    derived = Wav2CLIP(checkpoint)
    own = derived.towers.logit_scale
    assert Wav2CLIP(fitted).logit_scale(center=False) == own
    assert Wav2CLIP(replace(fitted, mean=None)).logit_scale() == own
    assert checkpoint.mean is not None
    expected = zeroshot.centred_scale(own, checkpoint.mean, derived.towers.means["text"])
    assert derived.logit_scale() == expected < own
    weights = derived.embed_text(["dog", "rain"])
    sound = derived.embed_file(SOUND)[None]
    odds = [np.log(model.probabilities(sound, weights)) for model in (Wav2CLIP(fitted), derived)]
    gaps = [float(row[0, 0] - row[0, 1]) for row in odds]
    assert gaps[0] / gaps[1] == pytest.approx(3.0 / expected, rel=1e-3)


def test_bad_input(small: Wav2CLIP) -> None:
    with pytest.raises(InputError, match="list of labels is empty"):
        small.classify(SOUND, [])
    with pytest.raises(InputError, match="given more than once"):
        small.classify(SOUND, ["dog", "dog"])
    with pytest.raises(AudioError, match="no-such-file"):
        small.classify("no-such-file.wav", ["dog"])
