"""The tools that decide what is trained on: copies are found, names are mended."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

TOOLS = Path(__file__).parents[2] / "tools"


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


find_overlaps, curate_sounds = tool("find_overlaps"), tool("curate_sounds")


def bursts(seconds: float, seed: int) -> np.ndarray:
    """Filtered noise whose loudness and colour change, as in recordings."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(int(seconds * 10)):
        low = rng.uniform(150, 2000)
        band = butter(2, (low, low * rng.uniform(1.5, 3)), "bandpass", fs=16_000, output="sos")
        parts.append(sosfilt(band, rng.normal(size=1600)) * rng.uniform(0.05, 1))
    return np.concatenate(parts).astype(np.float32)


def test_copies_are_found_and_others_are_not() -> None:
    """Cut out, quieter, upside down, with noise: still that recording. A short copy too."""
    references = [bursts(5, seed) for seed in range(6)]
    noise = np.random.default_rng(9).normal(size=80_000).astype(np.float32)
    copies = [
        references[2][20_123:60_123] * 0.1,
        -references[4] + noise * 0.05 * references[4].std(),
        references[5][31_000:38_000],
    ]
    strangers = [bursts(3, seed) for seed in (50, 51)]
    found = find_overlaps.search([*copies, *strangers], references)
    assert [place for place, _, _ in found[:3]] == [2, 4, 5]
    assert min(score for _, _, score in found[:3]) > 0.85
    assert max(score for _, _, score in found[3:]) < 0.4


def test_correlation_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    piece, whole = rng.normal(size=50), rng.normal(size=300)
    slow = max(
        abs(piece @ whole[i : i + 50]) / np.linalg.norm(piece) / np.linalg.norm(whole[i : i + 50])
        for i in range(251)
    )
    assert find_overlaps.correlation(piece, whole) == pytest.approx(slow, abs=1e-6)
    assert find_overlaps.correlation(np.zeros(50), whole) == 0


@pytest.mark.parametrize(
    ("source", "path", "label", "expected"),
    [
        ("berklee", "berklee/DoorSlam_3.mp3", "", "door slamming"),
        ("berklee", "berklee/prep_pianoC1.mp3", "", "piano"),
        ("philharmonia", "audio/saxophone/sax_C4_025.mp3", "saxophone", "saxophone"),
        ("cdda", "x.ogg", "indoor gunfire auto rifle shot", "gunshot"),
        ("berklee", "berklee/laramin_2.mp3", "laramin", "-"),
    ],
)
def test_names_are_mended(source: str, path: str, label: str, expected: str) -> None:
    rules = curate_sounds.read_rules(curate_sounds.RULES)
    name = curate_sounds.name_of({"source": source, "original_path": path, "label": label})
    assert next(rule[0] for rule in rules if rule[2].search(name)) == expected


def test_takes_of_one_recording_stay_together() -> None:
    def recording(source: str, path: str) -> str:
        return curate_sounds.recording_of({"source": source, "original_path": path})

    same = [
        ("berklee", "berklee/camera_1.mp3", "berklee/camera_2.mp3"),
    ]
    for source, first, second in same:
        assert recording(source, first) == recording(source, second)
    assert recording("berklee", "berklee/camera_1.mp3") != recording(
        "berklee", "berklee/cameras_1.mp3"
    )


def test_a_source_that_is_mostly_copies_goes_as_a_whole() -> None:
    rows = [
        {"filename": f"s/{n}.ogg", "source": "s", "original_path": "x", "label": "train"}
        for n in range(4)
    ]
    scores = [0.99, 0.95, 0.1, 0.1]
    overlaps = [
        {"clip": f"/d/s/{n}.ogg", "reference": "/d/esc50/audio/r.ogg", "cosine": "0.5"}
        | {"correlation": str(score)}
        for n, score in enumerate(scores)
    ]
    found = curate_sounds.leaks(rows, overlaps)
    assert sorted(found) == [row["filename"] for row in rows]
    assert found["s/0.ogg"] == "the recording of audio/r.ogg"
    overlaps[1]["correlation"] = "0.2"
    assert sorted(curate_sounds.leaks(rows, overlaps)) == ["s/0.ogg"]


def test_words_of_free_names(data: Path) -> None:
    """The first rule that is found in the file's name, else in its folder's; without, none."""
    rules = curate_sounds.read_rules(curate_sounds.WORDS)
    paths = ["a/Rain_loop2.ogg", "sfx/footsteps/step_3.wav", "misc/blip.wav", "a/churchBells1.wav"]
    rows = [
        {"filename": f"s/{n}.ogg", "source": f"s{n}", "original_path": path}
        for n, path in enumerate(paths)
    ]
    kept = curate_sounds.curate_free(rows, rules, {"church"})
    assert [row["label"] for row in kept] == ["rain", "footsteps", "", "church bells"]
    assert kept[2]["captions"] == ""
    assert "someone walking" in kept[1]["captions"].split(";")
    assert {
        row["split"]
        for row in curate_sounds.curate_free(
            [{**rows[0], "original_path": f"{n}.wav"} for n in range(50)], rules, set()
        )
    } in ({"train"}, {"validation"}), "clips of one source are on both sides"


def test_an_esc50_clip_among_the_sounds_is_found(data: Path) -> None:
    """The real case: a clip offered under the label "train" is a clip of ESC-50."""
    clip = find_overlaps.decode(data / "sounds/audio/trains/20212.ogg")
    other = find_overlaps.decode(data / "sounds/audio/booth/04876.ogg")
    paths = sorted((data / "esc50/audio").glob("5-18*.ogg"))
    references = [find_overlaps.decode(path) for path in paths]
    (place, _, score), (_, _, unrelated) = find_overlaps.search([clip, other], references)
    assert paths[place].name == "5-188495-A-19.ogg"
    assert score > 0.99
    assert unrelated < 0.5
