"""Rows of results: kept whole, replaced by a newer measurement, refused when they are none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from wav2clip.errors import DataError, InputError
from wav2clip.evaluation.records import Record, load, load_all, save

ROW = Record(
    task="probe",
    dataset="esc50",
    dataset_checksum="0" * 16,
    model="builtin",
    fingerprint="f" * 16,
    metric="accuracy",
    value=0.5,
    spread=0.1,
    split="5 folds",
    settings={"probe": "linear"},
    details={"folds": [0.4, 0.6]},
)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    save(path, [ROW])
    assert load(path) == [ROW]
    (line,) = path.read_text().splitlines()
    row = json.loads(line)
    assert row["command"] and row["machine"] and row["versions"]["numpy"] and row["date"]


def test_a_newer_measurement_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    other = replace(ROW, settings={"probe": "mlp"})
    save(path, [ROW, other])
    newer = replace(ROW, value=0.7, date="2030-01-01T00:00:00+00:00")
    save(path, [newer])
    assert load(path) == [other, newer]
    second = tmp_path / "second.jsonl"
    save(second, [ROW])
    assert load_all([path, second]) == [other, ROW]


@pytest.mark.parametrize("line", ["nonsense", "[1]", "{}", '{"task": "probe"}'])
def test_what_is_no_row_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "results.jsonl"
    save(path, [ROW])
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=r"results\.jsonl, line 2: no row of results"):
        load(path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        save(tmp_path / "nowhere" / "results.jsonl", [ROW])
