"""Names of models: where their weights come from, their licence, and how they are verified."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wav2clip import downloads
from wav2clip.downloads import Download, Progress, cache_folder
from wav2clip.errors import DownloadError, RegistryError
from wav2clip.files import display


@dataclass(frozen=True)
class Model:
    """A name that ``wav2clip.load`` understands.

    Attributes:
        name: what to type.
        summary: one line about it.
        licence: of the weights.
        url: address of the file, or None for a model that ships inside the package.
        filename: its name in the cache, or its folder below ``wav2clip/weights``.
        sha256: 64 hexadecimal digits, or None where the publisher states none.
    """

    name: str
    summary: str
    licence: str
    url: str | None
    filename: str
    sha256: str | None = None

    @property
    def path(self) -> Path:
        """Where its weights are, or will be once fetched."""
        if self.url is None:
            return Path(__file__).parent.parent / "weights" / self.filename
        return cache_folder() / self.filename

    @property
    def available(self) -> bool:
        """Whether its weights are on this machine."""
        return self.path.exists()


MODELS = {
    model.name: model
    for model in (
        Model(
            name="builtin",
            summary="audio, text and image towers in the space of CLIP ViT-B/32; no download",
            licence="CC-BY-SA-4.0",
            url=None,
            filename="builtin/audio",
        ),
        Model(
            name="wav2clip",
            summary="the weights published with the paper, trained on VGGSound",
            licence="CC-BY-4.0",
            url="https://github.com/descriptinc/lyrebird-wav2clip/releases/download/"
            "v0.1.0-alpha/Wav2CLIP.pt",
            filename="Wav2CLIP.pt",
        ),
    )
}

TAGGER = Model(
    name="efficientat-mn04",
    summary="a tagger of AudioSet's 527 classes, to learn from",
    licence="MIT",
    url="https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1/mn04_as_mAP_432.pt",
    filename="efficientat/mn04_as_mAP_432.pt",
    sha256="899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c",
)
"""Teacher of the built-in encoder (Schmid et al. 2023, arXiv 2211.04772), not part of it."""

TAGGER_CLASSES = Model(
    name="audioset-classes",
    summary="names of AudioSet's classes",
    licence="CC-BY-4.0",
    url="http://storage.googleapis.com/us_audioset/youtube_corpus/v1/csv/class_labels_indices.csv",
    filename="efficientat/class_labels_indices.csv",
)
"""Lies beside the tagger's weights."""


def locate(name_or_path: str | Path, progress: Progress | None = None) -> Path:
    """Path of the weights behind a name (fetched if need be) or a path.

    Raises:
        RegistryError: neither a known name nor an existing path; or see :func:`fetch`.
    """
    model = MODELS.get(str(name_or_path))
    if model is not None:
        return fetch(model, progress)
    path = Path(name_or_path).expanduser()
    if not path.exists():
        raise RegistryError(
            f"{display(path)}: neither a known model ({', '.join(MODELS)}) nor an existing path"
        )
    return path


def fetch(model: Model, progress: Progress | None = None) -> Path:
    """Path of a model's weights, downloaded and verified if they are not there yet.

    Raises:
        RegistryError: offline or unreachable with nothing cached, a broken transfer (which the next
            call resumes), or content of another hash than expected.
    """
    if model.url is None:
        if not model.available:
            raise RegistryError(
                f"the weights of {model.name!r} are missing from this installation "
                f"({display(model.path)}); reinstall wav2clip"
            )
        return model.path
    what = f"{model.filename} of model {model.name!r}"
    checksum = model.sha256 and f"sha256:{model.sha256}"
    try:
        return downloads.fetch(Download(what, model.url, model.path, checksum), progress)
    except DownloadError as error:
        raise RegistryError(str(error)) from error
