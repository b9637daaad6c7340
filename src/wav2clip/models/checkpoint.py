"""Weights on disk: the published layout, and the project's own.

The published checkpoint is a flat dict of tensors saved by ``torch.save``. The project's own is a
folder with ``model.safetensors`` and ``config.json``; the config carries architecture, dimensions,
preprocessing, licence and provenance. Neither ever executes anything: ``.pt`` files are read with
``weights_only=True``, and a file that needs more is refused.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from wav2clip.errors import CheckpointError
from wav2clip.files import atomic_path, display
from wav2clip.models.encoder import EncoderConfig
from wav2clip.models.frontend import AnyFrontendConfig, FrontendConfig
from wav2clip.models.mel import MelConfig
from wav2clip.models.network import ARCHITECTURES, AudioNetwork, NetworkConfig, architecture

FORMAT = "wav2clip-audio/1"
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
FRONTENDS: dict[str, type[AnyFrontendConfig]] = {"resnet18": FrontendConfig, "mobilenet": MelConfig}
"""The preprocessing that belongs to each architecture."""

_WINDOW = "audio_encoder.spectrogram.window"
_MEAN = "audio_mean"
_PREFIXES = ("audio_encoder.", "audio_transform.")


@dataclass(frozen=True)
class AudioConfig:
    """What a checkpoint says about itself.

    Attributes:
        frontend: preprocessing; its type belongs to the architecture.
        encoder: dimensions of the network; its type is the architecture.
        space: name of the embedding space that it was distilled into.
        licence: SPDX identifier, or a sentence where there is none.
        provenance: free JSON: data, recipe, metrics, addresses.
        logit_scale: factor on centred cosines before the softmax of zero-shot classification,
            fitted on held-out clips; None: derived from the text tower's.
        activation_ranges: smallest and largest value of the activations by name, for 8-bit
            convolutions; see :func:`wav2clip.models.onnx_graph.activation_ranges`.
    """

    frontend: AnyFrontendConfig = field(default_factory=FrontendConfig)
    encoder: NetworkConfig = field(default_factory=EncoderConfig)
    space: str = "clip-vit-b-32"
    licence: str = "unknown"
    provenance: dict[str, Any] = field(default_factory=dict)
    logit_scale: float | None = None
    activation_ranges: dict[str, tuple[float, float]] | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A network that is ready to use, in evaluation mode, float32, on the CPU.

    Attributes:
        network: encoder and projection.
        config: see :class:`AudioConfig`.
        mean: (dimension,) float32, mean of unit-length audio embeddings of the training data, or
            None where the checkpoint has none.
        fingerprint: 16 hexadecimal digits that change when any weight or the preprocessing changes.
    """

    network: AudioNetwork
    config: AudioConfig
    mean: NDArray[np.float32] | None
    fingerprint: str


PUBLISHED = AudioConfig(
    licence="CC-BY-4.0",
    provenance={
        "paper": "Wu, Seetharaman, Kumar, Bello: Wav2CLIP, ICASSP 2022, arXiv 2110.11499",
        "data": "VGGSound",
    },
)
"""Config of the published checkpoint, which carries none itself."""


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Load the project's folder (or the ``.safetensors`` in it), or a published ``.pt``.

    Raises:
        CheckpointError: missing, damaged or unsafe file, missing or misshapen tensors, or
            preprocessing that differs from what the layout defines.
    """
    path = Path(path)
    if path.suffix == ".safetensors" and path.is_file():
        path = path.parent
    if path.is_dir():
        config, tensors = _read_config(path / CONFIG_FILE), _read_safetensors(path / WEIGHTS_FILE)
    else:
        config, tensors = PUBLISHED, read_tensors(path)
    _check_window(tensors.pop(_WINDOW, None), path)
    tensors = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    mean = tensors.pop(_MEAN, None)
    return Checkpoint(
        network=build_network(config.encoder, tensors, display(path)),
        config=config,
        mean=None if mean is None else mean.float().numpy(),
        fingerprint=fingerprint(config, tensors),
    )


def save_checkpoint(
    folder: str | Path,
    network: AudioNetwork,
    config: AudioConfig,
    mean: NDArray[np.float32] | None = None,
    dtype: torch.dtype = torch.float16,
) -> Path:
    """Write ``config.json`` and ``model.safetensors``, each under its name only when whole.

    Args:
        folder: made if it is not there.
        network: its floating-point tensors are stored as ``dtype``.
        config: stored as JSON, with the format's name and version.
        mean: see :class:`Checkpoint`; stored in float32.
        dtype: float16 halves the file; embeddings change by less than 1e-3 of their length.

    Returns:
        The folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: tensor.detach().cpu().contiguous().to(dtype if tensor.is_floating_point() else None)
        for name, tensor in network.state_dict().items()
    }
    if mean is not None:
        tensors[_MEAN] = torch.as_tensor(np.asarray(mean, np.float32)).contiguous()
    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
        temporary.chmod(0o644)  # safetensors makes it readable by its owner alone
    document = {"format": FORMAT, "architecture": architecture(config.encoder), **asdict(config)}
    with atomic_path(folder / CONFIG_FILE) as temporary:
        temporary.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return folder


def build_network(
    config: NetworkConfig, tensors: Mapping[str, Tensor], name: str = "checkpoint"
) -> AudioNetwork:
    """A network in evaluation mode with these weights; names outside the network are left alone."""
    with torch.device("meta"):  # the weights come from the file: initialising them first is waste
        network = AudioNetwork(config)
    expected = network.state_dict()
    own = {key: value for key, value in tensors.items() if key.startswith(_PREFIXES)}
    for key in expected:  # counts training steps, takes no part in evaluation, may be left out
        if key.endswith("num_batches_tracked"):
            own.setdefault(key, torch.tensor(0))
    missing = [key for key in expected if key not in own]
    wrong = [k for k, v in own.items() if k in expected and v.shape != expected[k].shape]
    unknown = [k for k in own if k not in expected]
    if missing or wrong or unknown:
        problems = [
            *(f"{key} is missing" for key in missing[:3]),
            *(
                f"{key} is {tuple(own[key].shape)}, expected {tuple(expected[key].shape)}"
                for key in wrong[:3]
            ),
            *(f"{key} is not part of the network" for key in unknown[:3]),
        ]
        raise CheckpointError(
            f"{name}: {len(missing) + len(wrong) + len(unknown)} tensors do not fit the Wav2CLIP "
            f"layout: {'; '.join(problems)}. Is it a Wav2CLIP audio checkpoint?"
        )
    check_finite(own, name)
    network.load_state_dict(own, assign=True)
    network.eval().requires_grad_(False)
    return network.channels_last()


def fingerprint(config: AudioConfig, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over preprocessing, dimensions and every tensor of the network, 16 digits of it."""
    shape = {"frontend": asdict(config.frontend), "encoder": asdict(config.encoder)}
    digest = hashlib.sha256(json.dumps(shape, sort_keys=True).encode())
    for name in sorted(tensors):
        if name.startswith(_PREFIXES) and tensors[name].is_floating_point():
            # Hashing float32 values makes a .pt and its float32 safetensors copy the same model.
            digest.update(name.encode() + b"\0")
            digest.update(tensors[name].detach().float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def check_finite(tensors: Mapping[str, Tensor], name: str) -> None:
    """Raise :class:`CheckpointError` where a tensor holds NaN or infinity."""
    for key, value in tensors.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise CheckpointError(f"{name}: {key} holds NaN or infinity; the file is damaged")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a flat dict saved by ``torch.save``; nothing in the file is executed.

    Raises:
        CheckpointError: missing, damaged or unsafe file, or one without tensors.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{display(path)}: no such file; expected a .pt checkpoint or a folder with "
            f"{CONFIG_FILE} and {WEIGHTS_FILE}"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{display(path)}: refused, it is no plain dict of tensors: loading it could execute "
            "code. Save the state dict alone and try again"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{display(path)}: damaged or no PyTorch file ({error})") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{display(path)}: holds a {type(content).__name__}, expected a dict of tensors"
        )
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(
            f"{display(path)}: its dict holds no tensors but {sorted(map(str, content))[:5]}; "
            "expected names like audio_encoder.conv1.weight"
        )
    return tensors


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{display(path)}: missing or damaged ({error})") from error


def _read_config(path: Path) -> AudioConfig:
    try:
        document = json.loads(path.read_text("utf-8"))
        if document.pop("format") != FORMAT:
            raise CheckpointError(f"{display(path)}: format is not {FORMAT}; update wav2clip?")
        name = document.pop("architecture", "resnet18")  # the only one that format 1 began with
        if name not in ARCHITECTURES:
            raise CheckpointError(
                f"{display(path)}: its architecture is {name!r}, this version knows "
                f"{', '.join(ARCHITECTURES)}; update wav2clip?"
            )
        dimensions = document.pop("encoder").items()
        encoder: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in dimensions}
        if ranges := document.get("activation_ranges"):
            pairs = {name: (float(low), float(high)) for name, (low, high) in ranges.items()}
            document["activation_ranges"] = pairs
        return AudioConfig(
            frontend=FRONTENDS[name](**document.pop("frontend")),
            encoder=ARCHITECTURES[name](**encoder),
            **document,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{display(path)}: missing or not valid ({error!r})") from error


def _check_window(window: Tensor | None, path: Path) -> None:
    if window is None:
        return
    expected = torch.hann_window(PUBLISHED.frontend.n_fft)
    if window.shape != expected.shape or not torch.allclose(window.float(), expected, atol=1e-5):
        raise CheckpointError(
            f"{display(path)}: its spectrogram window is no periodic Hann window of "
            f"{len(expected)} samples; the checkpoint was trained with other preprocessing"
        )
