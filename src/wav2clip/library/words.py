"""Words in the names of files and of the folders above them, beside what is heard.

People name their sounds, so a phrase is looked for in both. The words of a phrase that occur in a
file's path, each by how rare it is in the library, cover a share of the phrase between 0 and 1;
that share times :data:`WEIGHT` is added to the cosine. Names lift sounds that fit, and a name
alone does not carry a sound that does not.
"""

from __future__ import annotations

import math
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from snowballstemmer import stemmer

WEIGHT = 0.15
"""Of names against the cosine. docs/results/words.md says how it was chosen."""

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


def stems_of_path(path: str) -> str:
    """Each stem that occurs in a path, its suffix left out, with spaces between."""
    return " ".join(dict.fromkeys(map(stem, split(os.path.splitext(path)[0]))))


def matched(phrase: str, path: str) -> tuple[str, ...]:
    """The words of a phrase, as they were typed, that occur in a path in some form."""
    there = set(stems_of_path(path).split())
    return tuple(word for word in dict.fromkeys(split(phrase)) if stem(word) in there)


class Names:
    """The stems in the paths of a library's files.

    Attributes:
        files: how many files there are.
    """

    def __init__(self, stems: pa.StringArray) -> None:
        """``stems``: of each file, what :func:`stems_of_path` gave."""
        self.files = len(stems)
        parts = pc.split_pattern(stems, " ")
        encoded = pc.dictionary_encode(pc.list_flatten(parts))
        self._owners: NDArray[np.int64] = pc.list_parent_indices(parts).to_numpy()
        self._codes: NDArray[np.int32] = encoded.indices.to_numpy()
        self._code_of = {word: code for code, word in enumerate(encoded.dictionary.to_pylist())}

    def coverage(self, phrase: str) -> NDArray[np.float32]:
        """(files,) share of a phrase that each file's path holds, in [0, 1].

        Words count by their rarity, the inverse document frequency of BM25 (Robertson and Zaragoza
        2009, section 3.1). Those that no path holds, or every one, tell nothing.
        """
        found, total = np.zeros(self.files, np.float32), 0.0
        for owners in self._holders(phrase):
            rarity = math.log(1 + (self.files - len(owners) + 0.5) / (len(owners) + 0.5))
            found[owners] += rarity
            total += rarity
        return found / np.float32(total) if total else found

    def _holders(self, phrase: str) -> Iterator[NDArray[np.int64]]:
        """The files that hold a stem, for each stem that some hold and some do not."""
        for wanted in dict.fromkeys(map(stem, split(phrase))):
            code = self._code_of.get(wanted)
            owners = self._owners[self._codes == code] if code is not None else self._owners[:0]
            if 0 < len(owners) < self.files:
                yield owners

    def score(self, phrases: Sequence[tuple[str, float]]) -> NDArray[np.float32]:
        """(files,) sum of the coverages of phrases, each times its weight."""
        total = np.zeros(self.files, np.float32)
        for phrase, weight in phrases:
            total += np.float32(weight) * self.coverage(phrase)
        return total
