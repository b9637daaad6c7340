"""The one table of benchmarks: rows that are kept, and the parts that run anywhere, run."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with parts of the test's own."""
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("bench")

    def part(*names: str, end: type[BaseException] | None = None) -> Any:
        def rows(sizes: Any) -> Iterator[Any]:
            for name in names:
                yield module.Row(f"group {names[0]}", name, f"{sizes.turns} s", 2.0)
            if end is not None:
                raise end("over")

        return rows

    parts = {
        "good": part("a", "b"),
        "broken": part("c", end=OSError),
        "stopped": part("d", "e", end=KeyboardInterrupt),
        "never": part("f"),
    }
    monkeypatch.setattr(module, "PARTS", parts)
    return module


def table(folder: Path) -> list[str]:
    """Second cells of the rows."""
    lines = (folder / "bench.md").read_text("utf-8").splitlines()
    return [line.split(" | ")[1] for line in lines if line.startswith("| ") and " s |" in line]


def test_what_was_measured_is_kept(bench: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "results"
    results = bench.Results(folder)
    with pytest.raises(KeyboardInterrupt):
        bench.run(list(bench.PARTS), bench.QUICK, results)
    assert table(folder) == ["a", "b", "c", "d", "e"]
    page = (folder / "bench.md").read_text("utf-8")
    assert "Stopped before their end: broken, stopped." in page
    assert "| group a | a | 1 s | 2.00 |\n|  | b | 1 s | 2.00 |" in page

    beside, again = bench.Results(folder), bench.Results(folder)
    assert bench.run(["never"], bench.Sizes(turns=7), beside) == []
    assert bench.run(["broken"], bench.Sizes(turns=7), again) == ["broken"]
    assert table(folder) == ["a", "b", "c", "d", "e", "f"]
    assert "| group c | c | 7 s |" in (folder / "bench.md").read_text("utf-8")

    kept = json.loads((folder / "bench.json").read_text("utf-8"))
    (folder / "bench.json").write_text(json.dumps({**kept, "machine": "another"}), "utf-8")
    other = bench.Results(folder)
    assert bench.run(["good"], bench.QUICK, other) == []
    assert table(folder) == ["a", "b"]


def test_an_unknown_part_names_the_known(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench.py", "--only", "good,nothing"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "nothing: expected some of good,broken" in capsys.readouterr().err


@pytest.mark.usefixtures("data")
def test_real_parts_in_small(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, FOLDER / "bench.py", "--quick", "--only", "search,pipeline"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "WAV2CLIP_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    groups = [line for line in done.stdout.splitlines() if line.startswith("| search")]
    assert [line.split(" | ")[1] for line in groups] == ["LanceDB's exact scan"] * 2
    assert done.stdout.count("| bound on shared cores |") == 4
    assert not list(tmp_path.iterdir())
