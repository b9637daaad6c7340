"""An encoder for MTEB and its audio part, MAEB (https://github.com/embeddings-benchmark/mteb).

import mteb
from wav2clip.adapters.mteb import MtebEncoder

mteb.evaluate(MtebEncoder("builtin"), mteb.get_tasks(modalities=["audio"]))
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wav2clip.embedding.embedder import load
from wav2clip.embedding.engine import Embeddings
from wav2clip.errors import InputError, MissingExtraError
from wav2clip.models.space import unit

MODALITIES = ("audio", "text", "image")


class MtebEncoder:
    """A Wav2CLIP model as MTEB's ``EncoderProtocol``: sounds, words and pictures in one space.

    Every item is embedded as it would be alone, and the same each time.

    Attributes:
        model: the model behind it.
        center: whether each modality's mean is taken off its unit vectors, as in
            :meth:`wav2clip.embedding.embedder.Wav2CLIP.classify`.
    """

    def __init__(
        self,
        model_name: str = "builtin",
        revision: str | None = None,
        *,
        device: str | None = None,
        towers: str = "builtin",
        center: bool = True,
        **kwargs: Any,
    ) -> None:
        """Load a model.

        Args:
            model_name: name or path as for :func:`wav2clip.load`.
            revision: the fingerprint that the model must have, or None for any.
            device: where it runs.
            towers: words and pictures: ``"builtin"``, or a CLIP by hub name or folder.
            center: see the class.
            kwargs: what MTEB passes to every model; not used.

        Raises:
            InputError: the model has another fingerprint.
        """
        self.model = load(model_name, device=device, towers=towers)
        if revision not in (None, self.model.fingerprint):
            raise InputError(
                f"{model_name} has the fingerprint {self.model.fingerprint}, expected {revision}"
            )
        self.center = center

    def encode(
        self, inputs: Iterable[Mapping[str, Sequence[Any]]], *, batch_size: int = 32, **kwargs: Any
    ) -> Embeddings:
        """Embeddings (n, dimension) float32, unit length.

        Args:
            inputs: batches as MTEB's data loaders give them: dicts with ``audio`` (each item with
                ``array``, (n,) or (channels, n), and ``sampling_rate`` in Hz), ``text`` or
                ``image`` (PIL). Where items have several, their embeddings are added.
            batch_size: the loader decides; not used.
            kwargs: the task and its split; not used.

        Raises:
            InputError: a batch with none of the three.
            AudioError: a sound with NaN or infinity in it.
        """
        rows = [self._encode_batch(batch) for batch in inputs]
        return np.concatenate(rows) if rows else np.zeros((0, self.model.dimension), np.float32)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Tensor:
        """Cosines (n, k) of embeddings (n, d) or (d,) and (k, d) or (d,)."""
        return _rows(embeddings1) @ _rows(embeddings2).T

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Tensor:
        """Cosines (n,) of embeddings (n, d) with those at the same place of (n, d)."""
        return (_rows(embeddings1) * _rows(embeddings2)).sum(dim=-1)

    @cached_property
    def mteb_model_meta(self) -> Any:
        """What MTEB writes beside the results.

        Raises:
            MissingExtraError: mteb is not installed.
        """
        try:
            models: Any = importlib.import_module("mteb.models")
        except ImportError as error:
            raise MissingExtraError("needs mteb: pip install 'wav2clip[mteb]'") from error
        name = self.model.name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
        return models.ModelMeta(
            loader=MtebEncoder,
            name=f"wav2clip/{name}",
            revision=self.model.fingerprint,
            release_date=None,
            languages=["eng-Latn"],
            n_parameters=None,
            memory_usage_mb=None,
            max_tokens=77,
            embed_dim=self.model.dimension,
            license=None,
            open_weights=True,
            public_training_code=None,
            public_training_data=None,
            framework=["PyTorch"],
            similarity_fn_name="cosine",
            use_instructions=False,
            training_datasets=None,
            modalities=list(MODALITIES),
        )

    def _encode_batch(self, batch: Mapping[str, Sequence[Any]]) -> Embeddings:
        embed: dict[str, Callable[[Any], Embeddings]] = {
            "audio": self._audio,
            "text": self._text,
            "image": self._image,
        }
        parts = [embed[kind](batch[kind]) for kind in MODALITIES if kind in batch]
        if not parts:
            raise InputError(f"a batch has {sorted(batch)}, expected audio, text or image")
        return unit(np.sum(parts, axis=0))

    def _audio(self, items: Sequence[Mapping[str, Any]]) -> Embeddings:
        model, rows = self.model, []
        for item in items:
            array = np.asarray(item["array"])
            wave = array.mean(axis=0) if array.ndim == 2 else array
            rows.append(model.embed_audio(wave, int(item["sampling_rate"])))
        return self._centred(np.stack(rows), model.mean)

    def _text(self, texts: Sequence[str]) -> Embeddings:
        # The tower knows no empty phrase; the benchmark's corpora do.
        phrases = [text if text.strip() else "." for text in texts]
        return self._centred(self.model.embed_text(phrases), self.model.towers.means.get("text"))

    def _image(self, images: Sequence[Any]) -> Embeddings:
        return self._centred(
            self.model.embed_image(list(images)), self.model.towers.means.get("image")
        )

    def _centred(self, embeddings: Embeddings, mean: Embeddings | None) -> Embeddings:
        if mean is None or not self.center or self.model.mean is None:
            return unit(embeddings)
        return unit(unit(embeddings) - mean)


def _rows(embeddings: Any) -> Tensor:
    """Unit-length rows (n, d) of an array or tensor of one or several embeddings."""
    rows = torch.as_tensor(embeddings, dtype=torch.float32)
    return torch.nn.functional.normalize(rows.reshape(-1, rows.shape[-1]), dim=-1)
