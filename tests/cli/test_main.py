"""The command as a whole: every subcommand explains itself with an example."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from wav2clip.cli.main import COMMANDS

pytestmark = pytest.mark.everyday

Run = Callable[..., "CompletedProcess[str]"]


def test_overview(run_command: Run) -> None:
    done = run_command("--help")
    assert done.returncode == 0
    for name, summary in COMMANDS.items():
        assert name in done.stdout
        assert summary.split(".")[0][:40] in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example(run_command: Run, name: str) -> None:
    done = run_command(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"wav2clip {name}" in done.stdout
    assert "xample" in done.stdout


def test_version(run_command: Run) -> None:
    done = run_command("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("wav2clip ")


def test_models(run_command: Run, tmp_path: Path) -> None:
    models = {m["name"]: m for m in json.loads(run_command("models", "--json").stdout)}
    assert models["wav2clip"]["licence"] == "CC-BY-4.0"
    assert models["wav2clip"]["available"] is False
    assert models["wav2clip"]["path"] == str(tmp_path / "cache" / "Wav2CLIP.pt")
    assert "builtin" in models
    assert "Wav2CLIP" in run_command("models").stdout or "wav2clip" in run_command("models").stdout
