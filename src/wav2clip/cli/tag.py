"""`wav2clip tag`: zero-shot labels and UCS categories stored with the sounds."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from wav2clip.cli.finds import LibraryOption, ModelOption
from wav2clip.cli.loading import DeviceOption


def tag(
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            help="Comma-separated words, a text file with one label a line, or the name of a list "
            "that comes with wav2clip (audioset, esc50, urbansound8k, vggsound).",
        ),
    ] = None,
    ucs: Annotated[
        bool,
        typer.Option(
            "--ucs", help="Tag files with a CatID of the Universal Category System, as ANMLDog."
        ),
    ] = False,
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", help="Take this tag from all segments. Repeatable."),
    ] = None,
    library: LibraryOption = None,
    top: Annotated[
        int, typer.Option(min=1, help="Tags per segment, at most; of --ucs per file.")
    ] = 1,
    min_probability: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out labels less probable than this.")
    ] = 0.0,
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop all tags that were given before.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="If another process is indexing, wait for it.")
    ] = False,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Tag every segment of the library with the labels that fit it best, with no training.

    Tags are kept in the library: `wav2clip search ... --tag rain` finds among them. Files that are
    indexed later have none until this is run again.

    With --ucs files get the category that their name or metadata says, and the likeliest of 752 by
    sound and words where they say none: `wav2clip search "cat:dog"` finds them.

    Example: `wav2clip tag --ucs --min-probability 0.1`

    Example: `wav2clip tag --remove speech`

    Example: `wav2clip tag --labels "rain, a dog, footsteps, speech" --top 2 --min-probability 0.2`
    """
    from wav2clip.cli import console, finds
    from wav2clip.errors import InputError
    from wav2clip.zeroshot import read_labels

    if (labels is not None) + ucs + bool(remove) > 1:
        raise InputError("give --labels, --ucs or --remove, one after the other")
    if remove:
        removed = finds.open_library(library, model, device).untag(remove, wait=wait)
        if as_json:
            console.print_json({"removed": removed, "labels": remove})
        else:
            console.out.print(f"taken from {removed} segments")
        return
    limits: dict[str, Any] = {
        "top": top,
        "min_probability": min_probability,
        "replace": replace,
        "wait": wait,
    }
    if ucs:
        opened = finds.open_library(library, model, device)
        opened.load_model()  # it has a bar of its own
        with finds.steps("tagging", "files") as progress:
            categorised = opened.tag_ucs(**limits, progress=progress)
        if as_json:
            console.print_json({"segments": len(opened), **categorised._asdict()})
        else:
            suggested = categorised.files - categorised.stated
            console.out.print(
                f"{categorised.stated} files say their category, {suggested} have one suggested"
            )
        return
    if labels is None:
        raise InputError('which labels? Give --labels "rain, a dog, footsteps", or --ucs')
    names = read_labels(labels)
    opened = finds.open_library(library, model, device)
    opened.load_model()  # it has a bar of its own
    with finds.steps("tagging", "segments") as progress:
        tagged = opened.tag(names, **limits, progress=progress)
    if as_json:
        console.print_json({"segments": len(opened), "tagged": tagged, "labels": names})
    else:
        console.out.print(f"{tagged} of {len(opened)} segments have tags")
