"""Any folder of sounds is training data: a tagger listens, with or without words and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from toy import DIMENSION, ToyTagger, ToyTowers, film

from wav2clip.audio.io import load_audio
from wav2clip.errors import DataError, InputError
from wav2clip.pretrain.classes import CLASSES, read_classes
from wav2clip.pretrain.hearing import listen
from wav2clip.pretrain.pairs import PrepareSettings, prepare
from wav2clip.pretrain.shards import Sample, iterate, read_manifest

ALL = PrepareSettings(validation=0)


def noise(seconds: float, rate: int = 32_000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.5, 0.5, round(seconds * rate)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six sounds of 0.1 to 2.6 s, some of them deeper down, beside what is no sound."""
    path = tmp_path / "sounds"
    (path / "deeper").mkdir(parents=True)
    for number in range(6):
        place = path / "deeper" if number % 2 else path
        soundfile.write(place / f"{number}.wav", noise(0.1 + 0.5 * number, seed=number), 32_000)
    (path / "notes.txt").write_text("read me")
    return path


def samples(out: Path) -> dict[str, Sample]:
    splits = read_manifest(out).splits
    return {Path(s.source).name: s for split in splits for s in iterate(out, split)}


def test_a_folder_of_sounds_needs_neither_labels_nor_pictures(folder: Path, tmp_path: Path) -> None:
    towers, out = ToyTowers(), tmp_path / "out"
    manifest = prepare(folder, out, towers, ALL, tagger=ToyTagger())
    assert manifest.failures == [] and manifest.sample_rate == 32_000
    assert sorted(towers.read) == sorted(ToyTagger.labels) and towers.seen == []
    found = samples(out)
    assert sorted(found) == [f"{n}.wav" for n in range(6)]
    for number, sample in enumerate(found[f"{n}.wav"] for n in range(6)):
        wave = noise(0.1 + 0.5 * number, seed=number)
        np.testing.assert_allclose(sample.audio / 32768, wave, atol=1 / 16384)
        assert sample.targets.shape == (0, DIMENSION) and sample.label is None
        expected = listen(ToyTagger(), sample.audio)
        np.testing.assert_array_equal(sample.tags.probabilities, expected.probabilities)
        np.testing.assert_array_equal(sample.tags.features, expected.features)
    record = read_manifest(out).tagger
    assert (record.name, record.fingerprint, record.licence) == ("toy-tagger", "toy-1", "MIT")
    bank = read_classes(out, record, DIMENSION)
    np.testing.assert_allclose(bank, ToyTowers().embed_text(list(ToyTagger.labels)), atol=1e-6)
    assert manifest.settings["class_phrases"] == 4


def test_words_stand_beside_what_is_heard(folder: Path, tmp_path: Path) -> None:
    rows = ["audio,captions,label", "sounds/0.wav,a dog;barking,dog", "sounds/2.wav,,"]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    prepare(tmp_path / "t.csv", tmp_path / "out", ToyTowers(), ALL, tagger=ToyTagger())
    found = samples(tmp_path / "out")
    assert found["0.wav"].targets.shape == (2, DIMENSION) and found["0.wav"].label == "dog"
    assert found["2.wav"].targets.shape == (0, DIMENSION)
    assert all(sample.tags is not None for sample in found.values())


@pytest.mark.parametrize("pictures", [True, False])
def test_videos_are_seen_and_heard_or_heard_alone(tmp_path: Path, pictures: bool) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    blue = np.full((4, 96, 96, 3), (0, 0, 255), np.uint8)
    film(mixed / "a.mkv", blue, audio=noise(1, 16_000), rate=16_000)
    soundfile.write(mixed / "b.wav", noise(1), 32_000)
    towers = ToyTowers()
    settings = PrepareSettings(validation=0, pictures=pictures)
    prepare(mixed, tmp_path / "out", towers, settings, tagger=ToyTagger())
    found = samples(tmp_path / "out")
    assert len(found["a.mkv"].targets) == pictures and len(found["b.wav"].targets) == 0
    assert (towers.seen != []) == pictures
    assert found["a.mkv"].kind == ("image" if pictures else "text")
    assert found["a.mkv"].tags.probabilities.shape[1] == 4


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_the_student_may_hear_at_another_rate_than_the_tagger(
    folder: Path, tmp_path: Path, rate: int
) -> None:
    settings = PrepareSettings(validation=0, sample_rate=rate)
    prepare(folder, tmp_path / "own", ToyTowers(), ALL, tagger=ToyTagger())
    prepare(folder, tmp_path / "out", ToyTowers(), settings, tagger=ToyTagger())
    assert read_manifest(tmp_path / "out").sample_rate == rate
    own, found = samples(tmp_path / "own"), samples(tmp_path / "out")
    for name, sample in found.items():
        assert sample.sample_rate == rate
        assert sample.seconds == pytest.approx(own[name].seconds, abs=1e-3)
        np.testing.assert_array_equal(sample.tags.features, own[name].tags.features)
    wave = load_audio(folder / "deeper" / "5.wav", rate).samples
    np.testing.assert_allclose(found["5.wav"].audio / 32768, wave.clip(-1, 1), atol=3e-4)


def test_a_sample_rate_of_ones_own_needs_no_tagger(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(1, 44_100), 44_100)
    (tmp_path / "t.csv").write_text("audio,label\na.wav,dog\n")
    settings = PrepareSettings(validation=0, sample_rate=48_000)
    prepare(tmp_path / "t.csv", tmp_path / "out", ToyTowers(), settings)
    [sample] = iterate(tmp_path / "out")
    assert (len(sample.audio), sample.sample_rate, sample.tags) == (48_000, 48_000, None)


def test_classes_may_have_several_phrases_which_may_change(folder: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "out", tmp_path / "phrases.csv"
    table.write_text('class,phrases\ndog,a dog;woof\n"rain, heavy",downpour\ndog, the bark \n')
    prepare(folder, out, ToyTowers(), ALL, tagger=ToyTagger(), phrases=table)
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.tar")}

    def unit(*phrases: str) -> np.ndarray:
        mean = ToyTowers().embed_text(list(phrases)).mean(axis=0)
        return mean / np.linalg.norm(mean)

    tagger = read_manifest(out).tagger
    expected = [unit("a dog", "woof", "the bark"), unit("downpour"), unit("bell"), unit("wind")]
    np.testing.assert_allclose(read_classes(out, tagger, DIMENSION), expected, atol=1e-6)
    table.write_text("class,phrases\nbell,ding dong\n")
    towers = ToyTowers()
    prepare(folder, out, towers, ALL, tagger=ToyTagger(), phrases=table)
    expected = [unit("dog"), unit("rain, heavy"), unit("ding dong"), unit("wind")]
    np.testing.assert_allclose(read_classes(out, tagger, DIMENSION), expected, atol=1e-6)
    assert kept == {path: path.stat().st_mtime_ns for path in out.rglob("*.tar")}


def test_genuine_embeddings_of_classes_come_first(folder: Path, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(2, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.savez(tmp_path / "t.npz", names=["Dog", "wind"], embeddings=vectors, prompt="{name}")
    out, towers = tmp_path / "out", ToyTowers()
    manifest = prepare(
        folder, out, towers, ALL, genuine_text=[tmp_path / "t.npz"], tagger=ToyTagger()
    )
    bank = read_classes(out, manifest.tagger, DIMENSION)
    np.testing.assert_allclose(bank[[0, 3]], vectors, atol=1e-6)
    assert sorted(towers.read) == ["bell", "rain, heavy"]
    assert manifest.settings["class_phrases_from_tables"] == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "its columns are none; expected|its columns are none"),
        ("a,b\nc,d\n", r"its columns are a, b\).*columns class and phrases"),
        ("class,phrases\ncat,meow\n", "phrases for 'cat' .1 unknown classes.*such as 'dog'"),
    ],
)
def test_tables_of_phrases_without_use(
    folder: Path, tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "p.csv").write_text(content)
    arguments: dict[str, Any] = {"tagger": ToyTagger(), "phrases": tmp_path / "p.csv"}
    with pytest.raises(DataError, match=message):
        prepare(folder, tmp_path / "out", ToyTowers(), ALL, **arguments)
    with pytest.raises(DataError, match="is no table of phrases"):
        prepare(folder, tmp_path / "out", ToyTowers(), ALL, **arguments | {"phrases": tmp_path})
    with pytest.raises(InputError, match="but no tagger"):
        prepare(folder, tmp_path / "out", ToyTowers(), ALL, phrases=tmp_path / "p.csv")
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_sounds_cost_the_others_nothing(folder: Path, tmp_path: Path) -> None:
    (folder / "text.wav").write_text("no sound")
    soundfile.write(folder / "nan.wav", np.full(9, np.nan), 32_000, subtype="FLOAT")
    manifest = prepare(folder, tmp_path / "out", ToyTowers(), ALL, tagger=ToyTagger())
    assert [failure.source for failure in manifest.failures] == ["nan.wav", "text.wav"]
    assert len(samples(tmp_path / "out")) == 6
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no sound; looked for .*\.wav"):
        prepare(tmp_path / "empty", tmp_path / "o", ToyTowers(), tagger=ToyTagger())
    with pytest.raises(DataError, match=r"holds no video.*a folder of sounds needs a tagger"):
        prepare(folder, tmp_path / "o", ToyTowers())


def test_a_sound_that_is_too_short_for_the_students_rate_is_listed(
    folder: Path, tmp_path: Path
) -> None:
    soundfile.write(folder / "click.wav", np.full(3, 0.5), 32_000)
    settings = PrepareSettings(validation=0, sample_rate=1000)
    manifest = prepare(folder, tmp_path / "out", ToyTowers(), settings, tagger=ToyTagger())
    [failure] = manifest.failures
    assert failure.source == "click.wav" and "shorter than a sample at 1000 Hz" in failure.reason
    assert len(samples(tmp_path / "out")) == 6


def test_goes_on_where_it_stopped_and_with_the_same_tagger_alone(
    folder: Path, tmp_path: Path
) -> None:
    settings = PrepareSettings(shard_samples=2, validation=0)
    complete = prepare(folder, tmp_path / "whole", ToyTowers(), settings, tagger=ToyTagger())

    def stop(what: str, done: int, total: int) -> None:
        if what == "clips" and done == 3:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        prepare(folder, out, ToyTowers(), settings, progress=stop, tagger=ToyTagger())
    assert [path.name for path in sorted((out / "train").glob("*.tar"))] == ["000000.tar"]
    with pytest.raises(DataError, match="begun with another tagger"):
        other = ToyTagger(fingerprint="toy-2")
        prepare(folder, out, ToyTowers(), settings, tagger=other)
    with pytest.raises(DataError, match="begun with another sample_rate"):
        at_16 = PrepareSettings(shard_samples=2, validation=0, sample_rate=16_000)
        prepare(folder, out, ToyTowers(), at_16, tagger=ToyTagger())
    tagger = ToyTagger()
    assert prepare(folder, out, ToyTowers(), settings, tagger=tagger) == complete
    heard = sum(rows for rows, length in tagger.heard if rows == 1)
    assert heard == 4, "the finished shard is not heard again"
    for path in (tmp_path / "whole").rglob("*.tar"):
        assert (out / path.relative_to(tmp_path / "whole")).read_bytes() == path.read_bytes()


def test_a_folder_begun_before_there_were_taggers_can_be_finished(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(1, 16_000), 16_000)
    (tmp_path / "t.csv").write_text("audio,label\na.wav,dog\n")
    out = tmp_path / "out"
    manifest = prepare(tmp_path / "t.csv", out, ToyTowers(), ALL)
    before = json.loads((out / "settings.json").read_text())
    for name in ("tagger", "sample_rate", "pictures"):
        del before[name]
    (out / "settings.json").write_text(json.dumps(before))
    assert prepare(tmp_path / "t.csv", out, ToyTowers(), ALL) == manifest
    assert not (out / CLASSES).exists()


@pytest.mark.parametrize("rate", [0, -1, 999, 700_000])
def test_sample_rates_without_sense(rate: int) -> None:
    with pytest.raises(InputError, match="expected 1000 to 655350 Hz"):
        PrepareSettings(sample_rate=rate)
