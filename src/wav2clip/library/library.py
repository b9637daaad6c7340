"""The object that users hold: a library of sounds that can be indexed and searched."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike
from platformdirs import user_data_path

from wav2clip import runtime
from wav2clip.embedding.embedder import Wav2CLIP, load
from wav2clip.embedding.engines import split_fingerprint
from wav2clip.errors import InputError, LibraryError, RegistryError
from wav2clip.files import modified_ns
from wav2clip.library import tags
from wav2clip.library.collections import Collections
from wav2clip.library.copy import Copy, write_copy
from wav2clip.library.directory import Directory
from wav2clip.library.duplicates import THRESHOLD, Duplicates, find
from wav2clip.library.filters import Filters
from wav2clip.library.languages import Understood, understand
from wav2clip.library.query import Query, Term, parse
from wav2clip.library.results import Results
from wav2clip.library.search import (
    By,
    Excluded,
    Snapshot,
    Wanted,
    allowed_rows,
    read_rows,
    search_index,
    with_stems,
)
from wav2clip.library.settings import Settings
from wav2clip.library.space import Vectors, mean_digest, require_direction
from wav2clip.library.store import EXACT_ROWS, KnownFile, Store, file_id, vectors_of
from wav2clip.library.together import Together
from wav2clip.models.background import Background, read_background
from wav2clip.models.registry import MODELS

if TYPE_CHECKING:
    from wav2clip.library.index import Executor, IndexReport, Progress

ModelSource = Wav2CLIP | str | Path | None
Loader = Callable[..., Wav2CLIP]
"""Called with a model's name, and ``engine`` or ``precision`` where they are not the usual ones."""


def default_library() -> Path:
    """``$WAV2CLIP_LIBRARY``, or a folder among the user's data."""
    configured = os.environ.get("WAV2CLIP_LIBRARY")
    return Path(configured) if configured else user_data_path("wav2clip") / "library"


class Library:
    """A table of sounds on disk, or on object storage, and the model that made its vectors.

    Threads may share it: searches that they make at once read the vectors once.

    Attributes:
        store: its tables.
        collections: what was kept of it under names; see :mod:`.collections`.
    """

    def __init__(
        self,
        store: Store,
        model: ModelSource,
        loader: Loader = load,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.store = store
        self.collections = Collections(store)
        self._source = model
        self._loader = loader
        self._options = options
        self._model = model if isinstance(model, Wav2CLIP) else None
        self._loaded_with: Mapping[str, str] | None = None
        self._snapshot: tuple[int, Snapshot] | None = None
        self._directory: tuple[int, Directory] | None = None
        self._reading = Lock()
        self._words: Together[str, Vectors] = Together(self._embed_words)

    @classmethod
    def open(
        cls,
        path: str | Path | None = None,
        model: ModelSource = None,
        *,
        storage_options: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        loader: Loader = load,
    ) -> Library:
        """Open a library, which need not exist yet.

        Args:
            path: a folder, or an address that LanceDB understands (``s3://bucket/sounds``,
                ``gs://...``, ``az://...``); by default :func:`default_library`.
            model: a loaded model, or what :func:`wav2clip.load` takes; by default the model that
                the library was made with, ``"builtin"`` for a new one. Loaded when first needed.
            storage_options: keys and addresses of an object storage, as LanceDB takes them.
            options: ``engine`` and ``precision`` of a model that is loaded by name, see
                :func:`wav2clip.load`. By default recordings are indexed with those that the library
                was made with, and queries embedded with the usual ones.
            loader: loads a model by name; by default :func:`wav2clip.load`.
        """
        return cls(Store(path or default_library(), storage_options), model, loader, options)

    def __repr__(self) -> str:
        return f"<Library {self.store.name}, {len(self)} segments>"

    def __len__(self) -> int:
        """Segments."""
        return self.store.count() if self.store.exists else 0

    @property
    def model(self) -> Wav2CLIP:
        """The model that turns queries and recordings into vectors; loaded when first used.

        Raises:
            LibraryError: it is not the one that the library was made with.
        """
        model = self.load_model()
        if self.store.exists:
            self._require_same_model(model)
        return model

    def load_model(self, *, to_index: bool = False) -> Wav2CLIP:
        """The model, not compared with the library's: for a library that is to be made anew.

        Args:
            to_index: if nothing else was asked for, with the engine and the precision that the
                library was made with. Without it they are the usual ones, which load soonest and
                work everywhere: queries may be rounded otherwise than what they are compared with.
        """
        options = self._options
        if options is None:
            made = self.store.settings.fingerprint if to_index and self.store.exists else ""
            options = split_fingerprint(made)[1]
        again = to_index and self._loaded_with is not None and self._loaded_with != options
        if self._model is None or again:
            self._model, self._loaded_with = self._load(options), options
        return self._model

    def _load(self, options: Mapping[str, str]) -> Wav2CLIP:
        recorded = self.store.settings.model if self.store.exists else "builtin"
        try:
            return self._loader(str(self._source or recorded), **options)
        except RegistryError as error:
            if self._source is not None:
                raise
            raise LibraryError(
                f"{self.store.name} was made with the model {recorded}, which cannot be "
                f"loaded: {error}. Say where it is with --model"
            ) from error

    def _require_same_model(self, model: Wav2CLIP) -> None:
        """See that the vectors of a model can be compared with the library's, however rounded."""
        settings = self.store.settings
        made, now = (split_fingerprint(each.fingerprint)[0] for each in (settings, model))
        if (made, settings.centred) == (now, mean_digest(model.mean)):
            return
        raise LibraryError(
            f"{self.store.name} was made with the model {settings.model} ({settings.fingerprint}), "
            f"this is {model.name} ({model.fingerprint}): their vectors cannot be compared. Give "
            f"the first with --model, name another library with --library, or make this one anew "
            "with `wav2clip index FOLDER --rebuild`"
        )

    def _require_same_rounding(self, model: Wav2CLIP) -> None:
        """See that what a model would add is rounded as what is there."""
        prints = (self.store.settings.fingerprint, model.fingerprint)
        made, now = (next(iter(split_fingerprint(p)[1].values()), "float32") for p in prints)
        if made == now:
            return
        raise LibraryError(
            f"{self.store.name} was made in {made}, this model computes in {now}: vectors of both "
            "would be mixed, and the same sound found at different scores. Leave --engine and "
            "--precision out to go on as it was made, name another library with --library, or make "
            "this one anew with `wav2clip index FOLDER --rebuild`"
        )

    # Indexing -------------------------------------------------------------------------------------

    def index(
        self,
        folders: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        prune: bool = False,
        rebuild: bool = False,
        wait: bool = False,
        workers: int | None = None,
        segment_seconds: float | None = None,
        overlap_seconds: float | None = None,
        executor: Executor | None = None,
        progress: Progress | None = None,
    ) -> IndexReport:
        """Bring the library up to date with folders (recursively) and files.

        Args:
            folders: one or several.
            prune: drop files that are gone from these folders.
            rebuild: forget everything first but the collections: for another model or other
                segments.
            wait: if another process is writing, wait for it instead of raising.
            workers: threads that embed, and processes that decode; by default one per core.
            segment_seconds: length of a segment; 10 for a new library, fixed from then on.
            overlap_seconds: overlap of neighbouring segments; 2.5 for a new library.
            executor: where files are read and embedded; by default in this process, by ``workers``.
            progress: called with (files done, files to do).

        Returns:
            What became of the files. Bad files are in it, never raised.

        Raises:
            LibraryError: another model, another rounding or other segments than the library's,
                another process is writing, or the library cannot be written.
        """
        if isinstance(folders, str | os.PathLike):
            folders = [folders]
        from wav2clip.library.index import Here, update
        from wav2clip.library.scan import scan

        model = self.load_model(to_index=True)
        with self.store.lock(wait):
            if rebuild:
                self.store.drop()
                self._snapshot = self._directory = None
            if self.store.exists:
                self._require_same_model(model)
                self._require_same_rounding(model)
            self._settle(model, segment_seconds, overlap_seconds)
            executor = executor or Here(model, workers)
            return update(
                self.store, model, scan(folders), executor, prune=prune, progress=progress
            )

    def _settle(self, model: Wav2CLIP, segment: float | None, overlap: float | None) -> None:
        """Make the tables with these settings, or see that they are the library's."""
        given = {"segment_seconds": segment, "overlap_seconds": overlap}
        wanted = {name: float(value) for name, value in given.items() if value is not None}
        if not self.store.exists:
            # A path is to mean the same from another folder.
            name = model.name if model.name in MODELS else _absolute(model.name)
            settings = Settings(name, model.fingerprint, model.dimension, mean_digest(model.mean))
            self.store.create(dataclasses.replace(settings, **cast(Any, wanted)))
            return
        settings = self.store.settings
        for name, value in wanted.items():
            if getattr(settings, name) != value:
                raise LibraryError(
                    f"{self.store.name} was made with {name} {getattr(settings, name)}, not "
                    f"{value}: leave it out, or make the library anew with --rebuild"
                )

    # Searching ------------------------------------------------------------------------------------

    def search(
        self,
        query: str | Query | ArrayLike | None = None,
        *,
        audio: str | os.PathLike[str] | None = None,
        image: str | os.PathLike[str] | None = None,
        limit: int = 10,
        filters: Filters | None = None,
        per_file: bool = True,
        by: By = "both",
        max_age: float = 0.0,
    ) -> Results:
        """Find the segments that fit a query best.

        A phrase is looked for in what is heard, in the names of files and folders, and in the
        metadata in files; see :mod:`wav2clip.library.words`. Pictures, recordings and vectors are
        compared with what is heard. Phrases in nine other languages than English are understood as
        far as :mod:`wav2clip.library.languages` reaches; the results' notes say how. Libraries of
        up to :data:`~.store.EXACT_ROWS` segments are searched exactly; in larger ones an index
        proposes files by what is heard, and their words propose others.

        Args:
            query: text as :func:`~.query.parse` reads it (``rain + 0.5*thunder - voices -birds``),
                a :class:`Query`, or a (dimension,) vector comparable with the library's.
            audio: a recording, added to the query. Recordings of the query, or the parts of them
                that are meant, are left out of the results.
            image: a picture, added to the query.
            limit: finds wanted, at least 1.
            filters: conditions on the finds.
            per_file: only the best segment of each file.
            by: what a phrase is compared with: ``"sound"``, ``"words"`` in names and metadata, or
                ``"both"``.
            max_age: seconds; what other processes wrote so short a time ago may be missed. Looking
                for it takes a millisecond.

        Raises:
            InputError: nothing to search for, a query without direction, or one of words alone
                without a phrase.
            LibraryError: there is no library.
        """
        if limit < 1:
            raise InputError(f"limit is {limit}, expected at least 1")
        if by not in get_args(By):
            raise InputError(f"by is {by!r}, expected one of {', '.join(get_args(By))}")
        self.store.open_copy()
        wanted, excluded = self._wanted(query, audio, image, by)
        where = (filters or Filters()).sql()
        version = self.store.refresh(max_age)
        if self.store.count() > EXACT_ROWS:
            known, directory = self._background(), self._directory_of(version)
            return search_index(
                self.store, wanted, limit, where, excluded, per_file, known, directory
            )
        snapshot = self._snapshot_of(version)
        allowed = allowed_rows(snapshot, where, excluded)
        return snapshot.search(wanted, limit, allowed, per_file)

    def similar(self, path: str | os.PathLike[str], **options: Any) -> Results:
        """Sounds like a recording, which need not be in the library; see :meth:`search`."""
        return self.search(audio=path, **options)

    def _wanted(
        self,
        query: str | Query | ArrayLike | None,
        audio: str | os.PathLike[str] | None,
        image: str | os.PathLike[str] | None,
        by: By,
    ) -> tuple[Wanted, set[Excluded]]:
        """What a query asks for, and the recordings that it is made of."""
        settings = self.store.settings
        if query is not None and not isinstance(query, str | Query):
            vector = np.asarray(query, np.float32)
            if vector.shape != (settings.dimension,) or audio is not None or image is not None:
                raise InputError(
                    f"a vector of shape {vector.shape}, expected ({settings.dimension},) and no "
                    "other query beside it"
                )
            return Wanted(require_direction(vector, "the query")), set()
        whole = (parse(query) if isinstance(query, str) else query) or Query(())
        if audio is not None:
            whole += Query.audio(audio)
        if image is not None:
            whole += Query.image(image)
        if by == "words" and not (whole.phrases or whole.conditions):
            raise InputError(
                "words are looked for in names and metadata, and the query holds no phrase"
            )
        excluded = {
            Excluded(file_id(each), *(span or ()))
            for path, span in whole.recordings
            for each in (os.path.realpath(path), os.path.abspath(path))
        }
        meant = {phrase: understand(phrase) for phrase, _ in whole.phrases}
        notes = tuple(f'"{phrase}": {told}' for phrase, told in meant.items() if told)
        stored = Query(tuple(self._stored(_in_english(term, meant)) for term in whole.terms))
        model = self.model if stored.needs_model else None
        if not whole.terms and whole.conditions:  # all that meets them, in the order of paths
            return Wanted(np.zeros(settings.dimension, np.float32), (), by, whole.conditions), set()
        vector = stored.vector(model, settings, self._words)
        english = [(u.english, share) for phrase, share in whole.phrases if (u := meant[phrase])]
        phrases = (*whole.phrases, *english)
        made = Wanted(vector, phrases, by, whole.conditions, notes, whole.modality)
        return made, excluded

    def _background(self) -> Background | None:
        """That of the model; no model is loaded for it that a query does not need."""
        if self._model is not None:
            return self._model.background
        name = str(self._source or self.store.settings.model)
        return read_background(MODELS[name].path if name in MODELS else Path(name))

    def _embed_words(self, phrases: Sequence[str]) -> list[Vectors]:
        return list(self.model.embed_text(phrases))

    def _stored(self, term: Term) -> Term:
        """An indexed recording as its vector, for which no model is needed; else what it was."""
        if term.kind != "audio":
            return term
        path = Path(term.value)
        for key in (file_id(os.path.abspath(path)), file_id(os.path.realpath(path))):
            columns = ["vector", "size", "mtime_ns", "start", "end"]
            rows = self.store.read(columns, f"file = '{key}'")
            if rows.num_rows and _unchanged(
                path, rows["size"][0].as_py(), rows["mtime_ns"][0].as_py()
            ):
                own = rows if term.span is None else _within(rows, *term.span)
                vector = vectors_of(own).astype(np.float32).mean(0)
                return dataclasses.replace(term, kind="vector", vector=vector)
        return term

    def _snapshot_of(self, version: int) -> Snapshot:
        with self._reading:  # one thread reads, those that search meanwhile take what it read
            if self._snapshot is None or self._snapshot[0] != version:
                self._snapshot = None  # frees the memory before as much is needed again
                self._snapshot = (
                    version,
                    Snapshot(self.store, self._rows(version), self._background()),
                )
            return self._snapshot[1]

    def _directory_of(self, version: int) -> Directory:
        with self._reading:
            if self._directory is None or self._directory[0] != version:
                self._directory = version, Directory.of(self.store, version)
            return self._directory[1]

    def _rows(self, version: int) -> pa.Table:
        """The rows of a version, from a copy if there is one; otherwise one is left."""
        copy = self.store.open_copy()
        if copy is not None:
            return copy.rows
        rows, state = with_stems(read_rows(self.store)), self.store.state
        # The state was taken after the rows: it is theirs if the version is still the same.
        if state is not None and self.store.refresh() == version:
            write_copy(Path(self.store.uri), Copy(version, state, self.store.settings, rows))
        runtime.give_memory_back()
        return rows

    # More -----------------------------------------------------------------------------------------

    def duplicates(
        self, threshold: float = THRESHOLD, progress: Progress | None = None
    ) -> Duplicates:
        """Recordings that are there twice, by their waveforms; see :func:`.duplicates.find`."""
        return find(self.store, threshold, progress)

    def tag(
        self,
        labels: Sequence[str],
        *,
        top: int = 1,
        min_probability: float = 0.0,
        replace: bool = False,
        wait: bool = False,
        progress: Progress | None = None,
    ) -> int:
        """Tag every segment with the labels that fit it best; see :func:`.tags.tag`."""
        with self.store.lock(wait):
            self.store.settings  # noqa: B018  says so where there is no library
            return tags.tag(self.store, self.model, labels, top, min_probability, replace, progress)

    def tag_ucs(
        self,
        *,
        top: int = 1,
        min_probability: float = 0.0,
        replace: bool = False,
        wait: bool = False,
        progress: Progress | None = None,
    ) -> tags.Categorised:
        """Tag every file with a CatID of the UCS; see :func:`.tags.tag_ucs`."""
        with self.store.lock(wait):
            self.store.settings  # noqa: B018  says so where there is no library
            return tags.tag_ucs(self.store, self.model, top, min_probability, replace, progress)

    def untag(self, labels: Sequence[str], *, wait: bool = False) -> int:
        """Take labels from all segments that have them; see :func:`.tags.untag`."""
        with self.store.lock(wait):
            self.store.settings  # noqa: B018  says so where there is no library
            return tags.untag(self.store, labels)

    def failures(self) -> dict[Path, str]:
        """The files that could not be indexed, and why."""
        return {file.path: file.reason for file in self.store.failures().values()}

    def files(self) -> dict[Path, KnownFile]:
        """The files that have rows."""
        self.store.refresh()
        return {file.path: file for file in self.store.known_files().values()}

    def to_arrow(self) -> Any:
        """All rows, vectors included, as an Arrow table."""
        return self.store.read(self.store.segments.schema.names)

    def to_pandas(self) -> Any:
        """:meth:`to_arrow` as a data frame."""
        return self.to_arrow().to_pandas()


def _within(rows: pa.Table, start: float, end: float) -> pa.Table:
    """The segments whose middle lies in a span, or else the nearest one."""
    middles = (rows["start"].to_numpy() + rows["end"].to_numpy()) / 2
    inside = np.flatnonzero((middles >= start) & (middles <= end))
    if not len(inside):
        inside = np.abs(middles - (start + end) / 2).argmin(keepdims=True)
    return rows.take(pa.array(inside))


def _in_english(term: Term, meant: Mapping[str, Understood | None]) -> Term:
    told = meant.get(str(term.value)) if term.kind == "text" else None
    return term if told is None else dataclasses.replace(term, value=told.english)


def _absolute(name: str) -> str:
    return os.path.abspath(name) if os.path.exists(name) else name


def _unchanged(path: Path, size: int, mtime_ns: int) -> bool:
    try:
        status = path.stat()
    except OSError:
        return True  # the file is gone or out of reach: its vector still stands for it
    return (status.st_size, modified_ns(status)) == (size, mtime_ns)
