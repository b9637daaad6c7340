"""Hub towers against transformers called by hand, and what happens when nothing is there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from wav2clip.errors import InputError, RegistryError, SpaceError
from wav2clip.models.space import CLIP_VIT_B32, require_same_space
from wav2clip.models.towers import load_towers

transformers = pytest.importorskip("transformers")
SIDE = 32
PHRASES = ["a dog barking", "rain", "two red boats near an old church in the rain"]


def unit(vectors: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(vectors, dim=-1).numpy()


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8))


@pytest.mark.parametrize("kind", ["clip", "siglip"])
@torch.no_grad()
def test_agrees_with_transformers_by_hand(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(f"{kind}_folder")
    towers = load_towers(str(folder))
    model = {"clip": transformers.CLIPModel, "siglip": transformers.SiglipModel}[kind]
    network = model.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    padding = {"padding": "max_length", "max_length": 20} if kind == "siglip" else {"padding": True}
    words = tokenizer(PHRASES, truncation=True, return_tensors="pt", **padding)
    if kind == "siglip":
        words = {"input_ids": words["input_ids"]}
    both = network(**words, **processor(images=[picture()], return_tensors="pt"))
    np.testing.assert_allclose(towers.embed_text(PHRASES), unit(both.text_embeds), atol=1e-5)
    np.testing.assert_allclose(towers.embed_image([picture()]), unit(both.image_embeds), atol=1e-5)
    assert towers.logit_scale == pytest.approx(network.logit_scale.exp().item())


def test_half_precision_is_near(clip_folder: Path) -> None:
    exact = load_towers(str(clip_folder)).embed_text(PHRASES)
    half = load_towers(str(clip_folder), dtype="bfloat16").embed_text(PHRASES)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, exact, atol=0.05)
    with pytest.raises(InputError, match="float32, float16, bfloat16"):
        load_towers(str(clip_folder), dtype="int4")


def test_spaces_tell_models_apart(
    clip_folder: Path, tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    """A copy elsewhere is the same space; other weights are not, and cannot be mixed."""
    first = load_towers(str(clip_folder))
    copy = tmp_path / "tiny-clip"
    shutil.copytree(clip_folder, copy)
    assert load_towers(str(copy)).space == first.space
    other = load_towers(str(make_clip(tmp_path / "other", seed=7)))
    assert other.space != first.space
    with pytest.raises(SpaceError, match=r"tiny-clip.*clip-vit-b-32"):
        require_same_space(first.space, CLIP_VIT_B32, names=("the tiny towers", "the encoder"))


def test_a_copy_of_the_default_model_is_known_by_its_folder(
    tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    folder = make_clip(tmp_path / "clip-vit-base-patch32", projection=512)
    towers = load_towers(str(folder))
    assert towers.space == CLIP_VIT_B32
    assert set(towers.means) == {"text", "image"}


def test_nothing_cached_and_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WAV2CLIP_OFFLINE", "1")
    with pytest.raises(RegistryError, match=r"preprocessor_config.json.*builtin"):
        load_towers("nobody/no-such-clip")


def test_incomplete_folder_says_what_is_missing(clip_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "incomplete"
    folder.mkdir()
    with pytest.raises(RegistryError, match=r"the folder must hold config\.json"):
        load_towers(str(folder))
    shutil.copy(clip_folder / "config.json", folder)
    with pytest.raises(RegistryError, match="the folder must hold"):
        load_towers(str(folder))


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    transformers.BertConfig().save_pretrained(tmp_path)
    with pytest.raises(RegistryError, match="is a bert, expected one of clip, siglip"):
        load_towers(str(tmp_path))


def test_preparation_of_pixels_follows_the_model(clip_folder: Path) -> None:
    """A smooth picture survives either way of resampling, so both ways nearly agree."""
    ramp = np.linspace(0, 255, 4 * SIDE).astype(np.uint8)
    smooth = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], ramp[:, None]), -1)
    towers = load_towers(str(clip_folder))
    pixels = torch.from_numpy(smooth.copy()).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        encoded = towers.encode_pixels(pixels).numpy()
    seen = towers.embed_image([Image.fromarray(smooth)])
    np.testing.assert_allclose(encoded, seen, atol=0.01)
