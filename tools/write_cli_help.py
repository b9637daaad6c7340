"""Write docs/cli.md: what every command says with --help.

    python tools/write_cli_help.py

`tests/cli/test_help.py` fails while the file differs from what the commands say.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from wav2clip.cli.main import COMMANDS, load_command

TARGET = Path(__file__).parent.parent / "docs" / "cli.md"
WIDTH = "100"


def commands() -> Iterator[list[str]]:
    """Every command and subcommand."""
    yield []
    for name in COMMANDS:
        yield [name]
        for child in getattr(load_command(name), "commands", {}):
            yield [name, child]


def help_of(command: list[str]) -> str:
    """Its --help as plain text, without the spaces at the ends of lines."""
    environment = {**os.environ, "COLUMNS": WIDTH, "NO_COLOR": "1", "TERM": "dumb"}
    output = subprocess.run(
        [sys.executable, "-m", "wav2clip", *command, "--help"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return "\n".join(line.rstrip() for line in output.strip().splitlines())


def document() -> str:
    """The whole page."""
    parts = ["# Commands\n\nMade by `python tools/write_cli_help.py`.\n"]
    for command in commands():
        title = " ".join(["wav2clip", *command])
        parts.append(f"## {title}\n\n```text\n{help_of(command)}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")
    print(
        f"wrote {TARGET.relative_to(Path.cwd()) if TARGET.is_relative_to(Path.cwd()) else TARGET}"
    )
