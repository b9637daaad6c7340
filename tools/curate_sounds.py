"""List the free training sounds with the words that their names tell, without test recordings.

Reads ``sounds_free/meta.csv`` and the rows of ``sounds/meta.csv`` whose sources are free. Names are
mended by the rules of ``sound_labels.txt`` (for ``sounds``, whose names tell nearly all) and of
``sound_words.txt`` (for ``sounds_free``, whose names tell something of every fifth clip). Clips
that also occur in the test collections (the output of ``find_overlaps.py``) are excluded; those of
``sounds_free`` were before it was put together. Writes what ``wav2clip pretrain prepare`` takes: a
CSV with the columns audio, captions (separated by ``;``), label, source, split.

    python tools/curate_sounds.py --overlaps overlaps.csv --out curated.csv
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import re
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np

RULES = Path(__file__).with_name("sound_labels.txt")
WORDS = Path(__file__).with_name("sound_words.txt")
FREE = ("berklee", "cdda", "donateacry", "minetest", "opensfx", "openrct2", "philharmonia")
"""Sources of ``sounds`` whose licences let the weights be given under CC BY-SA 4.0."""
SAME_RECORDING = 0.5
"""A clip is taken for a recording of a test collection when its waveform correlates this well.
Among broad-band sounds the values are far apart (noise 0.1-0.4, the same recording 0.9-1); steady
tones correlate by accident, and some are lost."""
VALIDATION_SHARE = 0.07
Row = dict[str, str]
Rule = tuple[str, list[str], re.Pattern[str]]

# Sources of which most clips were found in a test collection are left out as a whole: what the
# search did not find of them (their gain, filter or cut differ) is no better.
TAINTED_SHARE = 0.5


def read_csv(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_rules(path: Path) -> list[Rule]:
    """Lines ``label | phrases | expression`` of the file of rules, in order."""
    rules = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            label, phrases, pattern = (part.strip() for part in line.split("|", 2))
            rules.append((label, [p.strip() for p in phrases.split(";")], re.compile(pattern)))
    return rules


def plain(text: str) -> str:
    """Words in lower case: camel case split, digits and punctuation gone."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return " ".join(re.findall(r"[^\W\d_]+", text.lower()))


def name_of(row: Row) -> str:
    """``source/name``: the part of the original path that tells what is heard."""
    path = PurePosixPath(row["original_path"])
    name = path.stem if row["source"] == "berklee" else row["label"]
    return f"{row['source']}/{plain(name)}"


def recording_of(row: Row) -> str:
    """Clips of one recording share this name: the path without the number of the take."""
    path = PurePosixPath(row["original_path"])
    stem = path.stem
    if row["source"] == "donateacry":  # the first five groups name the phone
        stem = "-".join(stem.split("-")[:5])
    elif row["source"] == "philharmonia":  # instrument_note_length_loudness_technique
        stem = "_".join(stem.split("_")[:2])
    elif row["source"] in ("berklee", "cdda", "minetest"):
        stem = re.sub(r"[\d_\- ]+$", "", stem)
    return f"{row['source']}/{path.parent}/{stem}"


def leaks(rows: list[Row], overlaps: list[Row]) -> dict[str, str]:
    """Reason for each file name that must not be trained on."""
    found = {}
    score = {Path(o["clip"]).parent.name + "/" + Path(o["clip"]).name: o for o in overlaps}
    for row in rows:
        match = score[row["filename"]]
        if float(match["correlation"]) >= SAME_RECORDING:
            reference = Path(match["reference"])
            found[row["filename"]] = f"the recording of {reference.parent.name}/{reference.name}"
    sizes = Counter(row["source"] for row in rows)
    hits = Counter(row["source"] for row in rows if row["filename"] in found)
    for row in rows:
        if hits[row["source"]] >= TAINTED_SHARE * sizes[row["source"]]:
            found.setdefault(row["filename"], f"most of {row['source']} is in a test collection")
    return found


def split_of(recording: str) -> str:
    """The same answer for all clips of a recording, whatever else is in the collection."""
    share = int.from_bytes(hashlib.sha256(recording.encode()).digest()[:4], "big") / 2**32
    return "validation" if share < VALIDATION_SHARE else "train"


def named(row: Row, label: str, phrases: list[str], nouns: set[str], group: str) -> Row:
    """A row of the output; without a label it has no captions."""
    captions: list[str] = []
    if label:
        article = "an" if label[0] in "aeiou" else "a"
        noun = f"{article} {label}" if label in nouns else label
        captions = [*dict.fromkeys([label, noun, *filter(None, phrases), f"the sound of {noun}"])]
    return {
        "audio": row["filename"],
        "captions": ";".join(captions),
        "label": label,
        "source": row["source"],
        "split": split_of(group),
    }


def curate(
    rows: list[Row], rules: list[Rule], excluded: dict[str, str], nouns: set[str]
) -> tuple[list[Row], Counter[str]]:
    """Rows of ``sounds``, and names that no rule matched or that a rule dropped."""
    kept, unnamed = [], Counter[str]()
    for row in rows:
        if row["filename"] in excluded:
            continue
        name = name_of(row)
        label, phrases = match(name, rules)
        if label in ("", "-"):
            unnamed[f"{'dropped' if label else 'NO RULE'} {name}"] += 1
            continue
        kept.append(named(row, label, phrases, nouns, recording_of(row)))
    return kept, unnamed


def match(name: str, rules: list[Rule]) -> tuple[str, list[str]]:
    """Label and phrases of the first rule that is found in the name, or an empty label."""
    return next(((label, more) for label, more, rule in rules if rule.search(name)), ("", []))


def curate_free(rows: list[Row], rules: list[Rule], nouns: set[str]) -> list[Row]:
    """Rows of ``sounds_free``; validation clips are of other sources than training clips."""
    kept = []
    for row in rows:
        path = PurePosixPath(row["original_path"])
        label, phrases = match(plain(path.stem), rules)
        if not label:
            label, phrases = match(plain(path.parent.name), rules)
        kept.append(named(row, label, phrases, nouns, row["source"]))
    return kept


def report(
    kept: list[Row], excluded: dict[str, str], rows: list[Row], unnamed: Counter[str]
) -> None:
    hits = Counter(row["source"] for row in rows if row["filename"] in excluded)
    print("found in a test collection:", dict(hits), "together", len(excluded))
    print("without a name:", sum(unnamed.values()))
    print("splits:", dict(Counter(row["split"] for row in kept)))
    labels = Counter(row["label"] for row in kept if row["label"])
    print("with words:", sum(labels.values()), "of", len(kept))
    print(len(labels), "labels:", ", ".join(f"{name} {n}" for name, n in labels.most_common()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    data = Path(os.environ.get("WAV2CLIP_DATA", Path(__file__).parents[1] / "../shared/data"))
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--overlaps", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--show-unnamed", action="store_true")
    args = parser.parse_args()
    data = args.data.resolve()
    rows = [row for row in read_csv(data / "sounds/meta.csv") if row["source"] in FREE]
    excluded = leaks(rows, read_csv(args.overlaps))
    nouns = set(np.load(data / "clip_vit_b32/text_nouns.npz")["names"].tolist())
    kept, unnamed = curate(rows, read_rules(RULES), excluded, nouns)
    free = curate_free(read_csv(data / "sounds_free/meta.csv"), read_rules(WORDS), nouns)
    for folder, part in (("sounds", kept), ("sounds_free", free)):
        for row in part:
            row["audio"] = str(data / folder / "audio" / row["audio"])
    kept += free
    with args.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(kept[0]))
        writer.writeheader()
        writer.writerows(kept)
    report(kept, excluded, rows, unnamed)
    if args.show_unnamed:
        print(*(f"{n} {name}" for name, n in sorted(unnamed.items())), sep="\n")


if __name__ == "__main__":
    main()
