"""The optimisation: it goes down, repeats itself for a seed, and says what it cannot do."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy_towers import ToyTowers

from tiny_vqgan import tiny_network
from wav2clip.errors import GenerationError, InputError
from wav2clip.generation import memory
from wav2clip.generation.cutouts import SIDE, Cutouts, pool
from wav2clip.generation.fourier import FourierCanvas
from wav2clip.generation.guide import Guide, Settings, begin
from wav2clip.generation.memory import Footprint, kept_bytes, measure_footprint
from wav2clip.generation.prompts import Prompt
from wav2clip.generation.vqgan import VQGANCanvas

MAKERS = {"fourier": FourierCanvas, "vqgan": partial(VQGANCanvas, tiny_network())}


def target(seed: int = 0) -> list[Prompt]:
    """What the toy towers see in some picture."""
    picture = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return [Prompt(ToyTowers().encode_pixels(picture)[0].numpy())]


def paint(make: object, steps: int = 4, **settings: object) -> tuple[np.ndarray, list[float]]:
    guide = begin(make, (36, 48), ToyTowers(), target(), Settings(cutouts=2, **settings))  # type: ignore[arg-type]
    losses = list(guide.run(target(), steps))
    return guide.canvas.pixels(), losses


@pytest.mark.parametrize("kind", MAKERS)
def test_the_loss_falls(kind: str) -> None:
    _, losses = paint(MAKERS[kind], 36)
    thirds = np.reshape(losses, (3, 12)).mean(axis=1)
    assert (np.diff(thirds) < 0).all()
    assert thirds[-1] < thirds[0] - 0.05


def test_equal_seeds_give_equal_pictures_whatever_else_draws() -> None:
    first, _ = paint(FourierCanvas, seed=3)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    second, _ = paint(FourierCanvas, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(first, second)
    third, _ = paint(FourierCanvas, seed=4)
    assert (first != third).any()


def test_one_guide_in_parts_is_the_same_as_in_one() -> None:
    guide = begin(FourierCanvas, (36, 48), ToyTowers(), target(), Settings(cutouts=2))
    losses = [*guide.run(target(), 3), *guide.run(target(), 1)]
    pixels, expected = paint(FourierCanvas)
    assert losses == expected
    np.testing.assert_array_equal(guide.canvas.pixels(), pixels)


def test_a_negative_weight_drives_away() -> None:
    def distance(weight: float, steps: int) -> float:
        prompts = [Prompt(target()[0].direction, weight=weight)]
        guide = begin(FourierCanvas, (36, 48), ToyTowers(), prompts, Settings(cutouts=2))
        list(guide.run(prompts, steps))
        # The same cut-outs for all: those of the first step.
        return Guide(guide.canvas, ToyTowers(), Settings(cutouts=2)).evaluate(target()).item()

    assert distance(1, 15) < distance(1, 1) < distance(-1, 15)


def test_starts_from_a_picture(tmp_path: Path) -> None:
    picture = Image.new("RGB", (48, 36), (200, 40, 90))
    picture.save(tmp_path / "red.png")
    guide = begin(FourierCanvas, (36, 48), ToyTowers(), target(), Settings(), tmp_path / "red.png")
    assert np.abs(guide.canvas.pixels().astype(int) - [200, 40, 90]).max() <= 1


def test_bad_arguments() -> None:
    with pytest.raises(InputError, match="no gradients"):
        Guide(FourierCanvas(32, 32), ToyTowers(differentiable=False), Settings())
    guide = Guide(FourierCanvas(32, 32), ToyTowers(), Settings())
    for call, message in (
        (lambda: list(guide.run(target(), 0)), "0 steps"),
        (lambda: list(guide.run([], 1)), "no prompt"),
        (lambda: list(guide.run([Prompt(np.ones(512, "f4"), weight=0)], 1)), "no prompt"),
        (lambda: Settings(seed=-1), "seed"),
        (lambda: Settings(learning_rate=0), "learning rate"),
        (lambda: Cutouts(0), "0 cut-outs"),
    ):
        with pytest.raises(InputError, match=message):
            call()


# Cut-outs ---------------------------------------------------------------------------------------


def test_cutouts_differ_stay_in_range_and_carry_gradients() -> None:
    canvas = FourierCanvas(300, 400)
    canvas.paint(torch.rand(1, 3, 300, 400))
    picture = canvas.draw()
    torch.manual_seed(0)
    cutouts = Cutouts(5)(picture)
    assert cutouts.shape == (5, 3, SIDE, SIDE)
    assert cutouts.min() >= 0 and cutouts.max() <= 1
    assert all(not torch.equal(cutouts[0], other) for other in cutouts[1:])
    cutouts.sum().backward()
    assert canvas.coefficients.grad is not None and canvas.coefficients.grad.isfinite().all()


def test_pooling_keeps_fine_bright_detail_and_even_areas() -> None:
    square = torch.zeros(1, 3, 64, 64)
    square[..., 10, 10] = 1.0
    assert pool(square, 16)[0, 0, 2, 2] == pytest.approx((1 / 16 + 1) / 2)
    for edge in (8, 16, 64):
        even = torch.full((1, 3, edge, edge), 0.3)
        torch.testing.assert_close(pool(even, 16), torch.full((1, 3, 16, 16), 0.3))


# Memory -----------------------------------------------------------------------------------------


def test_kept_bytes_are_those_of_the_graph() -> None:
    x = torch.ones(1000, requires_grad=True)
    assert kept_bytes(lambda: x.exp().sum()) == 4000  # exp keeps its result
    assert kept_bytes(lambda: x.exp().exp().sum()) == 8000
    assert kept_bytes(lambda: (x * x).sum()) == 4000  # one tensor, kept twice


@pytest.mark.parametrize("kind", MAKERS)
def test_the_footprint_of_other_sizes_is_extrapolated(kind: str) -> None:
    def step_bytes(height: int, width: int) -> float:
        return Guide(MAKERS[kind](height, width), ToyTowers(), Settings()).step_bytes(target())

    footprint = measure_footprint(lambda side: step_bytes(side, side))
    assert footprint.needed(96, 192) == pytest.approx(step_bytes(96, 192), rel=0.2)


def test_too_large_a_picture_says_which_would_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda _: 1_000_000_000)
    make = MAKERS["vqgan"]
    with pytest.raises(GenerationError, match=r"2048 x 2048 .* --size (\d+) would fit") as caught:
        begin(make, (2048, 2048), ToyTowers(), target(), Settings())
    size = int(str(caught.value).split("--size ")[1].split()[0])
    assert 64 <= size < 2048 and size % 16 == 0
    begin(make, (size, size), ToyTowers(), target(), Settings())


def test_a_failed_allocation_on_the_way_is_explained() -> None:
    towers = ToyTowers()
    guide = begin(FourierCanvas, (64, 64), towers, target(), Settings())
    towers.fail_at = towers.calls + 2
    steps = guide.run(target(), 5)
    next(steps), next(steps)
    with pytest.raises(GenerationError, match=r"64 x 64 pixels needs about .* are free"):
        next(steps)
    assert guide.steps == 2
    assert guide.canvas.pixels().shape == (64, 64, 3)


def test_advice_where_nothing_fits_or_nothing_is_known() -> None:
    footprint = Footprint(fixed=5e9, per_pixel=100)
    assert footprint.largest_square(4e9) == 0
    assert "fewer --cutouts" in footprint.explain(512, 512, 4e9)
    assert "smaller --size" in footprint.explain(512, 512, None)
    assert footprint.largest_square(6e9) == 3152  # 10 million pixels: 3162, in steps of 16


def test_other_errors_are_not_called_want_of_memory() -> None:
    with (
        pytest.raises(RuntimeError, match="something else"),
        memory.explained(Footprint(1, 1), 32, 32, torch.device("cpu")),
    ):
        raise RuntimeError("something else")
