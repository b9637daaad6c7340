"""What is searched for: words, pictures and sounds, added and subtracted with weights.

Query.text("rain on a tin roof") + 0.5 * Query.text("thunder") - Query.audio("voices.wav")

What must have been written, or must not, is a condition; :func:`parse` reads both from text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import AudioError, InputError
from wav2clip.files import display
from wav2clip.library.settings import Settings
from wav2clip.library.space import Vectors, centre, require_direction
from wav2clip.library.words import Condition

_WORD = re.compile(r'-?(?:\w+:)?"[^"]+"(?=\s|$)|\S+')

_SIGNS = {"+": 1.0, "-": -1.0}
_ALONE = "an operator (+ or -) without a phrase after it"
_EMPTY = "an empty phrase, expected at least one visible character"

Kind = Literal["text", "image", "audio", "vector"]

Modality = Literal["text", "image", "audio"]

Words = Callable[[str], Vectors]

_WEIGHTED = re.compile(
    r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*\*\s*(.*\S)\s*", re.DOTALL
)


@dataclass(frozen=True)
class Term:
    """One part of a query.

    Attributes:
        kind: what ``value`` is.
        value: a phrase, the path of a picture or recording, or what to call a vector.
        weight: finite factor; below zero it is subtracted.
        vector: (dimension,) of a vector, comparable with the library's.
        modality: what a vector was made of; that of the other kinds is the kind.
    """

    kind: Kind
    value: str | Path
    weight: float = 1.0
    vector: Vectors | None = field(default=None, compare=False, repr=False)
    modality: Modality = "audio"


@dataclass(frozen=True)
class Query:
    """A weighted sum of terms; each counts as a vector of unit length.

    Attributes:
        terms: what is added and subtracted.
        conditions: what finds must have been given in words, or must not.
    """

    terms: tuple[Term, ...]
    conditions: tuple[Condition, ...] = ()

    @classmethod
    def where(cls, *conditions: Condition) -> Query:
        """Conditions, to be added to a query."""
        return cls((), conditions)

    @classmethod
    def text(cls, phrase: str) -> Query:
        """Sounds that go with a phrase."""
        return cls((Term("text", phrase),))

    @classmethod
    def image(cls, path: str | os.PathLike[str]) -> Query:
        """Sounds that go with a picture."""
        return cls((Term("image", Path(path)),))

    @classmethod
    def audio(cls, path: str | os.PathLike[str]) -> Query:
        """Sounds like a recording."""
        return cls((Term("audio", Path(path)),))

    @classmethod
    def embedding(
        cls, vector: Vectors, name: str = "a vector", modality: Modality = "audio"
    ) -> Query:
        """Sounds near a vector (dimension,) that was made earlier, by :meth:`vector`."""
        values = np.asarray(vector, np.float32)
        return cls((Term("vector", name, vector=values, modality=modality),))

    def __add__(self, other: Query) -> Query:
        return Query(self.terms + other.terms, self.conditions + other.conditions)

    def __sub__(self, other: Query) -> Query:
        return self + -other

    def __neg__(self) -> Query:
        return self * -1.0

    def __mul__(self, factor: float) -> Query:
        terms = tuple(replace(term, weight=term.weight * factor) for term in self.terms)
        return replace(self, terms=terms)

    __rmul__ = __mul__

    @property
    def recordings(self) -> list[Path]:
        """Recordings that the query is made of."""
        return [Path(term.value) for term in self.terms if term.kind == "audio"]

    @property
    def phrases(self) -> tuple[tuple[str, float], ...]:
        """Each phrase, and its share of the query: its weight by the sum of all, without signs."""
        total = sum(abs(term.weight) for term in self.terms) or 1.0
        return tuple((str(t.value), t.weight / total) for t in self.terms if t.kind == "text")

    @property
    def modality(self) -> Modality:
        """How sure results can be depends on it: text if there is any, else pictures."""
        kinds = {term.modality if term.kind == "vector" else term.kind for term in self.terms}
        return "text" if "text" in kinds else "image" if "image" in kinds else "audio"

    @property
    def needs_model(self) -> bool:
        """Whether anything but vectors is in it."""
        return any(term.vector is None for term in self.terms)

    def vector(
        self, model: Wav2CLIP | None, settings: Settings, words: Words | None = None
    ) -> Vectors:
        """(dimension,) float32 of unit length, comparable with a library's vectors.

        Words and pictures are centred with their own modality's mean where the library's vectors
        are centred, and left as they are where these are not. Vectors need no model.

        Args:
            model: the one that the library was made with.
            settings: of the library.
            words: embeds a phrase, (dimension,); by default the model does.

        Raises:
            InputError: no term, a weight that is not finite, or terms that cancel out.
            AudioError: a recording cannot be read.
            ImageError: a picture cannot be read.
        """
        if not self.terms:
            raise InputError("the query is empty: expected a phrase, a picture or a recording")
        total = np.zeros(settings.dimension)
        for term in self.terms:
            if not np.isfinite(term.weight):
                raise InputError(f"the weight of {term.value} is {term.weight}, expected a number")
            total += term.weight * _term_vector(term, model, settings, words)
        return require_direction(total.astype(np.float32), "the query")


def parse(text: str | Sequence[str]) -> Query | None:
    """A query from what was typed, or from the words of a command line; None if there is nothing.

    ``+`` and ``-`` that stand alone add and subtract the phrase after them; words between them are
    one phrase. A phrase may have a weight in front: ``0.5*thunder``.

        rain on a tin roof + 0.5*thunder - voices

    The rest are conditions on the words that a file was given, its name, folders and metadata:
    ``-birds`` without them, ``"tin roof"`` with these words in a row, and ``creator:lee`` with them
    in one of :data:`~wav2clip.library.words.FIELDS`; each with ``-`` in front for the opposite.
    The words of what is wanted in a row are a part of the phrase, too.

    Raises:
        InputError: an operator without a phrase, or an empty phrase.
    """
    words = _WORD.findall(text if isinstance(text, str) else " ".join(text))
    if text and not words:
        raise InputError(_EMPTY)
    query, sign, phrase, alone = Query(()), 1.0, list[str](), False
    for word in words:
        if word in _SIGNS:
            query += _signed(phrase, sign)
            if alone:
                raise InputError(_ALONE)
            sign, phrase, alone = _SIGNS[word], [], True
            continue
        alone, condition = False, Condition.parse(word)
        if condition is None:
            phrase.append(word)
            continue
        query += Query.where(condition)
        if not condition.field and not condition.excluded:
            phrase.append(condition.words)
    if alone:
        raise InputError(_ALONE)
    query += _signed(phrase, sign)
    return query if query.terms or query.conditions else None


def _signed(phrase: list[str], sign: float) -> Query:
    return sign * weighted(" ".join(phrase), Query.text) if phrase else Query(())


def weighted(text: str, make: Callable[[str], Query]) -> Query:
    """A query from a value with an optional weight in front: ``dog``, ``0.5*dog``, ``-1*dog.ogg``.

    Args:
        text: what was typed. A file that has just this name is that file.
        make: :meth:`Query.text`, :meth:`Query.image` or :meth:`Query.audio`.
    """
    match = _WEIGHTED.fullmatch(text)
    if match is None or (make != Query.text and Path(text).exists()):
        if not text.strip():
            raise InputError(_EMPTY)
        return make(text)
    return float(match[1]) * make(match[2])


def _term_vector(
    term: Term, model: Wav2CLIP | None, settings: Settings, words: Words | None
) -> Vectors:
    if term.vector is not None:
        return require_direction(term.vector, f"{term.value!s}")
    assert model is not None  # who gives none has looked at needs_model
    if term.kind == "audio":
        return recording_vector(Path(term.value), model, settings)
    if term.kind == "text":
        phrase = str(term.value)
        embedding = model.embed_text([phrase]) if words is None else words(phrase)[None]
    else:
        embedding = model.embed_image([Path(term.value)])
    mean = model.towers.means.get(term.kind) if settings.centred else None
    return require_direction(centre(embedding, mean)[0], f"{term.value!s}")


def recording_vector(path: Path, model: Wav2CLIP, settings: Settings) -> Vectors:
    """(dimension,) of a recording: the mean of its segments, cut as the library cuts."""
    from wav2clip.embedding.bulk import embed_segments
    from wav2clip.reading.readers import InProcess

    (result,) = embed_segments(
        model,
        [path],
        segment_seconds=settings.segment_seconds,
        overlap_seconds=settings.overlap_seconds,
        readers=InProcess(),  # a process apart would take longer to start than all the rest
    )
    if result.error is not None:
        raise AudioError(f"{display(path)}: {result.error}")
    return require_direction(centre(result.embeddings, model.mean).mean(0), display(path))
