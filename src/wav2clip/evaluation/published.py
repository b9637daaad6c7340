"""Encoders that others published, through their own packages, for those who have them.

Weights and preprocessing are the packages'; nothing of theirs is written again here. What is
added is the interface, and that a recording's embedding depends on nothing else: packages that
crop long recordings at random are given pieces that they need not crop.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from wav2clip.audio import windows
from wav2clip.audio.io import Samples
from wav2clip.downloads import offline
from wav2clip.embedding.engine import Embeddings
from wav2clip.errors import InputError, MissingExtraError, RegistryError
from wav2clip.evaluation.baselines import WindowEncoder
from wav2clip.files import display
from wav2clip.models.space import unit
from wav2clip.models.towers.base import TEXT_BATCH, check_texts

YAMNET = "https://tfhub.dev/google/yamnet/1"
LAION_CLAP = "laion/clap-htsat-unfused"


def missing_package(packages: Sequence[str]) -> str:
    """Which of the packages are not installed, as a reason; empty if all are."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return f"{' and '.join(missing)} not installed" if missing else ""


def _import(package: str, install: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(f"needs {package}: {install} ({error})") from error


def _fingerprint(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _digest(model: Any) -> str:
    """Sixteen hexadecimal digits of a network's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _pieces(wave: Samples, seconds: float, rate: int) -> list[Samples]:
    """A recording in pieces of at most ``seconds``; the last ends with the recording."""
    length = int(seconds * rate)
    return [piece for _, piece in windows.segments([wave], length, length, shortest=1)]


class OpenL3(WindowEncoder):
    """OpenL3 (Cramer et al. 2019, ICASSP), environmental sounds, 256 mel bands, mean over time.

    Args:
        variant: numbers per embedding, "6144" (default) or "512".
    """

    name = "openl3"
    packages = ("openl3",)
    sample_rate = 48_000
    hop_seconds = 0.1

    def __init__(self, variant: str = "", device: str | None = None) -> None:
        if variant not in ("", "6144", "512"):
            raise InputError(f"got openl3:{variant}, expected openl3:6144 or openl3:512")
        self._openl3 = _import("openl3", "pip install openl3 tensorflow")
        self.dimension = int(variant or 6144)
        self.name = f"openl3:{variant}" if variant else "openl3"
        settings = {"input_repr": "mel256", "content_type": "env"}
        self._model = _import("openl3.models", "pip install openl3").load_audio_embedding_model(
            **settings, embedding_size=self.dimension
        )
        self.fingerprint = _fingerprint("openl3", _version("openl3"), self.dimension, settings)

    def embed(self, waves: Sequence[Samples]) -> Embeddings:
        rows = np.empty((len(waves), self.dimension), np.float32)
        for row, wave in enumerate(waves):
            frames, _ = self._openl3.get_audio_embedding(
                wave, self.sample_rate, model=self._model, hop_size=self.hop_seconds, verbose=False
            )
            rows[row] = np.asarray(frames).mean(axis=0)
        return rows


class Yamnet(WindowEncoder):
    """YAMNet from TensorFlow Hub: the mean of its 1024 numbers per 0.96 s, every 0.48 s.

    Args:
        variant: address or folder of the saved model, by default the published one.
    """

    packages = ("tensorflow", "tensorflow_hub")
    sample_rate = 16_000
    dimension = 1024

    def __init__(self, variant: str = "", device: str | None = None) -> None:
        hub = _import("tensorflow_hub", "pip install tensorflow tensorflow-hub")
        self.name = f"yamnet:{variant}" if variant else "yamnet"
        self.fingerprint = _fingerprint("yamnet", variant or YAMNET)
        try:
            self._model = hub.load(variant or YAMNET)
        except (OSError, ValueError, RuntimeError) as error:
            raise RegistryError(
                f"YAMNet cannot be had from {display(variant or YAMNET)} ({error}); give the "
                "folder of a copy as yamnet:FOLDER"
            ) from error

    def embed(self, waves: Sequence[Samples]) -> Embeddings:
        rows = np.empty((len(waves), self.dimension), np.float32)
        for row, wave in enumerate(waves):
            _, frames, _ = self._model(np.asarray(wave, np.float32))
            rows[row] = np.asarray(frames).mean(axis=0)
        return rows


class LaionClap(WindowEncoder):
    """LAION-CLAP (Wu et al. 2023, arXiv 2211.06687) through transformers.

    The model hears 10 s and crops what is longer at random. Here it is given pieces of 10 s, whose
    unit vectors are averaged.

    Args:
        variant: name on the Hugging Face hub or local folder; by default :data:`LAION_CLAP`.
        device: where it runs.
    """

    packages = ("transformers",)

    def __init__(self, variant: str = "", device: str | None = None) -> None:
        transformers = _import("transformers", "pip install 'wav2clip[clip]'")
        source = variant or LAION_CLAP
        local = {"local_files_only": offline() or Path(source).is_dir()}
        try:
            model = transformers.ClapModel.from_pretrained(source, **local)
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(source, **local)
            self._extractor = transformers.ClapFeatureExtractor.from_pretrained(source, **local)
        except (OSError, ValueError, KeyError) as error:
            raise RegistryError(
                f"{display(source)} is neither cached nor reachable nor a folder in the hub's "
                f"layout ({str(error).strip().splitlines()[0]}). Load it once with a network, or "
                "give the folder of a copy as laion-clap:FOLDER"
            ) from error
        self.device = torch.device(device or "cpu")
        self.fingerprint = _digest(model)
        self._model = model.eval().requires_grad_(False).to(self.device)
        self.name = f"laion-clap:{variant}" if variant else "laion-clap"
        self.dimension = int(model.config.projection_dim)
        self.sample_rate = int(self._extractor.sampling_rate)

    def embed(self, waves: Sequence[Samples]) -> Embeddings:
        rows = [self._embed_one(wave).mean(axis=0) for wave in waves]
        return np.array(rows, np.float32).reshape(len(waves), self.dimension)

    def embed_text(self, texts: Sequence[str]) -> Embeddings:
        """(n, dimension) float32, unit length, of n phrases."""
        phrases = check_texts(texts)
        rows = [np.zeros((0, self.dimension), np.float32)]
        for start in range(0, len(phrases), TEXT_BATCH):
            batch = self._tokenizer(
                phrases[start : start + TEXT_BATCH], padding=True, truncation=True,
                return_tensors="pt",
            )  # fmt: skip
            rows.append(self._vectors(self._model.get_text_features, batch))
        return np.concatenate(rows)

    def _embed_one(self, wave: Samples) -> Embeddings:
        """(pieces, dimension), one by one: of a batch the extractor marks one at random."""
        rows = []
        for piece in _pieces(wave, self._extractor.max_length_s, self.sample_rate):
            features = self._extractor(
                np.asarray(piece, np.float64), sampling_rate=self.sample_rate, return_tensors="pt"
            )
            features["input_features"] = features["input_features"].float()
            rows.append(self._vectors(self._model.get_audio_features, features)[0])
        return np.stack(rows)

    @torch.inference_mode()
    def _vectors(self, method: Callable[..., Any], inputs: Any) -> Embeddings:
        output = method(**{name: tensor.to(self.device) for name, tensor in inputs.items()})
        # transformers 5 wraps the projected vectors, transformers 4 does not.
        vectors = output if isinstance(output, torch.Tensor) else output.pooler_output
        return unit(vectors.float().cpu().numpy())


class MsClap(WindowEncoder):
    """MS-CLAP (Elizalde et al. 2023, arXiv 2309.05767) through its package.

    The package reads files, repeats what is shorter than its 5 or 7 s, and crops what is longer at
    random. Here it is given files of pieces of just that length, whose unit vectors are averaged.

    Args:
        variant: "2023" (default) or "2022".
        device: a name that begins with cuda puts it there.
    """

    packages = ("msclap",)

    def __init__(self, variant: str = "", device: str | None = None) -> None:
        if variant not in ("", "2022", "2023"):
            raise InputError(f"got ms-clap:{variant}, expected ms-clap:2022 or ms-clap:2023")
        package = _import("msclap", "pip install msclap")
        year = variant or "2023"
        self._model = package.CLAP(version=year, use_cuda=(device or "cpu").startswith("cuda"))
        self.name = f"ms-clap:{variant}" if variant else "ms-clap"
        self.fingerprint = _fingerprint("msclap", _version("msclap"), year)
        self.sample_rate = int(self._model.args.sampling_rate)
        self.dimension = int(self._model.args.d_proj)

    def embed(self, waves: Sequence[Samples]) -> Embeddings:
        rows = [self._embed_one(wave).mean(axis=0) for wave in waves]
        return np.array(rows, np.float32).reshape(len(waves), self.dimension)

    def embed_text(self, texts: Sequence[str]) -> Embeddings:
        """(n, dimension) float32, unit length, of n phrases."""
        vectors = self._model.get_text_embeddings(check_texts(texts))
        return unit(vectors.detach().cpu().numpy())

    def _embed_one(self, wave: Samples) -> Embeddings:
        pieces = _pieces(wave, self._model.args.duration, self.sample_rate)
        with tempfile.TemporaryDirectory() as folder:
            paths = [str(Path(folder, f"{number}.wav")) for number in range(len(pieces))]
            for path, piece in zip(paths, pieces, strict=True):
                soundfile.write(path, piece, self.sample_rate, subtype="FLOAT")
            vectors = self._model.get_audio_embeddings(paths, resample=True)
        return unit(vectors.detach().cpu().numpy())


PUBLISHED: dict[str, type[OpenL3] | type[Yamnet] | type[LaionClap] | type[MsClap]] = {
    "openl3": OpenL3,
    "yamnet": Yamnet,
    "laion-clap": LaionClap,
    "ms-clap": MsClap,
}
"""Name -> encoder; each takes a variant and a device."""
