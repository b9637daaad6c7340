"""The shipped graphs: up to date, small, and equal to the networks in PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wav2clip.audio.io import load_audio
from wav2clip.embedding.embedder import load
from wav2clip.errors import EngineError
from wav2clip.models import registry
from wav2clip.models.checkpoint import load_checkpoint, save_checkpoint
from wav2clip.models.graphs import (
    BUILTIN_GRAPHS,
    same_graph,
    write_audio_graph,
    write_builtin_graphs,
)
from wav2clip.models.towers.builtin import FOLDER, IMAGE_WEIGHTS, TEXT_WEIGHTS, BuiltinTowers
from wav2clip.models.towers.image_network import ImageNetwork, load_image_network
from wav2clip.models.towers.text_network import TextNetwork, load_text_network

LEAST = 0.999999


def least_cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return float((a.astype(np.float64) * b).sum(axis=1).min())


@pytest.fixture(scope="module")
def towers() -> BuiltinTowers:
    return BuiltinTowers()


@pytest.fixture(scope="module")
def text() -> TextNetwork:
    return load_text_network(FOLDER / TEXT_WEIGHTS)


@pytest.fixture(scope="module")
def image() -> ImageNetwork:
    return load_image_network(FOLDER / IMAGE_WEIGHTS)


def test_they_are_what_the_networks_give_now(tmp_path: Path) -> None:
    """Write them anew with tools/export_graphs.py if this fails."""
    for shipped, new in zip(BUILTIN_GRAPHS, write_builtin_graphs(tmp_path), strict=True):
        assert same_graph(shipped, new), shipped


def test_a_graph_that_differs_is_told(tmp_path: Path) -> None:
    model = onnx.load(BUILTIN_GRAPHS[1], load_external_data=False)
    model.graph.node[-1].name = "another"
    onnx.save(model, tmp_path / "model.onnx")
    assert not same_graph(BUILTIN_GRAPHS[1], tmp_path / "model.onnx")


def test_they_hold_no_weights() -> None:
    for path in BUILTIN_GRAPHS:
        weights = path.with_name("model.safetensors").stat().st_size
        assert path.stat().st_size < min(1e6, weights / 10)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 9), st.integers(2, 77), st.integers(0, 99))
def test_text(towers: BuiltinTowers, text: TextNetwork, batch: int, length: int, seed: int) -> None:
    ids = np.random.default_rng(seed).integers(5, 30_000, (batch, length))
    with torch.inference_mode():
        expected = text(torch.from_numpy(ids)).numpy()
    assert least_cosine(towers._embed_ids(ids), expected) >= LEAST


@pytest.mark.parametrize("batch", [1, 3, 4])
def test_image(towers: BuiltinTowers, image: ImageNetwork, batch: int) -> None:
    pixels = np.random.default_rng(batch).random((batch, 3, 260, 260)).astype(np.float32)
    pixels[:, :, 80:160] *= 0.2
    with torch.inference_mode():
        expected = image(torch.from_numpy(pixels)).numpy()
    assert least_cosine(towers._embed_pixels(pixels), expected) >= LEAST


def test_audio(data: Path) -> None:
    """Real recordings, of all lengths and in all batches; batch mates change nothing."""
    light, exact = load(engine="onnx"), load(engine="torch")
    paths = sorted((data / "esc10_original").glob("*.ogg"))[:6]
    waves = [load_audio(path, light.sample_rate).samples for path in paths]
    lengths = (1, 700, 16_000, 40_000, 150_000, len(waves[0]))
    for length in lengths:
        batch = np.stack([wave[:length] for wave in waves])
        embeddings = light.embed_audio(batch, light.sample_rate)
        assert least_cosine(embeddings, exact.embed_audio(batch, exact.sample_rate)) >= LEAST
        alone = np.stack([light.embed_audio(wave, light.sample_rate) for wave in batch])
        assert least_cosine(embeddings, alone) >= LEAST


def test_a_graph_of_other_weights_is_refused(tmp_path: Path) -> None:
    own = load_checkpoint(registry.locate("builtin"))
    folder = save_checkpoint(tmp_path / "model", own.network, own.config, own.mean)
    assert load(folder).engine == "torch", "no graph, no ONNX Runtime unless it is asked for"
    weights, graph = folder / "model.safetensors", folder / "network.onnx"
    write_audio_graph(load_checkpoint(folder), weights, graph)
    assert load(folder).engine == "onnx"
    other = own.network
    with torch.no_grad():
        other.audio_transform.names.weight[0, 0] += 1
    content = graph.read_bytes()
    save_checkpoint(folder, other, own.config, own.mean)
    assert not graph.exists(), "who saves other weights does not keep the graph"
    graph.write_bytes(content)
    with pytest.raises(EngineError, match="belongs to other weights"):
        load(folder, engine="onnx")
    assert load(folder).engine == "torch"
