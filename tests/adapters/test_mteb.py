"""The MTEB encoder, run by the genuine package on tiny tasks of real sounds, without a network."""

from __future__ import annotations

from pathlib import Path

import mteb
import numpy as np
import pytest
from mteb.abstasks.classification import AbsTaskClassification
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.abstasks.zeroshot_classification import AbsTaskZeroShotClassification
from mteb.models.models_protocols import EncoderProtocol

from datasets import Dataset, DatasetDict
from wav2clip.adapters.mteb import MtebEncoder
from wav2clip.audio.io import load_audio
from wav2clip.errors import InputError
from wav2clip.zeroshot import class_weights, similarity

LABELS = {"0": "dog", "1": "rooster", "38": "clock tick", "10": "rain"}


def metadata(name: str, kind: str, modalities: list[str]) -> TaskMetadata:
    return TaskMetadata(
        name=name, type=kind, modalities=modalities, main_score="accuracy",
        description="A few real clips.", reference=None, category="a2c",
        dataset={"path": "none", "revision": "1"}, eval_splits=["test"], eval_langs=["eng-Latn"],
        date=("2015-01-01", "2015-12-31"), domains=["AudioScene"], task_subtypes=[],
        license="cc-by-4.0", annotations_creators="human-annotated", dialect=[],
        sample_creation="found", bibtex_citation="", prompt=None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def clips(data: Path) -> list[tuple[np.ndarray, str]]:
    """Three clips of one second at 22.05 kHz of each of four classes."""
    chosen = []
    for target, label in LABELS.items():
        paths = sorted((data / "esc10_original").glob(f"*-{target}.ogg"))[:3]
        chosen += [(load_audio(path, 22_050).samples[:22_050], label) for path in paths]
    assert len(chosen) == 12
    return chosen


@pytest.fixture(scope="module")
def items(clips: list[tuple[np.ndarray, str]]) -> list[dict]:
    return [{"array": wave, "sampling_rate": 22_050} for wave, _ in clips]


def hub_dataset(clips: list[tuple[np.ndarray, str]]) -> Dataset:
    names = list(LABELS.values())
    return Dataset.from_dict(
        {
            "audio": [{"array": wave.tolist(), "sampling_rate": 22_050} for wave, _ in clips],
            "label": [names.index(label) for _, label in clips],
        }
    ).with_format("numpy")


@pytest.fixture(scope="module")
def encoder() -> MtebEncoder:
    return MtebEncoder("builtin")


def test_mteb_classifies(encoder: MtebEncoder, clips: list, tmp_path: Path) -> None:
    class Task(AbsTaskClassification):
        metadata = metadata("TinySounds", "AudioClassification", ["audio"])
        input_column_name = "audio"
        n_experiments = 2
        samples_per_label = 3

        def load_data(self, **kwargs: object) -> None:
            rows = hub_dataset(clips)
            self.dataset = DatasetDict({"train": rows, "test": rows})
            self.data_loaded = True

    result = mteb.evaluate(encoder, Task(), cache=None, show_progress_bar=False)
    scores = result.task_results[0].scores["test"][0]
    assert scores["accuracy"] == 1.0  # what was fitted on is what is asked for
    assert result.model_name == "wav2clip/builtin"


def test_mteb_classifies_zero_shot(encoder: MtebEncoder, clips: list) -> None:
    class Task(AbsTaskZeroShotClassification):
        metadata = metadata("TinyWords", "AudioZeroshotClassification", ["audio", "text"])
        input_column_name = "audio"

        def load_data(self, **kwargs: object) -> None:
            self.dataset = DatasetDict({"test": hub_dataset(clips)})
            self.data_loaded = True

        def get_candidate_labels(self) -> list[str]:
            return [f"the sound of {label}" for label in LABELS.values()]

    result = mteb.evaluate(encoder, Task(), cache=None, show_progress_bar=False)
    accuracy = result.task_results[0].scores["test"][0]["accuracy"]
    model = encoder.model
    weights = class_weights(model.towers, list(LABELS.values()), "sound")
    sounds = model.embed_audio([wave for wave, _ in clips], 22_050)
    scores = similarity(sounds, weights, model.mean, model.towers.means["text"])
    names = list(LABELS.values())
    truth = [names.index(label) for _, label in clips]
    expected = np.mean(scores.argmax(axis=1) == truth)
    assert accuracy == pytest.approx(expected)
    assert accuracy > 0.25


def test_it_is_the_protocol(encoder: MtebEncoder) -> None:
    assert isinstance(encoder, EncoderProtocol)
    meta = encoder.mteb_model_meta
    assert meta.revision == encoder.model.fingerprint
    assert meta.embed_dim == 512


def test_neither_batch_nor_order_matters(encoder: MtebEncoder, items: list[dict]) -> None:
    mixed = [{**items[0], "array": items[0]["array"][:9_000]}, *items[1:4]]
    together = encoder.encode([{"audio": mixed}])
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    apart = encoder.encode([{"audio": [item]} for item in mixed[::-1]])[::-1]
    np.testing.assert_array_equal(together, apart)
    np.testing.assert_array_equal(together, encoder.encode([{"audio": mixed}]))


def test_words_pictures_and_both(encoder: MtebEncoder, items: list[dict], data: Path) -> None:
    from PIL import Image

    picture = Image.open(sorted((data / "clip_vit_b32" / "photos").iterdir())[0])
    words, pictures, sounds = (
        encoder.encode([{"text": ["a dog", " "]}]),
        encoder.encode([{"image": [picture]}]),
        encoder.encode([{"audio": items[:1]}]),
    )
    assert words.shape == (2, 512)
    both = encoder.encode([{"audio": items[:1], "text": ["a dog"], "label": [1]}])
    expected = (sounds + words[:1]) / np.linalg.norm(sounds + words[:1])
    np.testing.assert_allclose(both, expected, atol=1e-5)
    assert pictures.shape == (1, 512)
    plain = MtebEncoder("builtin", center=False).encode([{"text": ["a dog"]}])
    np.testing.assert_allclose(plain, encoder.model.embed_text(["a dog"]), atol=1e-6)


def test_channels_are_mixed_down(encoder: MtebEncoder, items: list[dict]) -> None:
    wave = items[0]["array"]
    stereo = {"array": np.stack([wave, wave]), "sampling_rate": 22_050}
    np.testing.assert_allclose(
        encoder.encode([{"audio": [stereo]}]), encoder.encode([{"audio": items[:1]}]), atol=1e-5
    )


def test_similarities_are_cosines(encoder: MtebEncoder) -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 3, 512)).astype(np.float32)
    expected = (a @ b.T) / np.outer(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    np.testing.assert_allclose(encoder.similarity(a, b), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.similarity_pairwise(a, b), np.diag(expected), atol=1e-5)
    assert encoder.similarity(a[0], b).shape == (1, 3)


def test_refusals(encoder: MtebEncoder) -> None:
    with pytest.raises(InputError, match="expected audio, text or image"):
        encoder.encode([{"video": [1]}])
    with pytest.raises(InputError, match="fingerprint"):
        MtebEncoder("builtin", revision="0123")
    assert encoder.encode([]).shape == (0, 512)
