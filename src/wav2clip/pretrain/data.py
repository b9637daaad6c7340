"""From shards to batches: crops of clips, drawn so that a run can be repeated and resumed exactly.

Every random number comes from (seed, epoch, position in the epoch), never from a state that a kill
would lose, and a batch of several processes together is the batch that one process would have.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, get_worker_info

from wav2clip.errors import DataError
from wav2clip.files import display
from wav2clip.pretrain.augment import Batch
from wav2clip.pretrain.config import FitConfig
from wav2clip.pretrain.shards import (
    SAMPLE_RATE,
    Manifest,
    Sample,
    iterate,
    read_manifest,
    read_shard,
)

Rng = np.random.Generator


@dataclass(frozen=True)
class Process:
    """Which of how many training processes this one is."""

    rank: int = 0
    count: int = 1


@dataclass(frozen=True)
class Labels:
    """The classes of a corpus.

    Attributes:
        names: sorted; a clip's label is an index into them, -1 where it has none.
        bank: (labels, d) float32, unit length: the mean embedding of each label's clips.
        clips: (labels,) how many training clips have the label.
        mean: (d,) float32, mean of all clips' embeddings, each label counted once if there are any.
    """

    names: tuple[str, ...]
    bank: NDArray[np.float32]
    clips: NDArray[np.int64]
    mean: NDArray[np.float32]

    def index(self, label: str | None) -> int:
        """Position of a label; -1 for none and for one that training has never seen."""
        return self._positions.get(label, -1) if label is not None else -1

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.names)}


@dataclass(frozen=True)
class Item:
    """A clip without its crop: 16-bit sound, the teacher's embeddings (m, d), its label."""

    audio: NDArray[np.int16]
    targets: NDArray[np.float32]
    label: str | None


@dataclass(frozen=True)
class Corpus:
    """What a run trains and validates on.

    Attributes:
        folder: of the shards.
        manifest: its content.
        clips: of the training part.
        cached: the training clips, if they fit into the stated memory, else None.
        validation: the validation clips; always kept in memory.
        labels: of the training part.
    """

    folder: Path
    manifest: Manifest
    clips: int
    cached: list[Item] | None
    validation: list[Item]
    labels: Labels


def load_corpus(folder: str | Path, config: FitConfig) -> Corpus:
    """Read the shards once: labels, validation clips, and the training clips if they fit.

    Raises:
        DataError: shards missing or damaged, targets of another dimension than the network's, or
            too few clips for one batch.
    """
    settings = config.data
    manifest = read_manifest(folder, config.network.encoder().dimension)
    total = manifest.samples("train")
    held_out = 0
    if manifest.samples(settings.validation_split) == 0:
        held_out = min(settings.validation_clips, total // 5)
    clips = total - held_out
    if clips < settings.batch_size:
        raise DataError(
            f"{display(folder)}: {clips} training clips are fewer than one batch of "
            f"{settings.batch_size}; prepare more, or set data.batch_size"
        )
    fits = manifest.hours("train") * 3600 * SAMPLE_RATE * 2 <= settings.cache_gib * 2**30
    if settings.balance and not fits:
        raise DataError(
            "data.balance needs the clips in memory, and they are larger than data.cache_gib = "
            f"{settings.cache_gib:g}; raise the one or set the other to 0"
        )
    cached: list[Item] = []
    tally = _Tally()
    stream = iterate(folder, "train")
    for sample in itertools.islice(stream, clips):
        tally.add(sample)
        if fits:
            cached.append(_item(sample))
    rest = stream if held_out else iterate(folder, settings.validation_split)
    validation = [_item(sample, settings.validation_seconds) for sample in rest]
    labels = tally.labels()
    return Corpus(Path(folder), manifest, clips, cached if fits else None, validation, labels)


def _item(sample: Sample, seconds: float | None = None) -> Item:
    end = None if seconds is None else max(1, int(seconds * SAMPLE_RATE))
    return Item(sample.audio[:end], sample.targets, sample.label)


class _Tally:
    """Sums over the training clips, from which :class:`Labels` follow."""

    def __init__(self) -> None:
        self.sums: dict[str | None, NDArray[np.float64]] = {}
        self.counts: dict[str | None, int] = {}

    def add(self, sample: Sample) -> None:
        mean = sample.targets.mean(axis=0, dtype=np.float64)
        self.sums[sample.label] = self.sums.get(sample.label, 0) + mean
        self.counts[sample.label] = self.counts.get(sample.label, 0) + 1

    def labels(self) -> Labels:
        names = sorted(name for name in self.sums if name is not None)
        counts = np.array([self.counts[name] for name in names], np.int64)
        dimension = len(next(iter(self.sums.values())))
        bank = np.array([self.sums[name] for name in names]).reshape(len(names), dimension)
        bank /= np.maximum(np.linalg.norm(bank, axis=1, keepdims=True), 1e-12)
        unlabelled = self.sums.get(None), self.counts.get(None, 0)
        parts = [*bank] + ([unlabelled[0]] if unlabelled[0] is not None else [])
        mean = np.sum(parts, axis=0) / (len(bank) + unlabelled[1])
        return Labels(tuple(names), bank.astype(np.float32), counts, mean.astype(np.float32))


@dataclass(frozen=True)
class Draw:
    """A clip that was drawn, and where in which epoch: what its random numbers come from."""

    clip: int
    epoch: int
    position: int


class EpochSampler(Sampler[Draw]):
    """The clips of an epoch for one process; ``set_epoch`` chooses which epoch."""

    def __init__(
        self, config: FitConfig, corpus: Corpus, process: Process, batch_size: int
    ) -> None:
        self.seed, self.process, self.epoch = config.seed, process, 0
        self.clips, self.weights = corpus.clips, _weights(corpus, config.data.balance)
        wanted = config.data.epoch_clips or corpus.clips
        self.length = wanted // (batch_size * process.count) * batch_size

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Draw]:
        rng = np.random.default_rng([self.seed, self.epoch])
        size = self.length * self.process.count
        if self.weights is None:
            rounds = [rng.permutation(self.clips) for _ in range(math.ceil(size / self.clips))]
            order = np.concatenate(rounds)[:size]
        else:
            order = rng.choice(self.clips, size, p=self.weights)
        for position in range(self.process.rank, size, self.process.count):
            yield Draw(int(order[position]), self.epoch, position)


def _weights(corpus: Corpus, balance: float) -> NDArray[np.float64] | None:
    if not balance or corpus.cached is None:
        return None
    sizes = np.append(corpus.labels.clips, 1)  # the last, index -1, is for clips without a label
    own = np.array([corpus.labels.index(item.label) for item in corpus.cached])
    weights = sizes[own].astype(np.float64) ** -balance
    return np.asarray(weights / weights.sum())


class Crops:
    """Cuts crops of the length that an epoch asks for, and chooses among a clip's targets."""

    def __init__(self, config: FitConfig) -> None:
        self.seed, self.data, self.speed = config.seed, config.data, config.augment.speed

    def __call__(self, item: Item, epoch: int, position: int) -> Item:
        """The crop (samples,) with one target (d,)."""
        rng = np.random.default_rng([self.seed, epoch, position])
        samples = int(self.data.seconds(epoch) * SAMPLE_RATE)
        ratio = 2 ** rng.uniform(-self.speed, self.speed) if self.speed else 1.0
        audio = crop(item.audio, math.ceil(samples * ratio), self.data.pad, rng)
        if ratio != 1:
            places = np.arange(samples) * ratio
            audio = np.interp(places, np.arange(len(audio)), audio).astype(np.int16)
        target = item.targets[rng.integers(len(item.targets))]
        return Item(audio, target, item.label)


def crop(audio: NDArray[np.int16], samples: int, pad: str, rng: Rng) -> NDArray[np.int16]:
    """``samples`` samples from a random place; shorter sound is repeated or set into silence."""
    missing = samples - len(audio)
    if missing <= 0:
        start = int(rng.integers(1 - missing))
        return audio[start : start + samples]
    if pad == "repeat" or (pad == "either" and rng.random() < 0.5):
        return np.resize(audio, samples)
    before = int(rng.integers(missing + 1))
    return np.pad(audio, (before, missing - before))


class CachedClips(Dataset[Item]):
    """Training clips in memory, indexed by what :class:`EpochSampler` draws."""

    def __init__(self, items: Sequence[Item], crops: Crops) -> None:
        self.items, self.crops = items, crops

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, draw: Draw) -> Item:
        return self.crops(self.items[draw.clip], draw.epoch, draw.position)


class StreamedClips(IterableDataset[Item]):
    """Training clips read from the shards: shards in random order, then a buffer that shuffles.

    The shards are dealt out to the workers of all processes. A worker whose shards hold few clips
    starts over, one with many stops early, so that all processes make the same number of steps.
    """

    def __init__(self, config: FitConfig, corpus: Corpus, process: Process, length: int) -> None:
        self.seed, self.buffer, self.epoch = config.seed, config.data.shuffle_buffer, 0
        self.corpus, self.process, self.length = corpus, process, length
        self.crops = Crops(config)
        self.batch_size = config.data.batch_size // process.count

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Item]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        part = self.process.rank * workers + worker
        rng = np.random.default_rng([self.seed, self.epoch, part])
        # Workers hand over whole batches in turn, so each gives its share of the batches.
        batches = len(range(worker, self.length // self.batch_size, workers))
        items = self._shuffled(self._own(part, self.process.count * workers), rng)
        for n, item in enumerate(itertools.islice(items, batches * self.batch_size)):
            yield self.crops(item, self.epoch, n * self.process.count * workers + part)

    def _own(self, part: int, parts: int) -> Iterator[Item]:
        shards = self.corpus.manifest.splits["train"]
        starts = np.cumsum([0, *(shard.samples for shard in shards)])
        # The clips that are held out for validation are the last ones.
        used = [n for n in range(len(shards)) if starts[n] < self.corpus.clips]
        order = np.random.default_rng([self.seed, self.epoch]).permutation(used)
        mine = order[part::parts] if len(order) >= parts else order
        for number in itertools.cycle(mine):
            within = self.corpus.clips - int(starts[number])
            samples = read_shard(self.corpus.folder / shards[number].file, shards[number])
            for sample in itertools.islice(samples, within):
                yield _item(sample)

    def _shuffled(self, items: Iterator[Item], rng: Rng) -> Iterator[Item]:
        buffer = list(itertools.islice(items, self.buffer))
        for item in items:
            place = int(rng.integers(len(buffer)))
            yield buffer[place]
            buffer[place] = item


def collate(items: Sequence[Item], labels: Labels) -> Batch:
    """Crops of one length as a batch."""
    return Batch(
        audio=torch.from_numpy(np.stack([item.audio for item in items])),
        targets=torch.from_numpy(np.stack([item.targets for item in items])),
        labels=torch.tensor([[labels.index(item.label)] for item in items]),
        shares=torch.ones(len(items), 1),
    )


def train_loader(config: FitConfig, corpus: Corpus, process: Process) -> DataLoader[Item]:
    """Batches of this process; all processes' batches together have ``data.batch_size`` clips."""
    settings = config.data
    if settings.batch_size % process.count:
        raise DataError(
            f"data.batch_size = {settings.batch_size} cannot be shared by {process.count} "
            "processes; choose a multiple of their number"
        )
    size = settings.batch_size // process.count
    sampler = EpochSampler(config, corpus, process, size)
    load = partial(
        DataLoader,
        batch_size=size,
        num_workers=settings.workers,
        collate_fn=partial(collate, labels=corpus.labels),
        pin_memory=torch.cuda.is_available(),
    )
    if corpus.cached is None:
        return load(StreamedClips(config, corpus, process, len(sampler)))
    return load(CachedClips(corpus.cached, Crops(config)), sampler=sampler)


def whole_clips(items: Sequence[Item], batch_size: int) -> list[list[Item]]:
    """Clips without a crop, with the mean of their targets, in batches of equal lengths.

    Clips are sorted by length and each batch is repeated up to its longest, so that no clip is
    changed much and a batch is one tensor.
    """
    items = sorted(items, key=lambda item: len(item.audio))
    batches = [items[i : i + batch_size] for i in range(0, len(items), batch_size)]
    return [[_filled(item, len(batch[-1].audio)) for item in batch] for batch in batches]


def _filled(item: Item, samples: int) -> Item:
    mean = item.targets.mean(axis=0)
    target = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return Item(np.resize(item.audio, samples), target, item.label)
