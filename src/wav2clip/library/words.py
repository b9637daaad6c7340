"""Words that people gave a sound, beside what is heard: its name, its folders, and its metadata.

People name their sounds, so a phrase is looked for in both. The share of the phrase's words that
were given to a file is multiplied by :data:`WEIGHT`, and by :data:`RARITY` times how rare they are
in the library, and added to the cosine; a file that was given all of several words gets
:data:`WHOLE` more. One common word decides among sounds that fit about as well, while a whole
phrase is no accident, and carries a sound that nothing else would find.
"""

from __future__ import annotations

import json
import math
import os
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from snowballstemmer import stemmer

WEIGHT, RARITY, WHOLE = 0.1, 0.015, 0.2
"""What is added to a cosine: for the share of a phrase's words, for the sum of their inverse
document frequencies, and for all of several words. docs/results/words.md has how they were chosen.
"""

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


def stems_of(path: str, metadata: str | None = None) -> str:
    """Each stem in a path, its suffix left out, or in metadata, with spaces between.

    Args:
        path: of a file.
        metadata: JSON of what :func:`wav2clip.audio.metadata.read_metadata` gave for it.
    """
    said = " ".join([os.path.splitext(path)[0], *json.loads(metadata or "{}").values()])
    return " ".join(dict.fromkeys(map(stem, split(said))))


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

    def evidence(self, phrase: str) -> NDArray[np.float32]:
        """(files,) what the words of a phrase that were given to each file are worth, 0 or more.

        Rarity is the inverse document frequency of BM25 (Robertson and Zaragoza 2009, section 3.1).
        """
        found, rarity, asked = np.zeros(self.files, np.float32), np.zeros(self.files, np.float32), 0
        for wanted in dict.fromkeys(map(stem, split(phrase))):
            owners = self._holders(wanted)
            asked += 1
            found[owners] += 1
            rarity[owners] += math.log(1 + (self.files - len(owners) + 0.5) / (len(owners) + 0.5))
        share = found / np.float32(max(asked, 1))
        worth = share * (np.float32(WEIGHT) + np.float32(RARITY) * rarity)
        return worth + np.float32(WHOLE) * (found == asked) if asked > 1 else worth

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
