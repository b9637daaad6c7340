"""Files on which decoders crash, hang, eat memory or raise what nobody expects.

They do so where ``hostile_site`` is on PYTHONPATH, which :func:`environment` sees to.
"""

from __future__ import annotations

import os
from pathlib import Path

SITE = Path(__file__).with_name("hostile_site")
CRASHES = {"abort": "SIGABRT", "segv": "SIGSEGV", "exit": "exit code 3"}
"""Ways to crash, and how each is told."""


def environment(**more: str) -> dict[str, str]:
    """What to add to the environment of a process whose decoders are to be hostile."""
    path = os.pathsep.join([str(SITE), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, **more}


def make(path: Path, content: bytes, how: str) -> Path:
    """A file of some content that makes decoders do something, see ``hostile_site``."""
    path.write_bytes(content + b"\0" * 32 + b"#hostile:" + how.encode())
    return path
