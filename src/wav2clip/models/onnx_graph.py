"""The network as an ONNX graph, in float32 or with 8-bit convolutions, with or without front end.

Built node by node: a few dozen convolutions need no tracing, so a graph is there in a fraction of a
second, its tensors have names that can be relied on, and it does not change with the version of an
exporter. Needs the extra ``onnx``.

8-bit: activations are unsigned with one scale per tensor, weights signed with one scale per output
channel (Jacob et al. 2018, arXiv 1712.05877; Krishnamoorthi 2018, arXiv 1806.08342). Scales of
activations come from the ranges that real sounds show (:func:`activation_ranges`). The first
convolution, which sees the spectrogram itself, the pooling and the projection stay in float32.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wav2clip import __version__
from wav2clip.errors import InputError, MissingExtraError
from wav2clip.models.config import MelConfig
from wav2clip.models.encoder import BasicBlock, ResNet
from wav2clip.models.mobilenet import (
    ClassProjection,
    ConvNorm,
    Excitation,
    InvertedResidual,
    MobileNet,
)
from wav2clip.models.network import AudioNetwork
from wav2clip.models.sessions import (
    EMBEDDING,
    FEATURE_MAP,
    FEATURES,
    SPECTROGRAM,
    WAVEFORM,
    Session,
)
from wav2clip.models.spectrogram import QUIETEST, mel_filters

if TYPE_CHECKING:
    from onnx import ModelProto

    from wav2clip.models.config import AudioConfig

Array = NDArray[Any]
Ranges = Mapping[str, tuple[float, float]]

OPSET = 17
"""Of 2022; what follows uses nothing newer, so old runtimes read it too."""
_FIRST = "stem"
HEADROOM = 1.3
"""Ranges are widened by so much, for some recordings go beyond what calibration saw. Of 1, 1.15,
1.3, 1.5 and 2 it gave the largest smallest cosine over ESC-50 (0.990; without it 0.977)."""
_LEVELS = 255
_MISSING = "ONNX is not installed: pip install 'wav2clip[onnx]'"


def build_onnx(
    network: AudioNetwork,
    config: AudioConfig,
    *,
    frontend: bool = False,
    ranges: Ranges | None = None,
    fingerprint: str = "",
) -> ModelProto:
    """The graph of a network.

    Args:
        network: any, in evaluation mode; its batch norms are folded here.
        config: goes into the metadata, with the fingerprint, as JSON.
        frontend: whether the input is ``waveform`` (batch, samples), in [-1, 1] at the model's
            rate, at least ``min_samples`` long, and every row is standardised alone; otherwise it
            is ``spectrogram`` (batch, bins, frames), as the front end gives it.
        ranges: of :func:`activation_ranges`, for 8-bit convolutions; None for float32. For the
            published architecture alone.
        fingerprint: of the checkpoint.

    Returns:
        A model with the outputs ``embedding`` (batch, dimension), ``features`` (batch, planes) and
        ``feature_map`` (batch, planes, rows, columns). A runtime computes what is asked for.

    Raises:
        InputError: ``ranges`` for another architecture.
        MissingExtraError: ONNX is not installed.
    """
    if isinstance(network.audio_encoder, MobileNet) and ranges is not None:
        raise InputError("graphs with 8 bits are for the published architecture")
    graph = _Graph(network, ranges)
    if frontend:
        graph.add_frontend(config)
    graph.add_encoder()
    graph.outputs = {
        EMBEDDING: ["batch", config.encoder.dimension],
        FEATURES: ["batch", config.encoder.features],
        FEATURE_MAP: ["batch", config.encoder.features, "map_rows", "map_columns"],
    }
    metadata = {
        "producer": f"wav2clip {__version__}",
        "fingerprint": fingerprint,
        "precision": "float32" if ranges is None else "int8",
        "min_samples": str(config.frontend.min_samples),
        "config": json.dumps(asdict(config)),
    }
    return graph.finish(WAVEFORM if frontend else SPECTROGRAM, config.frontend.bins, metadata)


def activation_ranges(
    network: AudioNetwork, config: AudioConfig, spectrograms: Iterable[Tensor]
) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of every tensor that :func:`build_onnx` makes 8-bit.

    Args:
        network: the network in float32.
        config: its config.
        spectrograms: standardised, (batch, bins, columns) each, of sounds like those to come; a
            hundred clips are plenty.

    Returns:
        Name of the tensor to (minimum, maximum) over all spectrograms.

    Raises:
        InputError: no spectrogram.
    """
    graph = _Graph(network, None)
    graph.add_encoder()
    graph.outputs = {name: ["batch", None, None, None] for name in graph.activations}
    model = graph.finish(SPECTROGRAM, config.frontend.bins, {})
    session = Session(model.SerializeToString())
    ranges: dict[str, tuple[float, float]] = {}
    for spectrogram in spectrograms:
        arrays = session.run(graph.activations, {SPECTROGRAM: spectrogram.numpy()})
        for name, array in zip(graph.activations, arrays, strict=True):
            low, high = ranges.get(name, (math.inf, -math.inf))
            ranges[name] = min(low, float(array.min())), max(high, float(array.max()))
    if not ranges:
        raise InputError("no sound to take the ranges of activations from")
    return ranges


@dataclass(frozen=True)
class _Scale:
    """Real value = scale * (integer - zero)."""

    scale: float
    zero: int

    @classmethod
    def of(cls, low: float, high: float) -> _Scale:
        """Zero must be an integer exactly: padding and ReLU put it into every tensor."""
        low, high = min(low, 0.0) * HEADROOM, max(high, 0.0) * HEADROOM
        scale = (high - low) / _LEVELS or 1.0
        return cls(scale, round(-low / scale))


class _Graph:
    """A graph under construction; methods add nodes and return the name of what they compute."""

    def __init__(self, network: AudioNetwork, ranges: Ranges | None) -> None:
        try:
            import onnx
        except ImportError as error:
            raise MissingExtraError(_MISSING) from error
        self._onnx = onnx
        self._network = network.fold_batch_norm().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self._ranges = ranges
        self._nodes: list[Any] = []
        self._constants: dict[str, Array] = {}
        self._scales: dict[str, _Scale] = {}
        self.outputs: dict[str, list[Any]] = {}
        """Name to shape."""
        self.activations: list[str] = []
        """Tensors that are 8-bit in the 8-bit graph."""

    def finish(self, source: str, bins: int, metadata: Mapping[str, str]) -> ModelProto:
        """The whole model, checked."""
        helper, proto = self._onnx.helper, self._onnx.TensorProto
        shape = ["batch", "samples"] if source == WAVEFORM else ["batch", bins, "columns"]
        model: ModelProto = helper.make_model(
            helper.make_graph(
                self._nodes,
                "wav2clip",
                [helper.make_tensor_value_info(source, proto.FLOAT, shape)],
                [helper.make_tensor_value_info(n, proto.FLOAT, s) for n, s in self.outputs.items()],
                [self._onnx.numpy_helper.from_array(a, n) for n, a in self._constants.items()],
            ),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=8,
        )
        helper.set_model_props(model, dict(metadata))
        self._onnx.checker.check_model(model)
        return model

    def add_encoder(self) -> None:
        """From ``spectrogram`` to the three outputs."""
        encoder = self._network.audio_encoder
        x = self.node("Unsqueeze", SPECTROGRAM, self.constant("channel", np.array([1])))
        if isinstance(encoder, ResNet):
            x = self._resnet(x, encoder)
        else:
            for name, layer in encoder.features.named_children():
                assert isinstance(layer, (ConvNorm, InvertedResidual))
                x = self._mobile(x, f"features.{name}", layer)
        x = self.node("Identity", x, name=FEATURE_MAP)
        x = self.node("ReduceMean", x, axes=[2, 3], keepdims=0, name=FEATURES)
        self._projection(x)

    def _resnet(self, x: str, encoder: ResNet) -> str:
        x = self.node("Conv", x, *self._weights("conv1", encoder.conv1), **_shape(encoder.conv1))
        x = self.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        x = self.activation(self.node("Relu", x), _FIRST)
        blocks = [(n, m) for n, m in encoder.named_modules() if isinstance(m, BasicBlock)]
        for name, block in blocks:
            x = self._block(x, name, block)
        return x

    def _mobile(self, x: str, name: str, layer: ConvNorm | InvertedResidual) -> str:
        """A convolution with its activation, or an inverted residual block of them."""
        if isinstance(layer, ConvNorm):
            y = self.node("Conv", x, *self._weights(name, layer[0]), **_shape(layer[0]))
            return y if len(layer) < 3 else self._activate(y, layer[2])
        y = x
        for index, part in layer.block.named_children():
            own = f"{name}.block.{index}"
            if isinstance(part, Excitation):
                y = self._excite(y, own, part)
            else:
                assert isinstance(part, ConvNorm)
                y = self._mobile(y, own, part)
        return self.node("Add", x, y) if layer.shortcut else y

    def _excite(self, x: str, name: str, layer: Excitation) -> str:
        y = self.node("ReduceMean", x, axes=[2, 3], keepdims=0)
        y = self.node("Relu", self._linear(y, f"{name}.fc1", layer.layers["fc1"]))
        y = self.node("Sigmoid", self._linear(y, f"{name}.fc2", layer.layers["fc2"]))
        return self.node(
            "Mul", x, self.node("Unsqueeze", y, self.constant("plane", np.array([2, 3])))
        )

    def _activate(self, x: str, module: nn.Module) -> str:
        return self.node("HardSwish" if isinstance(module, nn.Hardswish) else "Relu", x)

    def add_frontend(self, config: AudioConfig) -> None:
        """From ``waveform`` to ``spectrogram``: see :class:`wav2clip.models.frontend.Frontend`.

        The Fourier transform is a convolution with windowed cosines and sines.
        """
        front = config.frontend
        if isinstance(front, MelConfig):
            self._mel(front)
            return
        window = torch.hann_window(front.n_fft, dtype=torch.float64).numpy()
        power = self._power(WAVEFORM, front.n_fft, front.hop_length, window)
        offset = self.constant("log_offset", np.float32(front.log_offset))
        x = self.node("Log", self.node("Add", power, offset))
        centred = self.node("Sub", x, self.node("ReduceMean", x, axes=[1, 2], keepdims=1))
        squares = self.node("ReduceSumSquare", centred, axes=[1, 2], keepdims=1)
        total = self.node("Mul", self._size(x, 1), self._size(x, 2))
        less = self.node("Sub", total, self.constant("one", np.float32(1)))
        deviation = self.node("Sqrt", self.node("Div", squares, less))
        offset = self.constant("std_offset", np.float32(front.std_offset))
        self.node("Div", centred, self.node("Add", deviation, offset), name=SPECTROGRAM)

    def _power(self, wave: str, n_fft: int, hop: int, window: Array) -> str:
        """Power spectrogram (batch, n_fft // 2 + 1, frames) of (batch, samples), centred."""
        edge, bins = n_fft // 2, n_fft // 2 + 1
        angle = 2 * np.pi / n_fft * np.outer(np.arange(bins), np.arange(n_fft))
        kernel = (np.concatenate([np.cos(angle), np.sin(angle)]) * window)[:, None]
        x = self.node(
            "Pad", wave, self.constant("edge", np.array([0, edge, 0, edge])), mode="reflect"
        )
        x = self.node("Unsqueeze", x, self.constant("one_channel", np.array([1])))
        fourier = self.constant("fourier", kernel.astype(np.float32))
        x = self.node("Conv", x, fourier, strides=[hop])
        x = self.node("Mul", x, x)
        halves = [f"{x}_real", f"{x}_imaginary"]
        sizes = self.constant("halves", np.array([bins, bins]))
        self._nodes.append(self._onnx.helper.make_node("Split", [x, sizes], halves, axis=1))
        return self.node("Add", *halves)

    def _mel(self, front: MelConfig) -> None:
        """From ``waveform`` to ``spectrogram``: see :class:`wav2clip.models.mel.MelFrontend`."""

        def number(name: str, value: float) -> str:
            return self.constant(name, np.float32(value))

        x = WAVEFORM
        if front.peak is not None:
            loudest = self.node("ReduceMax", self.node("Abs", x), axes=[1], keepdims=1)
            loudest = self.node("Add", loudest, number("quietest", QUIETEST))
            x = self.node("Mul", x, self.node("Div", number("peak", front.peak), loudest))
        x = self.node("Unsqueeze", x, self.constant("one_channel", np.array([1])))
        emphasis = np.array([[[-front.pre_emphasis, 1.0]]], np.float32)
        x = self.node("Conv", x, self.constant("emphasis", emphasis))
        x = self.node("Squeeze", x, self.constant("one_channel", np.array([1])))
        around = (front.n_fft - front.window_length) // 2
        window = torch.hann_window(front.window_length, periodic=False, dtype=torch.float64).numpy()
        power = self._power(x, front.n_fft, front.hop_length, np.pad(window, around))
        x = self.node("MatMul", self.constant("filters", mel_filters(front)), power)
        x = self.node("Log", self.node("Add", x, number("log_offset", front.log_offset)))
        x = self.node("Add", x, number("shift", front.shift))
        self.node("Div", x, number("scale", front.scale), name=SPECTROGRAM)

    def node(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add a node with one output."""
        output = name or f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, value: Array | np.float32) -> str:
        self._constants[name] = np.asarray(value)
        return name

    def activation(self, x: str, name: str) -> str:
        """Mark a tensor as one that is 8-bit in the 8-bit graph."""
        if self._ranges is None:
            self.activations.append(name)
            return self.node("Identity", x, name=name)
        if name not in self._ranges:
            raise InputError(f"no range for the activation {name}: calibrate this network anew")
        scale = _Scale.of(*self._ranges[name])
        parameters = (
            self.constant(f"{name}.scale", np.float32(scale.scale)),
            self.constant(f"{name}.zero", np.array(scale.zero, np.uint8)),
        )
        x = self.node("QuantizeLinear", x, *parameters)
        x = self.node("DequantizeLinear", x, *parameters)
        self._scales[x] = scale
        return x

    def _block(self, x: str, name: str, block: BasicBlock) -> str:
        y = self.node("Relu", self._conv(x, f"{name}.conv1", block.conv1))
        y = self.activation(y, f"{name}.inner")
        y = self.activation(self._conv(y, f"{name}.conv2", block.conv2), f"{name}.sum")
        if block.downsample is not None:
            x = self._conv(x, f"{name}.downsample", block.downsample[0])
            x = self.activation(x, f"{name}.shortcut")
        return self.activation(self.node("Relu", self.node("Add", y, x)), f"{name}.out")

    def _conv(self, x: str, name: str, module: nn.Module) -> str:
        assert isinstance(module, nn.Conv2d)
        scale = self._scales.get(x)
        weights = self._weights(name, module, scale)
        return self.node("Conv", x, *weights, **_shape(module))

    def _weights(
        self, name: str, module: nn.Module, scale: _Scale | None = None
    ) -> tuple[str, str]:
        """Names of a convolution's weight and bias, 8- and 32-bit where the input has a scale."""
        assert isinstance(module, nn.Conv2d)
        assert module.bias is not None  # folding a batch norm gives every convolution one
        weight, bias = module.weight.detach().numpy(), module.bias.detach().numpy()
        if scale is None:
            return self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)
        steps = np.abs(weight).max(axis=(1, 2, 3)) / 127
        steps = np.where(steps == 0, 1, steps).astype(np.float32)
        whole = np.rint(weight / steps[:, None, None, None]).astype(np.int8)
        offsets = np.rint(bias / (steps * scale.scale)).clip(-(2**31), 2**31 - 1).astype(np.int32)
        return (
            self._dequantized(f"{name}.weight", whole, steps),
            self._dequantized(f"{name}.bias", offsets, (steps * scale.scale).astype(np.float32)),
        )

    def _dequantized(self, name: str, whole: Array, steps: Array) -> str:
        scale, zero = f"{name}.scale", f"{name}.zero"
        self.constant(scale, steps)
        self.constant(zero, np.zeros(len(steps), whole.dtype))
        return self.node("DequantizeLinear", self.constant(name, whole), scale, zero, axis=0)

    def _projection(self, features: str) -> None:
        transform = self._network.audio_transform
        if transform is None:
            self.node("Identity", features, name=EMBEDDING)
        elif isinstance(transform, ClassProjection):
            x = self._linear(features, "projection.0", transform.classifier[0])
            x = self._linear(self.node("HardSwish", x), "projection.1", transform.classifier[3])
            x = self.node("Sigmoid", x)
            if transform.power != 1:
                x = self.node("Pow", x, self.constant("power", np.float32(transform.power)))
            self._linear(x, "projection.2", transform.names, EMBEDDING)
        else:
            x = self._linear(features, "projection.0", transform.sequential[0])
            self._linear(self.node("Relu", x), "projection.1", transform.sequential[3], EMBEDDING)

    def _linear(self, x: str, name: str, layer: nn.Module | Tensor, output: str = "") -> str:
        assert isinstance(layer, nn.Linear)
        parameters = [(f"{name}.weight", layer.weight)]
        if layer.bias is not None:
            parameters.append((f"{name}.bias", layer.bias))
        names = [self.constant(n, p.detach().numpy()) for n, p in parameters]
        return self.node("Gemm", x, *names, transB=1, name=output)

    def _size(self, x: str, axis: int) -> str:
        """Length of an axis, as a float."""
        index = self.constant(f"axis_{axis}", np.array(axis))
        size = self.node("Gather", self.node("Shape", x), index)
        return self.node("Cast", size, to=self._onnx.TensorProto.FLOAT)


def _shape(module: nn.Module) -> dict[str, Any]:
    """Strides and padding of a convolution, as attributes."""
    assert isinstance(module, nn.Conv2d)
    rows, columns = (int(p) for p in module.padding)
    return {
        "strides": list(module.stride),
        "pads": [rows, columns, rows, columns],
        "group": module.groups,
    }
