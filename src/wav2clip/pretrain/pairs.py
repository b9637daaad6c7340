"""Prepare pairs: decode sounds, ask the frozen teachers once, and write shards for training."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wav2clip.audio.io import resample
from wav2clip.errors import DataError, ImageError, InputError
from wav2clip.files import atomic_path, display
from wav2clip.models.towers.base import Towers
from wav2clip.pretrain.classes import Phrases, embed_classes, read_phrases, write_classes
from wav2clip.pretrain.hearing import Tagger, listen, record_of
from wav2clip.pretrain.media import Media, as_int16, read_media
from wav2clip.pretrain.shards import (
    SAMPLE_RATE,
    SHARD_SAMPLES,
    Failure,
    Manifest,
    Sample,
    Shard,
    TaggerRecord,
    Teacher,
    disk_errors,
    file_sha256,
    write_manifest,
    write_shard,
)
from wav2clip.pretrain.sources import TRAIN, VALIDATION, Item, Wanted, list_source
from wav2clip.pretrain.targets import (
    Embeddings,
    TextTable,
    embed_phrases,
    embed_pictures,
    read_text_tables,
)
from wav2clip.reading.readers import Readers

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

Read = Callable[[Item], Media]

_SETTINGS = "settings.json"
_CHUNK = 8  # items that are decoded, and seen by the teacher, together
_CHUNK_FRAMES = 64  # but fewer where their frames would fill the memory


@dataclass(frozen=True)
class PrepareSettings:
    """How a source becomes shards.

    Attributes:
        seconds: sounds are cut to their first ``seconds``; 10 in the paper.
        frame_rate: frames per second of a video that the teacher sees; 30 in the paper. See
            docs/results/frame_rate.md for what fewer cost.
        validation: size of the validation split; None for 500, but at most 5 %.
        shard_samples: items per shard.
        sample_rate: Hz of the sound in the shards; None for the tagger's, or 16,000 without one.
        pictures: CLIP looks at pictures and at the frames of videos; without, a video is its sound.
    """

    seconds: float = 10.0
    frame_rate: float = 1.0
    validation: int | None = None
    shard_samples: int = SHARD_SAMPLES
    sample_rate: int | None = None
    pictures: bool = True

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        if not 0 < self.seconds <= 600:
            raise InputError(f"seconds is {self.seconds}, expected above 0 and at most 600")
        if not 0 < self.frame_rate <= 1000:
            raise InputError(f"frame_rate is {self.frame_rate}, expected above 0 and at most 1000")
        if self.shard_samples < 1 or (self.validation or 0) < 0:
            raise InputError("shard_samples must be at least 1, and validation at least 0")
        if self.sample_rate is not None and not 1000 <= self.sample_rate <= 655_350:  # FLAC's limit
            raise InputError(f"sample_rate is {self.sample_rate}, expected 1000 to 655350 Hz")


def prepare(
    source: str | Path,
    out: str | Path,
    towers: Towers,
    settings: PrepareSettings | None = None,
    genuine_text: Sequence[str | Path] = (),
    workers: int | None = None,
    progress: Progress = lambda what, done, total: None,
    tagger: Tagger | None = None,
    phrases: str | Path | None = None,
) -> Manifest:
    """Write a source as a folder of shards with what the teachers say about each clip.

    The result depends on the source, the teachers and the settings alone, not on ``workers``. A run
    that was stopped goes on where it stopped: finished shards are kept when their hash is right.

    Args:
        source: see :func:`wav2clip.pretrain.sources.list_source`.
        out: folder of the shards; made if it is not there.
        towers: the CLIP whose space is learnt.
        settings: see :class:`PrepareSettings`.
        genuine_text: tables of the teacher's own embeddings, used for the phrases that they hold
            where ``towers`` only stands in for that teacher. See
            :func:`wav2clip.pretrain.targets.read_text_tables`.
        workers: processes that decode; by default one per core.
        progress: called now and then.
        tagger: listens to every clip; clips then need neither words nor pictures.
        phrases: table of phrases for the tagger's classes, see
            :func:`wav2clip.pretrain.classes.read_phrases`. It may change between runs.

    Returns:
        The manifest that was written; its ``failures`` are the files that were skipped.

    Raises:
        DataError: nothing to train on, ``out`` holds something else or cannot be written, a full
            disk.
        InputError: phrases without a tagger.
    """
    settings = _with_rate(settings or PrepareSettings(), tagger)
    source, out = Path(source), Path(out)
    said = _phrases(phrases, tagger)
    table = read_text_tables([Path(path) for path in genuine_text], towers.dimension)
    wanted = Wanted(sound_alone=tagger is not None, pictures=settings.pictures)
    listing = list_source(source, settings.validation, wanted)
    teacher = Teacher(towers.name, towers.fingerprint, towers.space.name, towers.dimension)
    heard_by = None if tagger is None else record_of(tagger)
    record: dict[str, Any] = asdict(settings) | {
        "source": source.name,
        "listing": listing.fingerprint,
        "genuine_text": table.files,
    }
    _claim(out, {"teacher": asdict(teacher), "tagger": _short(heard_by), **record})
    jobs = _jobs(listing.items, settings.shard_samples)
    done = {job.file: found for job in jobs if (found := _finished(out, job.file)) is not None}
    missing = [job for job in jobs if job.file not in done]
    captions = {p for item in listing.items if item.picture is None for p in item.captions}
    record |= _counted("phrases", captions, table)
    if tagger is not None:
        spoken = {phrase for label in tagger.labels for phrase in said(label)}
        record |= _counted("class_phrases", spoken, table)
        write_classes(out, tagger.labels, embed_classes(tagger.labels, said, towers, table))
    if missing:
        vectors = embed_phrases(captions, towers, table, partial(progress, "phrases"))
        maker = _Maker(out, settings, towers, vectors, workers or os.cpu_count() or 1, tagger)
        count = sum(len(job.items) for job in missing)
        done |= maker.run(missing, lambda clips: progress("clips", clips, count))
    manifest = _manifest(jobs, done, teacher, heard_by, listing.failures, record)
    write_manifest(out, manifest)
    return manifest


def _with_rate(settings: PrepareSettings, tagger: Tagger | None) -> PrepareSettings:
    rate = SAMPLE_RATE if tagger is None else tagger.sample_rate
    return replace(settings, sample_rate=settings.sample_rate or rate)


def _phrases(path: str | Path | None, tagger: Tagger | None) -> Phrases:
    if path is None:
        return Phrases({})
    if tagger is None:
        raise InputError("phrases for a tagger's classes were given, but no tagger")
    return read_phrases(Path(path), tagger.labels)


def _short(tagger: TaggerRecord | None) -> dict[str, str] | None:
    return None if tagger is None else {"name": tagger.name, "fingerprint": tagger.fingerprint}


def _counted(name: str, phrases: set[str], table: TextTable) -> dict[str, int]:
    known = sum(table.find(phrase) is not None for phrase in phrases)
    return {name: len(phrases), f"{name}_from_tables": known}


@dataclass(frozen=True)
class _Job:
    """A shard to be made: its file below the folder, and its items."""

    file: str
    items: list[Item]


@dataclass(frozen=True)
class _Made:
    """A shard that was made (None if none of its items could be used), and what was skipped."""

    shard: Shard | None
    failures: list[Failure]


def _jobs(items: list[Item], size: int) -> list[_Job]:
    jobs = []
    for split in (TRAIN, VALIDATION):
        members = [item for item in items if item.split == split]
        jobs += [
            _Job(f"{split}/{start // size:06d}.tar", members[start : start + size])
            for start in range(0, len(members), size)
        ]
    return jobs


class _Maker:
    """Makes shards: processes decode ahead while the teacher looks at what is decoded."""

    def __init__(
        self,
        out: Path,
        settings: PrepareSettings,
        towers: Towers,
        vectors: dict[str, Embeddings],
        workers: int,
        tagger: Tagger | None,
    ) -> None:
        self.out, self.settings, self.towers, self.vectors = out, settings, towers, vectors
        self.workers, self.tagger = workers, tagger
        self.sample_rate = settings.sample_rate or SAMPLE_RATE
        self.decoded_rate = self.sample_rate if tagger is None else tagger.sample_rate

    def run(self, jobs: list[_Job], progress: Callable[[int], None]) -> dict[str, _Made]:
        """Make the shards of all jobs; each is on the disk before the next begins."""
        made, clips = {}, 0

        def count(samples: Iterator[Sample | Failure]) -> Iterator[Sample | Failure]:
            nonlocal clips
            for sample in samples:
                clips += 1
                progress(clips)
                yield sample

        # Processes read, and as many threads wait for them; left early, both end at once.
        with ThreadPoolExecutor(self.workers) as pool, Readers(self.workers) as readers:
            read = partial(
                read_media,
                readers,
                seconds=self.settings.seconds,
                sample_rate=self.decoded_rate,
                frame_rate=self.settings.frame_rate,
            )
            try:
                for job in jobs:
                    made[job.file] = self._make(job, count(self._samples(job.items, pool, read)))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        return made

    def _make(self, job: _Job, results: Iterator[Sample | Failure]) -> _Made:
        failures: list[Failure] = []

        def samples() -> Iterator[Sample]:
            for result in results:
                if isinstance(result, Failure):
                    failures.append(result)
                else:
                    yield result

        shard: Shard | None = write_shard(self.out, job.file, samples())
        if shard is not None and shard.samples == 0:
            with disk_errors(self.out):
                (self.out / job.file).unlink()
            shard = None
        made = _Made(shard, failures)
        path = _record_path(self.out, job.file)
        with disk_errors(path), atomic_path(path) as temporary:
            temporary.write_text(json.dumps(asdict(made), ensure_ascii=False), encoding="utf-8")
        return made

    def _samples(
        self, items: list[Item], pool: ThreadPoolExecutor, read: Read
    ) -> Iterator[Sample | Failure]:
        """A sample, or the reason why there is none, for each item, in their order."""
        for chunk, media in self._decoded(items, pool, read):
            try:
                targets = self._picture_targets(media)
            except ImageError:  # one picture that the teacher refuses must not cost its neighbours
                targets = [self._one_picture_target(entry) for entry in media]
            for item, entry, target in zip(chunk, media, targets, strict=True):
                yield self._sample(item, entry, target)

    def _decoded(
        self, items: list[Item], pool: ThreadPoolExecutor, read: Read
    ) -> Iterator[tuple[list[Item], list[Media]]]:
        """Items with their content; the next chunk is decoded while this one is used."""
        seconds, frames = self.settings.seconds, self.settings.frame_rate
        size = max(1, min(_CHUNK, int(_CHUNK_FRAMES / (seconds * frames))))
        ahead: deque[tuple[list[Item], list[Future[Media]]]] = deque()
        for start in range(0, len(items), size):
            chunk = items[start : start + size]
            ahead.append((chunk, [pool.submit(read, item) for item in chunk]))
            if len(ahead) > 1:
                ready, futures = ahead.popleft()
                yield ready, [future.result() for future in futures]
        for ready, futures in ahead:
            yield ready, [future.result() for future in futures]

    def _picture_targets(self, media: list[Media]) -> list[Embeddings | str]:
        rows = iter(embed_pictures([m.pictures for m in media if m.pictures], self.towers))
        return [next(rows) if entry.pictures else "" for entry in media]

    def _one_picture_target(self, entry: Media) -> Embeddings | str:
        try:
            return self._picture_targets([entry])[0]
        except ImageError as error:
            return str(error)

    def _sample(self, item: Item, media: Media, target: Embeddings | str) -> Sample | Failure:
        if media.failure:
            return Failure(item.name, media.failure)
        if item.picture is None:
            rows = [self.vectors[phrase] for phrase in item.captions]
            target = np.reshape(rows, (len(rows), self.towers.dimension)).astype(np.float32)
        if isinstance(target, str):
            return Failure(item.name, target)
        audio = self._stored(media.audio)
        if not len(audio):
            return Failure(item.name, f"is shorter than a sample at {self.sample_rate} Hz")
        return Sample(
            key=item.key,
            audio=audio,
            targets=target,
            label=item.label,
            captions=item.captions,
            kind="text" if item.picture is None else "image",
            source=item.source,
            tags=None if self.tagger is None else listen(self.tagger, media.audio),
            sample_rate=self.sample_rate,
        )

    def _stored(self, audio: NDArray[np.int16]) -> NDArray[np.int16]:
        """Sound that was decoded for the tagger, at the rate of the shards."""
        if self.decoded_rate == self.sample_rate:
            return audio
        wave = np.divide(audio, 32768, dtype=np.float32)
        return as_int16(resample(wave, self.decoded_rate, self.sample_rate))


def _record_path(out: Path, file: str) -> Path:
    return (out / file).with_suffix(".json")


def _finished(out: Path, file: str) -> _Made | None:
    """What an earlier run made of a shard, if it is there and whole."""
    try:
        record = json.loads(_record_path(out, file).read_bytes())
        failures = [Failure(**failure) for failure in record["failures"]]
        if record["shard"] is None:
            return _Made(None, failures)
        shard = Shard(**record["shard"])
        return _Made(shard, failures) if file_sha256(out / file) == shard.sha256 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _claim(out: Path, record: dict[str, Any]) -> None:
    """Make ``out`` the folder of this run, or check that it already is."""
    path = out / _SETTINGS
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            _require_same(path, record)
            return
        if any(out.iterdir()):
            raise DataError(
                f"{display(out)} holds other files; choose a folder that is new or empty"
            )
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _require_same(path: Path, record: dict[str, Any]) -> None:
    try:
        # What was not recorded before it could be chosen.
        known = {"sample_rate": SAMPLE_RATE, "pictures": True}
        before = known | json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{display(path)} is damaged ({error}); delete its folder") from error
    differing = [name for name in record if before.get(name) != record[name]]
    if differing:
        raise DataError(
            f"{display(path.parent)} was begun with another {', '.join(differing)}; "
            "choose another folder, or delete this one to begin again"
        )


def _manifest(
    jobs: list[_Job],
    done: dict[str, _Made],
    teacher: Teacher,
    tagger: TaggerRecord | None,
    failures: list[Failure],
    record: dict[str, Any],
) -> Manifest:
    splits: dict[str, list[Shard]] = {TRAIN: [], VALIDATION: []}
    failures = list(failures)
    for job in jobs:
        made = done[job.file]
        failures += made.failures
        if made.shard is not None:
            splits[job.file.split("/")[0]].append(made.shard)
    if not splits[TRAIN]:
        reason = f"; the first: {failures[0].source}: {failures[0].reason}" if failures else ""
        raise DataError(f"none of the {len(failures)} clips could be used{reason}")
    return Manifest(teacher, splits, failures, record, record["sample_rate"], tagger)
