"""Shards: tar files of sound and teacher embeddings that training reads from end to end.

A folder of shards holds ``manifest.json`` and one subfolder of tar files per split. The tar files
follow the WebDataset convention, with these members per sample:

- ``KEY.flac``: one channel, 16 bit, at the manifest's sample rate;
- ``KEY.npy``: float32 (m, d), unit length; what CLIP says about the sound, m = 0 if nothing;
- ``KEY.json``: label, captions, kind, source, seconds;
- ``KEY.probabilities.npy`` and ``KEY.features.npy``, where a tagger heard the sound: float16
  (1 + s, classes) and (1 + s, features), for the whole and for each of its s seconds.

Beside the manifest of a tagger's shards lies ``classes.npz``, see :mod:`.classes`.
"""

from __future__ import annotations

import errno
import hashlib
import io
import itertools
import json
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from wav2clip.errors import DataError, MissingExtraError
from wav2clip.files import atomic_path, display

SAMPLE_RATE = 16_000
"""Hz of the sound in shards whose maker asked for no other: what the published encoder hears."""

SHARD_SAMPLES = 512
"""Samples of a full shard: about 80 MB of ten-second clips."""

MANIFEST = "manifest.json"
_FORMAT, _VERSION = "wav2clip-shards", 1

Kind = Literal["text", "image"]


@dataclass(frozen=True)
class Tags:
    """What a tagger hears in a sound: in the whole (row 0), and in each second of a longer one.

    Row 1 + i is for the second from i to i + 1; the last one ends where the sound ends. A sound of
    a second or less has row 0 alone.

    Attributes:
        probabilities: (1 + s, classes) float16, 0 to 1; NaN where no tagger listened.
        features: (1 + s, features) float16; NaN where no tagger listened.
    """

    probabilities: NDArray[np.float16]
    features: NDArray[np.float16]


@dataclass(frozen=True)
class Sample:
    """A sound and what the teachers say about it.

    Attributes:
        key: name of the sample, unique in its folder.
        audio: (n,) int16, one channel, n >= 1.
        targets: (m, d) float32, unit length: one per caption, or one for the pictures; m = 0 for
            a sound without either.
        label: class of the sound where it has one; clips of one label are no negatives.
        captions: the phrases behind the targets of kind "text"; for "image" whatever was known.
        kind: which tower of the teacher made the targets.
        source: where the sound came from, for people.
        tags: what a tagger hears in it, None where none was asked.
        sample_rate: Hz of ``audio``.
    """

    key: str
    audio: NDArray[np.int16]
    targets: NDArray[np.float32]
    label: str | None = None
    captions: tuple[str, ...] = ()
    kind: Kind = "text"
    source: str = ""
    tags: Tags | None = None
    sample_rate: int = SAMPLE_RATE

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.audio) / self.sample_rate


@dataclass(frozen=True)
class Shard:
    """One tar file: its path below the folder, its samples and seconds, the hash of its bytes."""

    file: str
    samples: int
    seconds: float
    kinds: dict[str, int]
    sha256: str


@dataclass(frozen=True)
class Failure:
    """A source that gave no sample, and why."""

    source: str
    reason: str


@dataclass(frozen=True)
class Teacher:
    """Whose embeddings the targets are, and the space they lie in."""

    name: str
    fingerprint: str
    space: str
    dimension: int


@dataclass(frozen=True)
class TaggerRecord:
    """Whose probabilities and features the tags are.

    Attributes:
        name, fingerprint, licence: of the tagger.
        features: numbers per sound before its head.
        labels: names of the classes, in the order of the probabilities.
    """

    name: str
    fingerprint: str
    licence: str
    features: int
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """What a folder of shards holds and how it was made.

    Attributes:
        teacher: see :class:`Teacher`.
        splits: shards by split, in reading order.
        failures: sources that were skipped.
        settings: how ``prepare`` was called, and hashes of the tables that it used.
        sample_rate: Hz of the sound.
        tagger: whose the tags are; None for shards without any.
    """

    teacher: Teacher
    splits: dict[str, list[Shard]]
    failures: list[Failure] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    sample_rate: int = SAMPLE_RATE
    tagger: TaggerRecord | None = None

    def samples(self, split: str) -> int:
        """Samples of a split; 0 for one that does not exist."""
        return sum(shard.samples for shard in self.splits.get(split, []))

    def hours(self, split: str) -> float:
        """Hours of sound of a split."""
        return sum(shard.seconds for shard in self.splits.get(split, [])) / 3600

    def to_json(self) -> dict[str, Any]:
        """The content of ``manifest.json``; the counts are there for people."""
        summary = {
            split: {
                "samples": self.samples(split),
                "hours": round(self.hours(split), 4),
                "kinds": _total(shard.kinds for shard in shards),
                "shards": [asdict(shard) for shard in shards],
            }
            for split, shards in self.splits.items()
        }
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "teacher": asdict(self.teacher),
            "tagger": None if self.tagger is None else asdict(self.tagger),
            "sample_rate": self.sample_rate,
            "splits": summary,
            "failures": [asdict(failure) for failure in self.failures],
            "settings": self.settings,
        }


def _total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total = Counter[str]()
    for count in counts:
        total.update(count)
    return dict(total)


def read_manifest(
    folder: str | Path, dimension: int | None = None, sample_rate: int | None = None
) -> Manifest:
    """Read ``manifest.json`` of a folder of shards.

    Args:
        folder: what ``wav2clip pretrain prepare`` wrote.
        dimension: of the embeddings that the caller can use, where that matters.
        sample_rate: Hz of the sound that the caller can use, where that matters.

    Raises:
        DataError: no such folder, preparation not finished, not a manifest, or targets of another
            dimension or sound of another rate.
    """
    path = Path(folder) / MANIFEST
    try:
        content = json.loads(path.read_bytes())
        if (content["format"], content["version"]) != (_FORMAT, _VERSION):
            raise ValueError(f"its format is {content['format']!r} {content['version']!r}")
        manifest = Manifest(
            Teacher(**content["teacher"]),
            {
                split: [Shard(**shard) for shard in entry["shards"]]
                for split, entry in content["splits"].items()
            },
            [Failure(**failure) for failure in content["failures"]],
            content["settings"],
            int(content["sample_rate"]),
            _tagger(content.get("tagger")),
        )
    except FileNotFoundError as error:
        raise DataError(
            f"{display(folder)} holds no {MANIFEST}; expected a folder that "
            "`wav2clip pretrain prepare` has finished (run it again: it goes on where it stopped)"
        ) from error
    except OSError as error:
        raise DataError(f"{display(path)}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{display(path)} is no manifest of shards: {error!r}") from error
    if dimension is not None and manifest.teacher.dimension != dimension:
        raise DataError(
            f"the shards in {display(folder)} hold targets of {manifest.teacher.dimension} "
            f"dimensions (teacher {manifest.teacher.name}), expected {dimension}; prepare them "
            "again with the teacher of the run, or set the dimension of the network"
        )
    if sample_rate is not None and manifest.sample_rate != sample_rate:
        raise DataError(
            f"the shards in {display(folder)} hold sound at {manifest.sample_rate} Hz, the network "
            f"hears {sample_rate} Hz; prepare them again with --sample-rate {sample_rate}"
        )
    return manifest


def _tagger(content: dict[str, Any] | None) -> TaggerRecord | None:
    if content is None:
        return None
    return TaggerRecord(**content | {"labels": tuple(content["labels"])})


def iterate(folder: str | Path, split: str = "train") -> Iterator[Sample]:
    """Every sample of a split, in the order of the shards; one sample in memory at a time.

    Raises:
        DataError: what :func:`read_manifest` raises, an unknown split, or a shard that is missing,
            cut or damaged. The samples before the damage have been given by then.
    """
    manifest = read_manifest(folder)
    if split not in manifest.splits:
        known = ", ".join(manifest.splits) or "none"
        raise DataError(f"{display(folder)} has no split {split!r}; it has: {known}")
    for shard in manifest.splits[split]:
        yield from read_shard(Path(folder) / shard.file, shard)


def read_shard(path: Path, shard: Shard | None = None) -> Iterator[Sample]:
    """The samples of one tar file; with ``shard``, their number is checked against it."""
    tariterators = _webdataset().tariterators
    count = 0
    try:
        with path.open("rb") as stream:
            opened = [{"url": str(path), "stream": stream}]
            for members in tariterators.group_by_keys(tariterators.tar_file_expander(opened)):
                yield _decode(members)
                count += 1
    except FileNotFoundError as error:
        raise _damaged(path, "it is not there") from error
    except (OSError, tarfile.TarError, ValueError, KeyError, soundfile.SoundFileError) as error:
        raise _damaged(path, f"it breaks off after {count} samples ({error.args[0]})") from error
    if shard is not None and count != shard.samples:
        raise _damaged(path, f"it holds {count} samples, its manifest says {shard.samples}")


def _webdataset() -> Any:
    """The library that reads and writes the tar files, loaded when it is needed."""
    try:
        import webdataset
        import webdataset.tariterators
    except ImportError as error:
        raise MissingExtraError(
            "training data needs the package webdataset; install wav2clip[pretrain]"
        ) from error
    return webdataset


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _damaged(path: Path, what: str) -> DataError:
    return DataError(
        f"{display(path)}: {what}; delete the file and run `wav2clip pretrain prepare` again with "
        "the same arguments: it makes the missing shards anew and leaves the others as they are"
    )


def _decode(members: dict[str, Any]) -> Sample:
    facts = json.loads(members["json"])
    audio, sample_rate = soundfile.read(io.BytesIO(members["flac"]), dtype="int16")
    tags = None
    if "probabilities.npy" in members:
        tags = Tags(_array(members["probabilities.npy"]), _array(members["features.npy"]))
    return Sample(
        key=members["__key__"],
        audio=audio,
        targets=_array(members["npy"]),
        label=facts["label"],
        captions=tuple(facts["captions"]),
        kind=facts["kind"],
        source=facts["source"],
        tags=tags,
        sample_rate=sample_rate,
    )


def _array(content: bytes) -> NDArray[Any]:
    array: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    return array


def _bytes(array: NDArray[Any], dtype: type[np.floating]) -> bytes:
    npy = io.BytesIO()
    np.save(npy, np.ascontiguousarray(array, dtype), allow_pickle=False)
    return npy.getvalue()


def _encode(sample: Sample) -> dict[str, Any]:
    flac = io.BytesIO()
    soundfile.write(flac, sample.audio, sample.sample_rate, format="FLAC", subtype="PCM_16")
    facts = {
        "label": sample.label,
        "captions": list(sample.captions),
        "kind": sample.kind,
        "source": sample.source,
        "seconds": round(sample.seconds, 4),
    }
    members = {
        "__key__": sample.key,
        "flac": flac.getvalue(),
        "npy": _bytes(sample.targets, np.float32),
        "json": json.dumps(facts, ensure_ascii=False).encode(),
    }
    if sample.tags is not None:
        members["probabilities.npy"] = _bytes(sample.tags.probabilities, np.float16)
        members["features.npy"] = _bytes(sample.tags.features, np.float16)
    return members


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's errors of writing into :class:`DataError` with what to do."""
    try:
        yield
    except OSError as error:
        advice = "choose a folder that you may write to"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            advice = "make room and run the same command again; finished shards are kept"
        raise DataError(f"cannot write {display(path)}: {error.strerror}; {advice}") from error


def write_shard(folder: Path, file: str, samples: Iterable[Sample]) -> Shard:
    """Write one tar file that appears only when it is whole. Same samples, same bytes.

    Raises:
        DataError: the folder cannot be written, or the disk is full.
    """
    tar_writer = _webdataset().TarWriter
    target = folder / file
    count, seconds, kinds = 0, 0.0, Counter[str]()
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as temporary:
            with temporary.open("wb") as stream, tar_writer(stream, encoder=False, mtime=0) as tar:
                for sample in samples:
                    tar.write(_encode(sample))
                    count, seconds = count + 1, seconds + sample.seconds
                    kinds[sample.kind] += 1
            sha256 = file_sha256(temporary)
    return Shard(file, count, round(seconds, 4), dict(kinds), sha256)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json``; its presence says that the folder is complete."""
    path = folder / MANIFEST
    with disk_errors(path), atomic_path(path) as temporary:
        text = json.dumps(manifest.to_json(), indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def write_shards(
    folder: str | Path,
    splits: Mapping[str, Iterable[Sample]],
    teacher: Teacher,
    settings: dict[str, Any] | None = None,
    shard_samples: int = SHARD_SAMPLES,
    tagger: TaggerRecord | None = None,
) -> Manifest:
    """Write samples that are at hand already as a folder of shards with its manifest.

    All samples have one sample rate.
    """
    folder = Path(folder)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    shards: dict[str, list[Shard]] = {}
    sample_rate = SAMPLE_RATE
    for split, samples in splits.items():
        rest, shards[split] = iter(samples), []
        while chunk := list(itertools.islice(rest, shard_samples)):
            sample_rate = chunk[0].sample_rate
            file = f"{split}/{len(shards[split]):06d}.tar"
            shards[split].append(write_shard(folder, file, chunk))
    manifest = Manifest(teacher, shards, [], settings or {}, sample_rate, tagger)
    write_manifest(folder, manifest)
    return manifest


def verify(folder: str | Path) -> None:
    """Compare the hash of every shard with the manifest.

    Raises:
        DataError: naming the first shard that is missing or differs.
    """
    for shard in itertools.chain.from_iterable(read_manifest(folder).splits.values()):
        path = Path(folder) / shard.file
        try:
            sha256 = file_sha256(path)
        except OSError as error:
            raise _damaged(path, error.strerror or str(error)) from error
        if sha256 != shard.sha256:
            raise _damaged(path, "its content is not what was written")
