"""A picture from a sound, as `wav2clip generate` makes it, watched while it grows."""

from __future__ import annotations

import io
import math
import os
import time
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image

from wav2clip.audio.io import cut_audio
from wav2clip.errors import GenerationError
from wav2clip.library import Library
from wav2clip.web.catalogue import Catalogue
from wav2clip.web.jobs import Job, Work
from wav2clip.web.schemas import GenerateRequest
from wav2clip.web.uploads import Kept

if TYPE_CHECKING:
    from wav2clip.generation.pictures import Pixels
    from wav2clip.generation.prompts import Prompt, Prompter

_SNAPSHOT_SECONDS = 1.0

_LONGEST_PART = 600.0
"""Seconds of a part that are listened to: it is held in memory as a whole."""


def painting(
    library: Library, catalogue: Catalogue, request: GenerateRequest, kept: Kept | None
) -> Work:
    """The work of painting; cancelled, it keeps the picture as far as it is.

    Args:
        library: whose model paints.
        catalogue: of its files.
        request: what to paint.
        kept: the upload to paint, in place of a file.
    """

    def work(job: Job) -> str:
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(os.cpu_count() or 1)
        try:
            return paint(job)
        finally:
            torch.set_num_threads(threads)

    def paint(job: Job) -> str:
        from wav2clip.generation.canvases import canvas_maker
        from wav2clip.generation.guide import Settings, begin
        from wav2clip.generation.prompts import Prompter

        job.change(message="listening", total=request.steps)
        prompter = Prompter(library.model)
        if kept is None:
            with catalogue.open(catalogue.listing().file(request.id or "")) as opened:
                prompt = _part(prompter, library, request, opened)
        else:
            assert kept.embedding is not None  # the route has looked
            prompt = prompter.embedding(kept.embedding)
        size = (request.size, request.size)
        guide = begin(
            canvas_maker("fourier"), size, library.model.towers, [prompt], Settings(request.seed)
        )
        job.change(message="painting")
        shown = 0.0
        for _ in guide.run([prompt], request.steps):
            if guide.steps == request.steps or time.monotonic() - shown > _SNAPSHOT_SECONDS:
                job.show(_png(guide.canvas.pixels()))
                shown = time.monotonic()
            job.progress(guide.steps, request.steps)
        if job.picture is None:
            raise GenerationError("no step was taken")
        job.change(message=f"{guide.steps} steps")
        return f"/api/jobs/{job.id}/picture"

    return work


def _part(
    prompter: Prompter, library: Library, request: GenerateRequest, opened: BinaryIO
) -> Prompt:
    """A recording, or the part of it that is meant."""
    if request.end is None and not request.start:
        return prompter.sound(opened)
    seconds = (math.inf if request.end is None else request.end) - request.start
    rate = library.model.sample_rate
    samples = cut_audio(opened, request.start, min(seconds, _LONGEST_PART), rate)
    if not len(samples):
        raise GenerationError(f"there is no sound from {request.start} s on")
    return prompter.embedding(library.model.embed_audio(samples, rate))


def _png(pixels: Pixels) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, format="PNG", compress_level=3)
    return target.getvalue()
