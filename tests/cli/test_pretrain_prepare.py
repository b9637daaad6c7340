"""`wav2clip pretrain prepare` as a user runs it, with the built-in teacher."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from wav2clip.models.towers import load_towers
from wav2clip.pretrain.shards import iterate, read_manifest

Run = Callable[..., subprocess.CompletedProcess[str]]


def few_pairs(data: Path, folder: Path, count: int = 6) -> Path:
    """A table with the first real pairs, by absolute paths."""
    with (data / "tuxpaint/pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[:count]
    path = folder / "pairs.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["audio", "image", "caption"])
        writer.writeheader()
        for row in rows:
            paths = {name: data / "tuxpaint" / row[name] for name in ("audio", "image")}
            writer.writerow(row | {name: path.resolve() for name, path in paths.items()})
    return path


def test_real_pairs_with_the_builtin_teacher(data: Path, tmp_path: Path, run_command: Run) -> None:
    table = few_pairs(data, tmp_path)
    out = tmp_path / "shards"
    arguments = ("pretrain", "prepare", table, "--out", out, "--validation", "2", "--json")
    result = run_command(*arguments)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    towers = load_towers("builtin")
    assert document["teacher"] == {
        "name": "builtin",
        "fingerprint": towers.fingerprint,
        "space": "clip-vit-b-32",
        "dimension": 512,
    }
    assert document["splits"]["train"]["samples"] == 4
    assert document["splits"]["validation"]["samples"] == 2
    assert document["failures"] == []
    pictures = {str(row["audio"]): row["image"] for row in csv.DictReader(table.open(newline=""))}
    for sample in iterate(out):
        expected = towers.embed_image([pictures[sample.source]])
        np.testing.assert_allclose(sample.targets, expected, atol=2e-4)
    again = run_command(*arguments)
    assert again.returncode == 0
    assert json.loads(again.stdout) == document


def test_failures_are_listed_and_the_exit_code_says_so(
    data: Path, tmp_path: Path, run_command: Run
) -> None:
    soundfile.write(tmp_path / "good.wav", np.zeros(8000), 16_000)
    soundfile.write(tmp_path / "nan.wav", np.full(800, np.nan), 16_000, subtype="FLOAT")
    rows = ["audio,captions,label", "good.wav,a dog;a dog barking,dog", "nan.wav,a cat,cat"]
    (tmp_path / "t.csv").write_text("\n".join([*rows, "gone.wav,a cat,cat"]) + "\n")
    tables = data / "clip_vit_b32"
    result = run_command(
        *("pretrain", "prepare", "t.csv", "--out", "shards", "--validation", "0"),
        *("--genuine-text", tables / "text_nouns.npz"),
        *("--genuine-text", tables / "text_audioset527.npz"),
    )
    assert result.returncode == 1
    assert "train: 1 clips" in result.stdout
    assert "NaN, infinite or beyond" in result.stderr
    assert "gone.wav: No such file" in result.stderr
    assert "2 failed, 1 done" in result.stderr
    [sample] = iterate(tmp_path / "shards")
    with np.load(tables / "text_nouns.npz") as nouns:
        genuine = nouns["embeddings"][nouns["names"].tolist().index("dog")].astype(np.float32)
    np.testing.assert_allclose(sample.targets[0], genuine / np.linalg.norm(genuine), atol=1e-6)
    manifest = read_manifest(tmp_path / "shards")
    assert manifest.settings["phrases_from_tables"] >= 1


def test_a_folder_of_real_sounds_with_the_real_tagger(
    data: Path, tmp_path: Path, run_command: Run
) -> None:
    """What is stored is what the published implementation hears in the same files."""
    teacher = data / "teachers/efficientat_mn04"
    sounds = sorted((data / "esc10_original").glob("*.ogg"))[::5]
    (tmp_path / "sounds").mkdir()
    for path in sounds:
        shutil.copy(path, tmp_path / "sounds")
    (tmp_path / "sounds" / "text.wav").write_text("no sound")
    result = run_command(
        *("pretrain", "prepare", "sounds", "--out", "shards", "--validation", "0", "--json"),
        *("--tagger", teacher / "mn04_as_mAP_432.pt"),
        *("--genuine-text", data / "clip_vit_b32/text_audioset527.npz"),
    )
    assert result.returncode == 1 and "text.wav" in result.stderr
    document = json.loads(result.stdout)
    assert document["sample_rate"] == 32_000 and len(document["tagger"]["labels"]) == 527
    assert document["settings"]["class_phrases_from_tables"] == 527
    found = {sample.source: sample for sample in iterate(tmp_path / "shards")}
    with np.load(teacher / "expected.npz") as expected:
        for n, path in enumerate(sounds):
            sample = found[path.name]
            assert sample.targets.shape == (0, 512)
            probabilities = 1 / (1 + np.exp(-expected["logits"][n]))
            # The file was heard as 16-bit sound, clipped at full scale; float16 keeps its numbers.
            np.testing.assert_allclose(sample.tags.probabilities[0], probabilities, atol=1e-2)
            np.testing.assert_allclose(sample.tags.features[0], expected["features"][n], atol=5e-2)
            assert len(sample.tags.features) == 1 + int(np.ceil(sample.seconds))


def test_taggers_that_are_none(data: Path, tmp_path: Path, run_command: Run) -> None:
    weights = data / "teachers/efficientat_mn04/mn04_as_mAP_432.pt"
    labels = weights.with_name("class_labels_indices.csv").read_text()
    soundfile.write(tmp_path / "a.wav", np.zeros(8000), 16_000)
    for folder in ("half", "fewer", "alone"):
        (tmp_path / folder).mkdir()
    (tmp_path / "half/a.pt").write_bytes(weights.read_bytes()[:200_000])
    (tmp_path / "half/class_labels_indices.csv").write_text(labels)
    shutil.copy(weights, tmp_path / "fewer/a.pt")
    shorter = "".join(labels.splitlines(keepends=True)[:-3])
    (tmp_path / "fewer/class_labels_indices.csv").write_text(shorter)
    shutil.copy(weights, tmp_path / "alone/a.pt")
    for tagger, message in (
        ("half/a.pt", "damaged"),
        ("fewer/a.pt", "527 classes"),
        ("alone/a.pt", "class_labels_indices.csv"),
        ("nowhere.pt", "nowhere.pt"),
    ):
        result = run_command("pretrain", "prepare", ".", "--out", "o", "--tagger", tagger)
        assert result.returncode == 1, tagger
        assert message in result.stderr.replace("\n", " ")
        assert "Traceback" not in result.stderr
        assert not (tmp_path / "o").exists()


def test_errors_say_what_to_do(tmp_path: Path, run_command: Run) -> None:
    (tmp_path / "t.csv").write_text("audio,label\n")
    for arguments, message in (
        (("nowhere", "--out", "o"), "does not exist; expected a folder of videos"),
        (("t.csv", "--out", "o"), "holds nothing to train on"),
        (("t.csv", "--out", "o", "--seconds", "0"), "seconds is 0.0, expected above 0"),
    ):
        result = run_command("pretrain", "prepare", *arguments)
        assert result.returncode == 1
        assert message in result.stderr.replace("\n", " ")
        assert "Traceback" not in result.stderr


def test_help_shows_an_example(run_command: Run) -> None:
    for command in ("prepare", "publish"):
        result = run_command("pretrain", command, "--help")
        assert result.returncode == 0
        assert f"wav2clip pretrain {command}" in result.stdout
        assert "Example" in result.stdout
