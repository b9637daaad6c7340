"""`wav2clip gallery`: a folder of sounds in, a page of sounds and pictures out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wav2clip.cli import painting

if TYPE_CHECKING:
    from wav2clip.cli.painting import Painter, Style
    from wav2clip.generation.gallery import Exhibit, Site


def gallery(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Recordings.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the site, made if need be.")
    ],
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Pictures of sounds",
    maps: Annotated[
        list[Path] | None,
        typer.Option("--map", help="A map to show below, from `wav2clip map`. Repeatable."),
    ] = None,
    size: painting.SizeOption = "512",
    steps: painting.StepsOption = 500,
    seed: painting.SeedOption = 0,
    canvas: painting.CanvasOption = "fourier",
    image_tower: painting.TowerOption = "builtin",
    cutouts: painting.CutoutsOption = 4,
    vqgan: painting.VqganOption = painting.DEFAULT_VQGAN,
    model: painting.ModelOption = "builtin",
    center: painting.CenterOption = True,
    device: painting.DeviceOption = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Make a static page with a row of picture, label and player for every sound of a folder.

    A picture that `wav2clip generate` left beside its sound is taken as it is; the others are made
    here, and kept: run the same command again to go on where it was interrupted. A sound is called
    after the first line of NAME.txt beside it, or else after its file. The page opens from disk and
    can be published as it is.

    Example: `wav2clip gallery sounds/ -o site/ --size 256 --steps 200`
    """
    from rich.markup import escape

    from wav2clip.cli import console
    from wav2clip.errors import Wav2ClipError
    from wav2clip.files import display, find_recordings
    from wav2clip.generation.gallery import Site

    found, failures, left_out = find_recordings([str(folder)])
    inside = output.resolve()  # a site in the folder of its sounds holds copies of them
    recordings = [sound for sound in found if inside not in sound.resolve().parents]
    style = painting.Style(size, steps, seed, cutouts, canvas, vqgan, image_tower, model, center)
    _check_maps(maps or [])
    painting.parse_size(size)
    site = Site(output)
    site.maps = [site.add_copy(path) for path in maps or []]
    easel = Easel(style, device)
    try:
        for number, sound in enumerate(recordings, 1):
            try:
                place = escape(f"{number}/{len(recordings)} {display(sound.name)}")
                site.exhibits.append(_exhibit(site, sound, easel, place))
            except (Wav2ClipError, OSError) as error:
                failures[sound] = str(error).removeprefix(f"{display(sound)}: ")
    finally:  # an interrupted gallery shows what there is
        page = site.write(title)
    if as_json:
        console.print_json(
            {
                "page": str(page),
                "exhibits": len(site.exhibits),
                **console.sort_out(failures),
            }
        )
    else:
        console.out.print(f"{len(site.exhibits)} sounds in {page}", markup=False, soft_wrap=True)
    console.report_left_out(left_out)
    console.report_failures(failures, len(site.exhibits))


class Easel:
    """A painter that is loaded once the first picture must be made."""

    def __init__(self, style: Style, device: str) -> None:
        self.style = style
        self._device = device
        self._painter: Painter | None = None

    def paint(self, sound: Path, target: Path, place: str) -> None:
        """Make the picture of a recording, unless it is there."""
        from wav2clip.cli import console
        from wav2clip.generation.pictures import read_recipe, save_picture

        if read_recipe(target) == self.style.recipe(done=self.style.steps, sound=sound.name):
            return
        painting.warn_of_silence(sound)
        self._painter = self._painter or painting.Painter(self.style, self._device)
        with console.err.status(f"listening to {place}"):
            prompts = [self._painter.prompter.sound(sound)]
            guide = self._painter.begin(prompts)
        with console.progress_bar(place, self.style.steps, "steps") as advance:
            self._painter.paint(
                guide,
                prompts,
                lambda pixels, recipe: save_picture(target, pixels, recipe),
                self.style.steps,
                advance,
                {"sound": sound.name},
            )


def _exhibit(site: Site, sound: Path, easel: Easel, place: str) -> Exhibit:
    from wav2clip.generation.gallery import (
        Exhibit,
        describe,
        label_of,
        media_name,
        painted_beside,
    )
    from wav2clip.generation.pictures import read_recipe

    beside = painted_beside(sound)
    if beside is not None:
        picture = site.add_copy(beside)
    else:
        picture = media_name(sound, ".jpg")
        easel.paint(sound, site.media / picture, place)
    how = describe(read_recipe(site.media / picture) or {})
    return Exhibit(label_of(sound), site.add_sound(sound), picture, how)


def _check_maps(maps: list[Path]) -> None:
    from wav2clip.errors import InputError
    from wav2clip.files import display
    from wav2clip.generation.gallery import MAPS

    for path in maps:
        if path.suffix.lower() not in MAPS or not path.is_file():
            raise InputError(
                f"{display(path)}: expected a map from `wav2clip map`, a file that ends in "
                f"{', '.join(sorted(MAPS))}"
            )
