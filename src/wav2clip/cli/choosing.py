"""What `generate --pictures` does: chooses from pictures there are. It needs no PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wav2clip.cli import console, painting
from wav2clip.files import display

if TYPE_CHECKING:
    from PIL import Image

    from wav2clip.embedding.embedder import Wav2CLIP
    from wav2clip.embedding.engine import Embeddings
    from wav2clip.errors import ImageError
    from wav2clip.generation.album import Album
    from wav2clip.generation.pictures import Pixels

COLLAGE = 9
"""Pictures of a collage."""


@dataclass(frozen=True)
class Taste:
    """How pictures are chosen, and with what.

    Attributes:
        pictures: folder, or a file.
        size: as it was given.
        model: audio encoder.
        image_tower: what looks at the pictures.
        center: whether sounds and pictures are centred before they are compared.
        device: what networks run on.
    """

    pictures: Path
    size: str
    model: str
    image_tower: str
    center: bool
    device: str


class Chooser:
    """A model, and pictures it has looked at."""

    def __init__(self, taste: Taste) -> None:
        from wav2clip.generation.pictures import check_size

        self.taste = taste
        self.size = painting.parse_size(taste.size)
        check_size(*self.size)
        self.model: Wav2CLIP = console.load_model(
            taste.model, device=taste.device, towers=taste.image_tower
        )
        self.album: Album = self._look()

    def score(self, embeddings: Embeddings) -> Embeddings:
        """Cosines of sounds (t, dimension) with the pictures, (t, n)."""
        from wav2clip.zeroshot import similarity

        means = (self.model.mean, self.model.towers.means.get("image"))
        return similarity(
            embeddings, self.album.vectors, *(means if self.taste.center else (None, None))
        )

    def name(self, row: int) -> str:
        """A picture's path as the user knows it: from the folder that was named."""
        path = self.album.paths[row]
        root = Path(self.taste.pictures).absolute()
        return display(path.relative_to(root) if path != root else path.name)

    def open(self, row: int, least: int) -> Image.Image:
        """A picture, upright and opaque."""
        from wav2clip.models.towers.images import open_image

        return open_image(self.album.paths[row], least)

    def summary(self) -> dict[str, Any]:
        """What became of the folder."""
        return {
            "pictures": len(self.album.paths),
            "looked_at": self.album.looked_at,
            **console.sort_out(self.album.failures),
        }

    def _look(self) -> Album:
        from wav2clip.generation.album import open_album

        seen = 0
        try:
            with console.progress_bar("looking at pictures", None, "pictures") as advance:

                def looked(done: int, total: int) -> None:
                    nonlocal seen
                    seen += done
                    advance(done, total)

                album = open_album(self.taste.pictures, self.model.towers, looked)
        except KeyboardInterrupt:
            if seen:
                console.err.print(
                    f"looked at {seen} pictures, which are kept: the same command goes on from "
                    "there",
                    soft_wrap=True,
                )
            raise
        console.report_left_out(album.left_out, "no picture")
        if album.note:
            console.warn(album.note)
        return album


def make_film(
    chooser: Chooser,
    sound: Path,
    target: Path,
    timing: tuple[float, float, int],
    budget: int,
    seed: int,
    *,
    following: bool,
) -> dict[str, Any]:
    """Write a film; gives what is in it."""
    from wav2clip.generation import camera, choice, film, montage, rhythm

    frame, hop, fps = timing
    with console.err.status("listening"):
        moments = film.listen(chooser.model, sound, frame, hop)
        count = film.frame_count(film.sound_seconds(sound), fps)
        course = rhythm.measure(sound)
    places = choice.cut_places(course, count / fps)
    pictures = len(chooser.album.paths)
    shots, budget = choice.choose(chooser.score, pictures, moments, places, budget)
    motion = camera.follow(course, fps, count) if following else camera.still(count)
    lost: dict[Path, str] = {}

    def failed(row: int, error: ImageError) -> None:
        lost[chooser.album.paths[row]] = str(error)

    frames = montage.montage(shots, chooser.open, motion, chooser.size, fps, seed, failed)
    done = 0

    def counted() -> Iterator[Pixels]:
        nonlocal done
        for pixels in frames:
            yield pixels
            done += 1
            advance()

    container = film.CONTAINERS[target.suffix.lower()]
    with (
        painting.film_file(target, lambda: f"{done} of {count} frames") as path,
        console.progress_bar("filming", count, "frames") as advance,
    ):
        film.write_film(path, counted(), chooser.size, fps, sound, container)
    chooser.album.failures.update(lost)
    return {
        "frames": count,
        "fps": fps,
        "budget": budget,
        "shots": [
            {
                "start": round(shot.start, 3),
                "end": round(shot.end, 3),
                "picture": chooser.name(shot.picture),
                "score": round(shot.score, 4),
            }
            for shot in shots
        ],
    }


def make_still(chooser: Chooser, sound: Path, target: Path, *, collage: bool) -> dict[str, Any]:
    """Write the best picture, or the best nine side by side; gives which these are."""
    from wav2clip.generation import choice, montage
    from wav2clip.generation.pictures import save_picture

    with console.err.status("listening"):
        (scores,) = chooser.score(chooser.model.embed_file(sound)[None])
    rows = choice.best_rows(scores, COLLAGE if collage else 1).tolist()
    pictures = [chooser.open(row, max(chooser.size)) for row in rows]
    recipe = painting.made_by(
        size=chooser.taste.size,
        image_tower=chooser.taste.image_tower,
        model=chooser.taste.model,
        center=chooser.taste.center,
        sound=sound.name,
        chosen=[display(chooser.album.paths[row].name) for row in rows],
        of=len(chooser.album.paths),
    )
    save_picture(target, montage.collage(pictures, chooser.size), recipe)
    chosen = [{"picture": chooser.name(r), "score": round(float(scores[r]), 4)} for r in rows]
    return {"chosen": chosen}
