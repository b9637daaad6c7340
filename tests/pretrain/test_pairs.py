"""From files to pairs: what is heard and seen is what comes out, whatever the files are like."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from toy import DIMENSION, SIDE, ToyTowers, film

from odd_files import Audio, mute_video, muxed
from wav2clip.audio.io import load_audio
from wav2clip.errors import DataError, InputError
from wav2clip.files import is_mute
from wav2clip.models.towers.images import open_image
from wav2clip.pretrain.media import read_media
from wav2clip.pretrain.pairs import PrepareSettings, prepare
from wav2clip.pretrain.shards import Sample, iterate, read_manifest
from wav2clip.pretrain.sources import list_source
from wav2clip.reading.readers import Readers

RNG = np.random.default_rng(0)


def colours(count: int) -> np.ndarray:
    """Pictures (count, SIDE, SIDE, 3) of one colour each, all different."""
    values = np.random.default_rng(count).integers(0, 256, (count, 1, 1, 3))
    return np.broadcast_to(values, (count, SIDE, SIDE, 3)).astype(np.uint8)


def noise(seconds: float, rate: int = 16_000) -> np.ndarray:
    return RNG.uniform(-0.5, 0.5, round(seconds * rate)).astype(np.float32)


def table(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, sorted({name for row in rows for name in row}))
        writer.writeheader()
        writer.writerows(rows)
    return path


def samples(folder: Path) -> list[Sample]:
    manifest = read_manifest(folder)
    return [sample for split in manifest.splits for sample in iterate(folder, split)]


def by_hand(pictures: list[Image.Image]) -> np.ndarray:
    """Mean of the unit embeddings of pictures, unit length."""
    mean = ToyTowers().embed_image(pictures).mean(axis=0)
    return mean / np.linalg.norm(mean)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """A table of twelve captioned sounds, one of them in stereo at 44.1 kHz."""
    rows = []
    for number in range(12):
        name = f"{number}.wav"
        rate = 44_100 if number == 3 else 16_000
        wave = noise(0.3 + 0.1 * number, rate)
        soundfile.write(tmp_path / name, np.stack([wave, wave], 1) if number == 3 else wave, rate)
        rows.append({"audio": name, "captions": f"sound {number};noise", "label": "ab"[number % 2]})
    return table(tmp_path / "sounds.csv", rows)


# Films ----------------------------------------------------------------------------------------


def test_tuxpaint_picture_and_sound_as_a_film(data: Path, tmp_path: Path) -> None:
    """A real picture and its sound, muxed, come out as that sound and that picture's embedding."""
    folder = data / "tuxpaint"
    with (folder / "pairs.csv").open(newline="") as file:
        row = next(row for row in csv.DictReader(file) if "frog" in row["audio"])
    picture = open_image(folder / row["image"]).resize((SIDE, SIDE))
    wave = load_audio(folder / row["audio"]).samples
    videos = tmp_path / "videos"
    videos.mkdir()
    film(videos / "frog.mkv", np.asarray(picture)[None].repeat(8, axis=0), np.arange(8) / 4, wave)
    manifest = prepare(videos, tmp_path / "out", ToyTowers(), PrepareSettings(validation=0))
    assert manifest.failures == []
    [sample] = iterate(tmp_path / "out")
    np.testing.assert_allclose(sample.targets, [by_hand([picture])], atol=1e-6)
    np.testing.assert_allclose(sample.audio / 32768, wave[:160_000], atol=2 / 32768)
    assert sample.kind == "image"
    assert sample.source == "frog.mkv"


@pytest.mark.parametrize("rate", [0.5, 1.0, 4.0, 30.0])
def test_frames_at_a_rate_from_a_film_of_variable_rate(tmp_path: Path, rate: float) -> None:
    """At each k / rate the frame on the screen counts; checked against a search over all times."""
    times = np.array([0, 0.04, 0.3, 0.9, 1.0, 1.05, 2.2, 2.9])
    pictures = colours(len(times))
    (tmp_path / "videos").mkdir()
    film(tmp_path / "videos" / "a.mkv", pictures, times, noise(2.95))
    settings = PrepareSettings(frame_rate=rate, validation=0)
    prepare(tmp_path / "videos", tmp_path / "out", ToyTowers(), settings)
    [sample] = iterate(tmp_path / "out")
    wanted = [k / rate for k in range(200) if k / rate < 2.901]
    shown = [np.flatnonzero(times <= t + 1e-6)[-1] for t in wanted]
    expected = by_hand([Image.fromarray(pictures[i]) for i in shown])
    np.testing.assert_allclose(sample.targets[0], expected, atol=1e-6)


def test_films_that_lack_something(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    film(videos / "1 good.mkv", colours(10), np.arange(10) / 10, noise(1))
    film(videos / "2 no sound.mkv", colours(10))
    film(videos / "3 no video.mkv", None, None, noise(1))
    film(videos / "4 zero frames.mkv", colours(1)[:0], None, noise(1))
    film(videos / "5 short.mkv", colours(2), np.array([0, 0.05]), noise(0.1))
    (videos / "6 text.mp4").write_text("no film")
    (videos / "7 empty.mp4").touch()
    whole = (videos / "1 good.mkv").read_bytes()
    (videos / "8 cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    out = tmp_path / "out"
    manifest = prepare(videos, out, ToyTowers(), PrepareSettings(validation=0))
    reasons = {failure.source: failure.reason for failure in manifest.failures}
    assert sorted(reasons) == [
        "2 no sound.mkv",
        "3 no video.mkv",
        "4 zero frames.mkv",
        "6 text.mp4",
        "7 empty.mp4",
    ]
    assert "no audio track" in reasons["2 no sound.mkv"]
    assert "no video track" in reasons["3 no video.mkv"]
    assert "no frames" in reasons["4 zero frames.mkv"]
    assert "can read it" in reasons["6 text.mp4"]
    assert "empty" in reasons["7 empty.mp4"]
    found = {sample.source: sample for sample in iterate(out)}
    assert sorted(found) == ["1 good.mkv", "5 short.mkv", "8 cut.mkv"]
    assert len(found["5 short.mkv"].audio) == 1600
    first = by_hand([Image.fromarray(colours(2)[0])])
    np.testing.assert_allclose(found["5 short.mkv"].targets, [first], atol=1e-6)


def test_a_film_is_cut_to_the_seconds_asked_for(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    wave = noise(3)
    film(tmp_path / "videos" / "a.mkv", colours(6), np.arange(6) / 2, wave)
    settings = PrepareSettings(seconds=1.0, frame_rate=2, validation=0)
    prepare(tmp_path / "videos", tmp_path / "out", ToyTowers(), settings)
    [sample] = iterate(tmp_path / "out")
    assert sample.seconds == 1.0
    expected = by_hand([Image.fromarray(picture) for picture in colours(6)[:2]])
    np.testing.assert_allclose(sample.targets[0], expected, atol=1e-6)


# Tables ---------------------------------------------------------------------------------------


def test_real_pairs(data: Path, tmp_path: Path) -> None:
    """All sounds and pictures of tuxpaint; three of them compared by hand."""
    manifest = prepare(data / "tuxpaint/pairs.csv", tmp_path / "out", ToyTowers())
    assert manifest.failures == []
    assert (manifest.samples("train"), manifest.samples("validation")) == (97, 5)
    with (data / "tuxpaint/pairs.csv").open(newline="") as file:
        rows = {row["audio"]: row for row in csv.DictReader(file)}
    for sample in samples(tmp_path / "out")[::40]:
        row = rows[sample.source]
        wave = load_audio(data / "tuxpaint" / row["audio"]).samples[:160_000]
        np.testing.assert_allclose(sample.audio / 32768, wave.clip(-1, 1), atol=2 / 32768)
        expected = by_hand([open_image(data / "tuxpaint" / row["image"])])
        np.testing.assert_allclose(sample.targets[0], expected, atol=1e-6)
        assert sample.captions == (row["caption"],)


def test_captions_become_one_target_each(sounds: Path, tmp_path: Path) -> None:
    towers = ToyTowers()
    prepare(sounds, tmp_path / "out", towers, PrepareSettings(validation=2))
    found = samples(tmp_path / "out")
    assert len(found) == 12
    for sample in found:
        assert sample.targets.shape == (2, DIMENSION)
        np.testing.assert_allclose(
            sample.targets, ToyTowers().embed_text(list(sample.captions)), atol=1e-6
        )
    assert len(towers.read) == 13, "each phrase goes to the teacher once"
    assert read_manifest(tmp_path / "out").samples("validation") == 2


def test_jsonl_and_csv_say_the_same(sounds: Path, tmp_path: Path) -> None:
    with sounds.open(newline="") as file:
        rows = [row | {"captions": row["captions"].split(";")} for row in csv.DictReader(file)]
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "sounds.jsonl").write_text("\n".join([*lines, "", "{broken", "[1]"]) + "\n")
    first = prepare(sounds, tmp_path / "a", ToyTowers())
    second = prepare(tmp_path / "sounds.jsonl", tmp_path / "b", ToyTowers())
    assert first.splits == second.splits
    assert [failure.source for failure in second.failures] == [
        "sounds.jsonl, line 14",
        "sounds.jsonl, line 15",
    ]


def test_the_split_column_is_kept(sounds: Path, tmp_path: Path) -> None:
    with sounds.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        row["split"] = "validation" if number in (2, 5) else "train"
    prepare(table(tmp_path / "split.csv", rows), tmp_path / "out", ToyTowers())
    held_out = {sample.source for sample in iterate(tmp_path / "out", "validation")}
    assert held_out == {"2.wav", "5.wav"}


def test_genuine_embeddings_come_before_the_tower(tmp_path: Path, sounds: Path) -> None:
    vectors = RNG.normal(size=(2, DIMENSION)).astype(np.float16)
    np.savez(tmp_path / "t.npz", names=["Sound 1", "ape"], embeddings=vectors, prompt="{name}")
    np.savez(tmp_path / "u.npz", names=["ape"], embeddings=vectors[:1], prompt="a {name}")
    soundfile.write(tmp_path / "ape.wav", noise(1), 16_000)
    with sounds.open(newline="") as file:
        rows = [*csv.DictReader(file), {"audio": "ape.wav", "captions": "an ape;Ape;apes"}]
    towers = ToyTowers()
    manifest = prepare(
        table(sounds, rows),
        tmp_path / "out",
        towers,
        PrepareSettings(validation=0),
        genuine_text=[tmp_path / "t.npz", tmp_path / "u.npz"],
    )
    unit = vectors.astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    found = {sample.source: sample.targets for sample in iterate(tmp_path / "out")}
    np.testing.assert_allclose(found["1.wav"][0], unit[0], atol=1e-6)
    np.testing.assert_allclose(found["ape.wav"][:2], unit, atol=1e-6)
    np.testing.assert_allclose(found["ape.wav"][2], ToyTowers().embed_text(["apes"])[0], atol=1e-6)
    assert not {"sound 1", "an ape", "Ape"} & set(towers.read)
    assert manifest.settings["phrases_from_tables"] == 3
    assert sorted(manifest.settings["genuine_text"]) == ["t.npz", "u.npz"]


def test_files_and_rows_that_are_bad_cost_no_good_ones(sounds: Path, tmp_path: Path) -> None:
    nan = noise(1)
    nan[500] = np.nan
    soundfile.write(tmp_path / "nan.wav", nan, 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "none.wav", nan[:0], 16_000)
    (tmp_path / "text.wav").write_text("no sound")
    Image.new("RGB", (13, 13)).save(tmp_path / "refused.png")
    Image.new("RGB", (20, 20)).save(tmp_path / "good.png")
    (tmp_path / "text.png").write_text("no picture")
    with sounds.open(newline="") as file:
        good = list(csv.DictReader(file))
    bad = [
        {"audio": "nan.wav", "label": "x"},
        {"audio": "none.wav", "label": "x"},
        {"audio": "text.wav", "label": "x"},
        {"audio": "nowhere.wav", "label": "x"},
        {"audio": "0.wav", "image": "refused.png"},
        {"audio": "1.wav", "image": "text.png"},
        {"audio": "2.wav"},
        {"label": "dog"},
        {"audio": "3.wav", "label": "dog", "split": "test"},
    ]
    rows = [*good[:6], *bad, {"audio": "4.wav", "image": "good.png"}, *good[6:]]
    manifest = prepare(table(sounds, rows), tmp_path / "out", ToyTowers())
    assert len(samples(tmp_path / "out")) == 13
    reasons = [failure.reason for failure in manifest.failures]
    for part in (
        "NaN, infinite or beyond",
        "no samples",
        "can read it",
        "No such file",
        "do not like 13 x 13",
        "cannot be read as a picture",
        "has no picture and none of",
        "names neither audio nor video",
        "its split is 'test'",
    ):
        assert sum(part in reason for reason in reasons) == 1, part
    assert len(reasons) == len(bad)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has the columns none"),
        ("a,b\n1,2\n", "has the columns a, b; expected one named audio or video"),
        ("audio,label\n", "holds nothing to train on"),
        ("audio,label\nx.wav,\n", "has no picture and none of"),
        ("audio,label\nnowhere.wav,dog\n", "none of the 1 clips could be used.*No such file"),
    ],
)
def test_tables_without_use(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        prepare(tmp_path / "t.csv", tmp_path / "out", ToyTowers())


def test_sources_without_use(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "t.txt").write_text("x")
    for name, message in (
        ("empty", "holds no video"),
        ("nowhere", "does not exist"),
        ("t.txt", "holds no table"),
    ):
        with pytest.raises(DataError, match=message):
            prepare(tmp_path / name, tmp_path / "out", ToyTowers())


def test_text_tables_without_use(sounds: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_text("x")
    np.savez(tmp_path / "small.npz", names=["a"], embeddings=np.ones((1, 3)), prompt="{name}")
    for name, message in (
        ("nowhere.npz", "is no table of embeddings"),
        ("bad.npz", "is no table of embeddings"),
        ("small.npz", r"shape \(1, 3\).*teacher's have 16"),
    ):
        with pytest.raises(DataError, match=message):
            prepare(sounds, tmp_path / "out", ToyTowers(), genuine_text=[tmp_path / name])


@pytest.mark.parametrize(
    "wrong", [{"seconds": 0}, {"frame_rate": -1}, {"shard_samples": 0}, {"validation": -1}]
)
def test_settings_without_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        PrepareSettings(**wrong)


# One result, whatever happens -----------------------------------------------------------------


def test_the_number_of_workers_changes_nothing(sounds: Path, tmp_path: Path) -> None:
    settings = PrepareSettings(shard_samples=4)
    manifests = [
        prepare(sounds, tmp_path / str(n), ToyTowers(), settings, workers=n) for n in (1, 2, 7)
    ]
    assert manifests[0] == manifests[1] == manifests[2]


def test_goes_on_where_it_stopped(sounds: Path, tmp_path: Path) -> None:
    """After an exception in the middle, whole shards stay and only the others are made."""
    settings = PrepareSettings(shard_samples=4, validation=0)
    complete = prepare(sounds, tmp_path / "whole", ToyTowers(), settings)

    class Stop(Exception):
        pass

    def stop(what: str, done: int, total: int) -> None:
        if what == "clips" and done == 6:
            raise Stop

    out = tmp_path / "out"
    with pytest.raises(Stop):
        prepare(sounds, out, ToyTowers(), settings, progress=stop)
    assert [path.name for path in sorted((out / "train").glob("*.tar"))] == ["000000.tar"]
    with pytest.raises(DataError, match=r"holds no manifest\.json"):
        read_manifest(out)
    kept = (out / "train/000000.tar").stat().st_mtime_ns
    counts: list[int] = []
    assert (
        prepare(
            sounds,
            out,
            ToyTowers(),
            settings,
            progress=lambda what, done, total: counts.append(total) if what == "clips" else None,
        )
        == complete
    )
    assert set(counts) == {8}
    assert (out / "train/000000.tar").stat().st_mtime_ns == kept
    assert not list(out.rglob("*.part"))


def test_a_damaged_shard_is_made_again(sounds: Path, tmp_path: Path) -> None:
    settings = PrepareSettings(shard_samples=4, validation=0)
    out = tmp_path / "out"
    manifest = prepare(sounds, out, ToyTowers(), settings)
    (out / "train/000001.tar").write_bytes(b"half")
    assert prepare(sounds, out, ToyTowers(), settings) == manifest
    assert len(samples(out)) == 12
    towers = ToyTowers()
    prepare(sounds, out, towers, settings)
    assert towers.read == [], "a finished folder asks the teacher nothing"


def test_another_run_does_not_mix_in(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(sounds, out, ToyTowers())
    with pytest.raises(DataError, match="begun with another seconds"):
        prepare(sounds, out, ToyTowers(), PrepareSettings(seconds=5))
    with pytest.raises(DataError, match="begun with another teacher"):
        prepare(sounds, out, ToyTowers(dimension=20))
    with sounds.open("a") as file:
        file.write("noise,0.wav,c\n")
    with pytest.raises(DataError, match="begun with another listing"):
        prepare(sounds, out, ToyTowers())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("precious")
    with pytest.raises(DataError, match="holds other files"):
        prepare(sounds, tmp_path / "other", ToyTowers())


def test_a_killed_process_loses_no_finished_shard(sounds: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of the second shard; the same call finishes with the same bytes."""
    script = """
import sys
sys.path.insert(0, sys.argv[3])
from toy import ToyTowers
from wav2clip.pretrain.pairs import PrepareSettings, prepare
def wait(what, done, total):
    if what == "clips" and done == 6:
        print("now", flush=True)
        sys.stdin.read()
prepare(sys.argv[1], sys.argv[2], ToyTowers(), PrepareSettings(shard_samples=4, validation=0),
        progress=wait)
"""
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(sounds), str(out), str(Path(__file__).parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"now\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (out / "train/000000.tar").exists()
    assert not (out / "train/000001.tar").exists()
    settings = PrepareSettings(shard_samples=4, validation=0)
    resumed = prepare(sounds, out, ToyTowers(), settings)
    assert resumed == prepare(sounds, tmp_path / "whole", ToyTowers(), settings)


def test_a_folder_that_cannot_be_made(sounds: Path) -> None:
    with pytest.raises(DataError, match=r"cannot write /proc/nowhere.*choose a folder"):
        prepare(sounds, "/proc/nowhere/out", ToyTowers())


def test_many_frames_do_not_fill_the_memory(tmp_path: Path) -> None:
    """At 30 frames per second the teacher gets one film at a time."""
    (tmp_path / "videos").mkdir()
    for name in "abc":
        film(tmp_path / "videos" / f"{name}.mkv", colours(30), np.arange(30) / 30, noise(1))
    towers = ToyTowers()
    settings = PrepareSettings(seconds=4, frame_rate=30, validation=0)
    prepare(tmp_path / "videos", tmp_path / "out", towers, settings)
    assert towers.seen == [30, 30, 30]


def test_pictures_are_those_of_the_time_when_there_is_sound(tmp_path: Path) -> None:
    """Of a film whose sound begins after eight of its ten seconds."""
    folder = tmp_path / "films"
    folder.mkdir()
    film = muxed("matroska", Audio("flac", start=8.0), video="mpeg4")
    (folder / "late.mkv").write_bytes(film)
    (item,) = list_source(folder, 0).items
    with Readers(1) as readers:
        media = read_media(readers, item, 10.0, 16_000, 1.0)
    assert len(media.audio) == pytest.approx(32_000, abs=400)
    # Frame k of 50, five a second, is a grey of 5 k.
    shades = [np.asarray(picture).mean() for picture in media.pictures]
    assert shades == pytest.approx([5 * 40, 5 * 45], abs=8)


def test_a_mute_film_and_a_pipe_cost_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "a.mkv").write_bytes(muxed("matroska", Audio("flac"), video="mpeg4"))
    (folder / "mute.mp4").write_bytes(mute_video())
    os.mkfifo(folder / "pipe.mp4")
    manifest = prepare(folder, tmp_path / "out", ToyTowers(), PrepareSettings(validation=0))
    assert sum(manifest.samples(split) for split in manifest.splits) == 1
    reasons = {Path(failure.source).name: failure.reason for failure in manifest.failures}
    assert is_mute(reasons["mute.mp4"]) and "is a pipe" in reasons["pipe.mp4"]
