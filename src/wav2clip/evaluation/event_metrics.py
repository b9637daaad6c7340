"""Scores of detected sound events, as the DCASE challenges (task 4) have them.

Segment-based and event-based F1 by sed_eval (Mesaros, Heittola and Virtanen 2016, Applied Sciences
6(6)), and PSDS by psds_eval (Bilen et al. 2020, arXiv 1910.08440).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wav2clip.datasets.core import Event
from wav2clip.errors import InputError, MissingExtraError

Array = NDArray[np.float64]

COLLAR_SECONDS = 0.2
"""Tolerance of onsets and offsets in event-based F1, as DCASE has it."""

OFFSET_SHARE = 0.2
"""Tolerance of offsets as a share of the event's length, if that is more; DCASE."""

SEGMENT_SECONDS = 1.0
"""Resolution of segment-based F1, as DCASE has it."""

PSDS_SCENARIOS = {
    "PSDS1": {"dtc": 0.7, "gtc": 0.7, "cttc": 0.3, "alpha_ct": 0.0, "alpha_st": 1.0},
    "PSDS2": {"dtc": 0.1, "gtc": 0.1, "cttc": 0.3, "alpha_ct": 0.5, "alpha_st": 1.0},
}
"""The two scenarios of DCASE 2021 task 4; at most 100 effective false positives an hour."""

_MAX_EFPR = 100.0

THRESHOLDS = tuple(float(t) for t in np.linspace(0.01, 0.99, 50))
"""At which PSDS looks at the detections."""


class Timeline(Protocol):
    """What is heard when in a clip of so many seconds."""

    @property
    def key(self) -> str: ...
    @property
    def events(self) -> tuple[Event, ...]: ...
    @property
    def seconds(self) -> float: ...


def event_scores(
    clips: Sequence[Timeline],
    found: Sequence[Sequence[Event]],
    labels: Sequence[str],
) -> dict[str, float]:
    """Segment-based and event-based F1, micro-averaged and macro-averaged over the labels.

    Args:
        clips: with what is heard when.
        found: events of each clip.
        labels: classes to score.

    Raises:
        MissingExtraError: sed_eval is not installed.
    """
    metrics = _sed_eval()
    segments = metrics.SegmentBasedMetrics(list(labels), time_resolution=SEGMENT_SECONDS)
    events = metrics.EventBasedMetrics(
        list(labels), t_collar=COLLAR_SECONDS, percentage_of_length=OFFSET_SHARE
    )
    for clip, own in zip(clips, found, strict=True):
        reference, estimate = _rows(clip.key, clip.events), _rows(clip.key, own)
        segments.evaluate(reference, estimate, evaluated_length_seconds=clip.seconds)
        events.evaluate(reference, estimate)
    scores = {}
    for name, metric in (("segment", segments), ("event", events)):
        overall = metric.results_overall_metrics()["f_measure"]["f_measure"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of labels that are nowhere
            by_class = metric.results_class_wise_average_metrics()["f_measure"]["f_measure"]
        scores[f"{name} F1"] = _number(overall)
        scores[f"{name} F1 macro"] = _number(by_class)
    return scores


def psds(
    clips: Sequence[Timeline],
    detections: Sequence[Sequence[Sequence[Event]]],
    labels: Sequence[str],
) -> dict[str, float]:
    """Polyphonic sound detection scores in [0, 1]; see :data:`PSDS_SCENARIOS`.

    Args:
        clips: with what is heard when.
        detections: for each threshold, the events of each clip.
        labels: classes to score.

    Raises:
        MissingExtraError: psds_eval is not installed.
        InputError: no clip has an event.
    """
    import pandas as pd

    evaluator = _psds_evaluator()
    truth = pd.DataFrame([row for clip in clips for row in _rows(clip.key, clip.events)])
    if truth.empty:
        raise InputError("no clip has an event: there is nothing to detect")
    lengths = pd.DataFrame([{"filename": clip.key, "duration": clip.seconds} for clip in clips])
    columns = ["filename", "onset", "offset", "event_label"]
    tables = [
        pd.DataFrame(
            [row for clip, own in zip(clips, found, strict=True) for row in _rows(clip.key, own)],
            columns=columns,
        )
        for found in detections
    ]
    with warnings.catch_warnings():
        # Equal tables of two thresholds count once; what pandas will drop is the package's concern.
        warnings.simplefilter("ignore")
        return {
            name: _psds(evaluator, scenario, truth, lengths, labels, tables)
            for name, scenario in PSDS_SCENARIOS.items()
        }


def _psds(
    evaluator: Any,
    scenario: Mapping[str, float],
    truth: Any,
    lengths: Any,
    labels: Sequence[str],
    tables: Sequence[Any],
) -> float:
    """One scenario's score, from a table of detections per threshold."""
    metric = evaluator(
        dtc_threshold=scenario["dtc"],
        gtc_threshold=scenario["gtc"],
        cttc_threshold=scenario["cttc"],
        ground_truth=truth,
        metadata=lengths,
        class_names=list(labels),
    )
    for table in tables:
        metric.add_operating_point(table)
    alphas = {key: scenario[key] for key in ("alpha_ct", "alpha_st")}
    return float(metric.psds(max_efpr=_MAX_EFPR, **alphas).value)


def _rows(key: str, events: Sequence[Event]) -> list[dict[str, Any]]:
    return [
        {"filename": key, "event_label": e.label, "onset": e.onset, "offset": e.offset}
        for e in events
    ]


def _number(value: float) -> float:
    """sed_eval gives NaN where there is neither truth nor guess."""
    return 0.0 if np.isnan(value) else float(value)


def _sed_eval() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pkg_resources announces its end
            from sed_eval import sound_event
    except ImportError as error:
        raise MissingExtraError(
            f"needs sed_eval: pip install 'wav2clip[evaluation]' ({error})"
        ) from error
    return sound_event


def _psds_evaluator() -> Any:
    try:
        from psds_eval import PSDSEval
    except ImportError as error:
        raise MissingExtraError(
            f"needs psds_eval: pip install 'wav2clip[evaluation]' ({error})"
        ) from error

    class Evaluator(PSDSEval):  # type: ignore[misc]
        """psds_eval 0.5.3, for one label too, and where NumPy 2.4 or pandas 3 end its own steps."""

        def _effective_fp_rate(self, alpha_ct: float = 0.0) -> Any:
            """False alarms per hour; a label that is alone is never taken for another."""
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                rates = super()._effective_fp_rate(alpha_ct)
            alone = np.isnan(rates.effective_fp_rate)
            effective = np.where(alone, rates.fp_rate, rates.effective_fp_rate)
            return rates._replace(effective_fp_rate=effective)

        @staticmethod
        def step_curve(x: Array, xp: Array, yp: Array) -> Array:
            """The highest of ``yp`` at or left of each ``x``, 0 before the first."""
            order = np.argsort(xp, kind="stable")
            heights = np.maximum.accumulate(yp[order])
            place = np.searchsorted(xp[order], x, side="right")
            return np.asarray(np.r_[0.0, heights][place])

        @staticmethod
        def _auc(x: Array, y: Array, max_x: float, decreasing_y: bool = False) -> float:
            """Area under the steps that go from each point to the right, up to ``max_x``."""
            within = x < max_x
            return float(np.diff(np.r_[x[within], max_x]) @ y[within])

    return Evaluator
