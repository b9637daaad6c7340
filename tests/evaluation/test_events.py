"""Sound events: targets, decoding and scores against naive ones, and synthetic mixtures of real
clips through the shipped command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from wav2clip.audio.io import load_audio
from wav2clip.datasets.core import Event
from wav2clip.errors import InputError
from wav2clip.evaluation.event_metrics import event_scores, psds
from wav2clip.evaluation.events import (
    EventProbe,
    FramedClip,
    FrameGrid,
    decode,
    fit,
    sweep,
    targets,
)

GRID = FrameGrid(0.5, 0.1)
LABELS = ("dog", "rain")


def framed_clip(events: list[Event], seconds: float = 10.0, key: str = "clip") -> FramedClip:
    starts = np.arange(int((seconds - 0.5) / 0.1) + 1) * 0.1
    return FramedClip(key, np.zeros((len(starts), 4), np.float32), starts, tuple(events), seconds)


def score(clips: list[FramedClip], probabilities: list, labels: list, grid: FrameGrid) -> dict:
    return psds(clips, sweep(clips, probabilities, labels, grid), labels)


events_strategy = st.lists(
    st.tuples(st.integers(0, 85), st.integers(1, 10), st.sampled_from(LABELS)), max_size=5
)


@settings(max_examples=50)
@given(events_strategy)
def test_targets_are_what_sounds_around_the_middle(drawn: list[tuple[int, int, str]]) -> None:
    clip = framed_clip([Event(0.1 * a, 0.1 * (a + n), label) for a, n, label in drawn])
    truth = targets(clip, LABELS, GRID)
    for row, start in enumerate(clip.starts[1:-1], 1):
        middle = start + 0.25
        for place, label in enumerate(LABELS):
            own = [e for e in clip.events if e.label == label]
            inside = any(e.onset + 1e-6 < middle < e.offset - 1e-6 for e in own)
            outside = all(middle < e.onset - 1e-6 or middle > e.offset + 1e-6 for e in own)
            if inside:
                assert truth[row, place] == 1
            elif outside:
                assert truth[row, place] == 0


@settings(max_examples=50)
@given(st.sets(st.integers(0, 9), max_size=4))
def test_decoding_gives_back_what_targets_were_made_of(seconds: set[int]) -> None:
    """Whole seconds, of which no two touch."""
    chosen = sorted(s for s in seconds if s - 1 not in seconds)
    clip = framed_clip([Event(s, s + 1.0, "dog") for s in chosen])
    found = decode(targets(clip, LABELS, GRID), clip, LABELS, GRID, 0.5)
    assert len(found) == len(chosen)
    for event, second in zip(found, chosen, strict=True):
        assert event.label == "dog"
        assert abs(event.onset - second) <= 0.0501
        assert abs(event.offset - second - 1) <= 0.0501


def test_an_unknown_label_is_named() -> None:
    with pytest.raises(InputError, match="clip: the label 'cow'"):
        targets(framed_clip([Event(0, 1, "cow")]), LABELS, GRID)
    with pytest.raises(InputError, match="at least one each"):
        fit([], LABELS, GRID)


def naive_event_f1(truth: list[list[Event]], found: list[list[Event]]) -> float:
    """Greedy matching with a 200 ms collar; exact where no event could match two others."""
    hits = sum(
        any(
            a.label == b.label
            and abs(a.onset - b.onset) <= 0.2
            and abs(a.offset - b.offset) <= max(0.2, 0.2 * (a.offset - a.onset))
            for b in own
        )
        for events, own in zip(truth, found, strict=True)
        for a in events
    )
    total = sum(map(len, truth)) + sum(map(len, found))
    return 2 * hits / total if total else 0.0


def test_scores_equal_naive_ones() -> None:
    rng = np.random.default_rng(0)
    truth, found = [], []
    for _ in range(20):
        own, guesses = [], []
        for second in range(0, 9, 3):
            label = str(rng.choice(LABELS))
            own.append(Event(second, second + 2.0, label))
            if rng.random() < 0.8:
                onset, offset = second + rng.uniform(0, 0.25), second + 2 + rng.uniform(0, 0.5)
                guesses.append(Event(onset, offset, label if rng.random() < 0.8 else "rain"))
        truth.append(own)
        found.append(guesses)
    clips = [framed_clip(own, key=str(n)) for n, own in enumerate(truth)]
    scores = event_scores(clips, found, LABELS)
    assert scores["event F1"] == pytest.approx(naive_event_f1(truth, found))
    assert 0.2 < scores["event F1"] < 0.9
    hits = misses = false = 0
    for own, guesses in zip(truth, found, strict=True):
        for second in range(10):
            for label in LABELS:
                there, said = (
                    any(e.label == label and e.onset < second + 1 and e.offset > second for e in es)
                    for es in (own, guesses)
                )
                hits, misses = hits + (there and said), misses + (there and not said)
                false += said and not there
    assert scores["segment F1"] == pytest.approx(2 * hits / (2 * hits + misses + false))


def test_perfect_and_empty_detections() -> None:
    clips = [framed_clip([Event(1, 3, "dog"), Event(5, 6, "rain")], key=str(n)) for n in range(3)]
    perfect = event_scores(clips, [clip.events for clip in clips], LABELS)
    assert all(value == 1 for value in perfect.values())
    assert set(event_scores(clips, [[], [], []], LABELS).values()) == {0.0}
    truth = [targets(clip, LABELS, GRID) for clip in clips]
    assert score(clips, truth, LABELS, GRID) == {"PSDS1": 1.0, "PSDS2": 1.0}
    silence = [np.zeros_like(t) for t in truth]
    assert score(clips, silence, LABELS, GRID) == {"PSDS1": 0.0, "PSDS2": 0.0}
    with pytest.raises(InputError, match="nothing to detect"):
        score([framed_clip([])], [np.zeros_like(truth[0])], LABELS, GRID)


def test_psds_by_hand() -> None:
    """One label, two clips of an hour in all: at a low threshold the event and one false alarm are
    found, at a high one neither, so the ROC is a step of height 1 from 1 per hour to 100."""
    grid = FrameGrid(10.0, 10.0)
    starts = np.arange(180) * 10.0
    clips = [
        FramedClip("a", np.zeros((180, 1), np.float32), starts, (Event(100, 200, "dog"),), 1800.0),
        FramedClip("b", np.zeros((180, 1), np.float32), starts, (), 1800.0),
    ]
    scores = [np.zeros((180, 1), np.float32) for _ in clips]
    scores[0][10:20] = scores[1][50:60] = 0.6
    value = score(clips, scores, ["dog"], grid)["PSDS1"]
    assert value == pytest.approx(0.99, abs=0.005)


def test_psds_is_worse_where_more_is_missed() -> None:
    clips = [
        framed_clip([Event(1 + n % 3, 4.0, "dog"), Event(6, 8, "rain")], key=str(n))
        for n in range(6)
    ]
    values = []
    for missed in (0, 2):
        scores = [targets(clip, LABELS, GRID) for clip in clips]
        for own in scores[:missed]:
            own[:, 0] = 0
        values.append(score(clips, scores, LABELS, GRID)["PSDS1"])
    # The mean over the labels minus its deviation, as the paper weighs instability.
    assert values == pytest.approx([1.0, (4 / 6 + 1) / 2 - 1 / 6])


@pytest.fixture(scope="module")
def mixtures(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """DESED's layout: ten seconds of faint noise each, with real sounds at known times."""
    root = tmp_path_factory.mktemp("desed") / "dataset"
    clips = {
        label: [
            0.7 * wave / np.abs(wave).max()
            for path in sorted((data / "esc10_original").glob(f"*-{target}.ogg"))
            for wave in [load_audio(path, 16_000).samples[:24_000] + 1e-6]
        ]
        for label, target in (("Dog", 0), ("Running_water", 10))
    }
    rng = np.random.default_rng(0)
    for place, table, count, pool in (
        ("train/synthetic21_train/soundscapes", "train/synthetic21_train/soundscapes", 14, 2),
        ("validation/validation", "validation/validation", 4, 2),
        ("eval/public", "eval/public", 6, None),
    ):
        (root / "audio" / place).mkdir(parents=True)
        path = root / "metadata" / f"{table}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ["filename\tonset\toffset\tevent_label"]
        for number in range(count):
            wave = 0.001 * rng.normal(size=160_000)
            for slot in (0, 5):
                label = str(rng.choice(list(clips)))
                choices = clips[label][:pool] if pool else clips[label][2:]
                sound = choices[rng.integers(len(choices))]
                onset = slot + rng.uniform(0.2, 3.0)
                first = int(onset * 16_000)
                wave[first : first + len(sound)] += sound
                offset = onset + len(sound) / 16_000
                lines.append(f"{table[:4]}{number}.wav\t{onset:.3f}\t{offset:.3f}\t{label}")
            soundfile.write(root / "audio" / place / f"{table[:4]}{number}.wav", wave, 16_000)
        path.write_text("\n".join(lines) + "\n")
    return root


def test_the_command_on_mixtures_of_real_sounds(
    run_command: Callable[..., CompletedProcess[str]], mixtures: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results.jsonl"
    done = run_command(
        "evaluate", "events", "--dataset", "desed", "--data", mixtures, "--model", "logmel",
        "--frame", "0.5", "--hop", "0.1", "--seeds", "2", "--results", results,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {row["metric"]: row for row in map(json.loads, results.read_text().splitlines())}
    assert set(rows) == {
        "segment F1", "segment F1 macro", "event F1", "event F1 macro", "PSDS1", "PSDS2",
    }  # fmt: skip
    assert rows["segment F1"]["value"] > 0.5
    assert rows["PSDS2"]["value"] > 0.2
    assert rows["event F1"]["spread"] is not None
    assert rows["event F1"]["split"] == "test"
    assert rows["event F1"]["settings"]["hop"] == 0.1


def test_labels_that_say_nothing_are_not_learned() -> None:
    """A probe on noise finds what it knows by heart, and of what is new no more than chance."""
    rng = np.random.default_rng(0)
    clips = [
        FramedClip(
            str(n),
            rng.normal(size=(96, 200)).astype(np.float32),
            framed_clip([]).starts,
            (Event(float(onset := rng.integers(0, 8)), float(onset) + 1.5, "dog"),),
            10.0,
        )
        for n in range(8)
    ]
    probe = fit(clips[:2], ["dog"], GRID, clips[:2], epochs=100)
    assert isinstance(probe, EventProbe)
    known, unknown = (
        event_scores(part, [probe.detect(clip) for clip in part], ["dog"])
        for part in (clips[:2], clips[2:])
    )
    assert known["event F1"] > 0.7
    assert unknown["event F1"] < 0.3
