"""Write docs/training-sounds.md: the sources of the built-in audio encoder's training clips.

    python tools/list_sources.py curated.csv

``curated.csv`` is what tools/curate_sounds.py wrote. Addresses and licences are those of
``sounds_free/sources.csv``, and of the table below for the sources of ``sounds``.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
from collections import Counter
from pathlib import Path

OUT = Path(__file__).parents[1] / "docs" / "training-sounds.md"

SOUNDS = {
    "berklee": ("Berklee College of Music samples", "CC BY 3.0"),
    "philharmonia": ("Philharmonia Orchestra samples", "CC BY-SA 3.0"),
    "cdda": ("CC-Sounds (Cataclysm: Dark Days Ahead)", "CC BY-SA 4.0"),
    "minetest": ("Minetest Game", "CC BY-SA 3.0"),
    "opensfx": ("OpenSFX (OpenTTD)", "Creative Commons, stated per sound"),
    "openrct2": ("OpenSoundEffects (OpenRCT2)", "stated in its LICENSE.ASSETS"),
}
"""Title and licence of the sources that are in ``sounds`` alone."""

HEAD = """# Sounds that the built-in audio encoder was trained on

Written by `python tools/list_sources.py curated.csv`. Licences are as their publishers state them,
shortened; packages of Debian name theirs file by file in `debian/copyright`. None of the sound is
part of this project: what ships are weights.

| source | clips | address | licence |
|---|---|---|---|
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    data = Path(os.environ.get("WAV2CLIP_DATA", Path(__file__).parents[1] / "../shared/data"))
    table = parser.parse_args().table
    with table.open(newline="", encoding="utf-8") as file:
        clips = Counter(row["source"] for row in csv.DictReader(file))
    with (data / "sounds_free/sources.csv").open(newline="", encoding="utf-8") as file:
        known = {row["source"]: row for row in csv.DictReader(file)}
    lines = []
    for source, count in sorted(clips.items(), key=lambda item: (-item[1], item[0])):
        if source in known:
            address, licence = known[source]["address"], known[source]["licence"]
        else:
            address, licence = SOUNDS[source]
        if licence.startswith("see lic/"):
            licence = "see the package's debian/copyright"
        licence = re.sub(r" <[^>]*@[^>]*>", "", " ".join(licence.split()))
        cells = (source, str(count), address, licence[:110])
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    OUT.write_text(HEAD + "\n".join(lines) + "\n", "utf-8")
    print(f"{OUT}: {len(lines)} sources, {sum(clips.values())} clips")


if __name__ == "__main__":
    main()
