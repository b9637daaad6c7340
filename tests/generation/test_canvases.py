"""Canvases: what they draw, what they are painted with, their sizes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tiny_vqgan import TINY, tiny_network, write_checkpoint
from wav2clip.errors import InputError, RegistryError
from wav2clip.generation.canvas import Canvas, clamp_with_gradient, read_picture
from wav2clip.generation.canvases import canvas_maker
from wav2clip.generation.fourier import COLOUR_COVARIANCE, FourierCanvas
from wav2clip.generation.vqgan import VQGANCanvas

ROOT = Path(__file__).parents[2]


def smooth_picture(height: int, width: int) -> Tensor:
    """Colours that change slowly, within the range that every canvas can reach."""
    down = torch.linspace(0, 3, height)[:, None].expand(height, width)
    right = torch.linspace(0, 2, width)[None].expand(height, width)
    return (0.5 + 0.3 * torch.stack([down.sin(), right.cos(), (down + right).sin()]))[None]


@pytest.fixture(params=["fourier", "vqgan"])
def canvas(request: pytest.FixtureRequest) -> Canvas:
    if request.param == "fourier":
        return FourierCanvas(40, 56)
    return VQGANCanvas(tiny_network(), 40, 56)


def test_what_every_canvas_keeps(canvas: Canvas) -> None:
    canvas.clear(torch.Generator().manual_seed(1))
    picture = canvas.draw()
    assert picture.shape == (1, 3, 40, 56)
    assert picture.min() >= 0 and picture.max() <= 1
    assert canvas.pixels().shape == (40, 56, 3)
    assert canvas.pixels().dtype == np.uint8
    picture.square().sum().backward()
    for parameter in canvas.parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0
    canvas.clear(torch.Generator().manual_seed(1))
    torch.testing.assert_close(canvas.draw(), picture)
    canvas.clear(torch.Generator().manual_seed(2))
    assert not torch.equal(canvas.draw(), picture)


def test_a_painted_fourier_canvas_shows_the_picture() -> None:
    for height, width in ((40, 56), (33, 47)):
        canvas, picture = FourierCanvas(height, width), smooth_picture(height, width)
        canvas.paint(picture)
        torch.testing.assert_close(canvas.draw(), picture, atol=1e-4, rtol=0)
    canvas.paint(torch.ones(1, 3, 33, 47))
    assert canvas.draw().min() > 0.97


def test_fourier_pixels_have_unit_deviation_and_a_falling_spectrum() -> None:
    canvas = FourierCanvas(128, 128)
    torch.manual_seed(0)
    spectra = []
    for _ in range(20):
        planes = torch.randn_like(canvas.coefficients)
        spectrum = torch.view_as_complex(planes) * canvas.scale
        pixels = torch.fft.irfft2(spectrum, s=(128, 128))
        spectra.append(torch.fft.rfft2(pixels).abs()[0, :, 0])
        assert 0.3 < pixels.std() < 3
    amplitude = torch.stack(spectra).mean((0, 1))
    assert amplitude[4] / amplitude[32] == pytest.approx(8, rel=0.4)


def test_the_colours_are_those_of_the_photographs(data: Path) -> None:
    spec = importlib.util.spec_from_file_location("tool", ROOT / "tools" / "colour_statistics.py")
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    measured = tool.colour_covariance(data / "clip_vit_b32" / "photos")
    np.testing.assert_allclose(COLOUR_COVARIANCE, measured, atol=1e-4)
    colours = FourierCanvas(32, 32).colours
    torch.testing.assert_close(
        colours @ colours.T / 64, torch.tensor(COLOUR_COVARIANCE), atol=1e-6, rtol=0
    )


def test_a_vqgan_canvas_is_made_of_codes_and_confined_to_their_range() -> None:
    network = tiny_network()
    canvas = VQGANCanvas(network, 32, 36)
    canvas.clear(torch.Generator().manual_seed(0))
    entries = network.quantize.embedding.weight
    rows = canvas.latents.detach().movedim(1, -1).reshape(-1, TINY.code_size)
    assert all((row == entries).all(1).any() for row in rows)
    drawn = canvas.draw()
    canvas.latents.data += 1e-5  # the nearest codes stay the same, and so does the picture
    torch.testing.assert_close(canvas.draw(), drawn)
    canvas.latents.data *= 100
    canvas.confine()
    for side, limit in (("amax", entries.amax(0)), ("amin", entries.amin(0))):
        reached = getattr(canvas.latents.detach(), side)((0, 2, 3))
        assert ((reached - limit) * (1 if side == "amax" else -1) <= 0).all()
    assert [name for name, _ in canvas.named_parameters()] == ["latents"]
    picture = smooth_picture(32, 36)
    canvas.paint(picture)
    encoded = network.encode(picture * 2 - 1).movedim(1, -1)
    confined = encoded.maximum(entries.amin(0)).minimum(entries.amax(0)).movedim(-1, 1)
    torch.testing.assert_close(canvas.latents.detach(), confined)


def test_clamped_values_come_back() -> None:
    values = torch.tensor([-0.5, 0.5, 1.5], requires_grad=True)
    clamped = clamp_with_gradient(values)
    assert clamped.tolist() == [0, 0.5, 1]
    clamped.backward(torch.tensor([1.0, 1.0, 1.0]))  # descending: all values would shrink
    assert values.grad is not None and values.grad.tolist() == [0, 1, 1]


def test_pictures_are_cropped_to_the_canvas(tmp_path: Path) -> None:
    wide = Image.new("RGB", (100, 20), "blue")
    wide.paste("red", (40, 0, 60, 20))
    wide.save(tmp_path / "wide.png")
    picture = read_picture(tmp_path / "wide.png", 32, 32)
    assert picture.shape == (1, 3, 32, 32)
    assert picture[0, :, 16, 16].tolist() == [1, 0, 0]


def test_sizes_that_a_canvas_cannot_have() -> None:
    with pytest.raises(InputError, match="height is 8 pixels, expected 32 to 8,192"):
        FourierCanvas(8, 64)
    with pytest.raises(InputError, match=r"multiples of 4 .* 48 x 32 would do"):
        VQGANCanvas(tiny_network(), 34, 50)


def test_canvases_by_name(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path / "tiny.ckpt")
    assert isinstance(canvas_maker("vqgan", vqgan=file)(32, 40), VQGANCanvas)
    assert isinstance(canvas_maker("fourier", vqgan="/no/such/file")(32, 40), FourierCanvas)
    with pytest.raises(InputError, match="oil"):
        canvas_maker("oil")
    with pytest.raises(RegistryError, match="vqgan_imagenet_f16_16384"):
        canvas_maker("vqgan", vqgan=tmp_path / "none.ckpt")


def test_the_published_vqgan_is_fetched_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline with an empty cache the error names the file, its address and its place."""
    monkeypatch.setenv("WAV2CLIP_CACHE", str(tmp_path))
    monkeypatch.setenv("WAV2CLIP_OFFLINE", "1")
    with pytest.raises(RegistryError, match=r"vqgan_imagenet_f16_16384.ckpt .*heibox"):
        canvas_maker("vqgan")
    write_checkpoint(tmp_path / "vqgan_imagenet_f16_16384.ckpt")
    assert canvas_maker("vqgan")(32, 32).draw().shape == (1, 3, 32, 32)
