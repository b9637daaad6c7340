"""How long `import wav2clip` and `wav2clip --help` take, each in a process of its own.

    python benchmarks/startup.py

The first run compiles bytecode and fills the disk cache; it is shown apart. The limit is 0.3 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

LIMIT_SECONDS = 0.3
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import wav2clip": ["-c", "import wav2clip"],
    "wav2clip --help": ["-m", "wav2clip", "--help"],
}


def seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def first_and_median(arguments: list[str], turns: int = 12) -> tuple[float, float]:
    """Seconds of the first run, and of the middle one of the others."""
    first, *rest = [seconds(arguments) for _ in range(turns)]
    return first, statistics.median(rest)


def main() -> None:
    print("| command | first | median of 11 |\n|---|---|---|")
    late = []
    for name, arguments in COMMANDS.items():
        first, median = first_and_median(arguments)
        print(f"| `{name}` | {first:.2f} s | {median:.2f} s |")
        if median > LIMIT_SECONDS:
            late.append(name)
    if late:
        sys.exit(f"over {LIMIT_SECONDS} s: {', '.join(late)}")


if __name__ == "__main__":
    main()
