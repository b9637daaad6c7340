"""Write the tables of the Universal Category System that the package carries.

    python tools/write_ucs_table.py FOLDER

FOLDER holds LANGUAGE.json of version 8.2.1 (universalcategorysystem.com, CC0), as converted by
github.com/iluvcapra/ucs-community. Only facts are taken: identifiers, names and synonyms.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from wav2clip.library.languages import terms_of
from wav2clip.library.ucs import LANGUAGES

TARGET = Path(__file__).parents[1] / "src" / "wav2clip" / "library" / "ucs.json.gz"
CODES = {"kr": "ko"}
"""Files that are named after the country; the table has ISO 639-1 codes of languages."""


def read(path: Path) -> dict[str, dict[str, Any]]:
    """The categories of a language by their CatID."""
    return {row["CatID"]: row for row in json.loads(path.read_text("utf-8"))}


def texts(row: dict[str, Any]) -> list[Any]:
    return [row["Category"], row["SubCategory"], sorted(set(row["Synonyms"]))]


def main() -> None:
    folder = Path(sys.argv[1])
    english = read(folder / "en.json")
    table = {"version": next(iter(english.values()))["version"], "ids": sorted(english)}
    for path in sorted(folder.glob("*.json")):
        rows = read(path)
        table[CODES.get(path.stem, path.stem)] = [texts(rows[id]) for id in table["ids"]]
    write(TARGET, [table])
    write(TARGET.with_name("ucs_terms.json.gz"), [terms_of(code) for code in sorted(LANGUAGES)])


def write(path: Path, values: list[Any]) -> None:
    """A line of JSON for each value."""
    lines = (json.dumps(value, ensure_ascii=False, separators=(",", ":")) for value in values)
    path.write_bytes(gzip.compress("\n".join(lines).encode(), 9, mtime=0))
    print(f"{path.stat().st_size} bytes in {path.name}")


if __name__ == "__main__":
    main()
