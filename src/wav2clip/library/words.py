"""Words that people gave a sound, beside what is heard: its name, its folders, and its metadata.

People name their sounds, so a phrase is looked for in both. The share of the phrase's words that
were given to a file, times :data:`WEIGHT`, is added to the cosine; :data:`WHOLE` where it was given
all of several; and :data:`ONLY` where no other file was given all of them. So words decide among
sounds that fit about as well, while a phrase that one file alone was given is no accident, and
carries a sound that nothing else would find.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from snowballstemmer import stemmer

from wav2clip.library import ucs

WEIGHT, WHOLE, ONLY = 0.05, 0.1, 0.35
"""What is added to a cosine. docs/results/words.md has how they were chosen."""

FIELDS = {
    "name": (),
    "folder": (),
    "title": ("title", "name"),
    "description": ("description", "comment", "note", "subject", "keywords"),
    "creator": (
        "creator", "artist", "originator", "performer", "composer", "album_artist", "engineer",
        "designer",
    ),
    "library": ("album", "library", "project", "source", "publisher"),
    "cat": ("category", "subcategory", "catid", "genre"),
}  # fmt: skip
"""What a condition may ask for, and the fields of metadata in which it is looked for; names and
folders are those of the path."""

_STOP_WORDS = frozenset(
    {"a", "an", "and", "at", "by", "for", "from", "in", "into", "is", "it", "its", "of", "on", "or"}
    | {"over", "the", "to", "with", "sound", "sounds"}
)
_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[^\W\d_]+")
_stemmer = stemmer("english")


def split(text: str) -> list[str]:
    """Words of a name or a phrase, lower case: cut at case, digits and punctuation, no stop words.

    ``"WEATRain_5.1 rain on roof"`` gives weat, rain, rain, roof, and ``"DogBark02"`` dog, bark.
    """
    words = _WORD.findall(_CASE.sub(" ", unicodedata.normalize("NFKC", text)))
    return [word.lower() for word in words if word.lower() not in _STOP_WORDS]


@lru_cache(1 << 16)
def stem(word: str) -> str:
    """What a word shares with its other forms: barking and barks give bark (Porter's English)."""
    stemmed: str = _stemmer.stemWord(word)
    return stemmed


@dataclass(frozen=True)
class Condition:
    """Words that a file must have been given, or must not.

    Attributes:
        words: the words, in some form and any order; in this order and in a row if ``exact``.
        field: one of :data:`FIELDS`, or "" for the path and all metadata.
        exact: whether the words are wanted as they are.
        excluded: whether files with them are left out.
    """

    words: str
    field: str = ""
    exact: bool = False
    excluded: bool = False

    @classmethod
    def parse(cls, token: str) -> Condition | None:
        """What ``-word``, ``"words in a row"``, ``field:word`` and ``-field:"words"`` mean.

        None for a plain word, and for what holds no word that counts.
        """
        excluded = token.startswith("-")
        bare = token.removeprefix("-")
        field, colon, value = bare.partition(":")
        if not colon or field.lower() not in FIELDS:
            field, value = "", bare
        words = value.strip('"')
        exact = len(words) < len(value)
        if not split(words) or not (excluded or exact or field) or "*" in bare:
            return None  # a star is for weights
        return cls(words, field.lower(), exact, excluded)

    def __str__(self) -> str:
        words = f'"{self.words}"' if self.exact else self.words
        return f"{'-' * self.excluded}{self.field}{':' * bool(self.field)}{words}"

    def holders(
        self, names: Names | PartOfNames, texts: Callable[[int], tuple[str, str | None]]
    ) -> NDArray[np.bool_]:
        """(files,) whether each file was given the words, with or without ``excluded``.

        Args:
            names: of the files.
            texts: gives the path and the metadata of a file.
        """
        given = names.candidates(self.words)
        if self.exact or self.field:
            for file in np.flatnonzero(given).tolist():
                given[file] = self.holds(*texts(file))
        return given

    def holds(self, path: str, metadata: str | None) -> bool:
        """Whether a file was given the words, with or without ``excluded``."""
        return self._among(self._texts(path, metadata))

    def categories(self) -> list[str]:
        """CatIDs that ``cat:`` means: tags that are one of them say the category, too."""
        every = ucs.categories() if self.field == "cat" else ()
        return [category.id for category in every if self._among(category[:3])]

    def _among(self, texts: Iterable[str]) -> bool:
        wanted = split(self.words)
        for text in texts:
            given = split(text)
            if self.exact:
                if any(given[i : i + len(wanted)] == wanted for i in range(len(given))):
                    return True
            elif {stem(word) for word in wanted} <= {stem(word) for word in given}:
                return True
        return False

    def _texts(self, path: str, metadata: str | None) -> list[str]:
        folder, name = os.path.split(os.path.splitext(path)[0])
        if self.field in ("name", "folder"):
            return [name if self.field == "name" else folder]
        told = json.loads(metadata or "{}")
        if self.field:
            texts = [told[key] for key in FIELDS[self.field] if key in told]
            return [*texts, *_category(path)] if self.field == "cat" else texts
        every = [folder, name, *told.values(), *_category(path)]
        return every if self.exact else [" ".join(every)]


def stems_of(path: str, metadata: str | None = None) -> str:
    """Each stem in a path, its suffix left out, or in metadata, with spaces between.

    Args:
        path: of a file.
        metadata: JSON of what :func:`wav2clip.audio.metadata.read_metadata` gave for it.
    """
    said = [os.path.splitext(path)[0], *json.loads(metadata or "{}").values(), *_category(path)]
    return " ".join(dict.fromkeys(map(stem, split(" ".join(said)))))


def _category(path: str) -> tuple[str, ...]:
    """CatID, category and subcategory of a file whose name follows the UCS."""
    named = ucs.parse_name(path)
    return () if named is None else named.category[:3]


def matched(phrase: str, stems: str) -> tuple[str, ...]:
    """The words of a phrase, as they were typed, that are among a file's stems in some form."""
    there = set(stems.split())
    return tuple(word for word in dict.fromkeys(split(phrase)) if stem(word) in there)


class Names:
    """The stems in the paths and metadata of a library's files.

    Attributes:
        files: how many files there are.
    """

    def __init__(self, stems: pa.StringArray) -> None:
        """``stems``: of each file, what :func:`stems_of` gave."""
        self.files, self._stems = len(stems), stems
        parts = pc.split_pattern(stems, " ")
        encoded = pc.dictionary_encode(pc.list_flatten(parts))
        self._owners: NDArray[np.int64] = pc.list_parent_indices(parts).to_numpy()
        self._codes: NDArray[np.int32] = encoded.indices.to_numpy()
        self._code_of = {word: code for code, word in enumerate(encoded.dictionary.to_pylist())}

    def of_file(self, file: int) -> str:
        """The stems of a file."""
        stems: str = self._stems[file].as_py()
        return stems

    def part(self, files: NDArray[np.int64]) -> PartOfNames:
        """Those of some files."""
        return PartOfNames(self, files)

    def candidates(self, words: str) -> NDArray[np.bool_]:
        """(files,) whether a file was given all of some words, in some form."""
        given = np.ones(self.files, bool)
        for wanted in dict.fromkeys(map(stem, split(words))):
            owners = np.zeros(self.files, bool)
            owners[self._holders(wanted)] = True
            given &= owners
        return given

    def evidence(self, phrase: str) -> NDArray[np.float32]:
        """(files,) what the words of a phrase that were given to each file are worth, 0 or more."""
        wanted = list(dict.fromkeys(map(stem, split(phrase))))
        found = np.zeros(self.files, np.float32)
        for each in wanted:
            found[self._holders(each)] += 1
        whole = (found == len(wanted)) & bool(wanted)
        more = ONLY if np.count_nonzero(whole) == 1 else WHOLE if len(wanted) > 1 else 0.0
        share = found / np.float32(max(len(wanted), 1))
        worth: NDArray[np.float32] = np.float32(WEIGHT) * share + np.float32(more) * whole
        return worth

    def _holders(self, wanted: str) -> NDArray[np.int64]:
        """The files that were given a stem."""
        code = self._code_of.get(wanted)
        return self._owners[self._codes == code] if code is not None else self._owners[:0]

    def score(self, phrases: Sequence[tuple[str, float]]) -> NDArray[np.float32]:
        """(files,) sum of the evidence for phrases, each times its weight."""
        total = np.zeros(self.files, np.float32)
        for phrase, weight in phrases:
            total += np.float32(weight) * self.evidence(phrase)
        return total


@dataclass(frozen=True)
class PartOfNames:
    """The stems of some files, whose words count for as much as among all files.

    Methods are those of :class:`Names`.
    """

    whole: Names
    files: NDArray[np.int64]

    def of_file(self, file: int) -> str:
        return self.whole.of_file(int(self.files[file]))

    def candidates(self, words: str) -> NDArray[np.bool_]:
        return self.whole.candidates(words)[self.files]

    def score(self, phrases: Sequence[tuple[str, float]]) -> NDArray[np.float32]:
        return self.whole.score(phrases)[self.files]
