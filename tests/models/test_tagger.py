"""The tagger and its front end: parity with the published ones, and files that are none."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wav2clip.errors import CheckpointError, InputError, RegistryError
from wav2clip.models.config import MelConfig, MobileNetConfig
from wav2clip.models.mel import MelFrontend
from wav2clip.models.mobilenet import MobileNet, classifier
from wav2clip.models.registry import TAGGER, TAGGER_CLASSES
from wav2clip.models.tagger import LABELS_FILE, Tagger, load_tagger

SMALL = MobileNetConfig(width=0.2, hidden=16, classes=9)


@pytest.fixture(scope="module")
def folder(data: Path) -> Path:
    return data / "teachers" / "efficientat_mn04"


@pytest.fixture(scope="module")
def published(folder: Path) -> Tagger:
    return load_tagger(folder / "mn04_as_mAP_432.pt")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A small tagger in the published layout."""
    torch.manual_seed(0)
    state = MobileNet(SMALL).state_dict()
    head = classifier(SMALL).state_dict()
    state |= {
        k.replace("0.", "classifier.2.").replace("3.", "classifier.5."): v for k, v in head.items()
    }
    path = tmp_path / "tagger.pt"
    torch.save(state, path)
    rows = [f"{i},/m/{i},Class {i}" for i in range(SMALL.classes)]
    (tmp_path / LABELS_FILE).write_text("\n".join(["index,mid,display_name", *rows]) + "\n")
    return path


def test_parity(published: Tagger, folder: Path, data: Path) -> None:
    """Logits, features and the spectrogram of the published implementation, to 1e-4."""
    expected = np.load(folder / "expected.npz")
    for place, name in enumerate(expected["files"]):
        frames, rate = soundfile.read(data / "esc10_original" / name, always_2d=True)
        wave = soxr.resample(frames.mean(axis=1), rate, published.sample_rate)
        wave = torch.from_numpy(wave.astype(np.float32))[None]
        probabilities, features = published(wave)
        logits = published.classifier(features)[0].numpy()
        np.testing.assert_allclose(logits, expected["logits"][place], atol=1e-4)
        np.testing.assert_allclose(features[0], expected["features"][place], atol=1e-4)
        np.testing.assert_allclose(probabilities[0], 1 / (1 + np.exp(-logits)), atol=1e-6)
        if place == 0:
            np.testing.assert_allclose(published.frontend(wave)[0], expected["mel_0"], atol=1e-4)


def test_labels(published: Tagger, folder: Path) -> None:
    with (folder / LABELS_FILE).open(newline="") as file:
        assert list(published.labels) == [row["display_name"] for row in csv.DictReader(file)]


def test_a_network_that_starts_where_the_tagger_is(published: Tagger) -> None:
    bank = torch.randn(527, 512, generator=torch.Generator().manual_seed(0))
    network = published.network(bank).eval()
    wave = 0.1 * torch.randn(2, 32_000, generator=torch.Generator().manual_seed(1))
    probabilities, features = published(wave)
    spectrogram = published.frontend(wave)
    torch.testing.assert_close(network.audio_encoder(spectrogram), features)
    torch.testing.assert_close(network(spectrogram), probabilities @ bank, rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="527 classes"):
        published.network(bank[:5])


def test_small_and_damaged_files(small: Path) -> None:
    tagger = load_tagger(small)
    assert tagger.config == SMALL
    assert tagger(torch.zeros(1, 1))[0].shape == (1, 9)
    state = torch.load(small, weights_only=True)

    def refused(change: dict[str, object], match: str) -> None:
        torch.save(state | change, small)
        with pytest.raises(CheckpointError, match=match):
            load_tagger(small)

    refused({"features.0.0.weight": torch.zeros(3, 1, 3, 3)}, "do not fit")
    refused({"features.0.1.bias": state["features.0.1.bias"] * torch.nan}, "NaN")
    refused({"classifier.5.weight": torch.zeros(8, 16)}, "do not fit|8 classes")
    torch.save({"other": torch.zeros(3)}, small)
    with pytest.raises(CheckpointError, match="layout"):
        load_tagger(small)
    small.write_bytes(b"PK\3\4 no checkpoint")
    with pytest.raises(CheckpointError, match="damaged"):
        load_tagger(small)
    with pytest.raises(CheckpointError, match="no such file"):
        load_tagger(small.with_name("nothing.pt"))


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ("index,mid,display_name\n0,/m/0,A\n", "1"),
        ("index,mid,display_name\n0,/m/0,A\n2,/m/2,C\n", "without a gap"),
        ("name\nA\n", "columns"),
        (None, "columns"),
    ],
)
def test_bad_tables_of_classes(small: Path, table: str | None, match: str) -> None:
    labels = small.with_name(LABELS_FILE)
    labels.unlink()
    if table is not None:
        labels.write_text(table)
    with pytest.raises(CheckpointError, match=match):
        load_tagger(small)


def slow_mel(wave: np.ndarray, config: MelConfig) -> np.ndarray:
    """The definition, with librosa's transform and filters one by one."""
    emphasised = wave[1:].astype(np.float64) - config.pre_emphasis * wave[:-1]
    window = np.hanning(config.window_length)
    spectrum = librosa.stft(
        emphasised,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        win_length=config.window_length,
        window=window,
        pad_mode="reflect",
    )
    mel = 1127 * np.log(1 + np.arange(512) * config.sample_rate / config.n_fft / 700)
    edges = np.linspace(0, 1127 * np.log(1 + config.highest / 700), config.bands + 2)
    energy = np.zeros((config.bands, spectrum.shape[1]))
    for band in range(config.bands):
        low, middle, high = edges[band : band + 3]
        weights = np.interp(mel, [low, middle, high], [0, 1, 0], left=0, right=0)
        energy[band] = weights @ np.abs(spectrum[:512]) ** 2
    return (np.log(energy + config.log_offset) + config.shift) / config.scale


@given(samples=st.integers(1_100, 40_000), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_mel_is_its_definition(samples: int, seed: int) -> None:
    config = MelConfig()
    wave = np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)
    found = MelFrontend(config)(torch.from_numpy(wave)[None])[0].numpy()
    assert found.shape == (config.bands, config.columns(samples))
    np.testing.assert_allclose(found, slow_mel(wave, config), atol=2e-3)


@pytest.mark.parametrize("samples", [1, 2, 513, 514, 515, 3200])
def test_mel_of_little(samples: int) -> None:
    frontend = MelFrontend()
    found = frontend(torch.full((1, samples), 0.5))
    assert found.shape == (1, 128, frontend.config.columns(samples))
    assert bool(found.isfinite().all())


@given(gain=st.floats(1e-3, 1.4), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=20)
def test_with_a_peak_the_level_does_not_matter(gain: float, seed: int) -> None:
    wave = np.random.default_rng(seed).normal(0, 0.1, (1, 8_000)).astype(np.float32)
    frontend = MelFrontend(MelConfig(peak=0.7))
    loud, quiet = (frontend(torch.from_numpy(w)) for w in (wave, np.float32(gain) * wave))
    torch.testing.assert_close(quiet, loud, rtol=0, atol=0.02)
    scaled = torch.from_numpy(wave * (0.7 / np.abs(wave).max()))
    torch.testing.assert_close(loud, MelFrontend()(scaled), rtol=0, atol=1e-3)


def test_silence_stays_silent_with_a_peak() -> None:
    config = MelConfig(peak=0.7)
    found = MelFrontend(config)(torch.zeros(1, 8_000))
    silence = (np.log(config.log_offset) + config.shift) / config.scale
    torch.testing.assert_close(found, torch.full_like(found, silence))


def test_the_registrys_tagger_is_known_by_its_content(
    published: Tagger, small: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (published.name, published.licence) == (TAGGER.name, "MIT")
    assert (load_tagger(small).name, load_tagger(small).licence) == ("tagger", "unknown")
    monkeypatch.setenv("WAV2CLIP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WAV2CLIP_OFFLINE", "1")
    with pytest.raises(RegistryError, match="efficientat"):
        load_tagger(TAGGER.name)
    TAGGER.path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / "mn04_as_mAP_432.pt", TAGGER.path)
    shutil.copy(folder / LABELS_FILE, TAGGER_CLASSES.path)
    assert load_tagger(TAGGER.name).fingerprint == published.fingerprint
    TAGGER.path.write_bytes(small.read_bytes())
    with pytest.raises(RegistryError, match="SHA-256"):
        load_tagger(TAGGER.name)
