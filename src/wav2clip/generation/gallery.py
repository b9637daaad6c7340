"""A static page of sounds and their pictures, which opens from disk and from any server."""

from __future__ import annotations

import hashlib
import re
import shutil
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import soundfile

from wav2clip.audio import io
from wav2clip.errors import InputError, MissingExtraError
from wav2clip.files import atomic_path, decode_text, display
from wav2clip.generation.pictures import FORMATS, read_recipe

PAGE = "index.html"
MEDIA = "media"

PLAYABLE = frozenset({".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav"})
"""Sounds that browsers play; others are converted."""

MAPS = frozenset({".html", ".jpg", ".jpeg", ".png", ".svg", ".webp"})
"""Maps that can be shown: pictures and pages."""

_SLUG = 40


@dataclass(frozen=True)
class Exhibit:
    """One row of the page.

    Attributes:
        label: what to call the sound.
        sound: file name below the site's :data:`MEDIA`.
        picture: the same.
        how: what made the picture, in words.
    """

    label: str
    sound: str
    picture: str
    how: str


@dataclass
class Site:
    """A folder that becomes a gallery. Files are named after sound and content, so that the page
    holds safe addresses alone, and what is there already is found again.

    Attributes:
        folder: made where it is missing.
        exhibits: rows of the page, in order.
        maps: file names below :data:`MEDIA`.
    """

    folder: Path
    exhibits: list[Exhibit] = field(default_factory=list)
    maps: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            self.media.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write to {display(self.folder)}: {error.strerror}") from error

    @property
    def media(self) -> Path:
        """Where sounds and pictures lie."""
        return self.folder / MEDIA

    def add_sound(self, sound: Path) -> str:
        """Copy a recording, converted to Ogg Vorbis where browsers would not play it; its name.

        Raises:
            AudioError: it must be converted and cannot be read.
        """
        playable = sound.suffix.lower() in PLAYABLE
        name = media_name(sound, sound.suffix.lower() if playable else ".ogg")
        if not (self.media / name).exists():
            with atomic_path(self.media / name) as temporary:
                if playable:
                    shutil.copyfile(sound, temporary)
                else:
                    _convert(sound, temporary)
        return name

    def add_copy(self, file: Path) -> str:
        """Copy a picture or a map; its name."""
        name = media_name(file, file.suffix.lower())
        with atomic_path(self.media / name) as temporary:
            shutil.copyfile(file, temporary)
        return name

    def write(self, title: str) -> Path:
        """The page under this heading, which takes its name only when it is whole.

        Raises:
            MissingExtraError: jinja2 is not installed.
        """
        try:
            from jinja2 import Environment
        except ImportError as error:
            raise MissingExtraError(
                "a gallery needs jinja2: pip install 'wav2clip[generation]'"
            ) from error
        source = (files("wav2clip.generation") / "gallery.html").read_text("utf-8")
        template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
            source
        )
        ways = {exhibit.how for exhibit in self.exhibits}
        page = template.render(
            title=title, ways=ways, exhibits=self.exhibits, maps=self.maps, media=MEDIA
        )
        with atomic_path(self.folder / PAGE) as temporary:
            temporary.write_text(page, "utf-8")
        return self.folder / PAGE


def label_of(sound: Path) -> str:
    """The first line of ``NAME.txt`` beside a recording, or its name with spaces for ``_``."""
    text = sound.with_suffix(".txt")
    if text.is_file():
        lines = decode_text(text.read_bytes()).strip().splitlines()
        if lines:
            return lines[0].strip()
    return display(sound.stem).replace("_", " ").strip() or display(sound.name)


def describe(recipe: Mapping[str, Any]) -> str:
    """A recipe of `wav2clip generate` in words."""
    if "chosen" in recipe:
        return (
            f"Chosen from {recipe.get('of')} pictures: {', '.join(recipe['chosen'])}; image tower "
            f"{recipe.get('image_tower')}, audio encoder {recipe.get('model')}."
        )
    canvas = recipe.get("vqgan", recipe.get("canvas"))
    return (
        f"Canvas {canvas} of {recipe.get('size')} pixels, {recipe.get('done')} steps of "
        f"{recipe.get('cutouts')} cut-outs, seed {recipe.get('seed')}; image tower "
        f"{recipe.get('image_tower')}, audio encoder {recipe.get('model')}."
    )


def painted_beside(sound: Path) -> Path | None:
    """A picture of the recording's name that `wav2clip generate` made; other pictures are not."""
    candidates = (sound.with_suffix(suffix) for suffix in FORMATS)
    return next((path for path in candidates if path.is_file() and read_recipe(path)), None)


def media_name(file: Path, suffix: str) -> str:
    """A name of letters, digits and hyphens for a file: what it is called, and its content."""
    plain = unicodedata.normalize("NFKD", display(file.stem)).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:_SLUG]
    return f"{slug or 'file'}-{digest(file)[:8]}{suffix}"


def digest(file: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{display(file)}: {error.strerror}") from error


def _convert(sound: Path, target: Path) -> None:
    """Ogg Vorbis, one channel, at the rate that was recorded, in bounded memory."""
    source = io.stream_audio(sound)
    stream = io.stream_audio(sound, min(source.source_rate, 48_000))
    with soundfile.SoundFile(
        target, "w", stream.sample_rate, channels=1, format="OGG", subtype="VORBIS"
    ) as file:
        for block in stream:
            file.write(block)
