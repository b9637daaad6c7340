"""Checkpoints in PyTorch's own format: the published one, and teachers'.

A flat dict of tensors saved by ``torch.save``, read with ``weights_only=True``: a file that needs
more could execute code, and is refused.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from wav2clip.errors import CheckpointError
from wav2clip.files import display
from wav2clip.models.config import PUBLISHED

_WINDOW = "audio_encoder.spectrogram.window"


def read_published(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a checkpoint in the published layout, floating-point ones in float32.

    Raises:
        CheckpointError: as :func:`read_tensors`, or its spectrogram is another one.
    """
    tensors = read_tensors(path)
    _check_window(tensors.pop(_WINDOW, None), path)
    return {n: (t.float() if t.is_floating_point() else t).numpy() for n, t in tensors.items()}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a flat dict saved by ``torch.save``; nothing in the file is executed.

    Raises:
        CheckpointError: missing, damaged or unsafe file, or one without tensors.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{display(path)}: no such file; expected a .pt checkpoint or a folder "
            "with config.json and model.safetensors"
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


def _check_window(window: Tensor | None, path: Path) -> None:
    if window is None:
        return
    expected = torch.hann_window(PUBLISHED.frontend.n_fft)
    if window.shape != expected.shape or not torch.allclose(window.float(), expected, atol=1e-5):
        raise CheckpointError(
            f"{display(path)}: its spectrogram window is no periodic Hann window of "
            f"{len(expected)} samples; the checkpoint was trained with other preprocessing"
        )
