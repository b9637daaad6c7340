"""The settings of a training run: sections with checked fields, read from YAML files.

A file may name another by ``base:`` (relative to itself) and then holds only what differs, so an
ablation is a few lines. Keys that do not exist are errors: no misspelt setting passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wav2clip.errors import InputError
from wav2clip.files import display
from wav2clip.models.config import (
    ARCHITECTURES,
    FRONTENDS,
    FrontendSettings,
    MelConfig,
    NetworkConfig,
)

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Settings that belong together; frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_OF_ONE = {"resnet18": ("planes", "blocks"), "mobilenet": ("width", "hidden", "classes", "power")}
"""Settings that one architecture alone has."""


class NetworkSettings(Section):
    """The audio network, its dimensions, and what it starts from.

    Attributes:
        architecture: it also decides the front end and its sample rate.
        planes, blocks: of ``resnet18``, see :class:`wav2clip.models.encoder.EncoderConfig`.
        width, hidden, classes, power: of ``mobilenet``, see
            :class:`wav2clip.models.mobilenet.MobileNetConfig`.
        projection, dropout: of both.
        init: what the weights start from: the folder of a checkpoint, or a tagger by name or path,
            whose probabilities times the centred text embeddings of its classes are then the first
            embeddings. Null for random weights.
        peak: largest magnitude that the front end of ``mobilenet`` scales each waveform to; null
            leaves the level.
        frozen_batch_norm: batch norms keep the statistics that they start with. It is for networks
            that start from weights: those of a batch of short, changed crops are others.
    """

    architecture: Literal["resnet18", "mobilenet"] = "resnet18"
    planes: tuple[Count, Count, Count, Count] = (64, 128, 256, 512)
    blocks: tuple[Count, Count, Count, Count] = (2, 2, 2, 2)
    width: Positive = 0.4
    hidden: Count = 512
    classes: Count = 527
    power: Positive = 1.0
    projection: Count | None = 512
    dropout: Share = 0.1
    init: str | None = None
    frozen_batch_norm: bool = False
    peak: Positive | None = None

    @model_validator(mode="after")
    def _fits_architecture(self) -> NetworkSettings:
        others = [n for kind, names in _OF_ONE.items() if kind != self.architecture for n in names]
        wrong = [n for n in others if getattr(self, n) != type(self).model_fields[n].default]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: no setting of the {self.architecture}")
        if self.peak is not None and self.architecture != "mobilenet":
            raise ValueError("peak: the published front end standardises every recording anyway")
        if self.frozen_batch_norm and self.init is None:
            raise ValueError("frozen_batch_norm needs weights to start from; set init")
        return self

    def encoder(self) -> NetworkConfig:
        """The dimensions as the network takes them."""
        names = (*_OF_ONE[self.architecture], "projection", "dropout")
        dimensions: dict[str, Any] = {name: getattr(self, name) for name in names}
        return ARCHITECTURES[self.architecture](**dimensions)

    def frontend(self) -> FrontendSettings:
        """The front end that belongs to the architecture."""
        if self.architecture == "mobilenet":
            return MelConfig(peak=self.peak)
        return FRONTENDS[self.architecture]()


class Stage(Section):
    """So many epochs with crops of so many seconds."""

    epochs: Count
    seconds: Positive


class DataSettings(Section):
    """What a step sees.

    Attributes:
        batch_size: clips of one forward pass over all processes together; the negatives.
        stages: lengths of the crops, in order; the last one holds to the end.
        pad: clips that are shorter than the crop are repeated, or put at a random place in silence,
            or either at random.
        balance: a clip is drawn with a probability in proportion to (clips of its label) **
            -balance. 0 draws every clip once per epoch, 1 draws every label equally often. For a
            clip without a label the class counts of which the tagger is surest.
        epoch_clips: clips of an epoch; by default as many as there are.
        cache_gib: decoded 16-bit sound is kept in memory up to this size, else read as a stream.
        shuffle_buffer: clips among which a stream is shuffled, beside the order of the shards.
        workers: processes that prepare batches.
        validation_split: split of the shards to validate on. Where there is none, the last
            ``validation_clips`` of the training split are held out, as in the paper.
        validation_seconds: clips are cut to this length, from their beginning.
        tags: what the tagger is taken to hear in a crop: what it heard in the seconds that the crop
            overlaps, and the more in the whole clip the longer the crop is; or the latter alone.
    """

    batch_size: Annotated[int, Field(ge=2)] = 128
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)] = (Stage(epochs=1, seconds=10),)
    pad: Literal["repeat", "zeros", "either"] = "repeat"
    balance: NotNegative = 0.0
    epoch_clips: Count | None = None
    cache_gib: NotNegative = 8.0
    shuffle_buffer: Count = 2048
    workers: Annotated[int, Field(ge=0)] = 0
    validation_split: str = "validation"
    validation_clips: Count = 500
    validation_seconds: Positive = 10.0
    tags: Literal["seconds", "clip"] = "seconds"

    def seconds(self, epoch: int) -> float:
        """Length of the crops in an epoch, counted from 0."""
        for stage in self.stages:
            if epoch < stage.epochs:
                return stage.seconds
            epoch -= stage.epochs
        return self.stages[-1].seconds


class AugmentSettings(Section):
    """Random changes of the sound; all off by default.

    Attributes:
        speed: the sound is resampled by up to 2 ** speed, faster or slower, pitch included.
        short: probability that no more than a short piece of a crop is sound; its length is drawn
            between ``shortest`` seconds and the crop's, evenly in the logarithm, and the rest is
            filled as ``data.pad`` says.
        shortest: seconds.
        mix: probability that a clip gets another one of its batch mixed in, its targets too.
        mix_share: largest share of that other clip, in amplitude after both are made equally loud.
        mix_audible_db: level relative to the clip at which the other one is heard, so that its
            classes (of the tagger) are the mixture's too.
        reverb: probability of an artificial room (exponentially decaying noise, 0.1 to 0.8 s).
        noise_db: probability 1/2 of white noise at a level drawn from this range, dB relative to
            the clip; null leaves it out.
        equalise_db: standard deviation of a random filter's gain at six points from 0 to half the
            sample rate.
        band_limit: probability that nothing is left above one of the frequencies ``cut_offs``.
        cut_offs: Hz, the bandwidths of archives: half of common sample rates, and of codecs.
        codec: probability of noise as a codec of few bits leaves it, see
            :meth:`wav2clip.pretrain.augment.Augment.quantise`.
        level_db: every clip's peak is brought to a level drawn from this range, dB below full
            scale; null leaves levels as they are.
        mask_bands, mask_bins: number and largest height of masked frequency bands (SpecAugment,
            Park et al. 2019, arXiv 1904.08779); masks hold the mean of the spectrogram.
        mask_spans, mask_share: number and largest share of the columns of masked spans of time.
    """

    speed: NotNegative = 0.0
    short: Share = 0.0
    shortest: Positive = 0.1
    mix: Share = 0.0
    mix_share: Annotated[float, Field(gt=0, le=0.5)] = 0.5
    mix_audible_db: Annotated[float, Field(le=0)] = -20.0
    reverb: Share = 0.0
    noise_db: tuple[float, float] | None = None
    equalise_db: NotNegative = 0.0
    band_limit: Share = 0.0
    cut_offs: Annotated[tuple[Positive, ...], Field(min_length=1)] = (4e3, 5.5e3, 8e3, 11e3, 16e3)
    codec: Share = 0.0
    level_db: tuple[Annotated[float, Field(le=0)], Annotated[float, Field(le=0)]] | None = None
    mask_bands: Annotated[int, Field(ge=0)] = 0
    mask_bins: Count = 40
    mask_spans: Annotated[int, Field(ge=0)] = 0
    mask_share: Share = 0.25


TAGGER_LOSSES = ("tagger_loss", "tagger_text_loss", "tagger_features_loss")
LOSSES = ("clip_loss", "clip_loss_i", "clip_loss_x", "labels_loss", *TAGGER_LOSSES)


class LossSettings(Section):
    """Weights of the losses (0 leaves one out) and what they share.

    Attributes:
        clip_loss, clip_loss_i, clip_loss_x, labels_loss: see :mod:`wav2clip.pretrain.losses`.
        tagger_loss, tagger_text_loss, tagger_features_loss: see
            :mod:`wav2clip.pretrain.tagger_losses`; they need shards that a tagger has heard.
        tagger_power: exponent of the probabilities in ``tagger_text_loss``; below 1 lifts classes
            that are heard faintly.
        class_aware: two clips of one label are no negatives of each other.
        temperature: start of the learnable scale is ``log(1 / temperature)``.
        learn_scale: off keeps the scale where it starts.
        centre: subtract the mean of the training targets from the targets (the mean of the
            tagger's classes where there is a tagger and no picture). The text embeddings of CLIP
            share a large common part that says nothing about the sound.
        smoothing: share of the target that ``labels_loss`` spreads over all labels.
    """

    clip_loss: NotNegative = 0.0
    clip_loss_i: NotNegative = 0.0
    clip_loss_x: NotNegative = 0.0
    labels_loss: NotNegative = 0.0
    tagger_loss: NotNegative = 0.0
    tagger_text_loss: NotNegative = 0.0
    tagger_features_loss: NotNegative = 0.0
    tagger_power: Positive = 1.0
    class_aware: bool = True
    temperature: Positive = 0.07
    learn_scale: bool = True
    centre: bool = False
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _some_loss(self) -> LossSettings:
        if not self.weights():
            raise ValueError("every loss has weight 0; give one of them a weight")
        return self

    def weights(self) -> dict[str, float]:
        """Name and weight of the losses that take part."""
        return {name: getattr(self, name) for name in LOSSES if getattr(self, name)}


class OptimiserSettings(Section):
    """Adam (decoupled weight decay where there is any) and its learning rate.

    Attributes:
        schedule: ``plateau`` multiplies the rate by ``factor`` after ``patience`` epochs without
            gain, not below ``floor``; ``cosine`` falls to ``floor`` over the whole run.
        warmup: share of the run's steps over which ``cosine`` and ``constant`` rise from 0.
        clip_norm: largest norm of the gradient; null leaves it as it is.
        trunk_scale: factor on the learning rate of the encoder, below the projection: weights that
            it starts from need smaller steps than a projection that is new. At 0 they stay as they
            are, and a step takes less than half as long.
        freeze_epochs: the encoder's weights stay as they are for so many epochs (not with
            ``plateau``).
    """

    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.0
    schedule: Literal["plateau", "cosine", "constant"] = "plateau"
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    patience: Annotated[int, Field(ge=0)] = 5
    floor: NotNegative = 1e-6
    warmup: Share = 0.0
    clip_norm: Positive | None = None
    trunk_scale: NotNegative = 1.0
    freeze_epochs: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _can_freeze(self) -> OptimiserSettings:
        if self.freeze_epochs and self.schedule == "plateau":
            raise ValueError("freeze_epochs needs the schedule cosine or constant")
        return self


class RunSettings(Section):
    """How long and how to compute.

    Attributes:
        epochs: at most this many.
        ship: which checkpoint becomes the model: of the lowest validation loss, or the last.
        stop_after: epochs without gain in the validation loss after which the run ends; null never.
        precision: as Lightning's Trainer takes it.
        accumulate: batches per step of the optimiser. Negatives come from one batch alone.
        average: decay per step of an exponential moving average of the weights, which is then
            what is validated and shipped; null trains without.
        compile: compile the encoder (pays off in runs of many minutes).
        sync_batch_norm: batch statistics over all GPUs together.
    """

    epochs: Count = 100
    ship: Literal["best", "last"] = "best"
    stop_after: Count | None = 10
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accumulate: Count = 1
    average: Annotated[float, Field(gt=0, lt=1)] | None = None
    compile: bool = False
    sync_batch_norm: bool = False


class FitConfig(Section):
    """Everything that defines a run, besides its data."""

    seed: Annotated[int, Field(ge=0)] = 2021
    licence: str = "unknown"
    network: NetworkSettings = NetworkSettings()
    data: DataSettings = DataSettings()
    augment: AugmentSettings = AugmentSettings()
    loss: LossSettings = LossSettings(clip_loss_x=1)
    optimiser: OptimiserSettings = OptimiserSettings()
    run: RunSettings = RunSettings()

    @model_validator(mode="after")
    def _cross_projection(self) -> FitConfig:
        if self.loss.clip_loss_x and self.network.projection is None:
            raise ValueError(
                "clip_loss_x compares both ends of the projection; set network.projection"
            )
        if self.loss.clip_loss_x and self.loss.clip_loss_i:
            raise ValueError("clip_loss_x holds what clip_loss_i asks for; choose one of them")
        return self


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> FitConfig:
    """Read a YAML file, what it is based on, and ``key=value`` overrides (``run.epochs=3``).

    Raises:
        InputError: a file that is missing or no YAML mapping, files based on each other, a key
            that does not exist, or a value out of range.
    """
    tree = _read(Path(path), ())
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise InputError(f"{override!r} is no setting; expected key=value, e.g. run.epochs=3")
        *outer, last = key.strip().split(".")
        change = {last: _parse(text, override)}
        for part in reversed(outer):
            change = {part: change}
        tree = merge(tree, change)
    return check_config(tree, display(path))


def check_config(tree: Mapping[str, Any], name: str) -> FitConfig:
    """Validate a nested dict of settings that came from ``name``."""
    try:
        return FitConfig.model_validate(tree)
    except ValidationError as error:
        problems = "\n".join(
            f"  {'.'.join(map(str, e['loc'])) or 'whole file'}: {e['msg']}, got {e['input']!r:.80}"
            for e in error.errors()
        )
        raise InputError(f"{name} is no valid configuration:\n{problems}") from error


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``over``; mappings are merged, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            value = merge(below, value)
        merged[key] = value
    return merged


def dump_config(config: FitConfig) -> str:
    """The whole configuration as YAML; reading it gives an equal configuration."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in seen:
        chain = " -> ".join(display(p) for p in (*seen, path))
        raise InputError(f"configurations are based on each other: {chain}")
    try:
        tree = _parse(path.read_text("utf-8"), display(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"{display(path)}: {reason}; expected a YAML file of settings") from error
    if not isinstance(tree, dict):
        raise InputError(f"{display(path)}: expected settings as `key: value` lines")
    base = tree.pop("base", None)
    if base is None:
        return tree
    return merge(_read(path.parent / str(base), (*seen, path.resolve())), tree)


def _parse(text: str, name: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{name}: not valid YAML ({error})") from error
