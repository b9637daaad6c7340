"""Search against a slow and obvious reference."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from library_sounds import noise

from wav2clip.embedding.embedder import Wav2CLIP
from wav2clip.errors import AudioError, InputError
from wav2clip.library import Filters, Library, Query, Results
from wav2clip.library import library as library_module
from wav2clip.library.space import centre
from wav2clip.library.store import (
    Settings,
    Store,
    file_id,
    segment_schema,
    vector_column,
    vectors_of,
)
from wav2clip.models.background import Background

pytestmark = pytest.mark.everyday

DIMENSION = 512


def fill(store: Store, files: list[int], seed: int, kinds: int | None = None) -> pa.Table:
    """A library of synthetic rows: ``files[i]`` segments of file i. ``kinds``: so many vectors."""
    rng = np.random.default_rng(seed)
    count = sum(files)
    vectors = rng.standard_normal((kinds or count, DIMENSION))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    if kinds:
        vectors = vectors[rng.integers(0, kinds, count)]
    rows = []
    for number, segments in enumerate(files):
        path = f"/sounds/{number % 3}/file {number:04}.wav"
        duration = float(rng.integers(1, 30))
        rows += [
            {
                "id": f"{file_id(path)}-{segment}",
                "file": file_id(path),
                "segment": segment,
                "path": path,
                "path_bytes": path.encode(),
                "start": 7.5 * segment,
                "end": 7.5 * segment + 10,
                "duration": duration,
                "channels": 1,
                "sample_rate": 16_000,
                "size": 1,
                "mtime_ns": number * 86_400 * 10**9,
                "hash": path,
                "fingerprint": "f",
                "tags": ["odd"] if number % 2 else [],
            }
            for segment in range(segments)
        ]
    schema = segment_schema(DIMENSION)
    plain = pa.schema([field for field in schema if field.name != "vector"])
    table = pa.Table.from_pylist(rows, plain)
    table = table.append_column(schema.field("vector"), vector_column(vectors))
    order = rng.permutation(count)  # the order of the rows in the store must not matter
    store.create(Settings("m", "f", DIMENSION, ""))
    for part in np.array_split(order, 3):
        store.replace(table.take(pa.array(part)), [])
    return table


def log_share_below(z: float) -> float:
    """log of the normal distribution."""
    below = math.erfc(-z / math.sqrt(2)) / 2
    return math.log(below) if z < 0 else math.log1p(-math.erfc(z / math.sqrt(2)) / 2)


def deviations_of(log_share: float) -> float:
    """The inverse of it, by bisection."""
    low, high = -35.0, 35.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if log_share_below(middle) < log_share else (low, middle)
    return low


def measured(table: pa.Table) -> Background:
    """How near the library's own sounds lie to queries."""
    files = table["file"].to_pylist()
    weights = np.array([1 / files.count(file) for file in files])
    return Background.measure(vectors_of(table).astype(np.float32), weights)


def independent_segments(own: list[np.ndarray], background: Background) -> float:
    """By how far the nearest lies above the mean of all for queries of no concern."""
    if len(own) == 1:
        return 1.0
    above = []
    for probe in background.probes(32)[0]:
        mean, deviation = background.of(probe)
        z = [(float(vector @ probe) - mean) / deviation for vector in own]
        above.append(max(z) - sum(z) / len(z))
    share = math.erfc(-sum(above) / len(above) / math.sqrt(2)) / 2
    return min(max((3 / 8 + share / 4) / (1 - share), 1), len(own))


def brute_force(
    table: pa.Table,
    query: np.ndarray,
    keep: np.ndarray,
    per_file: bool,
) -> list[tuple[str, float, float, float]]:
    """Id of the best segment, score, start and end of regions, from float64, one row at a time;
    equal scores in the order of path and time."""
    vectors = vectors_of(table).astype(np.float64)
    background = measured(table)
    mean, deviation = background.of(query)
    rows = table.select(["id", "path", "segment", "start", "end"]).to_pylist()
    files: dict[str, list[int]] = {}
    for row in sorted(range(len(rows)), key=lambda r: (rows[r]["path"], rows[r]["segment"])):
        files.setdefault(rows[row]["path"], []).append(row)
    cosine = [float((vector * query.astype(np.float64)).sum()) for vector in vectors]
    scored = []
    for path, own in files.items():
        independent = independent_segments([vectors[row] for row in own], background)
        for place, row in enumerate(own):
            if keep[row]:
                rarity = independent * log_share_below((cosine[row] - mean) / deviation)
                score = max(mean + deviation * deviations_of(rarity), -1)
                scored.append((-round(score, 9), path, place, row))
    found, seen = [], set()
    for score, path, place, row in sorted(scored):
        if row in seen:
            continue
        least = mean + 0.5 * (cosine[row] - mean)
        own, ends = files[path], []
        for step in (-1, 1):
            edge = place
            while (
                0 <= edge + step < len(own)
                and keep[own[edge + step]]
                and least <= cosine[own[edge + step]] <= cosine[row]
            ):
                edge += step
            ends.append(edge)
        seen |= set(own if per_file else own[ends[0] : ends[1] + 1])
        first, last = rows[own[ends[0]]], rows[own[ends[1]]]
        found.append((rows[row]["id"], -score, first["start"], last["end"]))
    return found


def agree(found: Results, expected: list[tuple[str, float, float, float]], limit: int) -> None:
    """``expected``: all there are. What is worth the same but for rounding may change places."""
    scores = [each.score for each in found]
    np.testing.assert_allclose(scores, [each[1] for each in expected[:limit]], atol=2e-5)
    assert scores == sorted(scores, reverse=True)
    assert len({each.id for each in found}) == len(found)
    regions = {key: rest for key, *rest in expected}
    for each in found:
        told = (each.score, each.start, each.end)
        np.testing.assert_allclose(told, regions[each.id], atol=2e-5)
    for one, other in pairwise(found):
        if one.similarity == other.similarity and one.score == other.score:
            assert (one.path, one.peak) < (other.path, other.peak), "equal ones by path"


@settings(max_examples=25)
@given(
    files=st.lists(st.integers(1, 4), min_size=1, max_size=60),
    kinds=st.sampled_from([None, 1, 7]),
    limit=st.sampled_from([1, 3, 10, 1000]),
    per_file=st.booleans(),
    filtered=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_exact_search_is_brute_force_to_the_last_row(
    files: list[int], kinds: int | None, limit: int, per_file: bool, filtered: bool, seed: int
) -> None:
    """With ties (``kinds``), filters, and one result per file or all."""
    library = Library(Store("memory://search"), None)
    table = fill(library.store, files, seed, kinds)
    query = np.random.default_rng(seed + 1).standard_normal(DIMENSION).astype(np.float32)
    query /= np.linalg.norm(query)
    keep = np.ones(len(table), bool)
    filters = Filters()
    if filtered:
        filters = Filters(min_duration=10, tags=("odd",), path="[01]/*")
        paths = table["path"].to_pylist()
        keep = np.array(
            [
                duration >= 10 and tags == ["odd"] and path.split("/")[2] in "01"
                for duration, tags, path in zip(
                    table["duration"].to_pylist(), table["tags"].to_pylist(), paths, strict=True
                )
            ]
        )
    found = library.search(query, limit=limit, filters=filters, per_file=per_file)
    unit = query / np.float32(np.linalg.norm(query))
    agree(found, brute_force(table, unit, keep, per_file), limit)
    assert found.exact


@pytest.mark.parametrize("limit", [1, 10, 100])
def test_thousands_of_rows(limit: int, tmp_path: Path) -> None:
    library = Library.open(tmp_path / "library")
    table = fill(library.store, [1 + i % 3 for i in range(1200)], 5)
    rng = np.random.default_rng(3)
    for _ in range(3):  # the first in floats, the others in codes
        query = rng.standard_normal(DIMENSION).astype(np.float32)
        query /= np.float32(np.linalg.norm(query))
        query /= np.float32(np.linalg.norm(query))
        found = library.search(query, limit=limit)
        agree(found, brute_force(table, query, np.ones(len(table), bool), True), limit)


def test_through_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the border: good recall, exact scores, filters met, whole count of files."""
    library = Library.open(tmp_path / "library")
    table = fill(library.store, [1 + i % 3 for i in range(2500)], 5)
    rng = np.random.default_rng(3)
    queries = vectors_of(table)[::500].astype(np.float32)
    queries = queries + 0.02 * rng.standard_normal(queries.shape).astype(np.float32)
    known = measured(table)
    monkeypatch.setattr(Library, "_background", lambda self: known)
    exact = [library.search(query, limit=10) for query in queries]
    monkeypatch.setattr("wav2clip.library.store.EXACT_ROWS", 1000)
    monkeypatch.setattr(library_module, "EXACT_ROWS", 1000)
    library.store.tidy()
    assert library.store.indexed
    hits = 0
    for query, truth in zip(queries, exact, strict=True):
        found = library.search(query, limit=10)
        assert not found.exact
        assert len({result.path for result in found}) == 10
        assert [r.score for r in found] == sorted((r.score for r in found), reverse=True)
        hits += len({r.id for r in found} & {r.id for r in truth})
        scores = {r.id: r.score for r in truth}
        for result in found:
            assert result.score == pytest.approx(scores.get(result.id, result.score), abs=1e-9)
        filtered = library.search(query, limit=10, filters=Filters(tags=("odd",), min_duration=20))
        assert len(filtered) == 10
        assert all(r.tags == ("odd",) and r.duration >= 20 for r in filtered)
    assert hits >= 0.95 * 10 * len(queries)
    # What is added later is found before the index knows it.
    extra = table.slice(0, 1).set_column(0, "id", pa.array(["new"]))
    extra = extra.set_column(1, "file", pa.array(["new"]))
    extra = extra.set_column(4, "path_bytes", pa.array([b"/new.wav"]))
    library.store.replace(extra, [])
    best = library.search(vectors_of(extra)[0].astype(np.float32), limit=2)
    assert Path("/new.wav") in [result.path for result in best]


def test_a_library_that_grows_is_seen(library: Library, sounds: Path) -> None:
    library.index(sounds)
    reader = Library.open(library.store.uri, library.model)
    assert len(reader.similar(sounds / "0.wav")) == 5
    (sounds / "new.wav").write_bytes(noise(60))
    library.index(sounds)
    assert len(reader.similar(sounds / "0.wav")) == 6


def test_the_region_of_a_file(library: Library, sounds: Path) -> None:
    library.index(sounds)
    long = sounds / "deep" / "long.wav"
    rows = library.to_arrow().to_pylist()
    third = next(r for r in rows if r["path"] == str(long) and r["start"] == 15)
    found = library.search(np.array(third["vector"], np.float32))
    assert (found[0].path, found[0].peak) == (long, 15)
    assert (found[0].start, found[0].end) == (0, 26), "all of it is the same noise"
    assert found[0].similarity == pytest.approx(1, abs=1e-3)
    assert [result.path for result in found].count(long) == 1
    every = library.search(np.array(third["vector"], np.float32), per_file=False, limit=100)
    assert [result.path for result in every].count(long) == 1


def test_similar_needs_no_model_for_what_it_knows(library: Library, sounds: Path) -> None:
    library.index(sounds)
    without = Library.open(library.store.uri, loader=lambda name: pytest.fail("a model was loaded"))
    known = without.similar(sounds / "1.wav")
    outside = sounds.parent / "outside.wav"
    outside.write_bytes((sounds / "1.wav").read_bytes())
    unknown = library.similar(outside, limit=10)
    assert unknown[0].path == sounds / "1.wav", "only the query file itself is left out"
    assert [r.path for r in unknown[1:]] == [r.path for r in known]
    assert known[0].similarity == pytest.approx(unknown[1].similarity, abs=2e-3)


def test_arithmetic(library: Library, sounds: Path, small: Wav2CLIP) -> None:
    library.index(sounds)
    means, saved = small.towers.means, library.store.settings
    query = Query.text("rain") + 0.5 * Query.text("thunder") - Query.audio(sounds / "0.wav")
    texts = centre(small.embed_text(["rain", "thunder"]), means["text"])
    audio = centre(small.embed_file(sounds / "0.wav")[None], small.mean)[0]
    added = texts[0] + 0.5 * texts[1]
    expected = added - max(added @ audio, 0) * audio
    np.testing.assert_allclose(
        query.vector(small, saved), expected / np.linalg.norm(expected), atol=1e-5
    )
    found = library.search(query)
    assert sounds / "0.wav" not in [result.path for result in found]
    assert len(found) == 5
    with pytest.raises(InputError, match="no direction"):
        library.search(Query.text("rain") - Query.text("rain"))


@given(
    weights=st.lists(st.floats(0.1, 3), min_size=1, max_size=4),
    taken=st.lists(st.floats(0.1, 1), min_size=1, max_size=3),
    seed=st.integers(0, 2**16),
)
def test_what_is_subtracted_is_projected_out(
    weights: list[float], taken: list[float], seed: int
) -> None:
    """It never turns the query round, and taking away what has nothing in common takes nothing."""
    rng = np.random.default_rng(seed)
    vectors = [centre(rng.standard_normal((1, 8)), None)[0] for _ in [*weights, *taken]]
    plain = Settings("m", "f", 8, "")
    added = sum((w * Query.embedding(v) for w, v in zip(weights, vectors, strict=False)), Query(()))
    before = added.vector(None, plain)
    rest = added
    for weight, vector in zip(taken, vectors[len(weights) :], strict=True):
        rest = rest - weight * Query.embedding(vector)
    after = rest.vector(None, plain)
    assert float(after @ before) > -1e-6
    last = vectors[-1]
    only = (added - Query.embedding(last)).vector(None, plain)
    assert float(only @ last) <= 1e-4
    if float(before @ last) <= 0:
        np.testing.assert_allclose(only, before, atol=1e-6)
    alone = (-1.0 * Query.embedding(last)).vector(None, plain)
    np.testing.assert_allclose(alone, -last, atol=1e-6)


def test_a_part_of_a_recording(library: Library, sounds: Path, small: Wav2CLIP) -> None:
    """From its stored segments, or cut from the file; it alone is left out of what it finds."""
    library.index(sounds)
    long = sounds / "deep" / "long.wav"
    rows = {r["start"]: r for r in library.to_arrow().to_pylist() if r["path"] == str(long)}
    stored = np.array(rows[15]["vector"], np.float32)
    outside = sounds.parent / "outside.wav"
    outside.write_bytes(long.read_bytes())
    for path in (long, outside):
        query = Query.audio(path, (15.0, 25.0))
        vector = query.vector(small, library.store.settings)
        assert float(vector @ stored / np.linalg.norm(stored)) > 0.999
    found = library.search(Query.audio(long, (15.0, 25.0)), per_file=False, limit=50)
    assert long in [result.path for result in found]
    assert all(r.end <= 15 or r.start >= 25 or r.path != long for r in found)
    assert long not in [r.path for r in library.search(Query.audio(long), limit=50)]
    between = library.search(Query.audio(long, (16.0, 16.5)), limit=50)
    assert len(between) == 6
    assert Query.marked([Query.audio(long)], [Query.text("rain")]).terms[1].weight == -0.1
    for bad in ((3.0, 3.0), (-1.0, 2.0), (0.0, float("inf"))):
        with pytest.raises(InputError, match="expected 0 <= start < end"):
            Query.audio(long, bad)
    with pytest.raises(AudioError, match="there is no sound from 90"):
        library.search(Query.audio(outside, (90.0, 91.0)))


def test_words_pictures_and_sounds_together(library: Library, sounds: Path, data: Path) -> None:
    library.index(sounds)
    picture = next((data / "tuxpaint").rglob("*.jpg"))
    assert len(library.search("a dog", image=picture, audio=sounds / "0.wav")) == 5
    assert len(library.search(image=picture, limit=2)) == 2


def test_tables(library: Library, sounds: Path) -> None:
    pytest.importorskip("pandas")
    library.index(sounds)
    found = library.search("rain", limit=3)
    frame, table = found.to_pandas(), found.to_arrow()
    assert list(frame["path"]) == [str(result.path) for result in found]
    assert table["score"].to_pylist() == [result.score for result in found]
    assert "vector" not in table.column_names
    assert frame["modified"][0].timestamp() == pytest.approx(
        found[0].path.stat().st_mtime, abs=1e-3
    )
    assert len(found[:2]) == 2
    assert repr(found) == "<Results: 3, exact>"
    nothing = library.search("rain", filters=Filters(path="nothing*"))
    assert len(nothing) == 0
    assert nothing.to_pandas().empty


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros(512), np.full(512, np.nan), Query(()), None])
def test_queries_that_are_none(library: Library, sounds: Path, bad: object) -> None:
    library.index(sounds)
    with pytest.raises(InputError):
        library.search(bad)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="limit is 0"):
        library.search("rain", limit=0)
