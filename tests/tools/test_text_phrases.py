"""The phrases that the text tower is trained on: none that a benchmark asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_curation import tool

from wav2clip.zeroshot import preset_labels

train_text_tower = tool("train_text_tower")


def test_every_class_of_audioset_is_asked_for() -> None:
    classes = {name for _, meant in train_text_tower.sound_phrases() for name in meant}
    assert classes == set(preset_labels("audioset"))


@pytest.mark.parametrize(
    "phrase", ["Thunder", "The train passing!", "opening soda cans", "a leaking faucet"]
)
def test_what_a_benchmark_asks_for_is_refused(
    phrase: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "phrases.txt"
    monkeypatch.setattr(train_text_tower, "SOUND_PHRASES", path)
    path.write_text("# heading\nsnow falling = Silence | Noise\n", encoding="utf-8")
    assert train_text_tower.sound_phrases() == [("snow falling", ["Silence", "Noise"])]
    path.write_text(f"snow falling = Silence\n{phrase} = Train\n", encoding="utf-8")
    with pytest.raises(ValueError, match=phrase):
        train_text_tower.sound_phrases()
