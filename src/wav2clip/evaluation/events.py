"""Sound event detection: which sounds begin and end when, by a probe on frame embeddings.

The encoder is frozen; a linear layer with one sigmoid per label is trained on its frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from torch import Tensor, nn

from wav2clip.datasets.core import Event
from wav2clip.embedding.engine import Embeddings
from wav2clip.errors import InputError
from wav2clip.evaluation.event_metrics import THRESHOLDS, event_scores, psds
from wav2clip.evaluation.features import Features
from wav2clip.evaluation.splits import Fold

Array = NDArray[np.float64]

Step = Callable[[], None]


@dataclass(frozen=True)
class FrameGrid:
    """Windows of a clip, and which moment each stands for.

    Attributes:
        frame_seconds: length of the window that is embedded.
        hop_seconds: from one window to the next, and what each window decides on: so much time
            around its middle.
    """

    frame_seconds: float = 0.5
    hop_seconds: float = 0.1

    def edges(self, starts: Array) -> tuple[Array, Array]:
        """Onset and offset in seconds of what each window decides on.

        The first also decides on what is before it.
        """
        onsets = starts + (self.frame_seconds - self.hop_seconds) / 2
        offsets = onsets + self.hop_seconds
        return np.where(starts <= 0, 0.0, onsets), offsets


@dataclass(frozen=True)
class FramedClip:
    """A clip cut into windows.

    Attributes:
        key: its name.
        vectors: (t, dimension) embeddings of its windows, t >= 1.
        starts: (t,) seconds of their starts.
        events: what is heard when.
        seconds: its length.
    """

    key: str
    vectors: Embeddings
    starts: Array
    events: tuple[Event, ...]
    seconds: float


def targets(clip: FramedClip, labels: Sequence[str], grid: FrameGrid) -> Embeddings:
    """(t, labels) in {0, 1}: whether a label sounds for at least half of what a window decides on.

    Raises:
        InputError: an event whose label is not among the labels.
    """
    truth = np.zeros((len(clip.starts), len(labels)), np.float32)
    onsets, offsets = _edges(clip, grid)
    places = {label: place for place, label in enumerate(labels)}
    for event in clip.events:
        if event.label not in places:
            raise InputError(f"{clip.key}: the label {event.label!r} is not one of {list(labels)}")
        overlap = np.minimum(offsets, event.offset) - np.maximum(onsets, event.onset)
        truth[overlap >= (offsets - onsets) / 2, places[event.label]] = 1.0
    return truth


@dataclass(frozen=True)
class EventProbe:
    """A trained probe.

    Attributes:
        labels: k classes.
        grid: the windows that it was trained on.
        mean: (dimension,) of the training frames.
        scale: (dimension,) standard deviation of the training frames.
        layer: linear, dimension to k.
        threshold: probability from which a label sounds, chosen on the validation clips.
        smoothing: windows of the median filter over probabilities, odd.
    """

    labels: tuple[str, ...]
    grid: FrameGrid
    mean: Embeddings
    scale: Embeddings
    layer: nn.Linear
    threshold: float = 0.5
    smoothing: int = 3

    @torch.inference_mode()
    def probabilities(self, clip: FramedClip) -> Embeddings:
        """(t, k) in [0, 1], smoothed over time."""
        rows = torch.from_numpy((clip.vectors - self.mean) / self.scale)
        raw = torch.sigmoid(self.layer(rows)).numpy()
        return np.asarray(median_filter(raw, size=(self.smoothing, 1), mode="nearest"), np.float32)

    def detect(self, clip: FramedClip) -> tuple[Event, ...]:
        """The events of a clip, in the order of their onsets."""
        return decode(self.probabilities(clip), clip, self.labels, self.grid, self.threshold)


def decode(
    probabilities: Embeddings,
    clip: FramedClip,
    labels: Sequence[str],
    grid: FrameGrid,
    threshold: float,
) -> tuple[Event, ...]:
    """Runs of windows at or above the threshold as events, in the order of their onsets."""
    onsets, offsets = _edges(clip, grid)
    found = []
    for place, label in enumerate(labels):
        active = np.r_[False, probabilities[:, place] >= threshold, False]
        changes = np.flatnonzero(active[1:] != active[:-1])
        found += [
            Event(float(onsets[first]), float(offsets[last - 1]), label)
            for first, last in zip(changes[::2], changes[1::2], strict=True)
        ]
    return tuple(sorted(found, key=lambda event: (event.onset, event.label)))


def fit(
    clips: Sequence[FramedClip],
    labels: Sequence[str],
    grid: FrameGrid,
    validation: Sequence[FramedClip] = (),
    *,
    epochs: int = 50,
    batch: int = 256,
    learning_rate: float = 1e-3,
    seed: int = 0,
    step: Step = lambda: None,
) -> EventProbe:
    """Train a probe; everything that is fitted is fitted on ``clips`` and ``validation`` alone.

    Args:
        clips: to train on.
        labels: classes.
        grid: what the clips were cut by.
        validation: to choose the threshold on (event-based F1); without any, it is 0.5.
        epochs: passes over the frames.
        batch: frames of a step.
        learning_rate: of Adam.
        seed: of initial weights and order.
        step: called after every epoch.

    Raises:
        InputError: no clips, no labels, or an unknown label.
    """
    if not clips or not labels:
        raise InputError(f"{len(clips)} clips and {len(labels)} labels, expected at least one each")
    rows = np.concatenate([clip.vectors for clip in clips])
    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    inputs = torch.from_numpy(((rows - mean) / scale).astype(np.float32))
    truth = torch.from_numpy(np.concatenate([targets(clip, labels, grid) for clip in clips]))
    layer = _train(inputs, truth, epochs, batch, learning_rate, seed, step)
    probe = EventProbe(tuple(labels), grid, mean, scale, layer)
    if not validation:
        return probe
    best = max(np.arange(0.1, 0.91, 0.1), key=lambda t: _event_f1(probe, validation, float(t)))
    return EventProbe(probe.labels, grid, mean, scale, layer, float(round(best, 2)))


def _train(
    inputs: Tensor,
    truth: Tensor,
    epochs: int,
    batch: int,
    learning_rate: float,
    seed: int,
    step: Step,
) -> nn.Linear:
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(inputs.shape[1], truth.shape[1])
    with torch.no_grad():
        bound = inputs.shape[1] ** -0.5
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.zero_()
    optimizer = torch.optim.Adam(layer.parameters(), learning_rate)
    loss = nn.BCEWithLogitsLoss()
    for _ in range(epochs):
        order = torch.randperm(len(inputs), generator=generator)
        for rows in torch.utils.data.BatchSampler(order.tolist(), batch, drop_last=False):
            optimizer.zero_grad()
            loss(layer(inputs[rows]), truth[rows]).backward()
            optimizer.step()
        step()
    return layer.requires_grad_(False)


def _event_f1(probe: EventProbe, clips: Sequence[FramedClip], threshold: float) -> float:
    found = [
        decode(probe.probabilities(clip), clip, probe.labels, probe.grid, threshold)
        for clip in clips
    ]
    return event_scores(clips, found, probe.labels)["event F1"]


def framed(features: Features, grid: FrameGrid) -> list[FramedClip]:
    """The clips of a dataset that was embedded by frames.

    A clip is taken to last until its last window or its last event ends, whichever is later.
    """
    starts = np.split(features.starts, np.cumsum(features.counts)[:-1])
    return [
        FramedClip(
            clip.key,
            vectors,
            own,
            clip.events,
            max([float(own[-1]) + grid.frame_seconds, *(e.offset for e in clip.events)]),
        )
        for clip, vectors, own in zip(features.clips, features.per_clip(), starts, strict=True)
    ]


def evaluate(
    clips: Sequence[FramedClip],
    fold: Fold,
    labels: Sequence[str],
    grid: FrameGrid,
    *,
    epochs: int = 50,
    seed: int = 0,
    step: Step = lambda: None,
) -> dict[str, float]:
    """Train a probe on a fold's training clips and score it on those that it is tested on.

    Returns:
        Metric to value in [0, 1]: F1 of segments and events, micro and macro, and PSDS.

    Raises:
        InputError: nothing to train on, an unknown label, or no event among the test clips.
        MissingExtraError: sed_eval or psds_eval is not installed.
    """
    train, held, test = (
        [clips[row] for row in rows] for rows in (fold.train, fold.validation, fold.test)
    )
    probe = fit(train, labels, grid, held, epochs=epochs, seed=seed, step=step)
    probabilities = [probe.probabilities(clip) for clip in test]
    found = [
        decode(scores, clip, labels, grid, probe.threshold)
        for scores, clip in zip(probabilities, test, strict=True)
    ]
    detections = sweep(test, probabilities, labels, grid)
    return event_scores(test, found, labels) | psds(test, detections, labels)


def sweep(
    clips: Sequence[FramedClip],
    probabilities: Sequence[Embeddings],
    labels: Sequence[str],
    grid: FrameGrid,
) -> list[list[tuple[Event, ...]]]:
    """Events of each clip at each of :data:`THRESHOLDS`."""
    return [
        [
            decode(scores, clip, labels, grid, threshold)
            for scores, clip in zip(probabilities, clips, strict=True)
        ]
        for threshold in THRESHOLDS
    ]


def _edges(clip: FramedClip, grid: FrameGrid) -> tuple[Array, Array]:
    """What each window of a clip decides on; the last one up to the end of the clip."""
    onsets, offsets = grid.edges(clip.starts)
    offsets[-1] = max(clip.seconds, offsets[-1])
    return onsets, np.minimum(offsets, clip.seconds)
