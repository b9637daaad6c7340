"""`wav2clip evaluate`, as a person runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
from typer.testing import CliRunner, Result

from tiny_datasets import MAKERS
from wav2clip.cli.evaluate import app
from wav2clip.errors import DataError, InputError
from wav2clip.evaluation import probes, records
from wav2clip.evaluation.records import load


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WAV2CLIP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WAV2CLIP_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("WAV2CLIP_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("esc50", "fsd50k", "tuxpaint"):
        MAKERS[name](tmp_path / "datasets" / name)
    yield tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def rows(*arguments: object) -> list[dict[str, object]]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    found: list[dict[str, object]] = json.loads(result.stdout)
    return found


def test_a_probe_and_its_fractions() -> None:
    found = rows("probe", "--dataset", "esc10", "--model", "logmel", "--fractions", "0.5,1")
    assert [(row["fraction"], row["seed"]) for row in found] == [
        (0.5, 0),
        (0.5, 1),
        (0.5, 2),
        (1, 0),
    ]
    assert found[-1]["value"] > 0.9 and found[-1]["split"] == "5 folds"  # type: ignore[operator]
    assert found[-1]["settings"] == {"train": "frozen", "probe": "linear"}
    assert len(load(Path("results.jsonl"))) == 4
    again = rows("probe", "-d", "esc10", "-m", "logmel", "--fractions", "1", "--again")
    assert [row["value"] for row in again] == [found[-1]["value"]]
    assert len(load(Path("results.jsonl"))) == 4, "measured again, not added"


def test_what_was_measured_is_kept(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training is done once, and anew where something differs that a result depends on."""
    trained: list[object] = []

    def spy(*arguments: object, **options: object) -> object:
        trained.append(options)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return probe(*arguments, **options)  # type: ignore[arg-type]

    probe = probes.probe
    monkeypatch.setattr(probes, "probe", spy)
    command = ("probe", "--dataset", "esc10", "--model", "logmel", "--fractions", "0.5,1")
    assert run(*command).exit_code != 0
    assert len(load(Path("results.jsonl"))) == 1, "what was done before the interruption"
    found = rows(*command)
    assert len(trained) == 5, "one, the interrupted one, and the three that were left"
    assert rows(*command) == found and len(trained) == 5
    rows(*command[:5], "--probe", "svm")
    assert len(trained) == 6
    rows(*command[:5], "--shuffle-labels")
    assert len(trained) == 7
    monkeypatch.setattr(records, "versions", lambda: {"torch": "another"})
    rows(*command[:5])
    assert len(trained) == 8
    sound = next((here / "datasets" / "esc50").rglob("*.wav"))
    samples, rate = soundfile.read(sound)
    soundfile.write(sound, samples / 2, rate)
    rows(*command[:5])
    assert len(trained) == 9


def test_every_task_and_the_report(small_checkpoint: Path, here: Path) -> None:
    model = ("--model", small_checkpoint)
    (accuracy, error) = rows("zeroshot", "--dataset", "esc50", *model)
    assert (accuracy["metric"], error["metric"]) == ("accuracy", "ECE")
    assert len(rows("retrieval", "--dataset", "tuxpaint", *model)) == 30
    tags = rows("tagging", "--dataset", "fsd50k", "--probe", "linear", *model)
    assert {row["metric"] for row in tags} == {"mAP", "lwlrap"}
    (inner,) = rows("probe", "--dataset", "esc10", "--features", "encoder", *model)
    assert str(inner["fingerprint"]).endswith("-encoder")
    (trained,) = rows(
        "probe", "--dataset", "esc10", "--train", "scratch", "--epochs", 1, "--folds", 1, *model
    )
    assert trained["split"] == "folds 1 of 5"
    result = run("report", "--out", here / "out", "--title", "Tiny")
    assert result.exit_code == 0, result.output
    page = (here / "out" / "report.html").read_text("utf-8")
    for title in ("Zero-shot", "Retrieval", "Tagging", "training", "quoted", "MS-CLAP 2023"):
        assert title in page


def test_a_table_for_people() -> None:
    result = run("probe", "--dataset", "esc10", "--model", "mfcc")
    assert result.exit_code == 0, result.output
    for word in ("esc10", "mfcc", "linear", "5 folds", "accuracy", "±", "results.jsonl"):
        assert word in result.output


def test_bad_files_stop_the_run_before_training(here: Path) -> None:
    folder = here / "datasets" / "esc50" / "audio"
    missing, damaged, *_ = sorted(folder.iterdir())
    missing.unlink()
    soundfile.write(folder / "stray.wav", [0.0, 0.1], 16_000)
    result = run("probe", "--dataset", "esc50", "--model", "logmel")
    assert isinstance(result.exception, DataError)
    assert missing.name in str(result.exception) and "stray.wav" in str(result.exception)
    assert not Path("results.jsonl").exists()
    (folder / "stray.wav").unlink()
    damaged.write_bytes(b"nonsense")
    result = run("probe", "--dataset", "esc50", "--model", "logmel", "--keep-going")
    assert result.exit_code == 0, result.output
    assert f"left out {missing.name}" in result.output
    assert f"left out {damaged.name}" in result.output


def test_the_sheets() -> None:
    sheets = json.loads(run("datasets", "--json").stdout)
    assert [sheet["name"] for sheet in sheets if sheet["here"]] == [
        *("esc50", "esc10", "fsd50k", "tuxpaint"),
    ]
    one = run("datasets", "urbansound8k")
    for word in ("Salamon", "CC BY-NC 3.0", "fold1/", "jackhammer", "nothing there yet"):
        assert word in one.output
    assert isinstance(run("datasets", "nonsense").exception, DataError)
    assert isinstance(run("datasets", "--download").exception, InputError)
    by_hand = run("datasets", "tuxpaint", "--download")
    assert "cannot be fetched" in str(by_hand.exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ("probe", "--dataset", "esc10", "--fractions", "0"),
        ("probe", "--dataset", "esc10", "--fractions", "many"),
        ("probe", "--dataset", "esc10", "--probe", "forest"),
        ("probe", "--dataset", "esc10", "--features", "last"),
        ("probe", "--dataset", "nowhere"),
        ("probe", "--dataset", "vggsound"),
        ("zeroshot", "--dataset", "esc10", "--model", "logmel"),
        ("retrieval", "--dataset", "esc10", "--model", "mfcc"),
        ("report", "nothing.jsonl"),
    ],
)
def test_what_cannot_be_done_costs_no_time(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, DataError | InputError), result.output
    assert not Path("results.jsonl").exists()
