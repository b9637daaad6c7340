"""Phrases in other languages than English, understood as far as the UCS's names and synonyms reach.

The text tower understands English. A phrase whose words belong to another language is replaced by
the English names of the categories that they name: "Regen auf Blechdach" becomes "rain". It is a
dictionary of sounds, no translation: what it does not know is said.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from snowballstemmer import stemmer

from wav2clip.library import ucs
from wav2clip.library.words import split
from wav2clip.models.towers.builtin import FOLDER, VOCABULARY

_STEMMERS = {
    "de": "german", "en": "english", "es": "spanish", "fr": "french", "it": "italian",
    "pt": "portuguese", "ru": "russian",
}  # fmt: skip
_LATIN = ("de", "es", "fr", "it", "pt")

_LITTLE_WORDS = frozenset(
    word
    for words in (
        "der die das den dem des ein eine einer einem auf im in am an mit und von zu aus wie bei",
        "el la los las un una unos unas de del en con y por para que se al sobre",
        "le les une du des dans sur avec et qui au aux pour par",
        "lo gli i il uno della dello dei delle nel nella su che per e sulla sul",
        "o os as um uma do da dos das no na com em num",
        "в на с и по из за от под к у о об для что как",
        "소리 의",
    )
    for word in words.split()
)
"""Articles and the like, and the words for "sound"."""

_LITTLE_ENDINGS = ("の鳴き声", "の音", "の声", "的声音", "声音", "声")
"""The same where words are not parted by spaces."""

_APART = re.compile(r"[\s、，,;；/／()（）・]+")
_SHORTEST_PART, _LONGEST_TERM, _INTERNATIONAL = 4, 8, 3
_COMMON = 12_000


class Understood(NamedTuple):
    """How a phrase was taken.

    Attributes:
        english: what is looked for instead.
        language: the name of its language.
        unknown: words that no category names.
    """

    english: str
    language: str
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        lost = f"; not understood: {', '.join(self.unknown)}" if self.unknown else ""
        return f"understood as {self.english} ({self.language}){lost}"


def understand(phrase: str) -> Understood | None:
    """A phrase of another language in English; None for English, and where no word is known."""
    languages = _languages_of(phrase)
    english = _known_in_english(phrase) if languages == _LATIN else 0
    if not languages or (languages == _LATIN and english == len(split(phrase))):
        return None
    found = [(language, *_covered(language, phrase)) for language in languages]
    language, names, tokens, known = max(found, key=lambda each: len(each[3]))
    if len(known) <= english:
        return None
    unknown = [token for place, token in enumerate(tokens) if place not in known]
    return Understood(", ".join(names), ucs.LANGUAGES[language], tuple(_joined(language, unknown)))


def _languages_of(phrase: str) -> tuple[str, ...]:
    """Languages that a phrase may be in, by its script."""
    scripts = {unicodedata.name(c, "").partition(" ")[0] for c in phrase if c.isalpha()}
    if scripts & {"HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"}:
        return ("ja",)
    if "HANGUL" in scripts:
        return ("ko",)
    if "CJK" in scripts:
        return ("zh", "ja")
    if "CYRILLIC" in scripts:
        return ("ru",)
    return _LATIN if "LATIN" in scripts else ()


# What a language calls things ---------------------------------------------------------------------

_WIDE = frozenset(
    ["ambience", "animals", "archived", "designed", "human", "musical", "objects", "weather"]
)
"""Categories whose name adds nothing to that of a subcategory."""


def terms_of(language: str) -> dict[str, list[int]]:
    """Terms of a language as stems with spaces between, and the rows of the table that they name.

    A whole category is named by -1 minus the number of its first row. To find stems takes seconds:
    ``tools/write_ucs_table.py`` stores this, and :func:`_terms` reads it.
    """
    terms: dict[str, set[int]] = {}
    first: dict[str, int] = {}
    pairs = zip(ucs.categories(language), ucs.categories(), strict=True)
    for row, (own, english) in enumerate(pairs):
        whole = -1 - first.setdefault(english.category, row)
        subcategory = () if english.phrase == english.category else (own.subcategory,)
        named = [(own.category, whole), *((t, row) for t in (*subcategory, *own.synonyms))]
        for text, what in named:
            for part in _APART.split(text) if language in _BY_CHARACTER else [text]:
                tokens = _tokens(language, part)[1]
                if tokens and not _too_short(language, tokens):
                    terms.setdefault(" ".join(tokens), set()).add(what)
    return {term: sorted(what) for term, what in sorted(terms.items())}


@cache
def _terms(language: str) -> dict[str, list[int]]:
    return ucs.stored_terms(language)


def _name(what: int) -> str:
    """What to look for, in English."""
    category = ucs.categories()[max(what, -1 - what)]
    if what < 0 or category.phrase == category.category:
        return category.category
    wide = category.category in _WIDE
    return category.subcategory if wide else f"{category.category} {category.subcategory}"


_BY_CHARACTER = frozenset({"ja", "zh"})


def _too_short(language: str, tokens: Sequence[str]) -> bool:
    """Single letters name nothing, single Chinese characters do."""
    return language in _BY_CHARACTER and len(tokens) == 1 and not "一" <= tokens[0] <= "鿿"


def _tokens(language: str, phrase: str) -> tuple[list[str], list[str]]:
    """Words of a phrase as they are and as they are compared; characters where no space parts."""
    if language in _BY_CHARACTER:
        ending = next((e for e in _LITTLE_ENDINGS if phrase.endswith(e) and phrase != e), "")
        text = unicodedata.normalize("NFKC", phrase.removesuffix(ending)).lower()
        characters = [c for c in text if c.isalpha()]
        return characters, characters
    words = [word for word in split(phrase) if word not in _LITTLE_WORDS]
    return words, [_stem(language)(word) for word in words]


@cache
def _stem(language: str) -> Callable[[str], str]:
    if language not in _STEMMERS:
        return str
    stem: Callable[[str], str] = stemmer(_STEMMERS[language]).stemWord
    return stem


# What a phrase names ------------------------------------------------------------------------------


def naming(text: str) -> list[tuple[str, list[int]]]:
    """What the words of a name or a description name, in the language that explains most of them.

    Returns:
        Each term that occurs, as stems, and the rows of :func:`.ucs.categories` that it names; a
        whole category as -1 minus the number of its first row. English is taken where another
        language explains no more.
    """
    best: list[tuple[str, list[int]]] = []
    most = 0
    for language in dict.fromkeys(("en", *_languages_of(text))):
        tokens = _stems(text) if language == "en" else _tokens(language, text)[1]
        found = list(_occurrences(language, tokens))
        explained = len({place for at, _ in found for place in at})
        if explained > most:
            most = explained
            best = [(" ".join(tokens[place] for place in at), named) for at, named in found]
    return best


def _stems(text: str) -> list[str]:
    """English stems: little words of other languages, such as die, are words here."""
    return [_stem("en")(word) for word in split(text)]


def _covered(language: str, phrase: str) -> tuple[list[str], list[str], set[int]]:
    """English names of what a phrase names, its tokens, and the places of those that are known."""
    words, tokens = _tokens(language, phrase)
    places: dict[int, set[int]] = {}
    weights: defaultdict[int, float] = defaultdict(float)
    for at, named in _occurrences(language, tokens):
        for what in named:
            places.setdefault(what, set()).update(at)
            weights[what] += 1 / len(named)  # who shares a term with many is meant less likely
    for row in [what for what in places if what >= 0]:  # a row stands for its category, too
        whole = next((w for w in places if w < 0 and _same_category(w, row)), None)
        places[row] |= places[whole] if whole is not None else set()
    names, known = [], set[int]()
    while places:
        best = max(places, key=lambda what: _rank(what, places, weights, known))
        if not places[best] - known:
            break
        names.append(_name(best))
        known |= places.pop(best)
    return list(dict.fromkeys(names)), words, known


def _same_category(whole: int, row: int) -> bool:
    return ucs.categories()[-1 - whole].category == ucs.categories()[row].category


def _rank(
    what: int, places: dict[int, set[int]], weights: Mapping[int, float], known: set[int]
) -> tuple[int, bool, float, int]:
    """Who covers most that is new; a whole category before its parts, then the less shared."""
    return len(places[what] - known), what < 0, weights[what], -what


def _occurrences(language: str, tokens: Sequence[str]) -> Iterator[tuple[range, list[int]]]:
    """Where terms stand among tokens, the longest at each place; in German also in compounds."""
    terms = _terms(language)
    for start in range(len(tokens)):
        for end in range(min(len(tokens), start + _LONGEST_TERM), start, -1):
            named = terms.get(" ".join(tokens[start:end]))
            if named:
                yield range(start, end), named
                break
        else:
            inside = _inside(language, tokens[start])
            yield from ((range(start, start + 1), named) for named in inside)


def _inside(language: str, word: str) -> Iterator[list[int]]:
    """What parts of a word name: the ends of a German compound, a Korean word and its particle."""
    if language == "ko" and word[:-1] in _terms("ko"):
        yield _terms("ko")[word[:-1]]
    if language == "de":
        for cut in range(_SHORTEST_PART, len(word) - _SHORTEST_PART + 1):
            first, second = (_terms("de").get(part) for part in (word[:cut], word[cut:]))
            if first and second:
                yield from (first, second)
                return


# English ------------------------------------------------------------------------------------------


@cache
def _vocabulary() -> dict[str, int]:
    """Words of the text tower, and how many are more common in English."""
    words = (FOLDER / VOCABULARY).read_text("utf-8").splitlines()
    return {word: place for place, word in enumerate(words)}


@cache
def _of_categories() -> frozenset[str]:
    """Stems of the words in English names and synonyms."""
    return frozenset(stem for term in _terms("en") for stem in term.split())


@cache
def _titles(language: str) -> frozenset[str]:
    """Stems of the names of categories and subcategories."""
    texts = (text for c in ucs.categories(language) for text in (c.category, c.subcategory))
    return frozenset(_stem(language)(word) for text in texts for word in split(text))


def _is_english(word: str) -> bool:
    """Whether a word is English, or so far from home in several languages that it may be.

    What is rare in English is, unless it is the very name of a category elsewhere: tango is
    English, and bois is French. Romance languages share many words of their own: those that are
    German, too, are kookaburras.
    """
    place = _vocabulary().get(word)
    if (place is not None and place < _COMMON) or _stem("en")(word) in _of_categories():
        return True
    if place is not None:
        return not any(_stem(code)(word) in _titles(code) for code in _LATIN)
    languages = [code for code in _LATIN if _stem(code)(word) in _terms(code)]
    return "de" in languages and len(languages) >= _INTERNATIONAL


def _known_in_english(phrase: str) -> int:
    return sum(word not in _LITTLE_WORDS and _is_english(word) for word in split(phrase))


def _joined(language: str, tokens: list[str]) -> list[str]:
    """Words that are not known; of characters those that are no grammar."""
    if language not in _BY_CHARACTER:
        return tokens
    text = "".join(c for c in tokens if not unicodedata.name(c, "").startswith("HIRAGANA"))
    return [text] if text else []
