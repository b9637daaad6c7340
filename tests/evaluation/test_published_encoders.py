"""Encoders of others.

LAION-CLAP through the genuine transformers with tiny random weights. The packages of OpenL3, YAMNet
and MS-CLAP are not part of the tested set: modules stand in for them that have the signatures of
openl3 0.4, tensorflow_hub with google/yamnet/1, and msclap 1.3.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
import transformers

from media import tone
from wav2clip.audio.io import load_audio
from wav2clip.errors import InputError, MissingExtraError, RegistryError
from wav2clip.evaluation.encoders import Encoder, TextEncoder, known_encoders, load_encoder

SENTENCES = ["a dog barking", "rain on a tin roof", "two cats"]


@pytest.fixture(scope="module")
def clap_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised CLAP, saved by transformers as the hub lays it out."""
    from tokenizers import ByteLevelBPETokenizer

    folder = tmp_path_factory.mktemp("clap") / "tiny-clap"
    folder.mkdir()
    learner = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    learner.train_from_iterator(SENTENCES, vocab_size=300, special_tokens=special)
    learner.save_model(str(folder))
    tokenizer = transformers.RobertaTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=20
    )
    tokenizer.save_pretrained(folder)
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    torch.manual_seed(0)
    config = transformers.ClapConfig(
        text_config={**small, "num_attention_heads": 2, "vocab_size": 300, "projection_dim": 24,
                     "max_position_embeddings": 30},
        audio_config={"hidden_size": 64, "patch_embeds_hidden_size": 8, "depths": [1, 1, 1, 1],
                      "num_attention_heads": [1, 1, 2, 2], "projection_dim": 24},
        projection_dim=24,
    )  # fmt: skip
    transformers.ClapModel(config).save_pretrained(folder)
    transformers.ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(folder)
    return folder


def check(encoder: Encoder, waves: list[np.ndarray]) -> None:
    """What the interface promises."""
    assert isinstance(encoder, Encoder)
    together = encoder.embed(waves)
    assert together.shape == (len(waves), encoder.dimension)
    assert together.dtype == np.float32
    alone = np.concatenate([encoder.embed([wave]) for wave in waves[::-1]])[::-1]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert encoder.embed([]).shape == (0, encoder.dimension)


def test_laion_clap(clap_folder: Path, data: Path) -> None:
    encoder = load_encoder(f"laion-clap:{clap_folder}")
    assert isinstance(encoder, TextEncoder)
    assert (encoder.dimension, encoder.sample_rate) == (24, 48_000)
    clip = load_audio(sorted((data / "esc10_original").glob("*.ogg"))[0], 48_000).samples
    long = np.concatenate([clip, clip, clip[:100_000]])
    check(encoder, [clip[:48_000], long])
    model = transformers.ClapModel.from_pretrained(clap_folder).eval()
    extractor = transformers.ClapFeatureExtractor.from_pretrained(clap_folder)
    features = extractor(clip.astype(float), sampling_rate=48_000, return_tensors="pt")
    with torch.no_grad():
        expected = model.get_audio_features(
            features["input_features"].float(), features["is_longer"]
        ).pooler_output
    np.testing.assert_allclose(encoder.embed([clip]), expected, atol=1e-5)
    words = encoder.embed_text(SENTENCES)
    assert words.shape == (3, 24)
    np.testing.assert_allclose(np.linalg.norm(words, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(encoder.embed_text(SENTENCES[1:2])[0], words[1], atol=1e-5)
    assert load_encoder(f"laion-clap:{clap_folder}").fingerprint == encoder.fingerprint


def test_laion_clap_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAV2CLIP_OFFLINE", "1")
    for name in ("laion-clap:nobody/nothing", f"laion-clap:{tmp_path}"):
        with pytest.raises(RegistryError, match="FOLDER"):
            load_encoder(name)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch):
    def install(name: str, **members: object) -> ModuleType:
        module = ModuleType(name)
        module.__spec__ = SimpleNamespace(name=name)  # type: ignore[assignment]
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return install


def test_openl3(fake) -> None:
    calls = []

    def load_audio_embedding_model(input_repr, content_type, embedding_size, frontend="kapre"):
        return input_repr, content_type, embedding_size

    def get_audio_embedding(
        audio, sr, model=None, input_repr="mel256", content_type="music", embedding_size=6144,
        center=True, hop_size=0.1, batch_size=32, frontend="kapre", verbose=True,
    ):  # fmt: skip
        calls.append(sr)
        count = 1 + int(len(audio) / sr / hop_size)
        frames = np.outer(np.arange(count), np.ones(model[2])) + audio.mean()
        return frames.astype(np.float32), np.arange(count) * hop_size

    models = fake("openl3.models", load_audio_embedding_model=load_audio_embedding_model)
    fake("openl3", get_audio_embedding=get_audio_embedding, models=models)
    encoder = load_encoder("openl3:512")
    wave = tone(1.0, 48_000)
    check(encoder, [wave, wave[:30_000]])
    np.testing.assert_allclose(encoder.embed([wave]), 5.0 + wave.mean(), atol=1e-5)
    assert set(calls) == {48_000}
    assert load_encoder("openl3").dimension == 6144
    with pytest.raises(InputError, match="openl3:512"):
        load_encoder("openl3:3")


def test_yamnet(fake) -> None:
    loaded = []

    def load(handle, tags=None, options=None):
        loaded.append(handle)

        def model(waveform):
            assert waveform.dtype == np.float32
            assert waveform.ndim == 1
            count = 1 + len(waveform) // 7_680
            frames = np.arange(count)[:, None] + np.zeros((count, 1024))
            return np.zeros((count, 521)), frames, np.zeros((count * 48, 64))

        return model

    fake("tensorflow_hub", load=load)
    encoder = load_encoder("yamnet")
    check(encoder, [tone(1.0), tone(0.3)])
    assert encoder.embed([tone(1.0)])[0, 0] == 1.0  # the mean of 0, 1, 2
    frames, starts = encoder.embed_frames(tone(2.0), 1.0, 0.5)
    assert frames.shape == (3, 1024)
    np.testing.assert_allclose(starts, [0, 0.5, 1.0])
    load_encoder("yamnet:copies/yamnet")
    assert loaded == ["https://tfhub.dev/google/yamnet/1", "copies/yamnet"]


def test_ms_clap(fake) -> None:
    heard = []

    class CLAP:
        def __init__(self, model_fp=None, version="2023", use_cuda=False):
            self.args = SimpleNamespace(sampling_rate=44_100, duration=7, d_proj=1024)
            self.version = version

        def get_audio_embeddings(self, audio_files, resample=True):
            rows = []
            for path in audio_files:
                samples, rate = soundfile.read(path)
                assert rate == 44_100
                assert len(samples) <= 7 * rate  # longer ones would be cropped at random
                heard.append(len(samples))
                rows.append(torch.linspace(samples.min(), samples.max() + len(samples), 1024))
            return torch.stack(rows)

        def get_text_embeddings(self, class_labels):
            return torch.stack([torch.full((1024,), float(len(text))) for text in class_labels])

    fake("msclap", CLAP=CLAP)
    encoder = load_encoder("ms-clap")
    assert isinstance(encoder, TextEncoder)
    check(encoder, [tone(1.0, 44_100), tone(16.0, 44_100)])
    assert heard[:4] == [44_100, 308_700, 308_700, 308_700]
    np.testing.assert_allclose(
        np.linalg.norm(encoder.embed_text(["a", "bc"]), axis=1), 1, atol=1e-5
    )
    assert load_encoder("ms-clap:2022").fingerprint != encoder.fingerprint


@pytest.mark.parametrize(
    ("name", "package"),
    [("openl3", "openl3"), ("yamnet", "tensorflow_hub"), ("ms-clap", "msclap")],
)
def test_without_the_package(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=f"needs {package}.*pip install"):
        load_encoder(name)


def test_they_are_listed_with_the_reason() -> None:
    known = {encoder.name: encoder for encoder in known_encoders()}
    assert {"openl3", "yamnet", "laion-clap", "ms-clap"} <= set(known)
    for encoder in known.values():
        assert encoder.available or encoder.reason
