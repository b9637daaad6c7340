"""Captions: scores against hand-computed and naive ones and another package's, and a decoder that
learns what real sounds are called."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wav2clip.audio.io import load_audio
from wav2clip.errors import InputError
from wav2clip.evaluation.caption_metrics import bleu, caption_scores, cider_d, rouge_l, words
from wav2clip.evaluation.captions import (
    END,
    START,
    CaptionConfig,
    CaptionedClip,
    Vocabulary,
    fit,
)

CANDIDATES = ["a dog barks in the rain", "a siren wails far away", "rain falls"]
REFERENCES = [
    ["a dog barks while rain falls", "a dog is barking in the rain"],
    ["a siren wails", "an ambulance with a siren passes far away"],
    ["rain falls on a tin roof", "it rains"],
]

WORDS = ["a", "dog", "rain", "falls", "in", "the"]

sentences = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8)


def test_scores_equal_those_of_aac_metrics() -> None:
    """What aac-metrics 0.6.0 gives for the same sentences (its smoothing of BLEU-4, where no run of
    four words matches, is 9e-5)."""
    expected = {
        "BLEU-1": 1.0, "BLEU-2": 0.8944271909, "BLEU-3": 0.6999028047, "BLEU-4": 0.0,
        "ROUGE-L": 0.7081387604, "CIDEr-D": 2.4151376147,
    }  # fmt: skip
    assert caption_scores(CANDIDATES, REFERENCES) == pytest.approx(expected, abs=1e-8)


def test_by_hand() -> None:
    # Two of three words match and one of two pairs; as long as the reference.
    assert bleu([("a", "dog", "ran")], [[("a", "dog", "barks")]], 2) == pytest.approx(
        (2 / 3 * 1 / 2) ** 0.5
    )
    # Half as long as the reference: exp(1 - 4/2).
    assert bleu([("a", "dog")], [[("a", "dog", "barks", "now")]], 1) == pytest.approx(np.exp(-1))
    # A word counts as often as one reference has it.
    assert bleu([("the", "the", "the")], [[("the", "cat", "sat")]], 1) == pytest.approx(1 / 3)
    # In order: a, barks. Precision 2/3, recall 2/4.
    assert rouge_l(("a", "barks", "cat"), [("a", "dog", "barks", "now")]) == pytest.approx(
        (1 + 1.44) * (2 / 3) * 0.5 / (0.5 + 1.44 * 2 / 3)
    )
    split = ["a", "dog's", "bark", "far", "away", "3", "times"]
    assert list(words("A dog's bark, far-away: 3 times!")) == split


def naive_cider(candidates: list[tuple], references: list[list[tuple]]) -> list[float]:
    """The formula of the paper with dense vectors over all n-grams."""

    def count(sentence: tuple, n: int) -> Counter:
        return Counter(sentence[i : i + n] for i in range(len(sentence) - n + 1))

    totals = np.zeros(len(candidates))
    for n in range(1, 5):
        everything = {g for refs in references for r in refs for g in count(r, n)}
        everything |= {g for c in candidates for g in count(c, n)}
        order = sorted(everything)
        found_in = [sum(any(g in count(r, n) for r in refs) for refs in references) for g in order]
        idf = np.log(len(references) / np.maximum(1, found_in))
        for row, (candidate, refs) in enumerate(zip(candidates, references, strict=True)):
            a = np.array([count(candidate, n)[g] for g in order]) * idf
            for ref in refs:
                b = np.array([count(ref, n)[g] for g in order]) * idf
                lengths = max(0, len(candidate) - 1) - max(0, len(ref) - 1)
                norm = np.linalg.norm(a) * np.linalg.norm(b)
                cosine = np.minimum(a, b) @ b / (norm if norm > 0 else 1)
                totals[row] += 10 / 4 / len(refs) * np.exp(-(lengths**2) / 72) * cosine
    return totals.tolist()


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(sentences, st.lists(sentences, min_size=1, max_size=3)), min_size=2, max_size=5
    )
)
def test_cider_equals_the_formula(drawn: list[tuple[list[str], list[list[str]]]]) -> None:
    candidates = [tuple(candidate) for candidate, _ in drawn]
    references = [[tuple(r) for r in refs] for _, refs in drawn]
    expected = naive_cider(candidates, references)
    assert cider_d(candidates, references) == pytest.approx(expected, abs=1e-9)


def test_extremes() -> None:
    perfect = caption_scores([refs[0] for refs in REFERENCES], REFERENCES)
    assert perfect["BLEU-1"] == perfect["BLEU-3"] == perfect["ROUGE-L"] == 1
    nothing = caption_scores(["", "zzz", "?"], REFERENCES)
    assert set(nothing.values()) == {0.0}
    with pytest.raises(InputError, match="at least two"):
        caption_scores(["one"], [["one"]])
    with pytest.raises(InputError, match="caption 1 has no reference"):
        caption_scores(["one", "two"], [["one"], []])


def test_vocabulary() -> None:
    vocabulary = Vocabulary(["a dog", "a cat", "a dog barks"], fewest=2)
    assert vocabulary.words[4:] == ["a", "dog"]
    numbers = vocabulary.encode("A dog howls", 10)
    assert (numbers[0], numbers[-1], len(numbers)) == (START, END, 5)
    assert vocabulary.decode(numbers) == "a dog"
    assert len(vocabulary.encode("a a a a a", 3)) == 5


@pytest.fixture(scope="module")
def toy() -> list[CaptionedClip]:
    """Frames of two kinds, and what each is called."""
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(2, 12)).astype(np.float32)
    names = (("a dog barks loudly",), ("rain falls on the roof",))
    return [
        CaptionedClip(
            kinds[n % 2] + 0.1 * rng.normal(size=(3 + n % 4, 12)).astype(np.float32), names[n % 2]
        )
        for n in range(24)
    ]


SMALL = CaptionConfig(
    width=32, heads=2, layers=1, dropout=0.0, epochs=25, batch=4, learning_rate=3e-3
)


def test_a_decoder_learns_what_frames_are_called(toy: list[CaptionedClip]) -> None:
    captioner = fit(toy[:16], toy[16:20], SMALL)
    for clip in toy[20:]:
        for beam in (1, 3):
            assert captioner.caption(clip.frames, beam) in clip.captions
    again = fit(toy[:16], toy[16:20], SMALL)
    assert captioner.caption(toy[0].frames) == again.caption(toy[0].frames)
    with pytest.raises(InputError, match="beam"):
        captioner.caption(toy[0].frames, 0)
    with pytest.raises(InputError, match="no captions"):
        fit([])


def test_padding_changes_nothing(toy: list[CaptionedClip]) -> None:
    captioner = fit(toy[:8], config=CaptionConfig(width=32, heads=2, layers=1, epochs=1))
    decoder, numbers = captioner.decoder, torch.tensor([[START, 5, 6]])
    frames = torch.from_numpy(toy[0].frames)[None]
    plain = decoder(decoder.read(frames), None, numbers)
    longer = torch.cat([frames, torch.randn(1, 4, 12)], dim=1)
    padded = torch.arange(longer.shape[1])[None] >= frames.shape[1]
    torch.testing.assert_close(decoder(decoder.read(longer), padded, numbers), plain)
    changed = decoder(decoder.read(frames), None, torch.tensor([[START, 5, 7]]))
    torch.testing.assert_close(changed[:, :2], plain[:, :2])  # the past knows no future


@pytest.fixture(scope="module")
def clotho(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """Clotho's layout with real clips of two kinds."""
    root = tmp_path_factory.mktemp("clotho")
    kinds = {0: "a dog is barking", 10: "rain is falling on a roof"}
    for part, name in enumerate(("development", "validation", "evaluation")):
        (root / name).mkdir()
        rows = []
        for target, caption in kinds.items():
            paths = sorted((data / "esc10_original").glob(f"*-{target}.ogg"))
            chosen = paths[:2] if part == 0 else paths[part + 1 : part + 2]
            for path in chosen:
                wave = load_audio(path, 16_000).samples
                for piece in range(4):
                    filename = f"{name} {path.stem} {piece}.wav"
                    cut = wave[piece * 16_000 :][: 32_000 if piece < 3 else 16_000]
                    soundfile.write(root / name / filename, cut + 1e-5 * (part + 1), 16_000)
                    rows.append([filename, *[caption] * 3, f"{caption} loudly", caption])
        with (root / f"clotho_captions_{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file_name", *(f"caption_{n}" for n in range(1, 6))])
            writer.writerows(rows)
    return root


def test_the_command_on_real_sounds(
    run_command: Callable[..., CompletedProcess[str]], clotho: Path, tmp_path: Path
) -> None:
    results, written = tmp_path / "results.jsonl", tmp_path / "captions.tsv"
    done = run_command(
        "evaluate", "captions", "--dataset", "clotho", "--data", clotho, "--model", "logmel",
        "--epochs", "4", "--beam", "2", "--results", results, "--written", written,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {row["metric"]: row for row in map(json.loads, results.read_text().splitlines())}
    assert {"BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr-D"} <= set(rows)
    assert rows["ROUGE-L"]["value"] > 0.3  # it speaks of one of the two
    assert rows["ROUGE-L"]["split"] == "test"
    lines = written.read_text().splitlines()
    assert len(lines) == 8
    assert all("\t" in line for line in lines)
