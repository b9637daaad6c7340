"""Calls made at once are answered together, each with its own answer."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from patience import HANGS, wait_until
from wav2clip.library import Library, Query
from wav2clip.library.together import Together

pytestmark = pytest.mark.everyday


def test_those_who_wait_are_answered_by_one_call() -> None:
    calls: list[int] = []
    first_is_in, go_on = Event(), Event()

    def double(numbers: Sequence[int]) -> list[int]:
        calls.append(len(numbers))
        first_is_in.set()
        assert go_on.wait(HANGS)
        return [2 * number for number in numbers]

    ask = Together(double)
    with ThreadPoolExecutor(41) as pool:
        alone = pool.submit(ask, 0)
        assert first_is_in.wait(HANGS)
        others = [pool.submit(ask, number) for number in range(1, 41)]
        wait_until(lambda: len(ask._waiting) == 40)
        go_on.set()
        assert [future.result(HANGS) for future in [alone, *others]] == list(range(0, 82, 2))
    assert calls == [1, 32, 8]


def test_a_bad_question_costs_its_own_answer_only() -> None:
    first_is_in, go_on = Event(), Event()

    def invert(numbers: Sequence[int]) -> list[float]:
        first_is_in.set()
        assert go_on.wait(HANGS)
        return [1 / number for number in numbers]

    ask = Together(invert)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(ask, 1)]
        assert first_is_in.wait(HANGS)
        futures += [pool.submit(ask, number) for number in (2, 0, 4)]
        wait_until(lambda: len(ask._waiting) == 3)
        go_on.set()
        assert [futures[place].result(HANGS) for place in (0, 1, 3)] == [1, 0.5, 0.25]
        with pytest.raises(ZeroDivisionError):
            futures[2].result(HANGS)


def test_an_interrupted_call_leaves_nobody_waiting() -> None:
    interrupted = [True, False]

    def answer(numbers: Sequence[int]) -> list[int]:
        if interrupted.pop(0):
            raise KeyboardInterrupt
        return list(numbers)

    ask = Together(answer)
    with pytest.raises(KeyboardInterrupt):
        ask(1)
    assert ask(2) == 2


def test_threads_that_search_one_library_find_what_each_finds_alone(
    library: Library, sounds: Path
) -> None:
    library.index(sounds)
    phrases = [f"a sound like {word}" for word in ("rain", "a dog", "wind", "a bell", "steps")]
    alone = [[hit.id for hit in library.search(phrase)] for phrase in phrases]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            found = pool.map(library.search, phrases)
            assert [[hit.id for hit in hits] for hits in found] == alone


def test_vectors_take_part_in_queries_like_what_they_were_made_of(
    library: Library, sounds: Path
) -> None:
    library.index(sounds)
    recording, settings = sounds / "deep" / "4.wav", library.store.settings
    vector = Query.audio(recording).vector(library.model, settings)
    mixed = Query.text("wind") - 0.5 * Query.embedding(vector, "what was uploaded")
    expected = (Query.text("wind") - 0.5 * Query.audio(recording)).vector(library.model, settings)
    np.testing.assert_allclose(mixed.vector(library.model, settings), expected, atol=1e-6)
    # Stored vectors are rounded to 16 bits; the recording itself is left out of its own finds.
    found = library.search(Query.text("wind") - 0.5 * Query.audio(recording), limit=50)
    assert recording not in [hit.path for hit in found]
    scores = {hit.path: hit.score for hit in library.search(mixed, limit=50)}
    for hit in found:
        assert hit.score == pytest.approx(scores[hit.path], abs=2e-3)
