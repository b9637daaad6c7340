"""`wav2clip generate`: a sound in, a picture or a film out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wav2clip.cli import choosing, painting

if TYPE_CHECKING:
    from wav2clip.cli.painting import Painter
    from wav2clip.generation.prompts import Prompt


def generate(
    context: typer.Context,
    sound: Annotated[Path, typer.Argument(metavar="FILE", help="Any audio or video file.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Picture: .png, .jpg or .webp.")
    ] = None,
    film: Annotated[
        Path | None, typer.Option(help="Instead of a picture a film: .mp4, .mov or .mkv.")
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(help="Choose from the pictures of this folder, in place of painting."),
    ] = None,
    collage: Annotated[
        bool, typer.Option("--collage", help="With --pictures: the best nine in one picture.")
    ] = False,
    budget: Annotated[
        int, typer.Option(min=1, help="Film, with --pictures: how often one may come.")
    ] = 3,
    size: painting.SizeOption = "512",
    steps: painting.StepsOption = 500,
    seed: painting.SeedOption = 0,
    canvas: painting.CanvasOption = "fourier",
    image_tower: painting.TowerOption = "builtin",
    prompt: Annotated[
        list[str] | None,
        typer.Option(help='Words to mix in: "a red sky:0.5"; negative drives away. Repeatable.'),
    ] = None,
    image_prompt: Annotated[
        list[str] | None, typer.Option(help="Pictures to mix in: FILE:0.5. Repeatable.")
    ] = None,
    audio_weight: Annotated[float, typer.Option(help="Weight of the sound itself.")] = 1.0,
    init: Annotated[Path | None, typer.Option(help="Picture to start from.")] = None,
    cutouts: painting.CutoutsOption = 4,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of Adam.", show_default="0.05 fourier, 0.1 vqgan")
    ] = None,
    snapshot_every: Annotated[
        int, typer.Option(min=1, help="Steps after which the picture is saved as it is.")
    ] = 50,
    film_steps: Annotated[
        int, typer.Option(min=1, help="Film: steps per further key picture.")
    ] = 20,
    frame: Annotated[float, typer.Option(help="Film: seconds heard per key picture.")] = 1.0,
    hop: Annotated[float, typer.Option(help="Film: seconds between key pictures.")] = 0.5,
    follow: Annotated[
        bool, typer.Option(help="Film: keep time with the sound, move and shine with it.")
    ] = True,
    fps: Annotated[int, typer.Option(min=1, max=120, help="Film: frames per second.")] = 25,
    vqgan: painting.VqganOption = painting.DEFAULT_VQGAN,
    model: painting.ModelOption = "builtin",
    center: painting.CenterOption = True,
    device: painting.DeviceOption = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Make a picture or a film that a sound is close to, in the space of CLIP.

    With --pictures it is chosen from your own pictures, which needs no PyTorch. They are looked at
    once, and known from then on.

    Without, it is painted: a canvas is optimised until its random cut-outs are embedded near the
    sound. The picture is saved every so many steps and when interrupted, so nothing is lost; an
    interrupted film ends where it had come to. Equal seeds give equal pictures on one machine.

    Example: `wav2clip generate rain.ogg -o rain.png`

    Film: `wav2clip generate storm.ogg --film storm.mp4 --size 256 --prompt "oil painting:0.3"`

    Chosen: `wav2clip generate storm.ogg --pictures ~/Pictures --film storm.mp4 --size 1280x720`
    """
    from wav2clip.cli import console
    from wav2clip.errors import InputError

    target = film or output
    if target is None or (film and output):
        raise InputError("give one of -o PICTURE and --film FILM")
    _check_meaning(context, chosen=pictures is not None, is_film=film is not None)
    _check_target(target, size, is_film=film is not None)
    silent = painting.warn_of_silence(sound)
    timing = (frame, hop, fps)
    if pictures is not None:
        taste = choosing.Taste(pictures, size, model, image_tower, center, device)
        begun = time.perf_counter()
        chooser = choosing.Chooser(taste)
        if film is not None:
            summary = choosing.make_film(
                chooser, sound, film, timing, budget, seed, following=follow
            )
        else:
            summary = choosing.make_still(chooser, sound, target, collage=collage)
        _report(target, {**summary, **chooser.summary()}, silent, begun, as_json)
        console.report_failures(chooser.album.failures, 1)
        return
    style = painting.Style(
        size, steps, seed, cutouts, canvas, vqgan, image_tower, model, center, learning_rate
    )
    painter = painting.Painter(style, device)
    extra = _extra_prompts(painter, prompt or [], image_prompt or [])
    begun = time.perf_counter()
    if film is not None:
        summary = _film(
            painter, sound, film, extra, audio_weight, init, film_steps, timing, following=follow
        )
    else:
        with console.err.status("listening"):
            prompts = [painter.prompter.sound(sound, audio_weight), *extra]
            guide = painter.begin(prompts, init)
        details = {"sound": sound.name, "prompts": [*(prompt or []), *(image_prompt or [])]}
        summary = _picture(painter, guide, prompts, target, snapshot_every, details)
    _report(target, summary, silent, begun, as_json)


_PAINTING = [
    "steps",
    "canvas",
    "prompt",
    "image_prompt",
    "audio_weight",
    "init",
    "cutouts",
    "learning_rate",
    "snapshot_every",
    "film_steps",
    "vqgan",
]
_CHOOSING = ["collage", "budget"]
_CHOSEN_FILM = ["frame", "hop", "fps", "follow", "budget", "seed"]


def _check_meaning(context: typer.Context, *, chosen: bool, is_film: bool) -> None:
    """What was asked for and would have no effect is refused, not passed over."""
    from wav2clip.errors import InputError

    if not chosen:
        names, reason = _CHOOSING, "is for pictures that are chosen: give --pictures FOLDER, too"
    elif is_film:
        names, reason = [*_PAINTING, "collage"], "means nothing for a film of chosen pictures"
    else:
        names, reason = [*_PAINTING, *_CHOSEN_FILM], "means nothing for a picture that is chosen"
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise InputError(f"--{name.replace('_', '-')} {reason}")


def _report(
    target: Path, summary: dict[str, Any], silent: bool, begun: float, as_json: bool
) -> None:
    from wav2clip.cli import console

    seconds = round(time.perf_counter() - begun, 2)
    summary = {"output": str(target), **summary, "silent": silent, "seconds": seconds}
    if as_json:
        console.print_json(summary)
        return
    for shot in summary.get("shots", ()):
        console.out.print(
            f"{shot['start']:8.2f} s  {shot['picture']}", markup=False, soft_wrap=True
        )
    for choice in summary.get("chosen", ()):
        console.out.print(f"{choice['score']:.2f}  {choice['picture']}", markup=False)
    console.out.print(f"{target} in {seconds:.0f} s", markup=False, soft_wrap=True)


def _check_target(target: Path, size: str, *, is_film: bool) -> None:
    """A wrong name should not cost the minutes before it is written."""
    from wav2clip.errors import InputError
    from wav2clip.files import display
    from wav2clip.generation.film import check_film
    from wav2clip.generation.pictures import check_picture_name

    if is_film:
        check_film(target, *painting.parse_size(size))
    else:
        check_picture_name(target)
    if not target.absolute().parent.is_dir():
        raise InputError(f"{display(target)}: the folder to write to does not exist")


def _extra_prompts(painter: Painter, texts: list[str], images: list[str]) -> list[Prompt]:
    from wav2clip.generation.prompts import parse_weighted

    prompter = painter.prompter
    return [
        *(prompter.text(*parse_weighted(text)) for text in texts),
        *(prompter.image(*parse_weighted(image)) for image in images),
    ]


def _picture(
    painter: Painter,
    guide: Any,
    prompts: list[Prompt],
    target: Path,
    every: int,
    details: dict[str, Any],
) -> dict[str, Any]:
    from wav2clip.cli import console
    from wav2clip.files import display
    from wav2clip.generation.pictures import save_picture

    try:
        with console.progress_bar("painting", painter.style.steps, "steps") as advance:
            loss = painter.paint(
                guide,
                prompts,
                lambda pixels, recipe: save_picture(target, pixels, recipe),
                every,
                advance,
                details,
            )
    except KeyboardInterrupt:
        if guide.steps:
            console.err.print(
                f"{display(target)} shows the picture after {guide.steps} of "
                f"{painter.style.steps} steps",
                markup=False,
                soft_wrap=True,
            )
        raise
    return {"steps": guide.steps, "loss": round(loss, 4)}


def _film(
    painter: Painter,
    sound: Path,
    target: Path,
    extra: list[Prompt],
    weight: float,
    init: Path | None,
    film_steps: int,
    timing: tuple[float, float, int],
    *,
    following: bool,
) -> dict[str, Any]:
    from wav2clip.cli import console
    from wav2clip.generation import camera, film, rhythm

    frame, hop, fps = timing
    with console.err.status("listening"):
        moments = film.listen(painter.model, sound, frame, hop)
        count = film.frame_count(film.sound_seconds(sound), fps)
        prompts = [[painter.prompter.embedding(e, weight), *extra] for e in moments.embeddings]
        course = rhythm.measure(sound) if following else None
        guide = painter.begin(prompts[0], init)
    total = painter.style.steps + film_steps * (len(prompts) - 1)
    container = film.CONTAINERS[target.suffix.lower()]
    with (
        painting.film_file(target, lambda: f"{guide.steps} of {total} steps") as path,
        console.progress_bar("filming", total, "steps") as advance,
    ):
        keys = film.grow(guide, prompts, painter.style.steps, film_steps, lambda _: advance())
        frames = film.blend(keys, film.key_times(moments, course), fps, count)
        if course is not None:
            frames = camera.moved(frames, camera.follow(course, fps, count))
        film.write_film(path, frames, painter.size, fps, sound, container)
    return {"steps": guide.steps, "keys": len(prompts), "frames": count, "fps": fps}
