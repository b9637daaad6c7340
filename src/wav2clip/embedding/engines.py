"""What runs the network: an engine turns standardised spectrograms into embeddings."""

from __future__ import annotations

import functools
import importlib.util
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor

from wav2clip.errors import InputError, MissingExtraError
from wav2clip.models import onnx_graph, winograd
from wav2clip.models.checkpoint import Checkpoint
from wav2clip.models.encoder import AudioNetwork, Pack, pool_pieces

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ENGINES = ("torch", "onnx", "onnx-int8")
"""By name; ``"auto"`` is the fastest of those that compute in float32."""

ROUNDINGS = {
    "-int8": {"engine": "onnx-int8"},
    "-bfloat16": {"precision": "bfloat16"},
    "-float16": {"precision": "float16"},
}
"""What engines that round more coarsely than float32 add to a fingerprint, and how to load them."""


def split_fingerprint(fingerprint: str) -> tuple[str, dict[str, str]]:
    """A model's fingerprint without its engine's suffix, and the options that gave the suffix."""
    for suffix, options in ROUNDINGS.items():
        if fingerprint.endswith(suffix):
            return fingerprint.removesuffix(suffix), dict(options)
    return fingerprint, {}


class Engine(Protocol):
    """Runs the network of one checkpoint. Safe to share between threads.

    Attributes:
        name: one of :data:`ENGINES`.
        device: where spectrograms are expected.
        suffix: what a model's fingerprint gets where the engine rounds more coarsely than float32,
            so that its embeddings are told from the exact ones; else empty.
    """

    name: str
    device: torch.device
    suffix: str

    def embed(self, spectrogram: Tensor) -> Tensor:
        """(batch, bins, columns) to (batch, dimension), float32."""

    def embed_pieces(self, pieces: Iterable[Tensor]) -> Tensor:
        """One spectrogram in pieces (1, bins, any) to (1, dimension), in bounded memory."""

    def features(self, spectrogram: Tensor) -> Tensor:
        """(batch, bins, columns) to (batch, features), the output before the projection."""

    def beside(self, threads: int, *, many: bool) -> Engine:
        """The same engine for callers that share the cores, with so many threads for each call.

        ``many`` calls are to come if it is true: an engine may take a second or two to prepare.
        """


class TorchEngine:
    """PyTorch on one device, channels-last, batch norms folded into the convolutions.

    On the CPU the convolutions' weights are packed as well, unless the network is compiled. Beside
    others, with a core to itself, it convolves by Winograd's method if Numba is installed.
    """

    name = "torch"

    def __init__(
        self,
        network: AudioNetwork,
        device: torch.device,
        precision: str = "float32",
        *,
        compiled: bool = False,
        pack: Pack | None = None,
    ) -> None:
        self.device = device
        self.suffix = "" if precision == "float32" else f"-{precision}"
        self._dtype = PRECISIONS[precision]
        self._network = network.fold_batch_norm().to(device, self._dtype)
        if compiled:
            # Lengths differ from file to file: one compiled network for all.
            self._network.compile(dynamic=True)
        elif device.type == "cpu":
            self._network.pack_convolutions(pack)
        winograd_helps = (
            device.type == "cpu"
            and precision == "float32"
            and not compiled
            and pack is None
            and winograd.available()
        )
        self._alone_on_a_core = functools.cache(
            lambda: TorchEngine(network, device, pack=winograd.pack) if winograd_helps else self
        )

    def embed(self, spectrogram: Tensor) -> Tensor:
        embedding: Tensor = self._network(spectrogram.to(self._dtype))
        return embedding.float()

    def embed_pieces(self, pieces: Iterable[Tensor]) -> Tensor:
        same = (piece.to(self._dtype) for piece in pieces)
        features = pool_pieces(self._network.audio_encoder.feature_map, same)
        return self._network.project(features).float()

    def features(self, spectrogram: Tensor) -> Tensor:
        features: Tensor = self._network.audio_encoder(spectrogram.to(self._dtype))
        return features.float()

    def beside(self, threads: int, *, many: bool) -> Engine:
        # A call has as many threads as torch gives to the thread that calls.
        return self._alone_on_a_core() if threads == 1 and many else self


class OnnxEngine:
    """ONNX Runtime on the CPU, in float32 or with 8-bit convolutions."""

    device = torch.device("cpu")

    def __init__(
        self, checkpoint: Checkpoint, *, int8: bool = False, threads: int | None = None
    ) -> None:
        ranges = checkpoint.config.activation_ranges
        if int8 and ranges is None:
            raise InputError(
                "this model has no ranges of activations for 8 bits: make them from sounds like "
                "yours with `wav2clip export MODEL -o FOLDER --calibrate SOUNDS`, then load FOLDER"
            )
        self.name, self.suffix = ("onnx-int8", "-int8") if int8 else ("onnx", "")
        self._network = checkpoint.network  # its projection, for what comes in pieces
        graph = onnx_graph.build_onnx(
            checkpoint.network, checkpoint.config, ranges=ranges if int8 else None
        )
        self._session = onnx_graph.open_session(graph.SerializeToString(), threads)
        self._beside = functools.cache(
            lambda count: OnnxEngine(checkpoint, int8=int8, threads=count)
        )

    def embed(self, spectrogram: Tensor) -> Tensor:
        return self._run(onnx_graph.EMBEDDING, spectrogram)

    def embed_pieces(self, pieces: Iterable[Tensor]) -> Tensor:
        def feature_map(chunk: Tensor) -> Tensor:
            return self._run(onnx_graph.FEATURE_MAP, chunk)

        return self._network.project(pool_pieces(feature_map, pieces))

    def features(self, spectrogram: Tensor) -> Tensor:
        return self._run(onnx_graph.FEATURES, spectrogram)

    def beside(self, threads: int, *, many: bool) -> Engine:
        engine: Engine = self._beside(threads)
        return engine

    def _run(self, output: str, spectrogram: Tensor) -> Tensor:
        inputs = {onnx_graph.SPECTROGRAM: spectrogram.contiguous().numpy()}
        return torch.from_numpy(self._session.run([output], inputs)[0])


def make_engine(
    name: str,
    checkpoint: Checkpoint,
    device: str | torch.device | None = None,
    precision: str = "float32",
    *,
    compiled: bool = False,
) -> Engine:
    """The engine of that name.

    Args:
        name: one of :data:`ENGINES`, or ``"auto"``.
        checkpoint: what it runs.
        device: by default the CPU; ONNX Runtime is used on the CPU alone.
        precision: of the torch engine: a key of :data:`PRECISIONS`.
        compiled: whether the torch engine compiles the network, which takes a minute at first use.

    Raises:
        InputError: unknown engine or precision, a device that this machine does not have, or a
            combination that does not exist.
        MissingExtraError: ONNX Runtime is asked for and not installed.
    """
    if name not in (*ENGINES, "auto"):
        raise InputError(f"engine is {name!r}, expected one of {', '.join(ENGINES)} or auto")
    if precision not in PRECISIONS:
        raise InputError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
    chosen = _device(device)
    if name == "auto":
        plain = chosen.type == "cpu" and precision == "float32" and not compiled
        name = fastest(checkpoint) if plain and has_onnx() else "torch"
    if name == "torch":
        return TorchEngine(checkpoint.network, chosen, precision, compiled=compiled)
    if chosen.type != "cpu" or precision != "float32" or compiled:
        raise InputError(
            f"engine {name} runs on the CPU as it is; device {chosen}, precision {precision} and "
            "compiling are for the torch engine"
        )
    return OnnxEngine(checkpoint, int8=name == "onnx-int8")


def has_onnx() -> bool:
    """Whether the packages of the extra ``onnx`` are installed."""
    return all(importlib.util.find_spec(package) for package in ("onnx", "onnxruntime"))


def fastest(checkpoint: Checkpoint) -> str:
    """``"torch"`` or ``"onnx"``: whichever embeds five seconds sooner on this CPU."""
    try:
        times = {name: seconds(make_engine(name, checkpoint)) for name in ("torch", "onnx")}
    except MissingExtraError:
        return "torch"
    return min(times, key=lambda name: times[name])


def seconds(engine: Engine, batch: int = 1, turns: int = 5) -> float:
    """Shortest time of a call with ``batch`` spectrograms of five seconds of sound."""
    spectrogram = torch.randn(batch, 257, 227).to(engine.device)
    with torch.inference_mode():
        return min(_timed(lambda: engine.embed(spectrogram).cpu()) for _ in range(turns + 1))


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _device(device: str | torch.device | None) -> torch.device:
    try:
        chosen = torch.device(device or "cpu")
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r} cannot be used here: {error}") from error
    return chosen
