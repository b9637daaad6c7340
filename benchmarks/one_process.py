"""Files to embeddings in a process of its own: prints its peak resident memory in MiB.

    python benchmarks/one_process.py '{"engine": "onnx"}' FILE...    # options of wav2clip.load
    python benchmarks/one_process.py published FILE...

Whoever starts it takes the time, that of the interpreter and of all imports included.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path


def main() -> None:
    kind, paths = sys.argv[1], [Path(path) for path in sys.argv[2:]]
    if kind == "published":
        from published import Published

        Published()(paths)
    else:
        import wav2clip
        from wav2clip.embedding.bulk import embed_files

        for result in embed_files(wav2clip.load(**json.loads(kind)), paths):
            assert result.error is None, result
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


if __name__ == "__main__":
    main()
