"""The towers that ship inside the package: small networks trained to answer as CLIP ViT-B/32 does.

What they approximate, how closely, and from what they were made: docs/model-card-builtin.md. On the
CPU ONNX Runtime computes with them; PyTorch does where gradients are wanted, or another device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import BertWordPieceTokenizer, Encoding

from wav2clip.errors import CheckpointError
from wav2clip.files import digest
from wav2clip.models.checkpoint import GRAPH_FILE
from wav2clip.models.config import TextConfig
from wav2clip.models.sessions import EMBEDDING, IDS, PIXELS, Session
from wav2clip.models.space import CLIP_VIT_B32
from wav2clip.models.towers.base import TEXT_BATCH, Embeddings, Towers, check_texts
from wav2clip.models.towers.images import square
from wav2clip.models.towers.language import explain, unread_words, warn_once
from wav2clip.runtime import require_torch

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from wav2clip.models.towers.image_network import ImageNetwork

FOLDER = Path(__file__).parents[2] / "weights" / "builtin"
TEXT_WEIGHTS = Path("text") / "model.safetensors"
VOCABULARY = Path("text") / "vocabulary.txt"
IMAGE_WEIGHTS = Path("image") / "model.safetensors"
MEANS = Path("means.safetensors")
"""Means of genuine CLIP unit vectors of words (``text``) and of pictures (``image``)."""

SIDE = 260
"""Width and height of the pictures that the image network reads."""

TOGETHER = 4
"""Pictures that go through the network together. With more the CPU spends most of the time fetching
fresh memory: 69 ms a picture in batches of 32, 39 ms in batches of 4 (two cores)."""

_Compute = Callable[[NDArray[Any]], Embeddings]


class BuiltinTowers(Towers):
    """The built-in pair, in the space of CLIP ViT-B/32. Each tower is loaded when first used.

    Args:
        device: as PyTorch names it; what is not the CPU needs PyTorch.
        folder: of the weights.
    """

    name = "builtin"
    space = CLIP_VIT_B32
    differentiable = True
    logit_scale = 100.0

    def __init__(self, device: Any = None, folder: Path = FOLDER) -> None:
        self.device = str(device or "cpu")
        self._folder = folder

    @cached_property
    def fingerprint(self) -> str:
        files = (TEXT_WEIGHTS, VOCABULARY, IMAGE_WEIGHTS, MEANS)
        return digest(*(self._folder / file for file in files))

    @cached_property
    def means(self) -> dict[str, Embeddings]:  # type: ignore[override]
        try:
            return load_file(self._folder / MEANS)
        except Exception as error:
            raise CheckpointError(
                f"the built-in means cannot be read ({error}); reinstall wav2clip"
            ) from error

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """See :meth:`Towers.encode_pixels`; the middle square is scaled to 260 x 260."""
        from torch.nn.functional import normalize

        from wav2clip.models.towers.pixels import check_pixels, crop_square

        check_pixels(pixels)
        embeddings: Tensor = self._image_network(crop_square(pixels.to(self.device), SIDE))
        return normalize(embeddings, dim=-1)

    def unreadable(self, texts: Sequence[str]) -> list[str]:
        """See :meth:`Towers.unreadable`: other scripts than the Latin one, and emoji."""
        phrases = check_texts(texts)
        if not phrases:
            return []
        encodings = self._tokenizer.encode_batch(phrases)
        return [explain(words) for words in _unread(phrases, encodings)]

    def _texts(self, phrases: list[str]) -> Embeddings:
        encodings = self._tokenizer.encode_batch(phrases)
        for words in _unread(phrases, encodings):
            warn_once(words)
        rows = [encoding.ids for encoding in encodings]
        embeddings = np.empty((len(rows), self.dimension), np.float32)
        # Phrases of one length together: nothing is padded, so nothing needs a mask.
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        for _, same in groupby(order, key=lambda row: len(rows[row])):
            group = list(same)
            for start in range(0, len(group), TEXT_BATCH):
                part = group[start : start + TEXT_BATCH]
                embeddings[part] = self._embed_ids(np.array([rows[row] for row in part], np.int64))
        return embeddings

    def _images(self, pictures: list[Image]) -> Embeddings:
        pixels = np.stack([np.asarray(square(picture, SIDE)) for picture in pictures])
        floats = np.moveaxis(pixels, 3, 1).astype(np.float32) / 255
        starts = range(0, len(floats), TOGETHER)
        return np.concatenate([self._embed_pixels(floats[s : s + TOGETHER]) for s in starts])

    @cached_property
    def _tokenizer(self) -> BertWordPieceTokenizer:
        return word_pieces(self._folder / VOCABULARY, TextConfig.context)

    @cached_property
    def _embed_ids(self) -> _Compute:
        """Word pieces (batch, length) to embeddings."""
        weights = self._folder / TEXT_WEIGHTS
        if self.device == "cpu":
            return _on_onnx_runtime(weights, IDS)
        require_torch(f"device {self.device}")
        from wav2clip.models.towers.text_network import load_text_network

        return _on_torch(load_text_network(weights), self.device)

    @cached_property
    def _embed_pixels(self) -> _Compute:
        """Pictures (batch, 3, 260, 260) in [0, 1] to embeddings."""
        if self.device == "cpu":
            return _on_onnx_runtime(self._folder / IMAGE_WEIGHTS, PIXELS)
        return _on_torch(self._image_network, self.device)

    @cached_property
    def _image_network(self) -> ImageNetwork:
        require_torch("what needs gradients of pictures, or another device than the CPU,")
        from wav2clip.models.towers.image_network import load_image_network

        return load_image_network(self._folder / IMAGE_WEIGHTS).to(self.device)


def _on_onnx_runtime(weights: Path, source: str) -> _Compute:
    session = Session(weights.with_name(GRAPH_FILE))
    return lambda batch: session.run([EMBEDDING], {source: batch})[0]


def _on_torch(network: Any, device: str) -> _Compute:
    import torch

    network = network.to(device)

    @torch.inference_mode()
    def compute(batch: NDArray[Any]) -> Embeddings:
        embeddings: Embeddings = network(torch.from_numpy(batch).to(device)).cpu().numpy()
        return embeddings

    return compute


def _unread(phrases: Sequence[str], encodings: Sequence[Encoding]) -> Iterator[list[str]]:
    """For each phrase that has such, the words that cannot be read."""
    for phrase, encoding in zip(phrases, encodings, strict=True):
        words = unread_words(phrase, encoding.tokens, encoding.offsets)
        if words:
            yield words


def word_pieces(vocabulary: Path, context: int) -> BertWordPieceTokenizer:
    """BERT's uncased word pieces, cut off at ``context`` of them, marks included.

    Raises:
        CheckpointError: the vocabulary cannot be read.
    """
    try:
        pieces = vocabulary.read_text(encoding="utf-8").split("\n")[:-1]
    except OSError as error:
        raise CheckpointError(
            f"the built-in vocabulary cannot be read ({error}); reinstall wav2clip"
        ) from error
    tokenizer = BertWordPieceTokenizer({piece: i for i, piece in enumerate(pieces)}, lowercase=True)
    tokenizer.enable_truncation(context)
    return tokenizer
