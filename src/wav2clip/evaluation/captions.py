"""Captioning: a small transformer decoder that reads frozen frame embeddings and writes words.

Transformer: Vaswani et al. 2017 (arXiv 1706.03762). Sizes are small on purpose: the encoder is
measured, not the decoder, and the audio captioning sets have a few ten thousand sentences.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from wav2clip.embedding.engine import Embeddings
from wav2clip.errors import InputError
from wav2clip.evaluation.caption_metrics import caption_scores, words
from wav2clip.evaluation.features import Features
from wav2clip.evaluation.splits import Fold

PAD, START, END, UNKNOWN = range(4)
_SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")

Step = Callable[[], None]


@dataclass(frozen=True)
class CaptionConfig:
    """Sizes and training of the decoder.

    Attributes:
        width: of the decoder.
        heads: of its attention; divides the width.
        layers: of the decoder.
        dropout: while training.
        longest: words of a caption at most; longer ones are cut to train on.
        fewest: captions that a word must be in, in the training set, to be known.
        epochs: passes over all captions at most.
        batch: captions of a step.
        learning_rate: of Adam.
        smoothing: of the labels.
    """

    width: int = 256
    heads: int = 4
    layers: int = 2
    dropout: float = 0.2
    longest: int = 30
    fewest: int = 1
    epochs: int = 30
    batch: int = 32
    learning_rate: float = 5e-4
    smoothing: float = 0.1


@dataclass(frozen=True)
class CaptionedClip:
    """Frames (t, dimension) of a clip, t >= 1, and what people wrote of it."""

    frames: Embeddings
    captions: tuple[str, ...]


class Vocabulary:
    """The words of the training captions, most frequent first."""

    def __init__(self, captions: Iterable[str], fewest: int = 1) -> None:
        counts = Counter(word for caption in captions for word in set(words(caption)))
        known = sorted((w for w, n in counts.items() if n >= fewest), key=lambda w: (-counts[w], w))
        self.words = [*_SPECIAL, *known]
        self._numbers = {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, caption: str, longest: int) -> list[int]:
        """Numbers of a caption between the marks of its start and its end."""
        inner = [self._numbers.get(word, UNKNOWN) for word in words(caption)[:longest]]
        return [START, *inner, END]

    def decode(self, numbers: Iterable[int]) -> str:
        """The words of the numbers, without marks."""
        return " ".join(self.words[number] for number in numbers if number >= len(_SPECIAL))


class CaptionDecoder(nn.Module):
    """Frames (batch, t, dimension) and words so far (batch, n) to logits (batch, n, vocabulary)."""

    def __init__(self, dimension: int, vocabulary: int, config: CaptionConfig) -> None:
        super().__init__()
        self.frames = nn.Linear(dimension, config.width)
        self.embedding = nn.Embedding(vocabulary, config.width, padding_idx=PAD)
        layer = nn.TransformerDecoderLayer(
            config.width, config.heads, 4 * config.width, config.dropout, batch_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, config.layers)
        self.output = nn.Linear(config.width, vocabulary)

    def read(self, frames: Tensor) -> Tensor:
        """What the decoder attends to, (batch, t, width)."""
        memory: Tensor = self.frames(frames)
        return memory + _positions(memory.shape[1], memory.shape[2])

    def forward(self, memory: Tensor, padded: Tensor | None, numbers: Tensor) -> Tensor:
        """Logits of each next word.

        Args:
            memory: of :meth:`read`.
            padded: (batch, t) True where a frame is none, or None.
            numbers: (batch, n) words so far.
        """
        count = numbers.shape[1]
        known = self.embedding(numbers) * math.sqrt(self.embedding.embedding_dim)
        hidden = self.decoder(
            known + _positions(count, known.shape[2]),
            memory,
            tgt_mask=torch.ones(count, count, dtype=torch.bool).triu(1),
            tgt_key_padding_mask=numbers == PAD,
            memory_key_padding_mask=padded,
        )
        logits: Tensor = self.output(hidden)
        return logits


@dataclass(frozen=True)
class Captioner:
    """A trained decoder with all that it needs.

    Attributes:
        decoder: in evaluation mode.
        vocabulary: of the training captions.
        config: sizes.
        mean: (dimension,) of the training frames.
        scale: (dimension,) standard deviation of the training frames.
    """

    decoder: CaptionDecoder
    vocabulary: Vocabulary
    config: CaptionConfig
    mean: Embeddings
    scale: Embeddings

    @torch.inference_mode()
    def caption(self, frames: Embeddings, beam: int = 1) -> str:
        """A caption of frames (t, dimension).

        Args:
            frames: of one clip.
            beam: captions that are kept while searching; 1 takes the likeliest word each time. The
                winner has the highest mean log probability per word.

        Raises:
            InputError: a beam below one.
        """
        if beam < 1:
            raise InputError(f"got a beam of {beam}, expected at least 1")
        memory = self.decoder.read(torch.from_numpy((frames - self.mean) / self.scale)[None])
        alive: list[tuple[float, list[int]]] = [(0.0, [START])]
        done: list[tuple[float, list[int]]] = []
        while alive and len(alive[0][1]) <= self.config.longest:
            numbers = torch.tensor([sequence for _, sequence in alive])
            logits = self.decoder(memory.expand(len(alive), -1, -1), None, numbers)[:, -1]
            logits[:, [PAD, START, UNKNOWN]] = -math.inf
            scores = torch.log_softmax(logits, dim=-1) + torch.tensor([[s] for s, _ in alive])
            best = scores.flatten().topk(min(beam, scores.numel()))
            grown = [
                (float(value), [*alive[place // len(self.vocabulary)][1], word])
                for value, place in zip(best.values, best.indices.tolist(), strict=True)
                for word in [place % len(self.vocabulary)]
                if math.isfinite(value)
            ]
            done += [one for one in grown if one[1][-1] == END]
            alive = [one for one in grown if one[1][-1] != END]
            if len(done) >= beam:
                break
        _, winner = max(done or alive, key=lambda one: one[0] / (len(one[1]) - 1))
        return self.vocabulary.decode(winner)


def fit(
    clips: Sequence[CaptionedClip],
    validation: Sequence[CaptionedClip] = (),
    config: CaptionConfig | None = None,
    *,
    seed: int = 0,
    step: Step = lambda: None,
) -> Captioner:
    """Train a decoder on every caption of every clip.

    Args:
        clips: to train on; vocabulary and scaling are theirs.
        validation: whose loss chooses the epoch that is kept; without any it is the last.
        config: sizes and training.
        seed: of initial weights, dropout and order.
        step: called after every epoch.

    Raises:
        InputError: no clip with a caption.
    """
    config = config or CaptionConfig()
    captions = [caption for clip in clips for caption in clip.captions]
    if not captions:
        raise InputError("no captions to train on, expected clips with at least one each")
    vocabulary = Vocabulary(captions, config.fewest)
    rows = np.concatenate([clip.frames for clip in clips])
    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    pairs = _pairs(clips, vocabulary, config, mean, scale)
    held = _pairs(validation, vocabulary, config, mean, scale)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = _train(
            CaptionDecoder(rows.shape[1], len(vocabulary), config), pairs, held, config, step
        )
    return Captioner(decoder, vocabulary, config, mean, scale)


Pair = tuple[Tensor, Tensor]
"""Frames (t, dimension) and word numbers (n,) of one caption."""


def _pairs(
    clips: Sequence[CaptionedClip],
    vocabulary: Vocabulary,
    config: CaptionConfig,
    mean: Embeddings,
    scale: Embeddings,
) -> list[Pair]:
    return [
        (frames, torch.tensor(vocabulary.encode(caption, config.longest)))
        for clip in clips
        for frames in [torch.from_numpy((clip.frames - mean) / scale)]
        for caption in clip.captions
    ]


def _train(
    decoder: CaptionDecoder,
    pairs: list[Pair],
    held: list[Pair],
    config: CaptionConfig,
    step: Step,
) -> CaptionDecoder:
    optimizer = torch.optim.Adam(decoder.parameters(), config.learning_rate)
    loss = nn.CrossEntropyLoss(ignore_index=PAD, label_smoothing=config.smoothing)
    best, kept = math.inf, decoder
    for _ in range(config.epochs):
        decoder.train()
        order = torch.randperm(len(pairs)).tolist()
        for batch in _batches([pairs[row] for row in order], config.batch):
            optimizer.zero_grad()
            _loss(decoder, loss, *batch).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
            optimizer.step()
        if held:
            value = _validate(decoder.eval(), loss, held, config.batch)
            if value < best:
                best, kept = value, copy.deepcopy(decoder)
        step()
    return kept.eval().requires_grad_(False)


@torch.inference_mode()
def _validate(
    decoder: CaptionDecoder, loss: nn.CrossEntropyLoss, held: list[Pair], batch: int
) -> float:
    return sum(float(_loss(decoder, loss, *part)) for part in _batches(held, batch))


def _loss(
    decoder: CaptionDecoder,
    loss: nn.CrossEntropyLoss,
    frames: Tensor,
    padded: Tensor,
    numbers: Tensor,
) -> Tensor:
    logits = decoder(decoder.read(frames), padded, numbers[:, :-1])
    value: Tensor = loss(logits.flatten(0, 1), numbers[:, 1:].flatten())
    return value


def _batches(pairs: list[Pair], size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Frames, which of them are padding, and word numbers."""
    for first in range(0, len(pairs), size):
        frames, numbers = zip(*pairs[first : first + size], strict=True)
        lengths = torch.tensor([len(one) for one in frames])
        padded_frames = nn.utils.rnn.pad_sequence(list(frames), batch_first=True)
        yield (
            padded_frames,
            torch.arange(padded_frames.shape[1])[None] >= lengths[:, None],
            nn.utils.rnn.pad_sequence(list(numbers), batch_first=True, padding_value=PAD),
        )


def _positions(count: int, width: int) -> Tensor:
    """Sines and cosines (count, width) of Vaswani et al., section 3.5."""
    place = torch.arange(count)[:, None] / 10_000 ** (torch.arange(0, width, 2) / width)
    return torch.stack([place.sin(), place.cos()], dim=2).flatten(1)[:, :width]


def captioned(features: Features) -> list[CaptionedClip]:
    """The clips of a dataset that was embedded by frames."""
    return [
        CaptionedClip(frames, clip.captions)
        for clip, frames in zip(features.clips, features.per_clip(), strict=True)
    ]


def evaluate(
    clips: Sequence[CaptionedClip],
    fold: Fold,
    config: CaptionConfig | None = None,
    *,
    beam: int = 4,
    seed: int = 0,
    step: Step = lambda: None,
) -> tuple[dict[str, float], list[str]]:
    """Train on a fold's training clips, and score the captions of those that it is tested on.

    Returns:
        Metric to value, see :func:`~wav2clip.evaluation.caption_metrics.caption_scores`; and the
        captions of the test clips.
    """
    train, held, test = (
        [clips[row] for row in rows] for rows in (fold.train, fold.validation, fold.test)
    )
    captioner = fit(train, held, config, seed=seed, step=step)
    written = [captioner.caption(clip.frames, beam) for clip in test]
    return caption_scores(written, [clip.captions for clip in test]), written
