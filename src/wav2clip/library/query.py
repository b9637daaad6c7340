"""What is searched for: words, pictures and sounds, added and subtracted with weights.

Query.text("rain on a tin roof") + 0.5 * Query.text("thunder") - Query.audio("voices.wav")

What is subtracted is projected out of what was added: of that nothing is left that points towards
it, but nothing points away from it either, which would lead nowhere. docs/results/arithmetic.md
compares both. What must have been written, or must not, is a condition; :func:`parse` reads both
from text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wav2clip.audio.io import cut_audio
from wav2clip.audio.windows import segments
from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import AudioError, InputError
from wav2clip.files import display
from wav2clip.library.settings import Settings
from wav2clip.library.space import Vectors, centre, require_direction
from wav2clip.library.words import Condition

LIKED, DISLIKED = 1.0, 0.1
"""Weights of the mean of results that were marked as good and as bad."""

_WORD = re.compile(r'-?(?:\w+:)?"[^"]+"(?=\s|$)|\S+')

_SIGNS = {"+": 1.0, "-": -1.0}
_ALONE = "an operator (+ or -) without a phrase after it"
_EMPTY = "an empty phrase, expected at least one visible character"

Kind = Literal["text", "image", "audio", "vector"]

Modality = Literal["text", "image", "audio"]

Span = tuple[float, float]

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
        span: start and end, in seconds, of the part of a recording that is meant; None for all.
        listed: whether a recording may be found itself.
    """

    kind: Kind
    value: str | Path
    weight: float = 1.0
    vector: Vectors | None = field(default=None, compare=False, repr=False)
    modality: Modality = "audio"
    span: Span | None = None
    listed: bool = False


@dataclass(frozen=True)
class Query:
    """A weighted sum of terms, without what is subtracted; each counts as of unit length.

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
    def audio(cls, path: str | os.PathLike[str], span: Span | None = None) -> Query:
        """Sounds like a recording, or like the part of it from one second to another."""
        if span is not None and not 0 <= span[0] < span[1] < float("inf"):
            raise InputError(f"got a part from {span[0]} to {span[1]} s, expected 0 <= start < end")
        return cls((Term("audio", Path(path), span=span),))

    @classmethod
    def marked(cls, good: Sequence[Query], bad: Sequence[Query] = ()) -> Query:
        """What results that were marked add to a query: their mean, as much as the query itself.
        Those that are good go on being found, those that are bad do not.

        Rocchio's relevance feedback (Manning et al. 2008, section 9.1.1); the weights were chosen
        on other sounds, see docs/results/arithmetic.md: bad results help little.
        """
        good = [
            replace(query, terms=tuple(replace(term, listed=True) for term in query.terms))
            for query in good
        ]
        added = (LIKED / len(good) * query for query in good)
        taken = (-DISLIKED / len(bad) * query for query in bad)
        return sum([*added, *taken], cls(()))

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
    def recordings(self) -> list[tuple[Path, Span | None]]:
        """Recordings that the query is made of, and the parts of them, that are not to be found."""
        return [(Path(t.value), t.span) for t in self.terms if t.kind == "audio" and not t.listed]

    @property
    def phrases(self) -> tuple[tuple[str, float], ...]:
        """Each phrase, and its share of the query: its weight by the sum of all, without signs."""
        total = sum(abs(term.weight) for term in self.terms) or 1.0
        return tuple((str(t.value), t.weight / total) for t in self.terms if t.kind == "text")

    @property
    def modality(self) -> Modality:
        """What most of the query is made of, on which depends how sure its results can be."""
        shares: dict[Modality, float] = {"audio": 0.0, "image": 0.0, "text": 0.0}
        for term in self.terms:
            shares[term.modality if term.kind == "vector" else term.kind] += max(term.weight, 0)
        return max(shares, key=lambda modality: shares[modality])

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
        vectors = []
        for term in self.terms:
            if not np.isfinite(term.weight):
                raise InputError(f"the weight of {term.value} is {term.weight}, expected a number")
            vector = _term_vector(term, model, settings, words).astype(np.float64)
            vectors.append((term.weight, vector))
        return require_direction(_combined(vectors).astype(np.float32), "the query")


def _combined(vectors: Sequence[tuple[float, NDArray[np.float64]]]) -> NDArray[np.float64]:
    """The sum of what has weights above zero, without what the others have in common with it.

    Where nothing is added, it is the sum of what is subtracted: what is least like it is found.
    """
    if all(weight <= 0 for weight, _ in vectors):
        return np.asarray(sum(weight * vector for weight, vector in vectors))
    total = np.asarray(sum(weight * vector for weight, vector in vectors if weight > 0))
    for weight, vector in vectors:
        if weight < 0:
            total = total + weight * max(float(total @ vector), 0) * vector
    return total


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
        return recording_vector(Path(term.value), model, settings, term.span)
    if term.kind == "text":
        phrase = str(term.value)
        embedding = model.embed_text([phrase]) if words is None else words(phrase)[None]
    else:
        embedding = model.embed_image([Path(term.value)])
    mean = model.towers.means.get(term.kind) if settings.centred else None
    return require_direction(centre(embedding, mean)[0], f"{term.value!s}")


def recording_vector(
    path: Path, model: Wav2CLIP, settings: Settings, span: Span | None = None
) -> Vectors:
    """(dimension,) of a recording or a part: the mean of its segments, cut as the library cuts."""
    embed = _segments_of_file if span is None else partial(_segments_of_part, span=span)
    return require_direction(
        centre(embed(path, model, settings), model.mean).mean(0), display(path)
    )


def _segments_of_file(path: Path, model: Wav2CLIP, settings: Settings) -> Vectors:
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
    return result.embeddings


def _segments_of_part(path: Path, model: Wav2CLIP, settings: Settings, span: Span) -> Vectors:
    rate, (start, end) = model.sample_rate, span
    samples = cut_audio(path, start, end - start, rate)
    if not len(samples):
        raise AudioError(f"{display(path)}: there is no sound from {start} to {end} s")
    length = round(settings.segment_seconds * rate)
    hop = length - round(settings.overlap_seconds * rate)
    return model.embed_audio([part for _, part in segments([samples], length, hop)], rate)
