"""Devices of ONNX Runtime: asked for by name, never silently another one."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from wav2clip import load
from wav2clip.errors import InputError
from wav2clip.models import registry
from wav2clip.models.checkpoint import GRAPH_FILE
from wav2clip.models.kept_graphs import VARIABLE
from wav2clip.models.sessions import PROVIDERS, Session, devices_here

pytestmark = pytest.mark.everyday

GRAPH = registry.locate("builtin") / GRAPH_FILE


class Recorded:
    """Opens on the CPU, and says that it did as it was told."""

    asked: list[tuple[list[Any], Any]]

    def __init__(self, source: str, options: Any, providers: list[Any]) -> None:
        self.asked.append((providers, options))
        self._providers = [name for name, _ in providers]
        self._session = real(source, options, providers=["CPUExecutionProvider"])
        self.run, self.get_modelmeta = self._session.run, self._session.get_modelmeta

    def get_providers(self) -> list[str]:
        return self._providers


real = onnxruntime.InferenceSession


@pytest.fixture
def every_device(monkeypatch: pytest.MonkeyPatch) -> type[Recorded]:
    """A package that has all providers; they compute on the CPU."""
    monkeypatch.setenv(VARIABLE, "")
    providers = [provider for provider, _ in PROVIDERS.values()]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Recorded)
    Recorded.asked = []
    return Recorded


def test_names_are_those_of_onnx_runtime() -> None:
    known = onnxruntime.get_all_providers()
    assert {provider for provider, _ in PROVIDERS.values()} <= set(known)
    assert devices_here()[0] == "cpu"


@pytest.mark.parametrize(
    ("device", "provider", "options"),
    [
        ("cpu", "CPUExecutionProvider", {}),
        ("cuda", "CUDAExecutionProvider", {}),
        ("cuda:1", "CUDAExecutionProvider", {"device_id": "1"}),
        ("coreml", "CoreMLExecutionProvider", {}),
        ("directml:0", "DmlExecutionProvider", {"device_id": "0"}),
        ("openvino:GPU", "OpenVINOExecutionProvider", {"device_type": "GPU"}),
    ],
)
def test_what_a_device_asks_for(
    device: str, provider: str, options: dict[str, str], every_device: type[Recorded]
) -> None:
    assert Session(GRAPH, 1, device).metadata["fingerprint"]
    ((providers, settings),) = every_device.asked
    assert providers == [(provider, options)]
    assert settings.enable_mem_pattern == (not device.startswith("directml"))


@pytest.mark.parametrize("device", ["vulkan", "CPU", "cuda ", ":", ""])
def test_unknown_devices(device: str) -> None:
    with pytest.raises(InputError, match=r"ONNX Runtime has cpu.*other packages"):
        Session(GRAPH, 1, device)


def test_which_of_one(every_device: type[Recorded]) -> None:
    with pytest.raises(InputError, match="there is only one coreml"):
        Session(GRAPH, 1, "coreml:1")


def test_one_that_does_not_start_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime goes on with what is left; whoever asked for a card would wonder for long."""
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)

    def on_the_cpu(source: str, options: Any, **_: Any) -> Any:
        return real(source, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", on_the_cpu)
    with pytest.raises(InputError, match=r"'cuda' cannot be used here: CUDA.* does not start"):
        Session(GRAPH, 1, "cuda").run([], {})


@pytest.mark.parametrize("device", ["coreml", "openvino:CPU", "directml"])
def test_a_model_on_another_device(device: str, every_device: type[Recorded]) -> None:
    """It proves itself there, computes there, and its towers stay on the CPU."""
    model = load("builtin", device=device)
    assert (model.device, model.engine, model.graph_folder) == (device, "onnx", None)
    wave = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    expected = load("builtin").embed_audio(wave, 32_000)
    np.testing.assert_allclose(model.embed_audio(wave, 32_000), expected, atol=1e-5)
    assert model.embed_text(["rain"]).shape == (1, 512)
    asked = {providers[0][0] for providers, _ in every_device.asked}
    assert asked == {PROVIDERS[device.partition(":")[0]][0], "CPUExecutionProvider"}
    with pytest.raises(InputError, match="for the torch engine"):
        load("builtin", device=device, engine="onnx", precision="bfloat16")
