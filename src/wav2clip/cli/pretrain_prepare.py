"""`wav2clip pretrain prepare`: from videos or sounds to shards for training."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from wav2clip.pretrain.shards import Manifest


def prepare(
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder of videos (with --tagger: of any sounds), or a .csv or .jsonl file with "
            "the columns audio or video, and captions, caption, label or image; source and split "
            "are optional.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the shards.", show_default=False)],
    teacher: Annotated[
        str, typer.Option(help='The frozen CLIP: "builtin", a name on the hub, or a folder.')
    ] = "builtin",
    tagger: Annotated[
        str | None,
        typer.Option(
            help="A second teacher that listens: efficientat-mn04, or a file with weights of "
            "EfficientAT. Clips then need neither words nor pictures.",
            show_default=False,
        ),
    ] = None,
    tagger_phrases: Annotated[
        Path | None,
        typer.Option(
            help="A .csv file with the columns class and phrases (separated by ;): what to call "
            "the tagger's classes. It may change when the command is given again.",
            show_default="their names",
        ),
    ] = None,
    sample_rate: Annotated[
        int | None,
        typer.Option(
            help="Hz of the sound in the shards: what the network to be trained hears.",
            show_default="the tagger's, or 16000",
        ),
    ] = None,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures/--no-pictures",
            help="Let the teacher look at pictures and frames, or take a video for its sound.",
        ),
    ] = True,
    frame_rate: Annotated[
        float, typer.Option(help="Frames per second of a video that the teacher sees.")
    ] = 1.0,
    seconds: Annotated[
        float, typer.Option(help="Take so many seconds from the start of each file.")
    ] = 10.0,
    genuine_text: Annotated[
        list[Path] | None,
        typer.Option(
            help="An .npz table of the teacher's own embeddings, used for the captions it holds. "
            "May be given several times.",
            show_default=False,
        ),
    ] = None,
    validation: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Clips held out for validation, where the source has no column split.",
            show_default="500, but at most 5 %",
        ),
    ] = None,
    shard_samples: Annotated[int, typer.Option(min=1, help="Clips per shard.")] = 512,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Files decoded at once.", show_default="all cores")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Where the teacher runs, such as cuda.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Turn videos or sounds into shards that `wav2clip pretrain fit` reads.

    The teachers look at and listen to every clip once, here, and never again while training. A run
    that was stopped goes on where it stopped when the same command is given again. Files that
    cannot be used are skipped and listed; the exit code is then 1.

    Example: `wav2clip pretrain prepare videos --out shards --frame-rate 1`

    Example: `wav2clip pretrain prepare clips.csv --out s --teacher openai/clip-vit-base-patch16`

    Example: `wav2clip pretrain prepare recordings --out shards --tagger efficientat-mn04`
    """
    from wav2clip.cli import console
    from wav2clip.files import MEDIA_SUFFIXES, VIDEO_SUFFIXES, walk
    from wav2clip.models.tagger import load_tagger
    from wav2clip.models.towers import load_towers
    from wav2clip.pretrain.pairs import PrepareSettings
    from wav2clip.pretrain.pairs import prepare as prepare_pairs

    settings = PrepareSettings(
        seconds, frame_rate, validation, shard_samples, sample_rate, pictures
    )
    with _ProgressBars() as progress:
        manifest = prepare_pairs(
            source,
            out,
            load_towers(teacher, device=device),
            settings,
            genuine_text or (),
            workers,
            progress,
            tagger=None if tagger is None else load_tagger(tagger),
            phrases=tagger_phrases,
        )
    if as_json:
        console.print_json(manifest.to_json())
    else:
        typer.echo(_summary(out, manifest))
    if source.is_dir():
        left_out: Counter[str] = Counter()
        suffixes = VIDEO_SUFFIXES if tagger is None else MEDIA_SUFFIXES
        list(walk(source, suffixes, on_error=lambda _: None, left_out=left_out))
        console.report_left_out(left_out, "no video" if tagger is None else "no sound or video")
    done = sum(manifest.samples(split) for split in manifest.splits)
    console.report_failures({Path(f.source): f.reason for f in manifest.failures}, done)


def _summary(out: Path, manifest: Manifest) -> str:
    teacher = manifest.teacher
    lines = [
        f"{split}: {manifest.samples(split)} clips, {manifest.hours(split):.2f} hours, "
        f"{len(shards)} shards"
        for split, shards in manifest.splits.items()
    ]
    lines += [
        f"teacher: {teacher.name} {teacher.fingerprint}, {teacher.space}, {teacher.dimension}-d",
    ]
    if tagger := manifest.tagger:
        lines.append(f"tagger: {tagger.name} {tagger.fingerprint}, {len(tagger.labels)} classes")
    lines.append(f"written to {out}, {manifest.sample_rate} Hz")
    return "\n".join(lines)


class _ProgressBars:
    """A bar on standard error for each stage that the preparation reports."""

    def __init__(self) -> None:
        from rich.progress import Progress, TaskID

        from wav2clip.cli import console

        self._bars = Progress(console=console.err, transient=True)
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what)
        self._bars.update(self._tasks[what], completed=done, total=total)

    def __enter__(self) -> _ProgressBars:
        self._bars.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._bars.stop()
