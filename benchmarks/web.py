"""The page's server under load, on loopback: clients in one process, the server in another.

    python benchmarks/web.py                    # 100,000 synthetic rows, 8 clients
    python benchmarks/web.py --rows 1e4 --clients 2 --requests 50

The library is that of benchmarks/library.py, and one real recording of a minute beside it, which is
played. Every client asks the next thing as soon as it has the answer to the last, so 8 clients are
many more people. Each phrase is asked once: nothing is answered from a cache. Times are what the
client sees, over one connection each, from the request to the last byte of the answer; for audio,
to the first. Clients and server share the cores.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import numpy as np
import soundfile

import wav2clip
from library import DIMENSION, Mixture, rows_of
from machine import machine, versions
from wav2clip.library import Library
from wav2clip.library.space import mean_digest
from wav2clip.library.store import Settings, Store

WORDS = (
    "rain", "thunder", "dog", "cat", "bird", "wind", "sea", "river", "engine", "train", "siren",
    "bell", "clock", "door", "steps", "crowd", "voice", "laughter", "piano", "guitar", "drum",
    "saw", "hammer", "glass", "water", "fire", "insect", "frog", "horse", "sheep",
)  # fmt: skip
PLACES = ("on a tin roof", "in a hall", "far away", "at night", "in the street", "by the sea")
RATE = 44_100
SECONDS = 60


def phrases(seed: int) -> Iterator[str]:
    """Phrases, none of which comes twice."""
    rng = np.random.default_rng(seed)
    for number in itertools.count():
        first, second = rng.choice(WORDS, 2, replace=False)
        yield f"{first} and {second} {rng.choice(PLACES)} {seed}{number}"


def make_library(folder: Path, rows: int) -> Path:
    """Synthetic rows, then one real file."""
    model = wav2clip.load("builtin")
    mixture, store = Mixture(), Store(folder / "library")
    store.create(Settings("builtin", model.fingerprint, DIMENSION, mean_digest(model.mean)))
    for first in range(0, rows, 50_000):
        store.replace(rows_of(mixture.sounds(min(50_000, rows - first)), first), [])
    sounds = folder / "sounds"
    sounds.mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, (RATE * SECONDS, 2)).astype(np.float32)
    soundfile.write(sounds / "a minute.wav", noise, RATE)
    soundfile.write(sounds / "a minute.aiff", noise, RATE)
    Library.open(folder / "library", model).index(sounds)
    return folder / "library"


@contextmanager
def server(library: Path, folder: Path) -> Iterator[tuple[str, int]]:
    """The shipped command in a process of its own; gives its address and its number."""
    command = [sys.executable, "-m", "wav2clip", "serve", "--port", "0", "--library", str(library)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [*command, "--folder", str(folder)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        match = re.search(r"http://([\d.:]+)/", process.stdout.readline())
        assert match, "the server did not start"
        try:
            yield match[1], process.pid
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(120)


def resident(pid: int) -> float:
    """Resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


Ask = Callable[[http.client.HTTPConnection, int], float]
"""One request over a connection; gives its seconds."""


def load(address: str, clients: int, requests: int, ask: Ask) -> tuple[np.ndarray, float]:
    """Seconds (requests,) of all requests together, and requests per second."""

    def client(number: int) -> list[float]:
        connection = http.client.HTTPConnection(address, timeout=60)
        mine = range(number, requests, clients)
        times = [ask(connection, request) for request in mine]
        connection.close()
        return times

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        times = [seconds for found in pool.map(client, range(clients)) for seconds in found]
    return np.array(times), requests / (time.perf_counter() - started)


def searching(seed: int, requests: int, more: str = "") -> Ask:
    """Searches for phrases that nobody asked for before."""
    texts = list(itertools.islice(phrases(seed), requests))

    def ask(connection: http.client.HTTPConnection, number: int) -> float:
        started = time.perf_counter()
        connection.request("GET", f"/api/search?limit=20&q={quote(texts[number])}{more}")
        answer = connection.getresponse()
        content = answer.read()
        seconds = time.perf_counter() - started
        assert answer.status == 200 and len(json.loads(content)["hits"]) == 20, content[:300]
        return seconds

    return ask


def playing(path: str) -> Ask:
    """The first byte of a range somewhere in a recording, as a player asks for it."""

    def ask(connection: http.client.HTTPConnection, number: int) -> float:
        first = (number % 50) * 200_000
        header = {"Range": f"bytes={first}-{first + 65_535}"}
        started = time.perf_counter()
        connection.request("GET", path, headers=header)
        answer = connection.getresponse()
        answer.read(1)
        seconds = time.perf_counter() - started
        answer.read()
        assert answer.status == 206
        return seconds

    return ask


def get(address: str, path: str) -> dict:
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("GET", path)
    answer = json.load(connection.getresponse())
    connection.close()
    return answer


def measure(address: str, pid: int, clients: int, requests: int) -> None:
    """Print a table of times, then of memory."""
    found = get(address, "/api/search?q=noise&folder=sounds&limit=200")["hits"]
    files = {hit["name"].rpartition(".")[2]: hit for hit in found}
    few = max(clients, requests // 4)
    cases: list[tuple[str, int, int, Ask]] = [
        ("phrase, one client", 1, few, searching(1, few)),
        (f"phrase, {clients} clients", clients, requests, searching(2, requests)),
        (f"the same, of 4 to 60 s, {clients} clients", clients, few,
         searching(3, few, "&min_duration=4&max_duration=60")),
        ("audio as it is, first byte, one client", 1, 100, playing(files["wav"]["audio"])),
        (f"the same, {clients} clients", clients, 400, playing(files["wav"]["audio"])),
        ("audio converted from AIFF, first byte, one client", 1, 20,
         playing(files["aiff"]["audio"])),
    ]  # fmt: skip
    print("| | requests | p50, ms | p95, ms | p99, ms | requests/s |")
    print("|---|---|---|---|---|---|")
    for name, at_once, count, ask in cases:
        seconds, rate = load(address, at_once, count, ask)
        p50, p95, p99 = np.percentile(seconds * 1e3, [50, 95, 99])
        print(f"| {name} | {count} | {p50:.0f} | {p95:.0f} | {p99:.0f} | {rate:.0f} |", flush=True)
    print("\n| searches | resident, MB |\n|---|---|")
    for part in range(4):
        print(f"| {part * requests} more | {resident(pid):.0f} |", flush=True)
        if part < 3:
            load(address, clients, requests, searching(10 + part, requests))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=float, default=1e5)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--folder", type=Path, help="where the library is made and kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        library = folder / "library"
        if not library.exists():
            make_library(folder, int(options.rows))
        print(f"{machine()}\n{versions()}\n{int(options.rows):,} rows\n")
        with server(library, folder / "sounds") as (address, pid):
            measure(address, pid, options.clients, options.requests)


if __name__ == "__main__":
    main()
