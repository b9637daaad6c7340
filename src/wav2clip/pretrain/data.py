"""From shards to batches: crops of clips, drawn so that a run can be repeated and resumed exactly.

Every random number comes from (seed, epoch, position in the epoch), never from a state that a kill
would lose, and a batch of several processes together is the batch that one process would have.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, get_worker_info

from wav2clip.errors import DataError
from wav2clip.files import display
from wav2clip.pretrain.batch import Batch
from wav2clip.pretrain.classes import read_classes
from wav2clip.pretrain.config import TAGGER_LOSSES, AugmentSettings, FitConfig
from wav2clip.pretrain.hearing import heard_between
from wav2clip.pretrain.shards import (
    Manifest,
    Sample,
    TaggerRecord,
    Tags,
    iterate,
    read_manifest,
    read_shard,
)

Rng = np.random.Generator

STRETCH = 1.05
"""How much longer than its shortest clip a batch of whole clips may be."""


@dataclass(frozen=True)
class Process:
    """Which of how many training processes this one is."""

    rank: int = 0
    count: int = 1


@dataclass(frozen=True)
class Classes:
    """The classes of the tagger that heard a corpus, and what it heard on average.

    Attributes:
        names: in the order of the probabilities.
        bank: (k, d) float32, unit length: the text embedding of each class.
        prior: (k,) float32, mean probability over the training clips.
        feature_mean, feature_std: (f,) float32, of its features over the training clips.
    """

    names: tuple[str, ...]
    bank: NDArray[np.float32]
    prior: NDArray[np.float32]
    feature_mean: NDArray[np.float32]
    feature_std: NDArray[np.float32]

    def centred(self) -> NDArray[np.float32]:
        """(k, d) unit rows: the bank without what all its rows share."""
        rows = self.bank - self.bank.mean(axis=0)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@dataclass(frozen=True)
class Labels:
    """What is known of the sounds of a corpus: their labels, and the classes of its tagger.

    Attributes:
        names: sorted; a clip's label is an index into them, -1 where it has none.
        bank: (labels, d) float32, unit length: the mean embedding of each label's clips.
        clips: (labels,) how many training clips have the label.
        mean: (d,) float32: mean of all clips' embeddings, each label counted once if there are any;
            of the tagger's classes where there is a tagger and no target is a picture's.
        classes: of the tagger, if there is one.
    """

    names: tuple[str, ...]
    bank: NDArray[np.float32]
    clips: NDArray[np.int64]
    mean: NDArray[np.float32]
    classes: Classes | None = None

    def index(self, label: str | None) -> int:
        """Position of a label; -1 for none and for one that training has never seen."""
        return self._positions.get(label, -1) if label is not None else -1

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.names)}


@dataclass(frozen=True)
class Item:
    """A clip without its crop: 16-bit sound, CLIP's embeddings (m, d), its label, its tags.

    Of a clip that CLIP has not seen, m is 1 and the row NaN; the same holds for the tags.
    """

    audio: NDArray[np.int16]
    targets: NDArray[np.float32]
    label: str | None
    tags: Tags


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
    rate = config.network.frontend().sample_rate
    manifest = read_manifest(folder, config.network.encoder().dimension, rate)
    _check_tagger(Path(folder), manifest, config)
    held_out = _held_out(manifest, config)
    clips = manifest.samples("train") - held_out
    if clips < settings.batch_size:
        raise DataError(
            f"{display(folder)}: {clips} training clips are fewer than one batch of "
            f"{settings.batch_size}; prepare more, or set data.batch_size"
        )
    fits = manifest.hours("train") * 3600 * rate * 2 <= settings.cache_gib * 2**30
    if settings.balance and not fits:
        raise DataError(
            "data.balance needs the clips in memory, and they are larger than data.cache_gib = "
            f"{settings.cache_gib:g}; raise the one or set the other to 0"
        )
    cached: list[Item] = []
    tally = _Tally(manifest.teacher.dimension)
    stream = iterate(folder, "train")
    for sample in itertools.islice(stream, clips):
        tally.add(sample)
        if fits:
            cached.append(item_of(sample, manifest))
    rest = stream if held_out else iterate(folder, settings.validation_split)
    validation = [item_of(sample, manifest, settings.validation_seconds) for sample in rest]
    labels = tally.labels(Path(folder), manifest.tagger)
    return Corpus(Path(folder), manifest, clips, cached if fits else None, validation, labels)


def _held_out(manifest: Manifest, config: FitConfig) -> int:
    """Training clips to validate on, where there is no split for it."""
    if manifest.samples(config.data.validation_split):
        return 0
    return min(config.data.validation_clips, manifest.samples("train") // 5)


def _check_tagger(folder: Path, manifest: Manifest, config: FitConfig) -> None:
    asked = [name for name in TAGGER_LOSSES if name in config.loss.weights()]
    if asked and manifest.tagger is None:
        raise DataError(
            f"no tagger has heard the shards in {display(folder)}, which loss.{asked[0]} needs; "
            "prepare them again with --tagger"
        )


def item_of(sample: Sample, manifest: Manifest, seconds: float | None = None) -> Item:
    """A sample as training takes it, cut to its first ``seconds``."""
    audio, targets, tags = sample.audio, sample.targets, sample.tags
    if tags is None:
        k, f = (0, 0)
        if manifest.tagger is not None:
            k, f = len(manifest.tagger.labels), manifest.tagger.features
        tags = Tags(np.full((1, k), np.nan, np.float16), np.full((1, f), np.nan, np.float16))
    if seconds is not None:
        audio = audio[: max(1, int(seconds * sample.sample_rate))]
        tags = heard_between(tags, 0, len(audio) / sample.sample_rate, sample.seconds)
    if not len(targets):
        targets = np.full((1, manifest.teacher.dimension), np.nan, np.float32)
    return Item(audio, targets, sample.label, tags)


class _Tally:
    """Sums over the training clips, from which :class:`Labels` follow."""

    def __init__(self, dimension: int) -> None:
        self.dimension, self.pictures, self.heard = dimension, False, 0
        self.sums: dict[str | None, NDArray[np.float64]] = {}
        self.counts: dict[str | None, int] = {}
        self.probabilities: NDArray[np.float64] | float = 0.0
        self.features: NDArray[np.float64] | float = 0.0
        self.squares: NDArray[np.float64] | float = 0.0

    def add(self, sample: Sample) -> None:
        if sample.tags is not None:
            self.heard += 1
            features = sample.tags.features[0].astype(np.float64)
            self.probabilities += sample.tags.probabilities[0].astype(np.float64)
            self.features += features
            self.squares += features**2
        if len(sample.targets):
            self.pictures |= sample.kind == "image"
            mean = sample.targets.mean(axis=0, dtype=np.float64)
            self.sums[sample.label] = self.sums.get(sample.label, 0) + mean
            self.counts[sample.label] = self.counts.get(sample.label, 0) + 1

    def labels(self, folder: Path, tagger: TaggerRecord | None) -> Labels:
        names = sorted(name for name in self.sums if name is not None)
        counts = np.array([self.counts[name] for name in names], np.int64)
        bank = np.array([self.sums[name] for name in names]).reshape(len(names), self.dimension)
        bank /= np.maximum(np.linalg.norm(bank, axis=1, keepdims=True), 1e-12)
        classes = self._classes(folder, tagger)
        if classes is not None and not self.pictures:
            mean = classes.bank.mean(axis=0)
        else:
            unlabelled = self.sums.get(None), self.counts.get(None, 0)
            parts = [*bank] + ([unlabelled[0]] if unlabelled[0] is not None else [])
            total = np.sum([np.zeros(self.dimension), *parts], axis=0)
            mean = total / max(1, len(bank) + unlabelled[1])
        return Labels(
            tuple(names), bank.astype(np.float32), counts, mean.astype(np.float32), classes
        )

    def _classes(self, folder: Path, tagger: TaggerRecord | None) -> Classes | None:
        if tagger is None:
            return None
        count = max(1, self.heard)
        mean = np.zeros(tagger.features) + self.features / count
        std = np.sqrt(np.maximum(self.squares / count - mean**2, 0))
        prior = np.zeros(len(tagger.labels)) + self.probabilities / count
        numbers = (prior, mean, std)
        bank = read_classes(folder, tagger, self.dimension)
        return Classes(tagger.labels, bank, *(x.astype(np.float32) for x in numbers))


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
    groups = [_group(item) for item in corpus.cached]
    sizes = Counter(groups)
    weights = np.array([1.0 if group is None else sizes[group] ** -balance for group in groups])
    return np.asarray(weights / weights.sum())


def _group(item: Item) -> str | int | None:
    """What a clip is counted with: its label, else the class of which the tagger is surest."""
    probabilities = item.tags.probabilities[0]
    if item.label is not None or not probabilities.size or np.isnan(probabilities[0]):
        return item.label
    return int(probabilities.argmax())


class Crops:
    """Cuts crops of the length that an epoch asks for, and chooses among a clip's targets."""

    def __init__(self, config: FitConfig) -> None:
        self.seed, self.data, self.augment = config.seed, config.data, config.augment
        self.rate = config.network.frontend().sample_rate

    def __call__(self, item: Item, epoch: int, position: int) -> Item:
        """The crop (samples,) with one target (1, d) and one row of tags."""
        rng = np.random.default_rng([self.seed, epoch, position])
        samples, speed = int(self.data.seconds(epoch) * self.rate), self.augment.speed
        ratio = 2 ** rng.uniform(-speed, speed) if speed else 1.0
        wanted = math.ceil(samples * ratio)
        part = window(len(item.audio), _shortened(wanted, self.rate, self.augment, rng), rng)
        audio = fill(item.audio[part], wanted, self.data.pad, rng)
        if ratio != 1:
            places = np.arange(samples) * ratio
            audio = np.interp(places, np.arange(len(audio)), audio).astype(np.int16)
        target = item.targets[rng.integers(len(item.targets))][None]
        return Item(audio, target, item.label, self._tags(item, part))

    def _tags(self, item: Item, part: slice) -> Tags:
        if self.data.tags == "clip":
            return Tags(item.tags.probabilities[:1], item.tags.features[:1])
        start, stop, whole = (x / self.rate for x in (part.start, part.stop, len(item.audio)))
        return heard_between(item.tags, start, stop, whole)


def _shortened(samples: int, rate: int, settings: AugmentSettings, rng: Rng) -> int:
    """So many samples of a crop are to be sound at most."""
    if not settings.short or rng.random() >= settings.short:
        return samples
    shortest = min(samples, max(1, int(settings.shortest * rate)))
    return round(math.exp(rng.uniform(math.log(shortest), math.log(samples))))


def window(length: int, samples: int, rng: Rng) -> slice:
    """``samples`` samples from a random place of so many; all of them where there are fewer."""
    start = int(rng.integers(1 + length - samples)) if samples < length else 0
    return slice(start, min(length, start + samples))


def fill(audio: NDArray[np.int16], samples: int, pad: str, rng: Rng) -> NDArray[np.int16]:
    """Sound of ``samples`` samples or fewer, repeated up to that or set into silence."""
    missing = samples - len(audio)
    if missing == 0:
        return audio
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
                yield item_of(sample, self.corpus.manifest)

    def _shuffled(self, items: Iterator[Item], rng: Rng) -> Iterator[Item]:
        buffer = list(itertools.islice(items, self.buffer))
        for item in items:
            place = int(rng.integers(len(buffer)))
            yield buffer[place]
            buffer[place] = item


def collate(items: Sequence[Item], labels: Labels) -> Batch:
    """Crops of one length as a batch; of several targets of an item, the first."""

    def rows(parts: list[NDArray[np.float32]]) -> Tensor:
        return torch.from_numpy(np.stack(parts)).float()

    return Batch(
        audio=torch.from_numpy(np.stack([item.audio for item in items])),
        targets=rows([item.targets[0] for item in items]),
        labels=torch.tensor([[labels.index(item.label)] for item in items]),
        shares=torch.ones(len(items), 1),
        probabilities=rows([item.tags.probabilities[0] for item in items]),
        heard=rows([item.tags.features[0] for item in items]),
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

    Clips are sorted by length, and a batch is repeated up to its longest, which is at most
    :data:`STRETCH` times its shortest: a clip with its beginning again is another sound.
    """
    batches: list[list[Item]] = []
    for item in sorted(items, key=lambda item: len(item.audio)):
        last = batches[-1] if batches else []
        if last and len(last) < batch_size and len(item.audio) <= STRETCH * len(last[0].audio):
            last.append(item)
        else:
            batches.append([item])
    return [[_filled(item, len(batch[-1].audio)) for item in batch] for batch in batches]


def _filled(item: Item, samples: int) -> Item:
    mean = item.targets.mean(axis=0, keepdims=True)
    target = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return Item(np.resize(item.audio, samples), target, item.label, item.tags)
