"""How near sounds of all sorts lie to a query: what a cosine is to be compared with.

A cosine of 0.3 is much for a phrase that no sound is near to, and little for one that half of all
sounds are near to. Mean and covariance of many embeddings tell both for any query, and a logistic
function that was fitted once turns them into the probability that a sound is what was asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors.numpy import save_file

from wav2clip.errors import CheckpointError
from wav2clip.files import atomic_path, display
from wav2clip.models.space import unit

BACKGROUND_FILE = "background.safetensors"
"""Beside the weights of an audio encoder."""

AXES = 128
"""Principal axes that are kept; of the built-in encoder's 512 they hold 98.7 % of the variance."""

_PRIOR_SOUNDS, _PRIOR_DEVIATION = 50, 0.1
# Cosines of few sounds say little of all: they are taken together with so many supposed ones, whose
# deviation is about what both shipped encoders have.

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Logistic:
    """Probability that a sound is what was asked for, from its cosine with the query.

    Attributes:
        bias, per_cosine, per_deviation: of the logit: ``bias + per_cosine * cosine +
            per_deviation * z``, where z is how many standard deviations the cosine is above the
            mean of sounds of all sorts. Both factors are 0 or more, so that the order stays.
    """

    bias: float
    per_cosine: float
    per_deviation: float

    def probability(self, cosines: Floats, mean: float, deviation: float) -> NDArray[np.float64]:
        """In [0, 1], of each cosine; ``mean`` and ``deviation`` as :meth:`Background.of` gives."""
        z = (np.asarray(cosines, np.float64) - mean) / deviation
        logit = self.bias + self.per_cosine * cosines + self.per_deviation * z
        probabilities: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(logit, -50, 50)))
        return probabilities


BY_DEVIATION = Logistic(-7.5, 0.0, 1.65)
"""For encoders nothing was fitted for: by the deviations alone, as they are for the built-in one.
docs/results/confidence.md has the fit."""


@dataclass(frozen=True)
class Background:
    """Distribution of unit-length, centred audio embeddings.

    Attributes:
        mean: (dimension,) float32.
        axes: (k, dimension) float32, principal axes, each times its standard deviation.
        calibration: a fit for each kind of query ("text", "image", "audio"), where there is one.
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    calibration: Mapping[str, Logistic] = field(default_factory=dict)

    @classmethod
    def measure(cls, embeddings: Floats, weights: Floats | None = None) -> Background:
        """From (n, dimension) embeddings, n >= 0, each counted by its weight (1 by default).

        :data:`_PRIOR_SOUNDS` sounds in all directions are added, which matter where n is small.
        """
        rows = np.asarray(embeddings, np.float64)
        share = np.ones(len(rows)) if weights is None else np.asarray(weights, np.float64)
        total = share.sum() + _PRIOR_SOUNDS
        mean = share @ rows / total
        spread = (rows * share[:, None]).T @ rows / total - np.outer(mean, mean)
        spread += np.eye(rows.shape[1]) * _PRIOR_DEVIATION**2 * _PRIOR_SOUNDS / total
        values, vectors = np.linalg.eigh(spread)
        axes = (vectors * np.sqrt(np.maximum(values, 0))).T
        return cls(mean.astype(np.float32), axes.astype(np.float32))

    def of(self, query: Floats) -> tuple[float, float]:
        """Mean and standard deviation of the cosines that sounds of all sorts have with a query.

        Args:
            query: (dimension,) of unit length.
        """
        deviation = float(np.linalg.norm(self.axes @ query))
        return float(self.mean @ query), max(deviation, 1e-3)

    def probes(self, count: int) -> tuple[Floats, Floats, Floats]:
        """Queries that have nothing to do with anything: always the same, spread as sounds are.

        Returns:
            (count, dimension) of unit length, and for each what :meth:`of` gives, (count,) twice.
        """
        random = np.random.default_rng(0).standard_normal((count, len(self.mean)))
        # By the square root of the covariance, for the axes' own signs are arbitrary.
        probes = unit(random.astype(np.float32) @ unit(self.axes).T @ self.axes)
        deviations = np.linalg.norm(probes @ self.axes.T, axis=1)
        return probes, probes @ self.mean, np.maximum(deviations, 1e-3)

    def logistic(self, kind: str) -> Logistic:
        """The fit for a kind of query, or :data:`BY_DEVIATION`."""
        return self.calibration.get(kind, BY_DEVIATION)


def write_background(folder: Path, background: Background) -> None:
    """Write :data:`BACKGROUND_FILE`: the :data:`AXES` longest axes, in float16."""
    longest = np.argsort(-np.linalg.norm(background.axes, axis=1), kind="stable")[:AXES]
    fits = {kind: asdict(fit) for kind, fit in background.calibration.items()}
    tensors: dict[str, NDArray[Any]] = {
        "mean": background.mean,
        "axes": background.axes[longest].astype(np.float16),
    }
    with atomic_path(folder / BACKGROUND_FILE) as temporary:
        save_file(tensors, temporary, metadata={"calibration": json.dumps(fits, sort_keys=True)})
        temporary.chmod(0o644)  # safetensors makes it readable by its owner alone


def read_background(folder: Path) -> Background | None:
    """What :func:`write_background` wrote, or None where there is no such file.

    Raises:
        CheckpointError: it is damaged.
    """
    path = folder / BACKGROUND_FILE
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, "np") as file:
            fits = json.loads(file.metadata()["calibration"])
            mean, axes = (file.get_tensor(n).astype(np.float32) for n in ("mean", "axes"))
        if mean.shape != axes.shape[1:] or not (
            np.isfinite(mean).all() and np.isfinite(axes).all()
        ):
            raise ValueError(
                f"shapes {mean.shape} and {axes.shape}, or numbers that are not finite"
            )
        return Background(mean, axes, {kind: Logistic(**fit) for kind, fit in fits.items()})
    except (OSError, TypeError, KeyError, ValueError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{display(path)}: missing or damaged ({error})") from error
