"""Weights on disk: the published layout, and the project's own.

The project's own is a folder with ``model.safetensors`` and ``config.json``; the config carries
architecture, dimensions, preprocessing, licence and provenance. A third file, ``network.onnx``, may
say how ONNX Runtime computes with these weights; whoever has it needs no PyTorch. The published
checkpoint is a file of PyTorch's (:mod:`wav2clip.models.published`). None ever executes anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from wav2clip.errors import CheckpointError
from wav2clip.files import atomic_path, display
from wav2clip.models.background import BACKGROUND_FILE, Background, read_background
from wav2clip.models.config import PUBLISHED, AudioConfig, read_config, write_config
from wav2clip.runtime import require_torch

if TYPE_CHECKING:
    from wav2clip.models.network import AudioNetwork

WEIGHTS_FILE, CONFIG_FILE, GRAPH_FILE = "model.safetensors", "config.json", "network.onnx"

Weights = Mapping[str, NDArray[Any]]

_MEAN = "audio_mean"
_PREFIXES = ("audio_encoder.", "audio_transform.")


@dataclass(frozen=True)
class Checkpoint:
    """A model as it was read.

    Attributes:
        config: see :class:`AudioConfig`.
        weights: tensors of the network by name, float32.
        mean: (dimension,) float32, mean of unit-length audio embeddings of the training data, or
            None where the checkpoint has none.
        fingerprint: 16 hexadecimal digits that change when any weight or the preprocessing changes.
        folder: where it lies, in the project's own format; None for the published layout.
    """

    config: AudioConfig
    weights: Weights
    mean: NDArray[np.float32] | None
    fingerprint: str
    folder: Path | None = None

    @classmethod
    def of(
        cls, network: AudioNetwork, config: AudioConfig, mean: NDArray[np.float32] | None = None
    ) -> Checkpoint:
        """A network that is in memory, as if it had been read."""
        state = network.state_dict().items()
        weights = {n: t.detach().cpu().numpy() for n, t in state if n.startswith(_PREFIXES)}
        checkpoint = cls(config, weights, mean, fingerprint(config, weights))
        checkpoint.__dict__["network"] = network
        return checkpoint

    @property
    def graph(self) -> Path | None:
        """The file for ONNX Runtime, if there is one; its metadata has the fingerprint."""
        path = self.folder and self.folder / GRAPH_FILE
        return path if path and path.is_file() else None

    @property
    def background(self) -> Background | None:
        """How near sounds of all sorts lie to queries, where that was measured.

        Raises:
            CheckpointError: the file is damaged.
        """
        return read_background(self.folder) if self.folder else None

    @cached_property
    def network(self) -> AudioNetwork:
        """The network in PyTorch: evaluation mode, float32, on the CPU. Not to be changed.

        Raises:
            CheckpointError: tensors are missing, unknown or of another shape.
        """
        from wav2clip.models.network import build_network

        self.check()
        return build_network(self.config.encoder, self.weights)

    def check(self) -> None:
        """Compare the names and shapes of the tensors with what the network needs.

        Raises:
            CheckpointError: they differ.
        """
        from wav2clip.models.network import expected_shapes

        expected = expected_shapes(self.config.encoder)
        shapes = {n: a.shape for n, a in self.weights.items() if not n.endswith(_COUNTER)}
        problems = [
            *(f"{name} is missing" for name in expected if name not in shapes),
            *(
                f"{name} is {shape}, expected {expected[name]}"
                for name, shape in shapes.items()
                if name in expected and shape != expected[name]
            ),
            *(f"{name} is not part of the network" for name in shapes if name not in expected),
        ]
        if problems:
            raise CheckpointError(
                f"{len(problems)} tensors do not fit the Wav2CLIP layout: "
                f"{'; '.join(problems[:9])}. Is it a Wav2CLIP audio checkpoint?"
            )


_COUNTER = "num_batches_tracked"
"""Training steps that a batch norm has seen: takes no part in inference and may be left out."""


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Load the project's folder (or the ``.safetensors`` in it), or a published ``.pt``.

    A folder without a graph, and a ``.pt``, need PyTorch.

    Raises:
        CheckpointError: missing, damaged or unsafe file, missing or misshapen tensors, or
            preprocessing that differs from what the layout defines.
        MissingExtraError: PyTorch is needed and not installed.
    """
    path = Path(path)
    if path.suffix == ".safetensors" and path.is_file():
        path = path.parent
    if path.is_dir():
        config, tensors = read_config(path / CONFIG_FILE), _read_safetensors(path / WEIGHTS_FILE)
    else:
        require_torch(f"{display(path)}: a checkpoint of PyTorch")
        from wav2clip.models.published import read_published

        config, tensors = PUBLISHED, read_published(path)
    mean = tensors.pop(_MEAN, None)
    weights = {n: _float32(a) for n, a in tensors.items() if n.startswith(_PREFIXES)}
    check_finite(weights, display(path))
    checkpoint = Checkpoint(
        config,
        weights,
        None if mean is None else _float32(mean),
        fingerprint(config, weights),
        path if path.is_dir() else None,
    )
    if checkpoint.graph is None:
        require_torch(f"{display(path)}: a model without {GRAPH_FILE}")
        try:
            checkpoint.check()
        except CheckpointError as error:
            raise CheckpointError(f"{display(path)}: {error}") from error
    return checkpoint


def save_checkpoint(
    folder: str | Path,
    network: AudioNetwork,
    config: AudioConfig,
    mean: NDArray[np.float32] | None = None,
    dtype: str = "float16",
) -> Path:
    """Write ``config.json`` and ``model.safetensors``, each under its name only when whole.

    Args:
        folder: made if it is not there.
        network: its floating-point tensors are stored as ``dtype``.
        config: stored as JSON, with the format's name and version.
        mean: see :class:`Checkpoint`; stored in float32.
        dtype: ``"float16"`` halves the file; embeddings change by less than 1e-3 of their length.
            Or ``"float32"``.

    Returns:
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, tensor in network.state_dict().items():
        array = tensor.detach().cpu().contiguous().numpy()
        tensors[name] = array.astype(dtype) if array.dtype.kind == "f" else array
    if mean is not None:
        tensors[_MEAN] = np.ascontiguousarray(mean, np.float32)
    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
        temporary.chmod(0o644)  # safetensors makes it readable by its owner alone
    with atomic_path(folder / CONFIG_FILE) as temporary:
        temporary.write_text(write_config(config), "utf-8")
    for name in (GRAPH_FILE, BACKGROUND_FILE):  # of other weights
        (folder / name).unlink(missing_ok=True)
    return folder


def fingerprint(config: AudioConfig, weights: Weights) -> str:
    """SHA-256 over preprocessing, dimensions and every tensor of the network, 16 digits of it."""
    shape = {"frontend": asdict(config.frontend), "encoder": asdict(config.encoder)}
    digest = hashlib.sha256(json.dumps(shape, sort_keys=True).encode())
    for name in sorted(weights):
        if weights[name].dtype.kind == "f":
            # Hashing float32 values makes a .pt and its float32 safetensors copy the same model.
            digest.update(name.encode() + b"\0")
            digest.update(np.ascontiguousarray(weights[name], np.float32).tobytes())
    return digest.hexdigest()[:16]


def check_finite(weights: Weights, name: str) -> None:
    """Raise :class:`CheckpointError` where a tensor holds NaN or infinity."""
    for key, value in weights.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise CheckpointError(f"{name}: {key} holds NaN or infinity; the file is damaged")


def _float32(array: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(array, np.float32) if array.dtype.kind == "f" else array


def _read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    try:
        return load_file(path)
    except (OSError, TypeError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{display(path)}: missing or damaged ({error})") from error
