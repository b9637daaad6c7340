"""Graphs opened by ONNX Runtime, and the names of what goes in and comes out."""

from __future__ import annotations

import base64
import importlib.util
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wav2clip import runtime
from wav2clip.errors import CheckpointError, MissingExtraError
from wav2clip.files import display

SPECTROGRAM, WAVEFORM, IDS, PIXELS = "spectrogram", "waveform", "ids", "pixels"
EMBEDDING, FEATURES, FEATURE_MAP = "embedding", "features", "feature_map"


class Session:
    """A graph that computes; safe to share between threads. It is opened when first used.

    Args:
        model: the graph's file, whose weights may lie beside it, or its bytes.
        threads: of one call; by default those of :func:`wav2clip.runtime.threads`.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
    """

    def __init__(self, model: Path | bytes, threads: int | None = None) -> None:
        if importlib.util.find_spec("onnxruntime") is None:
            raise MissingExtraError("ONNX Runtime is not installed: pip install onnxruntime")
        self._model, self._threads = model, threads or runtime.threads()
        self._opening = Lock()
        self._session: Any = None

    def _open(self) -> Any:
        """The session of ONNX Runtime.

        Raises:
            CheckpointError: the graph cannot be opened.
        """
        with self._opening:
            if self._session is None:
                self._session = _inference_session(self._model, self._threads)
            return self._session

    @property
    def metadata(self) -> dict[str, str]:
        """Strings that the graph carries."""
        return dict(self._open().get_modelmeta().custom_metadata_map)

    def run(self, outputs: list[str], inputs: dict[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """The outputs of those names."""
        arrays: list[NDArray[np.float32]] = self._open().run(outputs, inputs)
        return arrays


def _inference_session(model: Path | bytes, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no class of their own
        name = "the graph" if isinstance(model, bytes) else display(model)
        raise CheckpointError(f"{name} cannot be opened ({error}); is it whole?") from error


def proof_in(
    metadata: dict[str, str], dimension: int, count: int
) -> list[NDArray[np.float32]] | None:
    """The embeddings that a graph carries as its proof, (count, n / count, dimension), or None."""
    try:
        stored = np.frombuffer(base64.b64decode(metadata["proof"]), np.float16)
        rows = stored.reshape(count, -1, dimension).astype(np.float32)
    except (KeyError, ValueError):
        return None
    return list(rows)
