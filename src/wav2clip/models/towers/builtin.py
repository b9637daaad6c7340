"""The towers that ship inside the package: small networks trained to answer as CLIP ViT-B/32 does.

What they approximate, how closely, and from what they were made: docs/model-card-builtin.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tokenizers import BertWordPieceTokenizer, Encoding
from torch import Tensor
from torch.nn import functional as F

from wav2clip.errors import CheckpointError
from wav2clip.models.space import CLIP_VIT_B32
from wav2clip.models.towers.base import (
    TEXT_BATCH,
    Embeddings,
    Towers,
    check_pixels,
    check_texts,
    crop_square,
)
from wav2clip.models.towers.image_network import SIDE, ImageNetwork
from wav2clip.models.towers.images import square
from wav2clip.models.towers.language import explain, unread_words, warn_once
from wav2clip.models.towers.packed import digest, load_packed
from wav2clip.models.towers.text_network import TextConfig, TextNetwork

if TYPE_CHECKING:
    from PIL.Image import Image

FOLDER = Path(__file__).parents[2] / "weights" / "builtin"
TEXT_WEIGHTS = Path("text") / "model.safetensors"
VOCABULARY = Path("text") / "vocabulary.txt"
IMAGE_WEIGHTS = Path("image") / "model.safetensors"
MEANS = Path("means.safetensors")
"""Means of genuine CLIP unit vectors of words (``text``) and of pictures (``image``)."""

TOGETHER = 4
"""Pictures that go through the network together. With more the CPU spends most of the time fetching
fresh memory: 69 ms a picture in batches of 32, 39 ms in batches of 4 (two cores)."""


class BuiltinTowers(Towers):
    """The built-in pair, in the space of CLIP ViT-B/32. Each tower is loaded when first used."""

    name = "builtin"
    space = CLIP_VIT_B32
    differentiable = True
    logit_scale = 100.0

    def __init__(self, device: str | torch.device | None = None, folder: Path = FOLDER) -> None:
        self.device = torch.device(device or "cpu")
        self._folder = folder

    @cached_property
    def fingerprint(self) -> str:
        files = (TEXT_WEIGHTS, VOCABULARY, IMAGE_WEIGHTS, MEANS)
        return digest(*(self._folder / file for file in files))

    @cached_property
    def means(self) -> dict[str, Embeddings]:  # type: ignore[override]
        means = load_packed(self._folder / MEANS)
        return {modality: mean.numpy() for modality, mean in means.items()}

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """See :meth:`Towers.encode_pixels`; the middle square is scaled to 260 x 260."""
        check_pixels(pixels)
        embeddings: Tensor = self._image(crop_square(pixels.to(self.device), SIDE))
        return F.normalize(embeddings, dim=-1)

    def unreadable(self, texts: Sequence[str]) -> list[str]:
        """See :meth:`Towers.unreadable`: other scripts than the Latin one, and emoji."""
        phrases = check_texts(texts)
        if not phrases:
            return []
        encodings = self._text[1].encode_batch(phrases)
        return [explain(words) for words in _unread(phrases, encodings)]

    @torch.inference_mode()
    def _texts(self, phrases: list[str]) -> Embeddings:
        network, tokenizer = self._text
        encodings = tokenizer.encode_batch(phrases)
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
                ids = torch.tensor([rows[row] for row in part], device=self.device)
                embeddings[part] = network(ids).cpu().numpy()
        return embeddings

    @torch.inference_mode()
    def _images(self, pictures: list[Image]) -> Embeddings:
        pixels = np.stack([np.asarray(square(picture, SIDE)) for picture in pictures])
        tensor = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device) / 255
        starts = range(0, len(tensor), TOGETHER)
        parts = [self._image(tensor[start : start + TOGETHER]) for start in starts]
        embeddings: Embeddings = torch.cat(parts).cpu().numpy()
        return embeddings

    @cached_property
    def _text(self) -> tuple[TextNetwork, BertWordPieceTokenizer]:
        """Network and tokenizer of the text tower."""
        state = load_packed(self._folder / TEXT_WEIGHTS)
        config = TextConfig()
        with torch.device("meta"):
            network = TextNetwork(config)
        network.load_state_dict(state, assign=True)
        network = network.eval().requires_grad_(False).to(self.device)
        return (
            network.pack_linears() if self.device.type == "cpu" else network,
            word_pieces(self._folder / VOCABULARY, config.context),
        )

    @cached_property
    def _image(self) -> ImageNetwork:
        state = load_packed(self._folder / IMAGE_WEIGHTS)
        with torch.device("meta"):
            network = ImageNetwork()
        network.load_state_dict(state, assign=True)
        return network.eval().requires_grad_(False).to(self.device)


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
