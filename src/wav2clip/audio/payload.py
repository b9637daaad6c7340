"""Coded sound that is stored as if it were samples: what a receiver gets through S/PDIF.

Played or embedded as samples it is noise. It is told by the words that begin every burst of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wav2clip.audio.track import Samples

EXACT = frozenset({"alac", "ape", "double", "flac", "float", "shorten", "tak", "tta", "wavpack"})
"""Codecs other than PCM whose samples are those that were stored."""

_ENOUGH = 2
"""Bursts that must be there: one could be chance."""

_CODED = {1: "AC-3", 4: "MPEG", 5: "MPEG", 6: "MPEG", 7: "AAC", 11: "DTS", 12: "DTS", 13: "DTS",
          17: "DTS", 21: "E-AC-3", 22: "TrueHD"}  # fmt: skip
"""Kinds of bursts (IEC 61937-2)."""

_PREAMBLE = (0xF872, 0x4E1F)
"""Of a burst (IEC 61937-1); the word after it says what kind it is."""

_DTS_16, _DTS_14 = (0x7FFE, 0x8001), (0x1FFF, 0xE800)
"""What begins a frame of DTS in words of 16 and of 14 bits (ETSI TS 102 114, section 5.4)."""


def coded_in(block: Samples) -> str:
    """What samples (n, 2) carry, such as "AC-3 (S/PDIF)"; "" if they are sound."""
    words = block.ravel() * np.float32(32768)
    for swapped in (False, True):
        bursts = _after(words, _PREAMBLE, swapped)
        if len(bursts) >= _ENOUGH:
            return f"{_CODED.get(int(bursts[0]) & 31, 'coded sound')} (S/PDIF)"
        # In a frame of full length the six bits after the mark are ones.
        sixteen, fourteen = _after(words, _DTS_16, swapped), _after(words, _DTS_14, swapped)
        frames = np.sum(sixteen & 0xFC00 == 0xFC00) + np.sum(fourteen & 0xFFF0 == 0x07F0)
        if frames >= _ENOUGH:
            return "DTS"
    return ""


def _after(words: Samples, mark: tuple[int, int], swapped: bool) -> NDArray[np.uint16]:
    """The words that follow a mark, all of them perhaps with their bytes the other way round."""
    wanted = np.array(mark, np.uint16)
    first, second = (wanted.byteswap() if swapped else wanted).view(np.int16)
    (places,) = np.nonzero(words[:-2] == first)
    places = places[words[places + 1] == second] + 2
    found: NDArray[np.uint16] = words[places].astype(np.int16).view(np.uint16)
    return found.byteswap() if swapped else found
