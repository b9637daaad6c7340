"""`wav2clip rename`: file names of the Universal Category System."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wav2clip.cli.finds import LibraryOption

if TYPE_CHECKING:
    from wav2clip.library.rename import Plan, Renamed


def rename(
    folders: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FOLDERS]...",
            help="Only files of the library in these folders.",
            show_default="all",
        ),
    ] = None,
    ucs: Annotated[
        bool, typer.Option("--ucs", help="Rename to CatID_Title_Creator_Source.")
    ] = False,
    creator: Annotated[
        str, typer.Option(help="Who made the sounds.", show_default="as their metadata say")
    ] = "",
    source: Annotated[
        str, typer.Option(help="Library or project.", show_default="as their metadata say")
    ] = "",
    undo: Annotated[
        Path | None,
        typer.Option("--undo", metavar="FILE", help="Take back what this list says was renamed."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Rename without asking.")] = False,
    library: LibraryOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print plan and outcome as JSON.")
    ] = False,
) -> None:
    """Rename files as the Universal Category System has it: CatID_Title_Creator_Source.wav.

    The category is what `wav2clip tag --ucs` gave, the title is the old name. The plan is shown
    first; nothing is ever overwritten, and texts of the same name go with their sound. Files that
    follow the system are left alone. A list of what was renamed is written before anything is, and
    --undo takes it back. Index again afterwards: nothing is embedded anew.

    Example: `wav2clip rename --ucs ~/recordings --creator "Ann Lee" --source Harbour`

    Example: `wav2clip rename --undo library/renamed/20260102-101112-000000.jsonl`
    """
    from wav2clip.cli import console, finds
    from wav2clip.errors import InputError
    from wav2clip.files import display
    from wav2clip.library import rename as renaming

    if (undo is not None) == ucs:
        raise InputError("give --ucs to rename files, or --undo FILE to take it back")
    if undo is not None:
        with finds.steps("renaming back", "files") as progress:
            renamed = renaming.undo(undo, progress)
        _tell(renamed, {}, as_json)
        return
    store = finds.open_library(library, None).store
    plan = renaming.plan(store, folders or (), creator, source)
    told: dict[str, Any] = {
        "named": plan.named,
        "left": {display(path): reason for path, reason in plan.left.items()},
        "moves": [
            {"old": display(m.old), "new": display(m.new), "beside": len(m.beside)}
            for m in plan.moves
        ],
        "list": None,
    }
    if not as_json:
        _show(plan)
    if not plan.moves or not (yes or (not as_json and _agreed(len(plan.moves)))):
        if as_json:
            console.print_json({**told, "renamed": 0, "failures": {}})
        elif plan.moves:
            console.out.print("nothing was renamed; --yes does it")
        return
    journal = renaming.new_journal(store)
    told["list"] = display(journal)
    console.err.print(f"to take it back: wav2clip rename --undo {display(journal)}",
                      markup=False, soft_wrap=True)  # fmt: skip
    with finds.steps("renaming", "files") as progress:
        renamed = renaming.carry_out(plan, journal, progress)
    _tell(renamed, told, as_json)


def _show(plan: Plan) -> None:
    from rich.markup import escape
    from rich.table import Table

    from wav2clip.cli import console
    from wav2clip.files import display

    if plan.moves:
        table = Table("old", "new")
        for column in table.columns:
            column.overflow = "fold"
        folder = None
        for move in plan.moves:
            if move.old.parent != folder:
                folder = move.old.parent
                table.add_row(f"[dim italic]in {escape(display(folder))}[/]", "")
            beside = f" [dim]and {len(move.beside)} beside it[/]" if move.beside else ""
            table.add_row(escape(display(move.old.name)), escape(display(move.new.name)) + beside)
        console.out.print(table)
    for path, reason in plan.left.items():
        console.err.print(f"left alone {display(path)}: {reason}", markup=False, soft_wrap=True)
    console.out.print(
        f"{len(plan.moves)} to rename, {plan.named} follow the system, {len(plan.left)} left alone"
    )


def _agreed(count: int) -> bool:
    import sys

    return sys.stdin.isatty() and typer.confirm(f"rename {count} files?")


def _tell(renamed: Renamed, told: dict[str, Any], as_json: bool) -> None:
    from wav2clip.cli import console
    from wav2clip.files import display

    if as_json:
        failures = {display(path): reason for path, reason in renamed.failures.items()}
        console.print_json({**told, "renamed": renamed.done, "failures": failures})
    else:
        console.out.print(f"renamed {renamed.done} files; index again, so that they are found")
    console.report_failures(renamed.failures, renamed.done, may_be_none=True)
