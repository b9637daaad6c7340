"""Give the training sounds names that a person would use, and leave out what must not be learnt.

Reads ``sounds/meta.csv`` (names made from file and folder names), mends them with the rules in
``sound_labels.txt``, excludes clips that also occur in the test collections (the output of
``find_overlaps.py``, and Freesound ids shared with ESC-50 or UrbanSound8K), holds out a validation
split by original recording, and writes what ``wav2clip pretrain prepare`` takes: a CSV with the
columns audio, captions (separated by ``;``), label, source, split.

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
# A clip is taken for a recording of a test collection when its waveform correlates this well, or a
# little less where the spectrogram agrees too. Among broad-band sounds the values are far apart
# (noise 0.1-0.4, the same recording 0.9-1); steady tones correlate by accident; some are lost.
SAME_RECORDING = 0.7
ALIKE = {"cosine": 0.9, "correlation": 0.5}
# Clips gathered from the web, of which some are known to be cut from the same recordings as test
# clips, though not at the same place: other barks of one dog.
ALIKE_FROM_WEB = {"cosine": 0.9, "correlation": 0.35}
WEB_SOURCES = ("animal10",)
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
    source = row["source"]
    if source == "berklee":
        name = path.stem
    elif source in ("booth", "nonverbal"):
        name = re.sub(r"_?\d+dB$", "", path.parent.name)
    else:
        name = row["label"]
    return f"{source}/{plain(name)}"


def recording_of(row: Row) -> str:
    """Clips of one recording share this name: the path without the number of the take."""
    path = PurePosixPath(row["original_path"])
    stem = path.stem
    if row["source"] == "kitchen20":  # fold-recording-take-class
        stem = re.sub(r"-[A-Z]-\d+$", "", stem)
    elif row["source"] == "donateacry":  # the first five groups name the phone
        stem = "-".join(stem.split("-")[:5])
    elif row["source"] == "nonverbal":  # the first group names the person
        return f"nonverbal/{stem.split('_')[0]}"
    elif row["source"] == "philharmonia":  # instrument_note_length_loudness_technique
        stem = "_".join(stem.split("_")[:2])
    elif row["source"] == "animal10":  # pieces of one recording were numbered one after the other
        stem = re.sub(r"\d+$", lambda number: str(int(number[0]) // 10), stem)
    elif row["source"] in ("berklee", "booth", "cdda", "minetest"):
        stem = re.sub(r"[\d_\- ]+$", "", stem)
    return f"{row['source']}/{path.parent}/{stem}"


def freesound_ids(data: Path) -> set[str]:
    """Freesound ids of the clips in ESC-50 and UrbanSound8K."""
    esc = {row["src_file"] for row in read_csv(data / "esc50/meta/esc50.csv")}
    urban = read_csv(data / "urbansound8k/metadata/UrbanSound8K.csv")
    return esc | {row["fsID"] for row in urban}


def leaks(rows: list[Row], overlaps: list[Row], ids: set[str]) -> dict[str, str]:
    """Reason for each file name that must not be trained on."""
    found = {}
    score = {Path(o["clip"]).parent.name + "/" + Path(o["clip"]).name: o for o in overlaps}
    for row in rows:
        match = score[row["filename"]]
        number = re.search(r"-(\d{3,7})-[A-Z]-\d+\.wav$", row["original_path"])
        alike = ALIKE_FROM_WEB if row["source"] in WEB_SOURCES else ALIKE
        if float(match["correlation"]) >= SAME_RECORDING or all(
            float(match[measure]) >= least for measure, least in alike.items()
        ):
            reference = Path(match["reference"])
            found[row["filename"]] = f"the recording of {reference.parent.name}/{reference.name}"
        elif row["source"] == "kitchen20" and number and number[1] in ids:
            found[row["filename"]] = f"Freesound clip {number[1]}"
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


def curate(
    rows: list[Row], rules: list[Rule], excluded: dict[str, str], nouns: set[str]
) -> tuple[list[Row], Counter[str]]:
    """Rows of the output, and names that no rule matched or that a rule dropped."""
    kept, unnamed = [], Counter[str]()
    for row in rows:
        if row["filename"] in excluded:
            continue
        name = name_of(row)
        label, phrases = next(
            ((label, phrases) for label, phrases, pattern in rules if pattern.search(name)),
            ("", []),
        )
        if label in ("", "-"):
            unnamed[f"{'dropped' if label else 'NO RULE'} {name}"] += 1
            continue
        article = "an" if label[0] in "aeiou" else "a"
        noun = f"{article} {label}" if label in nouns else label
        captions = dict.fromkeys([label, noun, *filter(None, phrases), f"the sound of {noun}"])
        kept.append(
            {
                "audio": row["filename"],
                "captions": ";".join(captions),
                "label": label,
                "source": row["source"],
                "split": split_of(recording_of(row)),
            }
        )
    return kept, unnamed


def report(
    kept: list[Row], excluded: dict[str, str], rows: list[Row], unnamed: Counter[str]
) -> None:
    hits = Counter(row["source"] for row in rows if row["filename"] in excluded)
    print("found in a test collection:", dict(hits), "together", len(excluded))
    print("without a name:", sum(unnamed.values()))
    print("splits:", dict(Counter(row["split"] for row in kept)))
    labels = Counter(row["label"] for row in kept)
    print(len(labels), "labels:", ", ".join(f"{name} {n}" for name, n in labels.most_common()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    data = Path(os.environ.get("WAV2CLIP_DATA", Path(__file__).parents[1] / "../shared/data"))
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--overlaps", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--show-unnamed", action="store_true")
    args = parser.parse_args()
    sounds = args.data.resolve() / "sounds"
    rows = read_csv(sounds / "meta.csv")
    excluded = leaks(rows, read_csv(args.overlaps), freesound_ids(args.data))
    nouns = set(np.load(args.data / "clip_vit_b32/text_nouns.npz")["names"].tolist())
    kept, unnamed = curate(rows, read_rules(RULES), excluded, nouns)
    for row in kept:
        row["audio"] = str(sounds / "audio" / row["audio"])
    with args.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(kept[0]))
        writer.writeheader()
        writer.writerows(kept)
    report(kept, excluded, rows, unnamed)
    if args.show_unnamed:
        print(*(f"{n} {name}" for name, n in sorted(unnamed.items())), sep="\n")


if __name__ == "__main__":
    main()
