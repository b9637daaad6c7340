"""Graphs opened by ONNX Runtime, and the names of what goes in and comes out."""

from __future__ import annotations

import base64
import importlib.util
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wav2clip import runtime
from wav2clip.errors import CheckpointError, InputError, MissingExtraError
from wav2clip.files import display
from wav2clip.models import kept_graphs

PROVIDERS = {
    "cpu": ("CPUExecutionProvider", ""),
    "cuda": ("CUDAExecutionProvider", "device_id"),
    "coreml": ("CoreMLExecutionProvider", ""),
    "directml": ("DmlExecutionProvider", "device_id"),
    "openvino": ("OpenVINOExecutionProvider", "device_type"),
}
"""Devices of ONNX Runtime: its execution provider, and which of its options tells several devices
apart, as in ``"cuda:1"`` and ``"openvino:GPU"``. Which there are is decided by the package that is
installed (onnxruntime, onnxruntime-gpu, onnxruntime-directml, onnxruntime-openvino)."""

SPECTROGRAM, WAVEFORM, IDS, PIXELS = "spectrogram", "waveform", "ids", "pixels"
EMBEDDING, FEATURES, FEATURE_MAP = "embedding", "features", "feature_map"


class Session:
    """A graph that computes; safe to share between threads. It is opened when first used.

    Args:
        model: the graph's file, whose weights may lie beside it, or its bytes.
        threads: of one call; by default those of :func:`wav2clip.runtime.threads`.
        device: a key of :data:`PROVIDERS`, with a number or a name behind it if need be.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        InputError: the installed one does not know the device.
    """

    def __init__(
        self, model: Path | bytes, threads: int | None = None, device: str = "cpu"
    ) -> None:
        if importlib.util.find_spec("onnxruntime") is None:
            raise MissingExtraError("ONNX Runtime is not installed: pip install onnxruntime")
        self._model, self._threads = model, threads or runtime.threads()
        self._device = check_device(device)
        self._opening = Lock()
        self._session: Any = None

    def _open(self) -> Any:
        """The session of ONNX Runtime.

        Raises:
            CheckpointError: the graph cannot be opened.
            InputError: the device cannot be used.
        """
        with self._opening:
            if self._session is None:
                self._session = _inference_session(self._model, self._threads, self._device)
            return self._session

    @property
    def metadata(self) -> dict[str, str]:
        """Strings that the graph carries."""
        return dict(self._open().get_modelmeta().custom_metadata_map)

    def run(self, outputs: list[str], inputs: dict[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """The outputs of those names."""
        arrays: list[NDArray[np.float32]] = self._open().run(outputs, inputs)
        return arrays


def devices_here() -> list[str]:
    """Keys of :data:`PROVIDERS` that the installed ONNX Runtime knows; none without it."""
    if importlib.util.find_spec("onnxruntime") is None:
        return []
    import onnxruntime

    there = onnxruntime.get_available_providers()
    return [device for device, (provider, _) in PROVIDERS.items() if provider in there]


def check_device(device: str) -> str:
    """The same, if the installed ONNX Runtime knows it.

    Raises:
        InputError: it does not.
    """
    kind, _, which = device.partition(":")
    if device != "cpu" and kind not in devices_here():
        raise InputError(
            f"device {device!r} cannot be used here: ONNX Runtime has {', '.join(devices_here())}; "
            "other devices come with other packages of it, such as onnxruntime-gpu"
        )
    if which and not PROVIDERS[kind][1]:
        raise InputError(f"device {device!r}: there is only one {kind}")
    return device


def _inference_session(model: Path | bytes, threads: int, device: str) -> Any:
    kind, _, which = device.partition(":")
    provider, option = PROVIDERS[kind]
    providers = [(provider, {option: which} if which else {})]
    try:
        if device == "cpu" and isinstance(model, Path):
            return _open_kept(model, threads)
        session = _open(model, _options(threads, device), providers)
    except Exception as error:  # its errors share no class of their own
        name = "the graph" if isinstance(model, bytes) else display(model)
        if device != "cpu":
            raise InputError(f"device {device!r} cannot open {name}: {error}") from error
        raise CheckpointError(f"{name} cannot be opened ({error}); is it whole?") from error
    if session.get_providers()[0] != provider:  # it goes on without what does not start
        raise InputError(f"device {device!r} cannot be used here: {provider} does not start")
    return session


def _open_kept(graph: Path, threads: int) -> Any:
    """From what was kept of the graph; that is made if there is none that can be opened."""
    from onnxruntime import GraphOptimizationLevel

    kept = kept_graphs.place(graph)
    if kept is None:
        return _open(graph, _options(threads))
    rewritten = _options(threads)
    rewritten.graph_optimization_level = GraphOptimizationLevel.ORT_DISABLE_ALL
    with suppress(Exception):  # it is not there, or damaged
        return _open(kept / kept_graphs.GRAPH, rewritten)
    # Nothing may be written there, or the disk is full.
    with suppress(Exception), kept_graphs.new_place(kept, graph) as folder:
        options = _options(threads)
        kept_graphs.write_here(options, folder)
        return _open(graph, options)
    return _open(graph, _options(threads))


def _options(threads: int, device: str = "cpu") -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if device.startswith("directml"):  # its documentation asks for both
        options.enable_mem_pattern = False
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    return options


def _open(model: Path | bytes, options: Any, providers: list[Any] | None = None) -> Any:
    import onnxruntime

    source = model if isinstance(model, bytes) else str(model)
    chosen: list[Any] = providers or [(PROVIDERS["cpu"][0], {})]
    return onnxruntime.InferenceSession(source, options, providers=chosen)


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
