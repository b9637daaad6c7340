"""Runs the `wav2clip` command again and again in processes of its own that start at once.

The heavy imports are done one time; each line on standard input, a JSON list of arguments, forks a
process that runs the command. Its id is printed when it begins, and its exit status when it ended.
Rows are committed every eight files, so that there are many commits to be killed in.
"""

from __future__ import annotations

import json
import os
import sys

import lance_namespace  # most of the time that importing lancedb takes, and safe to fork after
import pyarrow.compute

import wav2clip.embedding.bulk
from wav2clip import runtime
from wav2clip.cli import main

runtime.set_threads(1)


def run_command(arguments: list[str]) -> None:
    from wav2clip.library import index

    index._COMMIT_FILES = 8
    sys.argv = ["wav2clip", *arguments]
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    try:
        main.run()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
        os._exit(code)
    os._exit(0)


assert lance_namespace
assert pyarrow.compute
assert wav2clip.embedding.bulk
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        run_command(json.loads(line))
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
