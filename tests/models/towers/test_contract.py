"""What every pair of towers keeps, whichever model is behind it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from wav2clip.errors import ImageError, InputError
from wav2clip.models.towers import load_towers
from wav2clip.models.towers.base import Towers
from wav2clip.models.towers.builtin import SIDE

PHRASES = [
    "a dog barking",
    "rain",
    "a dog barking",
    "the sound of an old church bell somewhere far away in the fog",
    "Hund und Katze",
    "собака лает",
    "犬が吠える",
    "🐶🎸",
    "xqzwv",
    "word " * 2000,
    "a" * 10_000,
    "braces {} and {0}",
    "line\nbreak\ttab",
]


def pictures(count: int = 5) -> list[Image.Image]:
    """Small random pictures of different shapes."""
    rng = np.random.default_rng(0)
    sizes = [(40, 40), (64, 30), (30, 64), (33, 70), (224, 224)]
    return [
        Image.fromarray(rng.integers(0, 256, (*sizes[i % 5], 3), np.uint8)) for i in range(count)
    ]


def check(embeddings: np.ndarray, count: int, towers: Towers) -> None:
    assert embeddings.shape == (count, towers.dimension)
    assert embeddings.dtype == np.float32
    assert np.isfinite(embeddings).all()
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_describes_itself(towers: Towers) -> None:
    assert towers.dimension == towers.space.dimension > 0
    assert len(towers.fingerprint) == 16
    assert int(towers.fingerprint, 16) >= 0
    assert towers.logit_scale > 0
    assert towers.differentiable
    for modality, mean in towers.means.items():
        assert modality in ("text", "image")
        assert mean.shape == (towers.dimension,)
        assert 0 < np.linalg.norm(mean) < 1


def test_texts_of_any_kind(towers: Towers) -> None:
    embeddings = towers.embed_text(PHRASES)
    check(embeddings, len(PHRASES), towers)
    np.testing.assert_array_equal(embeddings[0], embeddings[2])


def test_texts_do_not_depend_on_their_neighbours(towers: Towers) -> None:
    together = towers.embed_text(PHRASES)
    alone = np.concatenate([towers.embed_text([phrase]) for phrase in PHRASES])
    np.testing.assert_allclose(together, alone, atol=2e-5)


def test_order_of_texts_is_kept(towers: Towers) -> None:
    order = np.random.default_rng(0).permutation(len(PHRASES))
    shuffled = towers.embed_text([PHRASES[i] for i in order])
    np.testing.assert_allclose(shuffled, towers.embed_text(PHRASES)[order], atol=2e-5)


def test_ten_thousand_texts(towers: Towers) -> None:
    labels = [f"thing {number}" for number in range(10_000)]
    embeddings = towers.embed_text(labels)
    check(embeddings, len(labels), towers)
    np.testing.assert_allclose(
        embeddings[[0, 9_999]], towers.embed_text(["thing 0", "thing 9999"]), atol=2e-5
    )


def test_pictures_do_not_depend_on_their_neighbours(towers: Towers) -> None:
    several = pictures()
    together = towers.embed_image(several)
    check(together, len(several), towers)
    alone = np.concatenate([towers.embed_image([picture]) for picture in reversed(several)])
    np.testing.assert_allclose(together, alone[::-1], atol=2e-5)


def test_paths_and_pictures_agree(towers: Towers, tmp_path: Path) -> None:
    several = pictures(2)
    paths = [tmp_path / "ünï 🐶.png", tmp_path / "b.png"]
    for path, picture in zip(paths, several, strict=True):
        picture.save(path)
    np.testing.assert_array_equal(
        towers.embed_image([paths[0], str(paths[1])]), towers.embed_image(several)
    )


def test_nothing_gives_nothing(towers: Towers) -> None:
    assert towers.embed_text([]).shape == (0, towers.dimension)
    assert towers.embed_image([]).shape == (0, towers.dimension)


@pytest.mark.parametrize("texts", ["a dog", b"a dog", None, 3, [3], [None], ["dog", ""], [" \n\t"]])
def test_refuses_what_is_no_list_of_phrases(towers: Towers, texts: object) -> None:
    with pytest.raises(InputError, match=r"expected"):
        towers.embed_text(texts)  # type: ignore[arg-type]


@pytest.mark.parametrize("images", ["dog.jpg", None, 3])
def test_refuses_what_is_no_list_of_pictures(towers: Towers, images: object) -> None:
    with pytest.raises(InputError, match="expected a list"):
        towers.embed_image(images)  # type: ignore[arg-type]


def test_broken_picture_is_named(towers: Towers, tmp_path: Path) -> None:
    whole = io.BytesIO()
    pictures(5)[4].save(whole, "PNG")
    for name, content in (
        ("text.jpg", b"no picture at all"),
        ("empty.png", b""),
        ("cut.png", whole.getvalue()[:2000]),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ImageError, match=name):
            towers.embed_image([pictures(1)[0], path])
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        towers.embed_image([tmp_path / "missing.jpg"])


def test_one_pixel(towers: Towers) -> None:
    check(towers.embed_image([Image.new("RGB", (1, 1), "red")]), 1, towers)


def test_extreme_shapes(towers: Towers) -> None:
    strips = [Image.new("RGB", (3000, 1), "red"), Image.new("RGB", (1, 3000), "blue")]
    check(towers.embed_image(strips), 2, towers)


def test_pixels_agree_with_pictures(towers: Towers) -> None:
    """At the towers' own size nothing is resampled, so both ways see the same numbers."""
    side = SIDE if towers.name == "builtin" else 32
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8))
    pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        encoded = towers.encode_pixels(pixels).numpy()
    np.testing.assert_allclose(encoded, towers.embed_image([picture]), atol=1e-4)


def test_gradients_reach_the_pixels(towers: Towers) -> None:
    random = torch.Generator().manual_seed(0)
    pixels = torch.rand(2, 3, 50, 40, generator=random).requires_grad_()
    target = torch.from_numpy(towers.embed_text(["a dog"]))
    before = towers.encode_pixels(pixels) @ target.T
    before.sum().backward()
    assert pixels.grad is not None
    assert torch.isfinite(pixels.grad).all()
    assert pixels.grad.abs().sum() > 0
    stepped = pixels.detach() + 1e-3 * pixels.grad / pixels.grad.norm()
    with torch.no_grad():
        assert (towers.encode_pixels(stepped) @ target.T).sum() > before.sum()


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (0, 3, 32, 32), (1, 3, 0, 32)])
def test_refuses_pixels_of_another_shape(towers: Towers, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="batch, 3, height, width"):
        towers.encode_pixels(torch.zeros(shape))


def test_loading_again_gives_the_same(towers: Towers, request: pytest.FixtureRequest) -> None:
    again = load_towers(towers.name)
    assert again.fingerprint == towers.fingerprint
    assert again.space == towers.space
    np.testing.assert_array_equal(again.embed_text(PHRASES[:3]), towers.embed_text(PHRASES[:3]))
