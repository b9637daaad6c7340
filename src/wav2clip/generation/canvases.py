"""Canvases by name, and the published VQGANs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from wav2clip.downloads import Progress
from wav2clip.errors import InputError, RegistryError
from wav2clip.files import display
from wav2clip.generation.canvas import Canvas
from wav2clip.models import registry

Maker = Callable[[int, int], Canvas]
"""Height and width in pixels to an empty canvas of that size."""

CANVASES = ("fourier", "vqgan")

DEFAULT_VQGAN = "vqgan_imagenet_f16_16384"

VQGANS = {
    model.name: model
    for model in (
        registry.Model(
            name=DEFAULT_VQGAN,
            summary="VQGAN of Esser et al. 2021 trained on ImageNet, 16,384 codes; about 1 GB",
            licence="MIT for the repository it is published in; none stated for the weights",
            url="https://heibox.uni-heidelberg.de/d/a7530b09fed84f80a887/files/"
            "?p=%2Fckpts%2Flast.ckpt&dl=1",
            filename=f"{DEFAULT_VQGAN}.ckpt",
        ),
    )
}
"""VQGANs that can be fetched by name. Their publisher states no hash, so the first download is
recorded and every later one must match it."""


def canvas_maker(
    kind: str,
    *,
    vqgan: str | Path = DEFAULT_VQGAN,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Maker:
    """A function that makes canvases of one kind.

    Args:
        kind: one of :data:`CANVASES`.
        vqgan: name among :data:`VQGANS`, or path of a checkpoint; loaded for ``"vqgan"`` alone.
        device: where the canvases are.
        progress: called with (bytes there, bytes in all) during a download.

    Raises:
        InputError: another kind.
        RegistryError: the VQGAN is neither known, nor cached, nor reachable.
        CheckpointError: it is damaged or of another layout.
    """
    if kind == "fourier":
        from wav2clip.generation.fourier import FourierCanvas

        return lambda height, width: FourierCanvas(height, width).to(device)
    if kind == "vqgan":
        from wav2clip.generation.taming import load_vqgan
        from wav2clip.generation.vqgan import VQGANCanvas

        network = load_vqgan(_locate(vqgan, progress)).to(device)
        return lambda height, width: VQGANCanvas(network, height, width)
    raise InputError(f"got canvas {kind!r}, expected one of {', '.join(CANVASES)}")


def _locate(name_or_path: str | Path, progress: Progress | None) -> Path:
    model = VQGANS.get(str(name_or_path))
    if model is not None:
        return registry.fetch(model, progress)
    path = Path(name_or_path).expanduser()
    if not path.exists():
        raise RegistryError(
            f"{display(path)}: neither a known VQGAN ({', '.join(VQGANS)}) nor an existing path"
        )
    return path
