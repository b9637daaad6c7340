"""What the HEAR 2021 validator checks of a PyTorch module, said again.

After hearvalidator/validate.py of https://github.com/hearbenchmark/hear-validator: its messages,
white noise in [-1, 1] and lengths. It imports TensorFlow on its first lines, which these tests do
without. Where it warns, :func:`validate` fails, but for its note on drift, which concerns everyone.
"""

from __future__ import annotations

import importlib

import numpy as np
import torch

SAMPLE_RATES = [16_000, 22_050, 44_100, 48_000]


def validate(module_name: str, model_file_path: str = "") -> None:
    module = importlib.import_module(module_name)
    model = module.load_model(model_file_path) if model_file_path else module.load_model()
    assert isinstance(model, torch.nn.Module)
    model.to("cpu")
    assert model.sample_rate in SAMPLE_RATES
    assert isinstance(model.scene_embedding_size, int)
    assert isinstance(model.timestamp_embedding_size, int)
    for seconds in (1.07, 1.98, 4.0):
        check_timestamps(module, model, 2, seconds)
    check_scenes(module, model, 4, 2.74)


def noise(count: int, seconds: float, rate: int) -> torch.Tensor:
    return torch.rand((count, int(seconds * rate))) * 2 - 1.0


def check_timestamps(module, model, count: int, seconds: float) -> None:
    given = module.get_timestamp_embeddings(noise(count, seconds, model.sample_rate), model)
    assert given[0].dtype == torch.float32
    embeddings, timestamps = (tensor.detach().cpu().numpy() for tensor in given)
    assert embeddings.ndim == 3
    assert timestamps.ndim == 2
    assert embeddings.shape[0] == count
    assert embeddings.shape[:2] == timestamps.shape
    assert embeddings.shape[2] == model.timestamp_embedding_size
    steps = np.diff(timestamps)
    assert steps.max() <= 50.0
    assert np.abs(steps - steps.mean()).max() <= 1
    assert timestamps.min() <= steps.mean()
    end = 1000 * seconds
    assert max(end - steps.mean(), end - 50) <= timestamps.max() <= end


def check_scenes(module, model, count: int, seconds: float) -> None:
    embeddings = module.get_scene_embeddings(noise(count, seconds, model.sample_rate), model)
    assert embeddings.dtype == torch.float32
    assert embeddings.shape == (count, model.scene_embedding_size)
