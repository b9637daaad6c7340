"""The graph computes what the network computes, at any length, with and without front end."""

from __future__ import annotations

import json
import sys

import numpy as np
import onnx
import pytest
import torch

from wav2clip.errors import InputError, MissingExtraError
from wav2clip.models.checkpoint import Checkpoint
from wav2clip.models.config import AudioConfig, EncoderConfig, MelConfig, MobileNetConfig
from wav2clip.models.frontend import Frontend
from wav2clip.models.mel import MelFrontend
from wav2clip.models.network import AudioNetwork
from wav2clip.models.onnx_graph import activation_ranges, build_onnx
from wav2clip.models.sessions import Session


@pytest.fixture(scope="module", params=[512, None], ids=["projection", "no projection"])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    torch.manual_seed(0)
    encoder = EncoderConfig(planes=(8, 16, 24, 32), projection=request.param)
    network = AudioNetwork(encoder).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
    return Checkpoint.of(network, AudioConfig(encoder=encoder))


@pytest.mark.parametrize(("batch", "columns"), [(1, 1), (3, 40), (2, 227)])
def test_outputs(checkpoint: Checkpoint, batch: int, columns: int) -> None:
    session = Session(
        build_onnx(checkpoint.network, checkpoint.config).SerializeToString(), threads=1
    )
    spectrogram = torch.randn(batch, 257, columns)
    outputs = session.run(
        ["embedding", "features", "feature_map"], {"spectrogram": spectrogram.numpy()}
    )
    network = checkpoint.network
    expected = (
        network(spectrogram),
        network.audio_encoder(spectrogram),
        network.audio_encoder.feature_map(spectrogram),
    )
    for output, tensor in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(output, tensor.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("samples", [257, 5_000, 48_000])
def test_front_end_inside(checkpoint: Checkpoint, samples: int) -> None:
    graph = build_onnx(checkpoint.network, checkpoint.config, frontend=True)
    waves = torch.randn(2, samples, generator=torch.Generator().manual_seed(samples)) * 0.1
    waves[1] *= 0.01  # standardised alone, a quiet recording is not lost beside a loud one
    (output,) = Session(graph.SerializeToString()).run(["embedding"], {"waveform": waves.numpy()})
    frontend = Frontend()
    expected = checkpoint.network(frontend.standardize(frontend(waves), "recording"))
    np.testing.assert_allclose(output, expected.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("peak", [None, 0.7])
@pytest.mark.parametrize("samples", [514, 5_000, 64_000])
def test_mel_front_end_inside(samples: int, peak: float | None) -> None:
    torch.manual_seed(0)
    front, encoder = MelConfig(peak=peak), MobileNetConfig(width=0.2, hidden=16, classes=9)
    network = AudioNetwork(encoder).eval().requires_grad_(False)
    graph = build_onnx(network, AudioConfig(front, encoder), frontend=True)
    waves = torch.randn(2, samples, generator=torch.Generator().manual_seed(samples)) * 0.1
    waves[1] *= 0.01
    (output,) = Session(graph.SerializeToString()).run(["embedding"], {"waveform": waves.numpy()})
    expected = network(MelFrontend(front)(waves))
    np.testing.assert_allclose(output, expected.numpy(), rtol=1e-3, atol=1e-4)


def test_eight_bits_come_close(checkpoint: Checkpoint) -> None:
    spectrograms = torch.randn(6, 257, 64, generator=torch.Generator().manual_seed(1))
    ranges = activation_ranges(checkpoint.network, checkpoint.config, spectrograms.split(2))
    graph = build_onnx(checkpoint.network, checkpoint.config, ranges=ranges)
    kinds = {i.name: i.data_type for i in graph.graph.initializer}
    weights = [name for name in kinds if name.endswith(("conv1.weight", "conv2.weight"))]
    assert len(weights) == 17  # and the first convolution, in float32
    assert {kinds[name] for name in weights if "." in name.removesuffix(".weight")} == {
        onnx.TensorProto.INT8
    }
    (output,) = Session(graph.SerializeToString()).run(
        ["embedding"], {"spectrogram": spectrograms.numpy()}
    )
    cosines = torch.cosine_similarity(torch.from_numpy(output), checkpoint.network(spectrograms))
    assert cosines.min() > 0.99
    assert cosines.max() < 1 - 1e-7, "nothing was rounded"


def test_ranges_are_those_of_the_activations(checkpoint: Checkpoint) -> None:
    spectrogram = torch.randn(2, 257, 50)
    ranges = activation_ranges(checkpoint.network, checkpoint.config, [spectrogram])
    encoder = checkpoint.network.audio_encoder
    last = encoder.feature_map(spectrogram)
    assert ranges["layer4.1.out"] == pytest.approx((float(last.min()), float(last.max())), rel=1e-4)
    assert all(low <= high for low, high in ranges.values())


def test_metadata(checkpoint: Checkpoint) -> None:
    graph = build_onnx(checkpoint.network, checkpoint.config, fingerprint=checkpoint.fingerprint)
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    assert metadata["fingerprint"] == checkpoint.fingerprint
    assert metadata["precision"] == "float32"
    assert json.loads(metadata["config"])["frontend"]["hop_length"] == 353
    assert [value.name for value in graph.graph.input] == ["spectrogram"]


def test_missing_ranges_and_packages(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="calibrate"):
        build_onnx(checkpoint.network, checkpoint.config, ranges={"stem": (0, 1)})
    with pytest.raises(InputError, match="no sound"):
        activation_ranges(checkpoint.network, checkpoint.config, [])
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"wav2clip\[onnx\]"):
        build_onnx(checkpoint.network, checkpoint.config)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match="pip install onnxruntime"):
        Session(b"")
