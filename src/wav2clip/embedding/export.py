"""A model as ONNX, in float32 and with 8-bit convolutions, for any program that runs graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from wav2clip.audio import io
from wav2clip.errors import InputError, Wav2ClipError
from wav2clip.files import atomic_path, display
from wav2clip.models.checkpoint import (
    GRAPH_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from wav2clip.models.config import FrontendConfig, MelConfig
from wav2clip.models.frontend import Frontend
from wav2clip.models.graphs import write_audio_graph
from wav2clip.models.onnx_graph import activation_ranges, build_onnx

CALIBRATION_SECONDS = 10.0
"""Of each recording, from its start: more would weigh long recordings over short ones."""


def calibrate(
    checkpoint: Checkpoint,
    paths: Iterable[Path],
    failed: Callable[[Path, str], None],
    advance: Callable[[], None] = lambda: None,
) -> Checkpoint:
    """The same model with the ranges that its activations take on these recordings.

    Args:
        checkpoint: any.
        paths: recordings like those to come; a hundred are plenty.
        failed: called with each that cannot be read, and the reason.
        advance: called after each recording.

    Raises:
        InputError: none of the recordings can be read, or another architecture.
        MissingExtraError: ONNX is not installed.
    """
    config = checkpoint.config
    if not isinstance(config.frontend, FrontendConfig):
        raise InputError("8 bits are for the published architecture; this one has no use for them")
    frontend = Frontend(config.frontend)

    def spectrograms() -> Iterator[torch.Tensor]:
        for path in paths:
            try:
                wave = _beginning(path, frontend.config.sample_rate)
            except (Wav2ClipError, OSError) as error:
                failed(path, str(error).removeprefix(f"{display(path)}: "))
            else:
                yield frontend.standardize(frontend(wave), "recording")
            advance()

    with torch.inference_mode():
        ranges = activation_ranges(checkpoint.network, config, spectrograms())
    return replace(checkpoint, config=replace(config, activation_ranges=ranges))


def export_onnx(checkpoint: Checkpoint, folder: Path, *, frontend: bool = True) -> list[Path]:
    """Write ``model.onnx`` and, for a calibrated model, ``model-int8.onnx``, with the checkpoint.

    The checkpoint of a built-in architecture gets a graph of its own (``network.onnx``), with which
    it loads without PyTorch.

    Args:
        checkpoint: any; 8-bit needs ``config.activation_ranges``, see :func:`calibrate`.
        folder: made if it is not there; ``wav2clip.load`` takes it afterwards.
        frontend: whether the graphs take the waveform rather than the standardised spectrogram.

    Returns:
        The graphs. Inputs, outputs and metadata: :func:`wav2clip.models.onnx_graph.build_onnx`.

    Raises:
        InputError: the folder's name belongs to a file.
        MissingExtraError: ONNX is not installed.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{display(folder)}: is a file; name a folder to write into")
    kinds = {"model.onnx": None, "model-int8.onnx": checkpoint.config.activation_ranges}
    graphs = {
        folder / name: build_onnx(
            checkpoint.network,
            checkpoint.config,
            frontend=frontend,
            ranges=ranges,
            fingerprint=checkpoint.fingerprint,
        )
        for name, ranges in kinds.items()
        if name == "model.onnx" or ranges is not None
    }
    save_checkpoint(folder, checkpoint.network, checkpoint.config, checkpoint.mean)
    if isinstance(checkpoint.config.frontend, MelConfig):
        saved = load_checkpoint(folder)
        write_audio_graph(saved, folder / WEIGHTS_FILE, folder / GRAPH_FILE)
    for path, graph in graphs.items():
        with atomic_path(path) as temporary:
            temporary.write_bytes(graph.SerializeToString())
    return list(graphs)


def _beginning(path: Path, sample_rate: int) -> torch.Tensor:
    """(1, n) of the first seconds of a recording."""
    wanted = int(CALIBRATION_SECONDS * sample_rate)
    blocks, there = [], 0
    for block in io.stream_audio(path, sample_rate):
        blocks.append(torch.from_numpy(block))
        there += len(block)
        if there >= wanted:
            break
    return torch.cat(blocks)[None, :wanted]
