"""What all routes share: one library, and the state of one running server."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Annotated, TypeVar

from cachetools import LRUCache
from fastapi import Depends, Request

from wav2clip.audio.excerpt import write_excerpt
from wav2clip.audio.io import Samples
from wav2clip.errors import AudioError, InputError
from wav2clip.files import display
from wav2clip.library import Filters, Library
from wav2clip.reading.readers import Readers
from wav2clip.web.catalogue import Catalogue, File
from wav2clip.web.gates import Gate
from wav2clip.web.jobs import Jobs
from wav2clip.web.maps import Maps
from wav2clip.web.media import FileBody
from wav2clip.web.outline import measured
from wav2clip.web.problems import Refusal
from wav2clip.web.schemas import Waveform
from wav2clip.web.settings import Settings
from wav2clip.web.spectrogram import png, spectrogram
from wav2clip.web.uploads import Uploads
from wav2clip.zeroshot import preset_labels

Key = TypeVar("Key")
Picture = TypeVar("Picture")

DEFAULT_PRESET = "audioset"
"""Labels of uploaded sounds, unless others are asked for."""

_WAVEFORMS = 5_000
_LARGEST_EXCERPT = 2**30
"""Bytes of a part, taken as floats: it lies on disk until it was sent, however slowly."""

_SPECTROGRAMS = 64_000_000
"""Bytes of PNG that are kept."""


class Service:
    """One library behind a server.

    Attributes:
        library: what is searched.
        settings: how the server runs.
        catalogue: the library's files.
        heavy: the gate in front of decoding and embedding.
        streams: the gate in front of answers that go on for long.
        receiving: the gate in front of uploads that arrive.
        readers: processes that read uploads and recordings.
        uploads: what was uploaded of late.
        jobs: what takes a while.
        maps: the map of the library.
        listings: the gate in front of folders that are listed: a disk that does not answer costs
            its places alone.
        unlisted: folders and files that the last runs of indexing could not look at, and why.
    """

    def __init__(self, library: Library, settings: Settings) -> None:
        limits = settings.limits
        self.library = library
        self.settings = settings
        self.catalogue = Catalogue(library, settings.folders)
        self.heavy = Gate(limits.heavy, limits.wait_seconds, "sounds are worked on")
        self.streams = Gate(limits.streams, 0, "streams are open")
        self.receiving = Gate(limits.receiving, 0, "uploads arrive")
        self.readers = Readers(limits.heavy, limits.decode_seconds)
        self.uploads = Uploads(library, limits, self.readers)
        self.jobs = Jobs(limits.jobs_waiting)
        self.maps = Maps(self.catalogue)
        self.listings = Gate(limits.listings, limits.wait_seconds, "folders are listed")
        self.unlisted: dict[Path, str] = {}
        self._waveforms: LRUCache[tuple[str, int, int], Waveform] = LRUCache(_WAVEFORMS)
        self._spectrograms: LRUCache[tuple[str, int, int, int], bytes] = LRUCache(
            _SPECTROGRAMS, getsizeof=len
        )
        self._pictures_lock = Lock()

    def warm(self) -> None:
        """Load the model and the library, so that the first search is as fast as the others, and
        the first look through its files."""
        from wav2clip.web import browsing, narrowing  # which take the service that is made here

        self.readers.start(1)
        self.uploads.weights(tuple(preset_labels(DEFAULT_PRESET)))
        listing = self.catalogue.listing()
        browsing.places(listing, Filters(), "name", "asc")
        narrowing.count(listing, Filters(), set())
        if len(self.library):
            self.library.search("warm", limit=1)

    @property
    def can_map(self) -> bool:
        """Whether maps can be computed here."""
        return _installed("umap")

    @property
    def can_generate(self) -> bool:
        """Whether pictures can be painted here."""
        return self.library.model.towers.differentiable and _installed("kornia")

    def close(self) -> None:
        """End what is at work."""
        self.jobs.close()
        self.readers.close()

    def may_index(self, real: Path) -> bool:
        """Whether a folder, a path without links, may be listed and indexed from here."""
        return self.settings.any_folder or self.catalogue.inside(real)

    def waveform(self, file: File, points: int) -> Waveform:
        """Peaks and level of a recording, kept for the next who asks."""

        def drawn(blocks: Iterator[Samples], total: int) -> Waveform:
            return measured(blocks, total, file.sample_rate, points)

        key = (file.id, file.mtime_ns, points)
        return self._kept(self._waveforms, key, lambda: self._decoded(file, drawn))

    def spectrogram(self, file: File, width: int, height: int) -> bytes:
        """A spectrogram as PNG, kept the same way."""

        def drawn(blocks: Iterator[Samples], total: int) -> bytes:
            return png(spectrogram(blocks, total, file.sample_rate, width, height))

        key = (file.id, file.mtime_ns, width, height)
        return self._kept(self._spectrograms, key, lambda: self._decoded(file, drawn))

    def _kept(
        self, cache: LRUCache[Key, Picture], key: Key, draw: Callable[[], Picture]
    ) -> Picture:
        with self._pictures_lock:
            known = cache.get(key)
        if known is not None:
            return known
        with self.heavy.place():
            made = draw()
        with self._pictures_lock, suppress(ValueError):  # too large to be kept
            cache[key] = made
        return made

    def excerpt(
        self, file: File, start: float, end: float, fade: float, bits: int | None
    ) -> FileBody:
        """A part of a recording as WAV, written to a file that is gone when it was sent.

        Raises:
            Refusal: 415 where the recording cannot be read, 422 for a part without sound, or one
                that is too long.
        """
        seconds = min(end, file.duration) - start
        if seconds * file.sample_rate * file.channels * 4 > _LARGEST_EXCERPT:
            most = _LARGEST_EXCERPT / (file.sample_rate * file.channels * 4)
            raise Refusal(422, f"a part of {seconds:.0f} s", f"at most {most:.0f} s of this file")
        with (
            self.heavy.place(),
            self.catalogue.open(file) as opened,
            tempfile.TemporaryDirectory(prefix="wav2clip-") as folder,
        ):
            target = Path(folder, "excerpt.wav")
            same = os.fstat(opened.fileno())
            try:
                stream = self.readers.stream_audio(file.path, raw=True, same=same)
                write_excerpt(stream, file.path, target, start, end, fade_seconds=fade, bits=bits)
            except AudioError as error:  # where it lies is not for clients
                reason = str(error).removeprefix(f"{display(file.path)}: ")
                raise Refusal(415, reason) from error
            except InputError as error:
                raise Refusal(422, str(error).removeprefix(f"{display(file.path)}: ")) from error
            return FileBody(target.open("rb"), "audio/wav")

    def _decoded(self, file: File, draw: Callable[[Iterator[Samples], int], Picture]) -> Picture:
        """What is drawn of the blocks of a recording and the samples that are expected."""
        with self.catalogue.open(file) as opened:
            same = os.fstat(opened.fileno())
            try:
                stream = self.readers.stream_audio(file.path, raw=True, same=same)
                total = round(file.duration * file.sample_rate)
                return draw(stream.frames(on_clock=True), total)
            except AudioError as error:  # where it lies is not for clients
                reason = str(error).removeprefix(f"{display(file.path)}: ")
                raise Refusal(415, reason) from error


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


async def _service(request: Request) -> Service:  # else it would take a thread
    service: Service = request.app.state.service
    return service


Held = Annotated[Service, Depends(_service)]
"""What a route takes to get at the service."""
