"""One tree of exceptions: whatever goes wrong in the package is a :class:`Wav2ClipError`.

Each message says what came, what was expected, and what to do. Nothing in the library prints or
exits; the command line catches this tree and turns it into text and an exit code.
"""


class Wav2ClipError(Exception):
    """Base of every error that the package raises on purpose."""


class InputError(Wav2ClipError, ValueError):
    """An argument is outside what the function takes (shape, range, type, empty list)."""


class UnknownNameError(InputError):
    """Nothing of that name is there."""


class AudioError(Wav2ClipError):
    """A recording cannot be read or holds nothing that can be embedded."""


class NoSoundError(AudioError):
    """A file has no audio track, such as a mute video: a reason to pass over it, no fault."""


class ImageError(Wav2ClipError):
    """A picture cannot be read, or is larger than the stated limit."""


class CheckpointError(Wav2ClipError):
    """A file of weights is missing, damaged, unsafe, or of another layout."""


class RegistryError(Wav2ClipError):
    """A model name is unknown, or its files are neither cached nor reachable."""


class DownloadError(Wav2ClipError):
    """A file cannot be fetched, or is not the one that was expected."""


class EngineError(Wav2ClipError):
    """An engine computes something else than float32 PyTorch on this machine."""


class SpaceError(Wav2ClipError):
    """Embeddings of different spaces or dimensions were about to be compared."""


class MissingExtraError(Wav2ClipError, ImportError):
    """An optional dependency is needed; the message names the extra that installs it."""


class DataError(Wav2ClipError):
    """A dataset, a shard or a manifest is missing, damaged, or does not fit the run."""


class TrainingError(Wav2ClipError):
    """A training run cannot go on, or cannot be resumed as asked."""


class LibraryError(Wav2ClipError):
    """A sound library cannot be opened, written, or searched as asked."""


class GenerationError(Wav2ClipError):
    """A picture, film or gallery cannot be made as asked, for example for want of memory."""


class ClusterError(Wav2ClipError):
    """A cluster cannot be reached, or its workers cannot go on."""


class LanguageWarning(UserWarning):
    """A phrase was embedded with words that the text tower cannot read."""
