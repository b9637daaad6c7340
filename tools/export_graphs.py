"""Write the graphs by which ONNX Runtime computes with the built-in weights, and check them.

    python tools/export_graphs.py            # writes them into the package
    python tools/export_graphs.py --check    # ends with 1 if one of them is not what it writes

A graph is to be written again when its weights, its network or its preprocessing change.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from wav2clip.models.graphs import BUILTIN_GRAPHS, same_graph, write_builtin_graphs  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        for path in write_builtin_graphs():
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e3:.0f} kB")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        stale = [
            own.relative_to(ROOT)
            for own, new in zip(BUILTIN_GRAPHS, write_builtin_graphs(Path(folder)), strict=True)
            if not (own.exists() and same_graph(own, new))
        ]
    print(f"to be written again: {', '.join(map(str, stale))}" if stale else "up to date")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
