"""Collections as files for other programs: playlists (extended M3U) and tables (CSV)."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from wav2clip.audio.excerpt import excerpt_name
from wav2clip.files import display
from wav2clip.library.collections import Item
from wav2clip.library.exchange import harmless

COLUMNS = ("path", "start", "end", "whole", "duration", "added", "note", "missing")
"""Of a table; see :meth:`.Item.to_json`."""


def write_m3u8(name: str, items: Iterable[Item], file: TextIO) -> None:
    """Write a playlist of what is not missing.

    ``#EXTINF`` has whole seconds and a title. M3U has no standard for a part of a file: its start
    and end are in ``#EXTVLCOPT``, which VLC takes; other players play the file from its beginning.

    Args:
        name: of the playlist.
        items: in the order in which they are to be played.
        file: open for text in UTF-8 with ``newline="\\n"``.
    """
    file.write(f"#EXTM3U\n#PLAYLIST:{name}\n")
    for item in items:
        if item.missing:
            continue
        file.write(f"#EXTINF:{math.ceil(item.end - item.start)},{_title(item)}\n")
        if not item.whole:
            file.write(f"#EXTVLCOPT:start-time={item.start:.3f}\n")
            file.write(f"#EXTVLCOPT:stop-time={item.end:.3f}\n")
        file.write(f"{_location(item.path)}\n")


def _title(item: Item) -> str:
    """The name of the file, and where the part begins, as copies are called."""
    return display(item.path.stem if item.whole else excerpt_name(item.path, item.start).stem)


def _location(path: Path) -> str:
    """The path itself, or, where a line of text cannot hold it, as an address."""
    text = os.fspath(path)
    plain = text.isprintable() and text == text.strip()
    return text if plain else path.as_uri()


def write_table(items: Iterable[Item], file: TextIO) -> None:
    """Write a row for each item, also for what is missing, with the columns :data:`COLUMNS`.

    Args:
        items: in this order.
        file: open for text with ``newline=""``; commas between.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for item in items:
        row = item.to_json()
        writer.writerow([harmless(str(row[column])) for column in COLUMNS])
