"""Graphs for ONNX Runtime that refer to a file of weights instead of holding a copy of them.

A graph is a small file beside ``model.safetensors``. Its weights are external data there, by offset
and length, in the types in which they are stored; the graph widens them to float32, and the runtime
does so once, when it opens the graph. Made from the modules of PyTorch by their own exporter.
"""

from __future__ import annotations

import base64
import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wav2clip.errors import MissingExtraError
from wav2clip.files import atomic_path
from wav2clip.models.towers.packed import SCALE

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto

OPSET = 17
"""Of 2022: what is needed, in runtimes of any age."""


@dataclass(frozen=True)
class Signature:
    """What a module takes and gives.

    Attributes:
        inputs: name of each input, and an example.
        outputs: names of what it gives.
        axes: input or output to its axes of any length, by position with a name each.
    """

    inputs: Mapping[str, torch.Tensor]
    outputs: tuple[str, ...]
    axes: Mapping[str, Mapping[int, str]]


def write_graph(
    module: nn.Module, signature: Signature, weights: Path, graph: Path, metadata: Mapping[str, str]
) -> None:
    """Export a module as a graph over weights that lie in a file.

    Args:
        module: in evaluation mode, in float32, on the CPU; its tensors have the names that they
            have in the file, behind any prefix.
        signature: see there.
        weights: a safetensors file, with 8-bit tensors as
            :func:`wav2clip.models.towers.packed.pack` stores them.
        graph: to write, in the same folder.
        metadata: strings that the graph carries.

    Raises:
        MissingExtraError: ONNX is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("ONNX is not installed: pip install 'wav2clip[onnx]'") from error
    model = onnx.load_from_string(_exported(module, signature))
    refer_to(model, weights)
    onnx.helper.set_model_props(model, dict(metadata))
    with atomic_path(graph) as temporary:
        temporary.write_bytes(model.SerializeToString())


def _exported(module: nn.Module, signature: Signature) -> bytes:
    with (
        warnings.catch_warnings(),
        torch.inference_mode(),
        tempfile.TemporaryDirectory() as folder,
    ):
        file = Path(folder) / "model.onnx"
        warnings.simplefilter("ignore")  # the exporter that needs no further package is deprecated
        module(*signature.inputs.values())  # what is computed once is a constant from now on
        torch.onnx.export(
            module,
            tuple(signature.inputs.values()),
            file,
            input_names=list(signature.inputs),
            output_names=list(signature.outputs),
            dynamic_axes={name: dict(axes) for name, axes in signature.axes.items()},
            opset_version=OPSET,
            dynamo=False,
            do_constant_folding=False,  # weights keep their names
            training=torch.onnx.TrainingMode.PRESERVE,  # and batch norms their own
        )
        return file.read_bytes()


def refer_to(model: ModelProto, weights: Path) -> None:
    """Replace a graph's own weights by those of a safetensors file, found by their names."""
    stored = _tensors(weights)
    graph = model.graph
    own = {tensor.name: tensor for tensor in graph.initializer}
    for name, tensor in own.items():
        key = next((key for key in stored if name == key or name.endswith(f".{key}")), None)
        if key is not None:
            graph.initializer.remove(tensor)
            _Weight(graph, name, key, stored, weights.name).add()
    nodes = list(graph.node)
    del graph.node[:]
    widening = [node for node in nodes if node.name.startswith(_WIDENS)]
    graph.node.extend([*widening, *(node for node in nodes if not node.name.startswith(_WIDENS))])


_WIDENS = "widen:"


class _Weight:
    """One tensor of the file, as the value of that name in a graph."""

    def __init__(
        self, graph: GraphProto, name: str, key: str, stored: Mapping[str, _Stored], file: str
    ) -> None:
        self.graph, self.name, self.key, self.stored, self.file = graph, name, key, stored, file

    def add(self) -> None:
        kind = self.stored[self.key].kind
        scale = self.key + SCALE
        if kind == "F32":
            self.graph.initializer.append(self._external(self.key, self.name))
        elif scale not in self.stored:
            source = self._initializer(self.key)
            self._node("Cast", [source], self.name, to=1)
        elif not self._gathered():
            source = self._node("Cast", [self._initializer(self.key)], f"{self.name}:wide", to=1)
            ones = [1] * (len(self.stored[self.key].shape) - 1)
            shape = self._constant(np.array([-1, *ones], np.int64))
            scales = self._node("Reshape", [self._initializer(scale), shape], f"{self.name}:scales")
            self._node("Mul", [source, scales], self.name)

    def _gathered(self) -> bool:
        """Widen only the rows that are looked up, where the tensor is a table."""
        import onnx

        uses = [node for node in self.graph.node if self.name in node.input]
        if len(uses) != 1 or uses[0].op_type != "Gather":
            return False
        table, index, output = self._initializer(self.key), uses[0].input[1], uses[0].output[0]
        place = list(self.graph.node).index(uses[0])
        self.graph.node.remove(uses[0])
        scales, axis = self._initializer(self.key + SCALE), self._constant(np.array([-1], np.int64))
        make, own = onnx.helper.make_node, self.name
        nodes = [
            make("Gather", [table, index], [f"{own}:rows"]),
            make("Cast", [f"{own}:rows"], [f"{own}:wide"], to=1),
            make("Gather", [scales, index], [f"{own}:row_scales"]),
            make("Unsqueeze", [f"{own}:row_scales", axis], [f"{own}:scales"]),
            make("Mul", [f"{own}:wide", f"{own}:scales"], [output]),
        ]
        for offset, node in enumerate(nodes):
            self.graph.node.insert(place + offset, node)
        return True

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        import onnx

        name = f"{_WIDENS}{output}"
        node = onnx.helper.make_node(kind, inputs, [output], name=name, **attributes)
        self.graph.node.append(node)
        return output

    def _constant(self, value: NDArray[np.int64]) -> str:
        import onnx

        name = f"{self.name}:shape"
        self.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
        return name

    def _initializer(self, key: str) -> str:
        name = f"{self.name}:stored{SCALE if key.endswith(SCALE) else ''}"
        self.graph.initializer.append(self._external(key, name))
        return name

    def _external(self, key: str, name: str) -> TensorProto:
        import onnx

        there = self.stored[key]
        tensor = onnx.TensorProto(name=name, dims=there.shape, data_type=there.type)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        places = {"location": self.file, "offset": there.offset, "length": there.length}
        for field, value in places.items():
            tensor.external_data.add(key=field, value=str(value))
        return tensor


@dataclass(frozen=True)
class _Stored:
    """Where a tensor lies in a safetensors file."""

    kind: str
    shape: tuple[int, ...]
    offset: int
    length: int

    @property
    def type(self) -> int:
        """ONNX's number for it."""
        return {"F32": 1, "I8": 3, "F16": 10}[self.kind]


def _tensors(path: Path) -> dict[str, _Stored]:
    """The header of a safetensors file: its length in 8 bytes, then JSON, then the tensors."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return {
        name: _Stored(
            entry["dtype"],
            tuple(entry["shape"]),
            8 + size + entry["data_offsets"][0],
            entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for name, entry in header.items()
        if entry["dtype"] in ("F32", "I8", "F16")
    }


def proof_of(embeddings: list[NDArray[np.float32]]) -> str:
    """Embeddings as text for a graph's metadata; see :mod:`wav2clip.embedding.proof`."""
    return base64.b64encode(np.concatenate(embeddings).astype(np.float16).tobytes()).decode()
