"""`wav2clip generate`: a sound in, a picture or a film out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wav2clip.cli import painting

if TYPE_CHECKING:
    from wav2clip.cli.painting import Painter
    from wav2clip.generation.prompts import Prompt


def generate(
    sound: Annotated[Path, typer.Argument(metavar="FILE", help="Any audio or video file.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Picture: .png, .jpg or .webp.")
    ] = None,
    film: Annotated[
        Path | None, typer.Option(help="Instead of a picture a film: .mp4, .mov or .mkv.")
    ] = None,
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
    fps: Annotated[int, typer.Option(min=1, max=120, help="Film: frames per second.")] = 25,
    vqgan: painting.VqganOption = painting.DEFAULT_VQGAN,
    model: painting.ModelOption = "builtin",
    center: painting.CenterOption = True,
    device: painting.DeviceOption = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Make a picture or a film that a sound is close to, in the space of CLIP.

    A canvas is optimised until its random cut-outs are embedded near the sound. The picture is
    saved every so many steps and when interrupted, so nothing is lost; an interrupted film ends
    where it had come to. Equal seeds give equal pictures on one machine.

    Example: `wav2clip generate rain.ogg -o rain.png`

    Film: `wav2clip generate storm.ogg --film storm.mp4 --size 256 --prompt "oil painting:0.3"`
    """
    from wav2clip.cli import console
    from wav2clip.errors import InputError

    target = film or output
    if target is None or (film and output):
        raise InputError("give one of -o PICTURE and --film FILM")
    style = painting.Style(
        size, steps, seed, cutouts, canvas, vqgan, image_tower, model, center, learning_rate
    )
    _check_target(target, style, is_film=film is not None)
    silent = painting.warn_of_silence(sound)
    painter = painting.Painter(style, device)
    extra = _extra_prompts(painter, prompt or [], image_prompt or [])
    begun = time.perf_counter()
    if film is not None:
        timing = (frame, hop, fps)
        summary = _film(painter, sound, film, extra, audio_weight, init, film_steps, timing)
    else:
        with console.err.status("listening"):
            prompts = [painter.prompter.sound(sound, audio_weight), *extra]
            guide = painter.begin(prompts, init)
        details = {"sound": sound.name, "prompts": [*(prompt or []), *(image_prompt or [])]}
        summary = _picture(painter, guide, prompts, target, snapshot_every, details)
    seconds = round(time.perf_counter() - begun, 2)
    summary = {"output": str(target), **summary, "silent": silent, "seconds": seconds}
    if as_json:
        console.print_json(summary)
    else:
        console.out.print(f"{target} in {seconds:.0f} s", markup=False, soft_wrap=True)


def _check_target(target: Path, style: painting.Style, *, is_film: bool) -> None:
    """A wrong name should not cost the minutes before it is written."""
    from wav2clip.errors import InputError
    from wav2clip.files import display
    from wav2clip.generation.film import check_film
    from wav2clip.generation.pictures import check_picture_name

    if is_film:
        check_film(target, *painting.parse_size(style.size))
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
) -> dict[str, Any]:
    from wav2clip.cli import console
    from wav2clip.files import atomic_path, display
    from wav2clip.generation import film

    frame, hop, fps = timing
    with console.err.status("listening"):
        moments = film.listen(painter.model, sound, frame, hop)
        count = film.frame_count(film.sound_seconds(sound), fps)
        prompts = [[painter.prompter.embedding(e, weight), *extra] for e in moments.embeddings]
        guide = painter.begin(prompts[0], init)
    total = painter.style.steps + film_steps * (len(prompts) - 1)
    container = film.CONTAINERS[target.suffix.lower()]
    with atomic_path(target) as temporary:
        try:
            with console.progress_bar("filming", total, "steps") as advance:
                keys = film.grow(
                    guide, prompts, painter.style.steps, film_steps, lambda _: advance()
                )
                frames = film.blend(keys, moments.seconds, fps, count)
                film.write_film(temporary, frames, painter.size, fps, sound, container)
        except KeyboardInterrupt:
            kept = target.with_stem(f"{target.stem}-interrupted")
            temporary.replace(kept)
            console.err.print(
                f"{display(kept)} ends after {guide.steps} of {total} steps",
                markup=False,
                soft_wrap=True,
            )
            raise
    return {"steps": guide.steps, "keys": len(prompts), "frames": count, "fps": fps}
