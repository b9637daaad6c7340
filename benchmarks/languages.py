"""How many of 100 everyday sound words are understood in each language, and how many rightly.

    python benchmarks/languages.py [--missed]

The words of sound_words.csv are asked of :func:`wav2clip.library.languages.understand`. A word that
is the same in English counts as understood as it is. Of the others one is right if it leads to a
category whose English names or synonyms hold the English word.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from wav2clip.library import ucs
from wav2clip.library.languages import understand
from wav2clip.library.words import split, stem

WORDS = Path(__file__).with_name("sound_words.csv")


def stems(*texts: str) -> set[str]:
    return {stem(word) for text in texts for word in split(text)}


def names() -> list[tuple[str, set[str]]]:
    """What a category may be called when it was understood, and the stems of all its words."""
    return [
        (name, stems(c.category, c.subcategory, *c.synonyms))
        for c in ucs.categories()
        for name in {c.category, c.subcategory, f"{c.category} {c.subcategory}"}
    ]


def is_right(english: str, found: str, called: list[tuple[str, set[str]]]) -> bool:
    """Whether some part of what was understood is a category of the English word."""
    parts = found.split(", ")
    words = [held for name, held in called if name in parts]
    return any(stems(english) <= held for held in words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--missed", action="store_true", help="list what is not right, too")
    options = parser.parse_args()
    with WORDS.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    called = names()
    print(f"UCS 8.2.1, {len(rows)} words\n\n| language | understood | rightly |\n|---|---|---|")
    for code in sorted(set(ucs.LANGUAGES) - {"en"}, key=lambda code: ucs.LANGUAGES[code]):
        understood = right = 0
        missed = []
        for row in rows:
            meant = understand(row[code])
            same = stems(row[code]) == stems(row["en"])
            good = same or (meant is not None and is_right(row["en"], meant.english, called))
            understood += same or meant is not None
            right += good
            if not good:
                missed.append(f"{row[code]} ({row['en']}: {meant.english if meant else 'nothing'})")
        print(f"| {ucs.LANGUAGES[code]} | {understood} | {right} |")
        if options.missed:
            print("; ".join(missed))


if __name__ == "__main__":
    main()
