"""Sound in the space of pictures and words.

    import wav2clip

    model = wav2clip.load()  # the built-in model, no download
    model.embed_file("dog.ogg")  # (512,) float32
    model.classify("dog.ogg", ["a dog", "rain"])  # label -> probability

Names are loaded when first used, so that ``import wav2clip`` costs next to nothing.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("wav2clip")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"

_LAZY = {
    "Frames": "wav2clip.embedding.embedder",
    "Library": "wav2clip.library.library",
    "Recording": "wav2clip.audio.io",
    "Wav2CLIP": "wav2clip.embedding.embedder",
    "Wav2ClipError": "wav2clip.errors",
    "embed_audio": "wav2clip.embedding.dropin",
    "get_model": "wav2clip.embedding.dropin",
    "load": "wav2clip.embedding.embedder",
    "load_audio": "wav2clip.audio.io",
}

__all__ = [*_LAZY, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'wav2clip' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
