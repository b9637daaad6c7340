"""Run commands and draw what a terminal would show, as an SVG picture for the README.

    python tools/record_terminal.py docs/demo.svg "wav2clip demo" ["another command" ...]

The commands really run; nothing of the picture is written by hand, but ~ stands for the home
folder. `wav2clip` is taken from the environment of this Python.
"""

from __future__ import annotations

import argparse
import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text


def record(command: str, columns: int) -> Text:
    """What the command prints, with its colours."""
    arguments = shlex.split(command)
    if arguments[0] == "wav2clip":
        arguments = [sys.executable, "-m", *arguments]
    environment = {
        **os.environ,
        "FORCE_COLOR": "1",
        "COLUMNS": str(columns),
        "TERM": "xterm-256color",
    }
    done = subprocess.run(arguments, stdout=subprocess.PIPE, env=environment, text=True)
    if done.returncode != 0:
        sys.exit(f"{command!r} ended with exit code {done.returncode}")
    return Text.from_ansi(done.stdout.replace(str(Path.home()), "~"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("commands", nargs="+")
    parser.add_argument("--columns", type=int, default=96)
    arguments = parser.parse_args()
    console = Console(record=True, width=arguments.columns, file=io.StringIO(), force_terminal=True)
    for command in arguments.commands:
        console.print(Text(f"$ {command}", style="bold green"))
        console.print(record(command, arguments.columns))
    console.save_svg(str(arguments.picture), title="wav2clip")
    print(f"wrote {arguments.picture}")


if __name__ == "__main__":
    main()
