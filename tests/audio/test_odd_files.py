"""Every odd kind of file gives its sound, whole and right, or an error that names it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from odd_files import KINDS, LATEST, Kind, likeness
from wav2clip.audio.io import load_audio
from wav2clip.errors import AudioError


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_comes_out(kind: Kind, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / kind.name
    kind.make(path)
    if kind.error:
        with pytest.raises(AudioError, match=kind.error) as caught:
            load_audio(path)
        assert kind.name in str(caught.value)
    else:
        _check(kind, path)
    told = capfd.readouterr()
    assert told.err == told.out == "", "no library may write to the terminal"


def _check(kind: Kind, path: Path) -> None:
    recording = load_audio(path)
    parts, at = kind.expected, 0
    # What encoders put in front and behind, or at most two packets that a cut took with it.
    seconds = sum(map(len, parts)) / 16_000
    assert recording.seconds == pytest.approx(seconds, abs=2 * LATEST * len(parts))
    assert np.isfinite(recording.samples).all()
    for part in parts:
        if len(part) > 4_000 and kind.like > -1 and part.any():
            assert likeness(recording.samples[at : at + len(part)], part) >= kind.like
        at += len(part)
    if kind.warning:
        assert any(re.search(kind.warning, warning) for warning in recording.warnings)
    assert recording.warnings if kind.warning else not recording.warnings
    assert recording.start == pytest.approx(kind.start, abs=LATEST)


def test_names_are_unique() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 150
