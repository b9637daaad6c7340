"""Reading one uploaded file in a process of its own, which may crash, hang or be killed.

    python -m wav2clip.web.sandbox UPLOAD FOLDER RATE SECONDS

Decoders are large programs in C that meet what strangers made. Here they run with limits on memory,
time and size of what is written; what comes out is a plain WAV file or bitmap, and one line of
JSON. The server reads nothing else of the upload.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

POINTS = 200
"""Peaks of an uploaded sound's waveform."""

_MEMORY = 4 * 2**30
_WRITTEN = 2**30
_PICTURES = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "PPM", "ICO")
# Pillow knows more formats; some of them start other programs.


def _main(upload: Path, folder: Path, sample_rate: int, seconds: float) -> dict[str, Any]:
    _confine()
    return _picture(upload, folder) or _sound(upload, folder, sample_rate, seconds)


def _confine() -> None:
    """Limits that the operating system enforces, where it is a Unix."""
    try:
        import resource
    except ImportError:
        return
    for what, limit in ((resource.RLIMIT_AS, _MEMORY), (resource.RLIMIT_FSIZE, _WRITTEN)):
        resource.setrlimit(what, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _picture(upload: Path, folder: Path) -> dict[str, Any] | None:
    """A picture as a bitmap, read as the towers read it; None if it is none."""
    import warnings

    from PIL import Image

    from wav2clip.errors import ImageError
    from wav2clip.models.towers.images import MAX_PIXELS, open_image

    warnings.simplefilter("ignore")
    too_large = {
        "status": 413,
        "what": "the picture has too many pixels",
        "expected": f"at most {MAX_PIXELS:,}",
    }
    try:
        with Image.open(upload, formats=_PICTURES) as picture:
            width, height = picture.size
    except Image.DecompressionBombError:
        return too_large
    except (OSError, ValueError, SyntaxError, TypeError, EOFError):
        return None
    if width * height > MAX_PIXELS:
        return too_large
    try:
        open_image(upload).save(folder / "picture.ppm")
    except (ImageError, MemoryError, OSError):
        return {"status": 415, "what": "the picture is damaged"}
    return {"kind": "picture", "name": "picture.ppm", "seconds": None, "peaks": None}


def _sound(upload: Path, folder: Path, sample_rate: int, seconds: float) -> dict[str, Any]:
    """A sound as WAV; decoding ends at the limit, whatever the file announces."""
    import numpy as np
    import soundfile

    from wav2clip.audio.io import Samples, stream_audio
    from wav2clip.errors import AudioError
    from wav2clip.web.waveform import peaks

    blocks: list[Samples] = []

    def limited() -> Iterator[Samples]:
        length = 0
        for block in stream_audio(upload, sample_rate):
            length += len(block)
            if length > seconds * sample_rate:
                raise OverflowError
            yield block

    try:
        blocks.extend(limited())
    except OverflowError:
        return {
            "status": 413,
            "what": "the sound is too long",
            "expected": f"at most {seconds:g} s when it is decoded",
        }
    except AudioError as error:
        reason = str(error).removeprefix(f"{upload}: ")
        return {"status": 415, "what": reason, "expected": "a sound, or a video with sound"}
    samples = np.concatenate(blocks)
    soundfile.write(folder / "sound.wav", samples, sample_rate, subtype="FLOAT")
    outline = [round(float(peak), 4) for peak in peaks([samples], len(samples), POINTS)]
    length = round(len(samples) / sample_rate, 3)
    return {"kind": "sound", "name": "sound.wav", "seconds": length, "peaks": outline}


if __name__ == "__main__":
    source, target, rate, longest = sys.argv[1:]
    json.dump(_main(Path(source), Path(target), int(rate), float(longest)), sys.stdout)
