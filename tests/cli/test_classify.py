"""`wav2clip classify`, as a person runs it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner, Result

from wav2clip.cli.classify import _labels, classify
from wav2clip.errors import InputError
from wav2clip.models.checkpoint import save_checkpoint
from wav2clip.models.config import AudioConfig
from wav2clip.zeroshot import DEFAULT_TEMPLATES, preset_labels, read_labels

pytestmark = pytest.mark.everyday

app = typer.Typer()
app.command()(classify)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised audio encoder in the space of the built-in towers."""
    folder = tmp_path_factory.mktemp("model") / "audio"
    mean = np.full(512, 0.01, np.float32)
    pytest.importorskip("torch")
    from wav2clip.models.network import AudioNetwork

    save_checkpoint(folder, AudioNetwork(), AudioConfig(), mean=mean)
    return folder


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, seconds in (("a.wav", 1.0), ("long.wav", 4.5)):
        soundfile.write(tmp_path / name, rng.normal(size=int(16_000 * seconds)) * 0.1, 16_000)
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_json(checkpoint: Path, sounds: Path) -> None:
    result = run(sounds, "--labels", "dog, rain,church bell", "--model", checkpoint, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["failures"] == {}
    assert [Path(one["file"]).name for one in document["results"]] == ["a.wav", "long.wav"]
    for one in document["results"]:
        (segment,) = one["segments"]
        shares = [label["probability"] for label in segment["labels"]]
        assert {label["label"] for label in segment["labels"]} == {"dog", "rain", "church bell"}
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1, abs=1e-5)


def test_segments_have_times(checkpoint: Path, sounds: Path) -> None:
    result = run(
        sounds / "long.wav", "--preset", "esc50", "--segments", 2, "--top-k", 3, "--json",
        "--model", checkpoint,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (one,) = json.loads(result.stdout)["results"]
    assert [segment["start"] for segment in one["segments"]] == [0, 2, 2.5]
    assert one["segments"][-1]["end"] == 4.5
    assert all(len(segment["labels"]) == 3 for segment in one["segments"])


def test_centring_and_templates_change_the_scores(checkpoint: Path, sounds: Path) -> None:
    def shares(*options: str) -> dict[str, float]:
        result = run(
            sounds / "a.wav", "--labels", "dog,rain", "--model", checkpoint, "--json", *options
        )
        assert result.exit_code == 0, result.output
        labels = json.loads(result.stdout)["results"][0]["segments"][0]["labels"]
        return {label["label"]: label["probability"] for label in labels}

    plain = shares()
    assert shares("--no-center")["dog"] != pytest.approx(plain["dog"], abs=1e-6)
    assert shares("--template", "photo")["dog"] != pytest.approx(plain["dog"], abs=1e-6)
    assert shares("--template", DEFAULT_TEMPLATES) == plain


def test_bad_files_are_listed_and_good_ones_kept(checkpoint: Path, sounds: Path) -> None:
    (sounds / "broken.wav").write_bytes(b"no sound")
    labels = sounds / "labels.txt"
    labels.write_text("dog\n\nrain\n", encoding="utf-8-sig")
    result = run(sounds, sounds / "missing.wav", "--labels-file", labels, "--model", checkpoint)
    assert result.exit_code == 1
    assert "a.wav" in result.output
    assert "broken.wav" in result.output
    assert "missing.wav" in result.output
    assert "2 failed, 2 done" in result.output


def test_file_names_that_look_like_markup(
    checkpoint: Path, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(sounds / "a.wav", sounds / "[red] 🐶.wav")
    monkeypatch.chdir(sounds)  # a narrow table breaks long paths
    result = run("[red] 🐶.wav", "--labels", "[bold],rain", "--model", checkpoint)
    assert result.exit_code == 0, result.output
    assert "[red]" in result.output
    assert "[bold]" in result.output


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--labels", "dog", "--preset", "esc50"],
        ["--labels", " , "],
        ["--labels", "dog,dog"],
        ["--labels", "nosuchlist"],
        ["--labels", "labels.txt"],
        ["--labels", "/no/such/labels"],
        ["--preset", "imagenet"],
        ["--labels-file", "/no/such/file"],
    ],
)
def test_bad_labels_cost_no_time(options: list[str], sounds: Path) -> None:
    result = run(sounds, *options)
    assert result.exit_code == 1
    assert isinstance(result.exception, InputError)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_labels_as_editors_save_them(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes("café\r\n007\r\n".encode(encoding))
    assert _labels(None, file, None) == ["café", "007"]
    assert read_labels(str(file)) == ["café", "007"]
    assert _labels(str(file), None, None) == ["café", "007"]


def test_a_preset_is_one_wherever_labels_are_named() -> None:
    assert _labels("esc50", None, None) == _labels(None, None, "esc50") == preset_labels("esc50")
    assert read_labels("dog", least=1) == ["dog"]
    assert read_labels("a, b") == ["a", "b"]
