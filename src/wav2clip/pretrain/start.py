"""What the network of a run starts from: random weights, a checkpoint, or a tagger."""

from __future__ import annotations

from pathlib import Path

import torch

from wav2clip.errors import DataError, TrainingError
from wav2clip.models.checkpoint import load_checkpoint
from wav2clip.models.config import MobileNetConfig
from wav2clip.models.network import AudioNetwork
from wav2clip.models.tagger import load_tagger
from wav2clip.pretrain.config import NetworkSettings
from wav2clip.pretrain.data import Classes


def start(settings: NetworkSettings, classes: Classes | None) -> AudioNetwork:
    """The network with its first weights, which can be trained.

    Args:
        settings: ``init`` says from where; random weights come from torch's own generator.
        classes: of the corpus' tagger.

    Raises:
        CheckpointError, RegistryError: the weights cannot be had, or are damaged.
        TrainingError: they are of other dimensions than the settings.
        DataError: they are a tagger's, and no tagger has heard the corpus, or another one.
    """
    config = settings.encoder()
    if settings.init is None:
        return AudioNetwork(config)
    if isinstance(config, MobileNetConfig) and not Path(settings.init).is_dir():
        network = _from_tagger(settings.init, config, classes)
    else:
        network = AudioNetwork(config)
        _load(network, load_checkpoint(settings.init).network, settings.init)
    return network.requires_grad_(True)


def _from_tagger(name: str, config: MobileNetConfig, classes: Classes | None) -> AudioNetwork:
    """Its head, then the sum of its classes' text embeddings weighted by probability."""
    tagger = load_tagger(name)
    if classes is None or classes.names != tagger.labels:
        heard = "no tagger has" if classes is None else "a tagger of other classes has"
        raise DataError(
            f"network.init is the tagger {name}, but {heard} heard the shards, so the text "
            "embeddings of its classes are not known; prepare them with this tagger"
        )
    network = AudioNetwork(config)
    _load(network, tagger.network(torch.from_numpy(classes.centred())), name)
    return network


def _load(network: AudioNetwork, source: AudioNetwork, name: str) -> None:
    try:
        network.load_state_dict(source.state_dict())
    except RuntimeError as error:
        raise TrainingError(
            f"the weights in {name} do not fit the dimensions of the section network: {error}"
        ) from error
