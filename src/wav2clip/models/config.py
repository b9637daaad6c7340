"""What a checkpoint says about itself: architecture, dimensions, preprocessing, provenance.

Nothing here needs a runtime of networks, so that whoever only asks for a model's size or sample
rate does not load one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from wav2clip.errors import CheckpointError
from wav2clip.files import display

FORMAT = "wav2clip-audio/1"

Standardize = Literal["recording", "batch"]
"""Whether statistics of a spectrogram are a recording's own or those of a batch."""

LAST_CHANNELS, LAST_FACTOR = 160, 6
"""Of MobileNetV3-Large (Howard et al. 2019, table 1): the channels of its last block, and by how
much the last convolution widens them."""


@dataclass(frozen=True)
class EncoderConfig:
    """Dimensions of the network.

    Attributes:
        planes: channels of the four stages; the last is the size of the encoder's output.
        blocks: basic blocks of each stage.
        projection: width of the hidden and of the output layer of the projection, or None for an
            encoder without one, whose output is the embedding.
        dropout: probability inside the projection while training (0.1 in the published code).
    """

    planes: tuple[int, int, int, int] = (64, 128, 256, 512)
    blocks: tuple[int, int, int, int] = (2, 2, 2, 2)
    projection: int | None = 512
    dropout: float = 0.1

    @property
    def features(self) -> int:
        """Size of the encoder's output before the projection."""
        return self.planes[-1]

    @property
    def dimension(self) -> int:
        """Size of an embedding."""
        return self.projection or self.features


def round_channels(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of ``divisor`` that is not below nine tenths of ``channels``."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


@dataclass(frozen=True)
class MobileNetConfig:
    """Dimensions of the network.

    Attributes:
        width: factor on the channels of MobileNetV3-Large, which are rounded to multiples of 8.
        hidden: width of the projection's hidden layer.
        classes: number of classes whose probabilities the projection passes through.
        power: exponent of these probabilities; below 1 lifts classes that are heard faintly.
        projection: size of an embedding, or None for an encoder without a projection, whose output
            is the embedding.
        dropout: probability inside the projection while training.
    """

    width: float = 0.4
    hidden: int = 512
    classes: int = 527
    power: float = 1.0
    projection: int | None = 512
    dropout: float = 0.2

    @property
    def features(self) -> int:
        """Size of the encoder's output before the projection."""
        return LAST_FACTOR * round_channels(LAST_CHANNELS * self.width)

    @property
    def dimension(self) -> int:
        """Size of an embedding."""
        return self.projection or self.features


@dataclass(frozen=True)
class FrontendConfig:
    """Preprocessing that a checkpoint was trained with.

    Attributes:
        sample_rate: Hz of the waveform that the network expects.
        n_fft: points of the FFT and samples of the periodic Hann window.
        hop_length: samples between neighbouring spectrogram columns.
        log_offset: added to the power before the logarithm.
        std_offset: added to the standard deviation before the division.
    """

    sample_rate: int = 16_000
    n_fft: int = 512
    hop_length: int = 353
    log_offset: float = 1e-7
    std_offset: float = 1e-9

    @property
    def bins(self) -> int:
        """Rows of the one-sided spectrogram: ``n_fft // 2 + 1``."""
        return self.n_fft // 2 + 1

    @property
    def min_samples(self) -> int:
        """Reflect padding needs one sample more than half a window; less is zero-padded."""
        return self.n_fft // 2 + 1

    def columns(self, samples: int) -> int:
        """Columns of the spectrogram of ``samples`` samples: ``1 + n // hop_length``."""
        return 1 + max(samples, self.min_samples) // self.hop_length


@dataclass(frozen=True)
class MelConfig:
    """Preprocessing that a checkpoint was trained with.

    Attributes:
        sample_rate: Hz of the waveform that the network expects.
        n_fft: points of the FFT.
        window_length: samples of the symmetric Hann window, in the middle of the FFT's points.
        hop_length: samples between neighbouring frames.
        bands: mel bands.
        highest: Hz of the upper edge of the highest band; the lowest begins at 0 Hz.
        pre_emphasis: share of a sample that is taken off the next one.
        log_offset: added to the energy before the logarithm.
        shift, scale: added to the logarithm, and what the sum is then divided by.
        peak: largest magnitude that each waveform is scaled to, or None, which leaves its level:
            then a recording 30 dB lower is heard as another sound.
    """

    sample_rate: int = 32_000
    n_fft: int = 1024
    window_length: int = 800
    hop_length: int = 320
    bands: int = 128
    highest: float = 15_000.0
    pre_emphasis: float = 0.97
    log_offset: float = 1e-5
    shift: float = 4.5
    scale: float = 5.0
    peak: float | None = None

    @property
    def bins(self) -> int:
        """Rows of the spectrogram."""
        return self.bands

    @property
    def min_samples(self) -> int:
        """Pre-emphasis takes one sample, reflect padding half an FFT and one; less is padded."""
        return self.n_fft // 2 + 2

    def columns(self, samples: int) -> int:
        """Frames of the spectrogram of ``samples`` samples."""
        return 1 + (max(samples, self.min_samples) - 1) // self.hop_length


@dataclass(frozen=True)
class TextConfig:
    """Dimensions of the built-in text network.

    Attributes:
        vocabulary: number of word pieces.
        width: size of a token's state.
        heads: attention heads per block.
        hidden: width of a block's feed-forward layer.
        layers: number of blocks.
        head: hidden width of the perceptron over the pooled states.
        context: longest input in word pieces, the start and the end mark included; CLIP's own
            limit is 77.
        dimension: size of an embedding.
    """

    vocabulary: int = 30522
    width: int = 384
    heads: int = 12
    hidden: int = 1536
    layers: int = 3
    head: int = 1024
    context: int = 77
    dimension: int = 512


NetworkConfig = EncoderConfig | MobileNetConfig
FrontendSettings = FrontendConfig | MelConfig

ARCHITECTURES: dict[str, type[NetworkConfig]] = {
    "resnet18": EncoderConfig,
    "mobilenet": MobileNetConfig,
}
"""Name in a checkpoint's config, and the dimensions that belong to it."""

FRONTENDS: dict[str, type[FrontendSettings]] = {"resnet18": FrontendConfig, "mobilenet": MelConfig}
"""The preprocessing that belongs to each architecture."""


def architecture(config: NetworkConfig) -> str:
    """The name of the architecture that has these dimensions."""
    return next(name for name, kind in ARCHITECTURES.items() if type(config) is kind)


@dataclass(frozen=True)
class AudioConfig:
    """What a checkpoint says about itself.

    Attributes:
        frontend: preprocessing; its type belongs to the architecture.
        encoder: dimensions of the network; its type is the architecture.
        space: name of the embedding space that it was distilled into.
        licence: SPDX identifier, or a sentence where there is none.
        provenance: free JSON: data, recipe, metrics, addresses.
        logit_scale: factor on centred cosines before the softmax of zero-shot classification,
            fitted on held-out clips; None: derived from the text tower's.
        activation_ranges: smallest and largest value of the activations by name, for 8-bit
            convolutions; see :func:`wav2clip.models.onnx_graph.activation_ranges`.
    """

    frontend: FrontendSettings = field(default_factory=FrontendConfig)
    encoder: NetworkConfig = field(default_factory=EncoderConfig)
    space: str = "clip-vit-b-32"
    licence: str = "unknown"
    provenance: dict[str, Any] = field(default_factory=dict)
    logit_scale: float | None = None
    activation_ranges: dict[str, tuple[float, float]] | None = None


PUBLISHED = AudioConfig(
    licence="CC-BY-4.0",
    provenance={
        "paper": "Wu, Seetharaman, Kumar, Bello: Wav2CLIP, ICASSP 2022, arXiv 2110.11499",
        "data": "VGGSound",
    },
)
"""Config of the published checkpoint, which carries none itself."""


def write_config(config: AudioConfig) -> str:
    """The config as JSON, with the format's name and the architecture's."""
    names = {"format": FORMAT, "architecture": architecture(config.encoder)}
    return json.dumps({**names, **asdict(config)}, indent=2, ensure_ascii=False) + "\n"


def read_config(path: Path) -> AudioConfig:
    """The config of a checkpoint in the project's format.

    Raises:
        CheckpointError: missing, not valid, or of another format or architecture.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
        if document.pop("format") != FORMAT:
            raise CheckpointError(f"{display(path)}: format is not {FORMAT}; update wav2clip?")
        name = document.pop("architecture", "resnet18")  # the only one that format 1 began with
        if name not in ARCHITECTURES:
            raise CheckpointError(
                f"{display(path)}: its architecture is {name!r}, this version knows "
                f"{', '.join(ARCHITECTURES)}; update wav2clip?"
            )
        dimensions = document.pop("encoder").items()
        encoder: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in dimensions}
        if ranges := document.get("activation_ranges"):
            pairs = {name: (float(low), float(high)) for name, (low, high) in ranges.items()}
            document["activation_ranges"] = pairs
        return AudioConfig(
            frontend=FRONTENDS[name](**document.pop("frontend")),
            encoder=ARCHITECTURES[name](**encoder),
            **document,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{display(path)}: missing or not valid ({error!r})") from error
