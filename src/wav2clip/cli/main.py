"""The `wav2clip` command: finds the subcommand, turns errors into text and an exit code.

Subcommands are imported only when they run, so that `wav2clip --help` answers at once.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, TextIO

import typer
from typer.core import TyperGroup

from wav2clip import __version__, runtime
from wav2clip.errors import LanguageWarning, Wav2ClipError

COMMANDS = {
    "demo": "Index a small corpus, search it in three ways, and say what to type next.",
    "index": "Index folders of recordings, so that they can be searched.",
    "watch": "Keep a library up to date while files come, go and change.",
    "search": "Find sounds by a phrase, a picture, another sound, or a sum of them.",
    "similar": "List the sounds of the library that are most like a recording.",
    "duplicates": "List recordings that are there twice.",
    "check": "List recordings that are silent, clipped, out of phase, cut or not readable.",
    "tag": "Tag the sounds of the library with any labels, with no training.",
    "rename": "Rename files as the Universal Category System has it.",
    "collection": "Keep sounds together under names; export them as a folder or a playlist.",
    "metadata": "Write the words of the library's files into a table, and read them from one.",
    "serve": "Search a library in a browser: a page, and an API.",
    "classify": "Label recordings with any words, with no training.",
    "embed": "Embed recordings into a file of vectors.",
    "map": "Draw a map of sounds: a picture, or a page to listen to.",
    "generate": "Make a picture or a film from a sound.",
    "gallery": "Make a page of sounds and the pictures they gave.",
    "pretrain": "Train an encoder of your own: prepare the data, fit, publish.",
    "evaluate": "Measure any encoder as the literature does: datasets, tasks, report.",
    "export": "Write a model as ONNX, in float32 and in 8 bits.",
    "doctor": "Say which engines work here, how fast each is, and what is installed.",
    "models": "List the models that can be loaded by name, and what is cached.",
}
"""Subcommands, each in ``wav2clip.cli.<name>`` as ``app`` or as a function of that name."""


class LazyGroup(TyperGroup):
    """A group that imports a command when it is run; the overview needs a name and a line alone."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        return _as_command(lambda: None, cmd_name, COMMANDS[cmd_name])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        assert name is not None
        return name, load_command(name), rest


def load_command(name: str) -> Any:
    """The click command of a subcommand: its module's ``app``, or its function of that name."""
    module = import_module(f"wav2clip.cli.{name}")
    if hasattr(module, "app"):
        command = typer.main.get_command(module.app)
        command.name = name
        return command
    return _as_command(getattr(module, name), name)


def _as_command(function: Callable[..., None], name: str, summary: str | None = None) -> Any:
    single = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    single.command(name, help=summary)(function)
    return typer.main.get_command(single)


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wav2clip {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False,
        "--version",
        help="Print the version and stop.",
        callback=_print_version,
        is_eager=True,
    ),
) -> None:
    """Put sound into the space of pictures and words.

    Start with `wav2clip COMMAND --help`: every command shows an example.
    """


_show_any_warning = warnings.showwarning


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Our own warnings as commands print theirs; everybody else's as Python does."""
    if not issubclass(category, LanguageWarning):
        _show_any_warning(message, category, filename, lineno, file, line)
        return
    from wav2clip.cli import console

    console.warn(str(message))


def run() -> None:
    """Entry point. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    # Read when torch is loaded: large tensors then come in 2 MiB pages, which makes networks over
    # pictures up to 1.8 times as fast on the CPU.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    warnings.showwarning = _show_warning
    try:
        app(prog_name="wav2clip")
    except Wav2ClipError as error:
        typer.echo(f"wav2clip: {error}", err=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        typer.echo(f"wav2clip: {runtime.needs_torch('this command')}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
