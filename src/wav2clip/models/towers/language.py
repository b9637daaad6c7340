"""Which words the built-in text tower can read: English ones, in Latin letters.

Its word pieces know single letters of many scripts, but nothing was learned about them, so all
phrases in one of those scripts, or of emoji, have nearly the same vector. Foreign words in Latin
letters fall into the same pieces as English ones and cannot be told from rare English words.
"""

from __future__ import annotations

import re
import threading
import unicodedata
import warnings
from collections.abc import Sequence

from wav2clip.errors import LanguageWarning

_WORD = re.compile(r"\S+")
_warned = threading.Event()

UNKNOWN = "[UNK]"
"""The word piece that stands for what the vocabulary lacks."""


def unread_words(
    phrase: str, pieces: Sequence[str], places: Sequence[tuple[int, int]]
) -> list[str]:
    """The words of a phrase that mean nothing to the tower.

    Args:
        phrase: as it was given.
        pieces: its word pieces.
        places: where each piece stands in the phrase: its first character, and one past its last.

    Returns:
        In their order, the words between white space that hold an unknown piece or a letter of
        another script than the Latin one.
    """
    unknown = [start for piece, (start, _) in zip(pieces, places, strict=True) if piece == UNKNOWN]
    if not unknown and phrase.isascii():
        return []
    return [
        match[0]
        for match in _WORD.finditer(phrase)
        if any(match.start() <= start < match.end() for start in unknown) or _foreign(match[0])
    ]


def _foreign(word: str) -> bool:
    """Whether it holds a letter that is not Latin, with or without accents."""
    letters = filter(str.isalpha, unicodedata.normalize("NFKD", word))
    return any("LATIN" not in unicodedata.name(letter, "") for letter in letters)


def explain(words: Sequence[str]) -> str:
    """What to tell the one who typed words that cannot be read."""
    shown = ", ".join(repr(word if len(word) <= 40 else word[:37] + "...") for word in words[:5])
    return (
        f"the built-in text tower cannot read {shown}{', ...' if len(words) > 5 else ''}: it "
        "understands English words in Latin letters, no other scripts and no emoji; what it finds "
        "for them means nothing"
    )


def warn_once(words: Sequence[str]) -> None:
    """Warn of words that cannot be read, the first time in this process.

    Raises:
        LanguageWarning: only where the caller's filters turn warnings into errors.
    """
    if not _warned.is_set():
        warnings.warn(explain(words), LanguageWarning, stacklevel=2)
        _warned.set()
