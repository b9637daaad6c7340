"""What `generate` and `gallery` share: their options, and a model with a canvas ready to paint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from wav2clip.embedding.embedder import Wav2CLIP
    from wav2clip.generation.guide import Guide
    from wav2clip.generation.pictures import Pixels
    from wav2clip.generation.prompts import Prompt, Prompter

SizeOption = Annotated[str, typer.Option(help="Pixels: 512, or WIDTHxHEIGHT such as 640x360.")]
StepsOption = Annotated[int, typer.Option(min=1, help="Steps per picture.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Equal seeds give equal pictures.")]
CutoutsOption = Annotated[
    int, typer.Option(min=1, help="Random cut-outs that the image tower sees per step.")
]
CanvasOption = Annotated[
    str, typer.Option(help="fourier (needs no weights), or vqgan (one download of 1 GB).")
]
VqganOption = Annotated[
    str, typer.Option(help="VQGAN for that canvas: a name, or the path of a checkpoint.")
]
TowerOption = Annotated[
    str, typer.Option(help="builtin, or a CLIP by hub name or local folder: what judges.")
]
ModelOption = Annotated[
    str, typer.Option(help="Audio encoder: name (`wav2clip models`) or path of a checkpoint.")
]
CenterOption = Annotated[
    bool, typer.Option(help="Centre sounds and pictures on their means before comparing.")
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")]

DEFAULT_VQGAN = "vqgan_imagenet_f16_16384"


@dataclass(frozen=True)
class Style:
    """The options that decide how a picture is made; they are kept in the picture."""

    size: str
    steps: int
    seed: int
    cutouts: int
    canvas: str
    vqgan: str
    image_tower: str
    model: str
    center: bool
    learning_rate: float | None = None

    def recipe(self, **more: Any) -> dict[str, Any]:
        """What made a picture, as JSON."""
        own = {key: value for key, value in asdict(self).items() if value is not None}
        if self.canvas != "vqgan":
            del own["vqgan"]
        return made_by(**own, **more)


class Painter:
    """A model and a kind of canvas."""

    def __init__(self, style: Style, device: str) -> None:
        from wav2clip.cli import console
        from wav2clip.generation.canvases import canvas_maker
        from wav2clip.generation.guide import Settings
        from wav2clip.generation.prompts import Prompter

        self.style = style
        self.size = parse_size(style.size)
        self._settings = Settings(style.seed, style.cutouts, style.learning_rate)
        with console.download_bar(f"fetching {style.vqgan}") as progress:
            self._make = canvas_maker(
                style.canvas, vqgan=style.vqgan, device=device, progress=progress
            )
        self.model: Wav2CLIP = console.load_model(
            style.model, device=device, towers=style.image_tower
        )
        self.prompter: Prompter = Prompter(self.model, center=style.center)

    def begin(self, prompts: list[Prompt], initial: Path | None = None) -> Guide:
        """A guide with a fresh canvas."""
        from wav2clip.generation.guide import begin

        return begin(self._make, self.size, self.model.towers, prompts, self._settings, initial)

    def paint(
        self,
        guide: Guide,
        prompts: list[Prompt],
        save: Callable[[Pixels, dict[str, Any]], None],
        every: int,
        advance: Callable[[], None],
        details: Mapping[str, Any],
    ) -> float:
        """Take the steps of a picture and save it every so many, and at the end or an interrupt.

        Args:
            guide: from :meth:`begin`.
            prompts: what to paint.
            save: takes the picture and its recipe.
            every: steps between snapshots.
            advance: called after each step.
            details: what else the recipe should say.

        Returns:
            The loss at the last step.
        """
        loss, saved = float("nan"), 0
        try:
            for value in guide.run(prompts, self.style.steps):
                loss = value
                advance()
                if guide.steps % every == 0:
                    save(guide.canvas.pixels(), self.style.recipe(done=guide.steps, **details))
                    saved = guide.steps
        finally:
            if guide.steps > saved:
                save(guide.canvas.pixels(), self.style.recipe(done=guide.steps, **details))
        return loss


def made_by(**recipe: Any) -> dict[str, Any]:
    """What is kept in a picture, as JSON, with the version that made it."""
    from wav2clip import __version__

    return {"made by": f"wav2clip {__version__}", **recipe}


@contextmanager
def film_file(target: Path, reached: Callable[[], str]) -> Iterator[Path]:
    """A path for a film, which takes its name when it is whole.

    One that is interrupted is kept beside it as NAME-interrupted.

    Args:
        target: its name.
        reached: says how far it came, for people.
    """
    from wav2clip.cli import console
    from wav2clip.files import atomic_path, display

    with atomic_path(target) as temporary:
        try:
            yield temporary
        except KeyboardInterrupt:
            if temporary.exists():
                kept = target.with_stem(f"{target.stem}-interrupted")
                temporary.replace(kept)
                console.err.print(
                    f"{display(kept)} ends after {reached()}", markup=False, soft_wrap=True
                )
            raise


def parse_size(text: str) -> tuple[int, int]:
    """``"512"`` or ``"640x360"`` (width, height) to (height, width)."""
    from wav2clip.errors import InputError

    width, _, height = text.lower().partition("x")
    try:
        return int(height or width), int(width)
    except ValueError:
        raise InputError(f"got size {text!r}, expected 512 or WIDTHxHEIGHT") from None


def warn_of_silence(sound: Path) -> bool:
    """Whether a recording is silent; says so on standard error."""
    from wav2clip.cli import console
    from wav2clip.generation.rhythm import is_silent

    silent = is_silent(sound)
    if silent:
        console.report_warnings({sound: ("is silent: its picture means nothing",)})
    return silent
