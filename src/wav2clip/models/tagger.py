"""A tagger: a frozen network that says which of its classes a sound holds.

It is a teacher for sound without labels or pictures: the text embeddings of its class names tie its
probabilities to CLIP's space. The layout is that of EfficientAT's checkpoints (Schmid, Koutini and
Widmer 2023, arXiv 2211.04772): a flat dict of tensors, ``features.*`` and ``classifier.{2,5}.*``,
with the names of the classes in a CSV table beside it.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from wav2clip.errors import CheckpointError, InputError
from wav2clip.files import display
from wav2clip.models.checkpoint import check_finite
from wav2clip.models.config import MelConfig, MobileNetConfig
from wav2clip.models.mel import MelFrontend
from wav2clip.models.mobilenet import MobileNet, classifier
from wav2clip.models.network import AudioNetwork
from wav2clip.models.published import read_tensors
from wav2clip.models.registry import TAGGER, TAGGER_CLASSES, fetch

LABELS_FILE = "class_labels_indices.csv"
"""AudioSet's table of classes: columns ``index``, ``mid``, ``display_name``."""

_HEAD = {"classifier.2": "0", "classifier.5": "3"}  # the checkpoint's name and ours


@dataclass(frozen=True)
class Tagger:
    """A tagger in evaluation mode, float32, on the CPU.

    Attributes:
        labels: names of its classes, in the order of its probabilities.
        config: dimensions.
        encoder: log-mel spectrogram to features.
        classifier: features to logits.
        frontend: waveform to log-mel spectrogram.
        fingerprint: 16 hexadecimal digits that change when any weight changes.
        name: that of the registry, or of the file.
        licence: of the weights; "unknown" for a file that the registry does not know.
    """

    labels: tuple[str, ...]
    config: MobileNetConfig
    encoder: MobileNet
    classifier: nn.Sequential
    frontend: MelFrontend
    fingerprint: str
    name: str = "unnamed"
    licence: str = "unknown"

    @property
    def sample_rate(self) -> int:
        """Hz of the waveforms that it takes."""
        return self.frontend.config.sample_rate

    @property
    def feature_dimension(self) -> int:
        """Size of the features before the classifier."""
        return self.config.features

    @torch.inference_mode()
    def __call__(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities (n, classes) and features (n, ``feature_dimension``) of (n, samples)."""
        features = self.encoder(self.frontend(wave))
        return self.classifier(features).sigmoid(), features

    def network(self, embeddings: Tensor, config: MobileNetConfig | None = None) -> AudioNetwork:
        """An audio network that starts where the tagger is.

        Its embedding is the sum over the classes of probability times embedding of the class name.

        Args:
            embeddings: (classes, dimension), of the class names.
            config: dimensions other than those of its weights, such as the dropout.

        Raises:
            InputError: not one embedding for each class.
        """
        if len(embeddings) != len(self.labels):
            raise InputError(
                f"got {len(embeddings)} embeddings of class names, the tagger has "
                f"{len(self.labels)} classes"
            )
        network = AudioNetwork(config or self.config)
        state = {f"audio_encoder.{k}": v for k, v in self.encoder.state_dict().items()}
        state |= {
            f"audio_transform.classifier.{k}": v for k, v in self.classifier.state_dict().items()
        }
        state["audio_transform.names.weight"] = embeddings.T.contiguous()
        network.load_state_dict(state)
        return network


def load_tagger(name_or_path: str | Path, labels: str | Path | None = None) -> Tagger:
    """Load a tagger from a ``.pt`` in EfficientAT's layout.

    Args:
        name_or_path: the weights, or ``"efficientat-mn04"`` for those that the registry fetches.
        labels: the table of classes; by default :data:`LABELS_FILE` beside the weights.

    Raises:
        CheckpointError: missing, damaged or unsafe file, tensors that do not fit the layout, or a
            table of another number of classes.
        RegistryError: the registry's weights are not here and cannot be fetched.
    """
    if str(name_or_path) == TAGGER.name:
        fetch(TAGGER_CLASSES)
        name_or_path = fetch(TAGGER)
    path = Path(name_or_path).expanduser()
    state = read_tensors(path)
    config = _config(state, path)
    encoder, head = MobileNet(config).eval(), classifier(config).eval()
    renamed = {k.removeprefix("features."): v for k, v in state.items() if k.startswith("features")}
    _load(encoder.features, renamed, path)
    _load(
        head,
        {
            f"{own}.{part}": state[f"{name}.{part}"]
            for name, own in _HEAD.items()
            for part in ("weight", "bias")
        },
        path,
    )
    names = read_labels(Path(labels) if labels else path.parent / LABELS_FILE)
    if len(names) != config.classes:
        raise CheckpointError(
            f"{display(path)} has {config.classes} classes, its table of labels {len(names)}"
        )
    digest = hashlib.sha256("\n".join(names).encode())
    for name in sorted(state):
        if state[name].is_floating_point():
            digest.update(
                name.encode() + b"\0" + state[name].float().contiguous().numpy().tobytes()
            )
    for module in (encoder, head):
        module.requires_grad_(False)
    frontend = MelFrontend(MelConfig())
    name, licence = path.stem, "unknown"
    if hashlib.sha256(path.read_bytes()).hexdigest() == TAGGER.sha256:
        name, licence = TAGGER.name, TAGGER.licence
    fingerprint = digest.hexdigest()[:16]
    return Tagger(names, config, encoder, head, frontend, fingerprint, name, licence)


def read_labels(path: Path) -> tuple[str, ...]:
    """Names of the classes in the order of their index.

    Raises:
        CheckpointError: the table cannot be read, or its indices are not 0, 1, 2, ...
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = sorted((int(r["index"]), r["display_name"]) for r in csv.DictReader(file))
    except (OSError, UnicodeDecodeError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise CheckpointError(
            f"{display(path)}: expected AudioSet's table of classes, with the columns index and "
            f"display_name, beside the tagger's weights ({error!r})"
        ) from error
    if [index for index, _ in rows] != list(range(len(rows))):
        raise CheckpointError(f"{display(path)}: its indices are not 0, 1, 2, ... without a gap")
    return tuple(name for _, name in rows)


def _config(state: Mapping[str, Tensor], path: Path) -> MobileNetConfig:
    """Dimensions, told from the shapes of the head and of the last convolution."""
    try:
        hidden, features = state["classifier.2.weight"].shape
        classes = state["classifier.5.weight"].shape[0]
        config = next(
            config
            for tenth in range(1, 41)
            if (config := MobileNetConfig(tenth / 10, hidden, classes)).features == features
        )
    except (KeyError, ValueError, StopIteration) as error:
        raise CheckpointError(
            f"{display(path)}: no tagger in EfficientAT's layout (features.*, classifier.2.*, "
            f"classifier.5.*) of a width from 0.1 to 4.0"
        ) from error
    return config


def _load(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    try:
        module.load_state_dict(dict(state))
    except RuntimeError as error:
        raise CheckpointError(
            f"{display(path)}: its tensors do not fit MobileNetV3 as EfficientAT uses it ({error})"
        ) from error
    check_finite({name: tensor.numpy() for name, tensor in state.items()}, display(path))
